"""How maxima, or sums of integers, over long windows are made of those over short ones. Plain mathematics, no ops.

A map joins a few numbers, so a window along one dimension takes several steps, about as many as the logarithm of its
taps: numbers over 2 to 4 neighbours, over some of these, and so on. Maxima may count a tap twice; in sums the windows
that are joined lie beside each other. Of all ways to divide a window that with the fewest cycles is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import gcd

from ...dialects.tsp_tensor.window import Slide, inside


@dataclass(frozen=True, eq=False)
class Line:
    """Numbers along a dimension, each of which joins `taps` elements from its position on: numbers of other lines."""

    taps: int
    first: int
    """The element at which the first begins; it may lie in the padding."""
    step: int
    """Elements from one to the next."""
    count: int
    terms: tuple[tuple[Line, int], ...] = ()
    """What is joined: lines, and how many elements on. None for the elements themselves."""

    def runs(self) -> list[tuple[range, list[tuple[Line, int, int]]]]:
        """The numbers as runs that join terms of the same lines, those of all terms first: for each term its line, the
        first number of it, and how many from one to the next. What lies outside a line is padding and left out."""
        found: list[tuple[Line, int, int, range]] = []
        for line, offset in self.terms:
            at, every = (self.first + offset - line.first) // line.step, self.step // line.step
            found.append((line, at, every, inside(line.count, at, every, self.count)))
        ends = sorted({0, self.count, *(e for *_, r in found if r for e in (r.start, r.stop))})
        runs = [
            (range(a, b), [(line, at + a * every, every) for line, at, every, there in found if a in there])
            for a, b in pairwise(ends)
        ]
        return sorted(runs, key=lambda run: -len(run[1]))

    @cached_property
    def readers(self) -> dict[Line, int]:
        """All lines that it is made of, those that others need first, and how many terms of a map are of that line."""
        most: dict[Line, int] = {}
        for line, _ in self.terms:
            for other, count in line.readers.items():
                most[other] = max(count, most.get(other, 0))
        for line, count in Counter(line for line, _ in self.terms).items():
            most[line] = max(count, most.get(line, 0))
        return most

    @property
    def copies(self) -> int:
        """The copies of the elements that it takes to read all terms of a map at once."""
        return max(count for line, count in self.readers.items() if not line.terms)


@dataclass
class Planner:
    """Finds the steps of a window along one dimension."""

    slide: Slide
    ways: int
    """Terms that a map joins."""
    twice: bool
    """Whether a tap may count twice."""
    cycles: Callable[[int], int]
    """About how many a map takes that gives so many numbers."""
    known: dict[tuple[int, int, int, int], tuple[int, Line]] = field(
        default_factory=dict[tuple[int, int, int, int], "tuple[int, Line]"]
    )

    def __post_init__(self) -> None:
        self.elements = Line(1, 0, 1, self.slide.size)

    def plan(self) -> Line:
        """The numbers at all places of the window."""
        s = self.slide
        return self._best(s.taps, -s.before, s.stride, s.places)[1]

    def _best(self, taps: int, first: int, step: int, count: int) -> tuple[int, Line]:
        """The numbers at these places over so many taps, and about how many cycles they take."""
        key = taps, first, step, count
        if key not in self.known:
            ways = [self._direct(*key)] if taps <= self.ways else [self._of(parts, *key) for parts in self._parts(taps)]
            self.known[key] = min(ways, key=lambda way: way[0])
        return self.known[key]

    def _direct(self, taps: int, first: int, step: int, count: int) -> tuple[int, Line]:
        terms = tuple((self.elements, tap * self.slide.dilation) for tap in range(taps))
        return self.cycles(count), Line(taps, first, step, count, terms)

    def _parts(self, taps: int) -> Iterator[tuple[int, list[int], list[int]]]:
        """The ways to divide a window: taps of each part, the first tap of each, and taps that stand alone."""
        for parts in range(2, self.ways + 1):
            for alone in range(self.ways - parts + 1):
                if (taps - alone) % parts == 0:
                    size = (taps - alone) // parts
                    yield size, [i * size for i in range(parts)], [*range(taps - alone, taps)]
            if self.twice:
                size = -(-taps // parts)
                wide = self.slide.stride // gcd(self.slide.stride, self.slide.dilation)
                for taken in {size, -(-size // wide) * wide}:
                    if taken < taps:
                        yield taken, [min(i * taken, taps - taken) for i in range(parts)], []

    def _of(
        self, parts: tuple[int, list[int], list[int]], taps: int, first: int, step: int, count: int
    ) -> tuple[int, Line]:
        size, begins, alone = parts
        offsets = [b * self.slide.dilation for b in begins]
        every = gcd(step, *(o - offsets[0] for o in offsets))
        longer = ((count - 1) * step + offsets[-1] - offsets[0]) // every + 1
        cycles, terms = self.cycles(count), list[tuple[Line, int]]()
        if longer <= len(offsets) * count:
            cost, line = self._best(size, *self._met(size, first + offsets[0], every, longer))
            cycles, terms = cycles + cost, [(line, offset) for offset in offsets]
        else:
            for offset in offsets:
                cost, line = self._best(size, *self._met(size, first + offset, step, count))
                cycles, terms = cycles + cost, [*terms, (line, offset)]
        terms += [(self.elements, tap * self.slide.dilation) for tap in alone]
        return cycles, Line(taps, first, step, count, tuple(terms))

    def _met(self, taps: int, first: int, step: int, count: int) -> tuple[int, int, int]:
        """Those of some places at which a window reaches into the image: the first, the step, and how many; at least
        one."""
        reach = (taps - 1) * self.slide.dilation
        there = inside(self.slide.size + reach, first + reach, step, count)
        return (first + there.start * step, step, len(there)) if there else (first, step, 1)
