"""How maxima, or sums of integers, over long windows are made of those over short ones. Plain mathematics, no ops.

A map joins a few numbers, so a window along one dimension takes several steps, about as many as the logarithm of its
taps: numbers over 2 to 4 neighbours, over some of these, and so on. Maxima may count a tap twice; in sums the windows
that are joined lie beside each other. Of all ways to divide a window that with the fewest cycles is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import gcd

from ....dialects.tsp_tensor.window import Slide, inside


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
    """What is joined: lines, and how many elements on. Of the elements themselves nothing is."""

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
        return max((count for line, count in self.readers.items() if not line.terms), default=1)


@dataclass(frozen=True)
class Division:
    """A window as a join of windows of equal size, and of taps that stand alone."""

    size: int
    """Taps of each part."""
    begins: tuple[int, ...]
    """The first tap of each part."""
    alone: range = range(0)
    together: bool = False
    """Whether the parts are numbers of one line, and not of one each."""


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

    def __post_init__(self) -> None:
        self.elements = Line(1, 0, 1, self.slide.size)
        self.divided: dict[tuple[int, int, int], tuple[int, Division]] = {}
        self.made: dict[tuple[int, int, int, int], Line] = {}

    def plan(self) -> Line:
        """The numbers at all places of the window."""
        s = self.slide
        return self._line(s.taps, -s.before, s.stride, s.places)

    # -- how a window is divided -----------------------------------------------------------------------------------

    def _division(self, taps: int, step: int, count: int) -> tuple[int, Division]:
        """The division of a window with which `count` numbers of it, `step` from each other, take the fewest cycles,
        and about how many these are."""
        if taps <= self.ways:
            return self.cycles(count), Division(1, (), range(taps))
        key = taps, step, count
        if key not in self.divided:
            self.divided[key] = min(
                (
                    (self._cost(division, step, count), division)
                    for apart in self._divisions(taps)
                    for division in (apart, replace(apart, together=True))
                    if not division.together or self._few(division, step, count)
                ),
                key=lambda way: way[0],
            )
        return self.divided[key]

    def _divisions(self, taps: int) -> Iterator[Division]:
        for parts in range(2, self.ways + 1):
            for alone in range(self.ways - parts + 1):
                if (taps - alone) % parts == 0:
                    size = (taps - alone) // parts
                    yield Division(size, tuple(i * size for i in range(parts)), range(taps - alone, taps))
            if self.twice:
                size = -(-taps // parts)
                wide = self.slide.stride // gcd(self.slide.stride, self.slide.dilation)
                for taken in {size, -(-size // wide) * wide}:
                    if taken < taps:
                        yield Division(taken, tuple(min(i * taken, taps - taken) for i in range(parts)))

    def _cost(self, division: Division, step: int, count: int) -> int:
        return self.cycles(count) + sum(
            self._division(division.size, every, longer)[0] for _, every, longer in self._places(division, step, count)
        )

    def _few(self, division: Division, step: int, count: int) -> bool:
        """Whether a line for all parts has not many more numbers than there are elements and places."""
        ((_, _, longer),) = self._places(division, step, count)
        return longer <= 2 * (self.slide.size + len(division.begins) * count)

    def _places(self, division: Division, step: int, count: int) -> list[tuple[int, int, int]]:
        """Where windows of a part are wanted: lines as (elements after the first place, step, count)."""
        offsets = [b * self.slide.dilation for b in division.begins]
        if not division.together:
            return [(o, step, count) for o in offsets]
        every = gcd(step, *offsets)
        return [(0, every, ((count - 1) * step + offsets[-1]) // every + 1)]

    # -- lines -----------------------------------------------------------------------------------------------------

    def _line(self, taps: int, first: int, step: int, count: int) -> Line:
        """The numbers at these places over so many taps; it has no terms if there is padding alone."""
        key = taps, first, step, count
        if key not in self.made:
            division = self._division(taps, step, count)[1]
            terms: list[tuple[Line, int]] = []
            lines = [
                self._met(division.size, first + offset, every, number)
                for offset, every, number in self._places(division, step, count)
            ]
            for i, begin in enumerate(division.begins):
                line = lines[i % len(lines)]
                if line is not None:
                    terms.append((line, begin * self.slide.dilation))
            for tap in division.alone:
                offset = tap * self.slide.dilation
                if inside(self.slide.size, first + offset, step, count):
                    terms.append((self.elements, offset))
            self.made[key] = Line(taps, first, step, count, tuple(terms))
        return self.made[key]

    def _met(self, taps: int, first: int, step: int, count: int) -> Line | None:
        """The numbers at those of some places at which a window reaches into the image, if it does at any."""
        reach = (taps - 1) * self.slide.dilation
        there = inside(self.slide.size + reach, first + reach, step, count)
        line = self._line(taps, first + there.start * step, step, len(there)) if there else None
        return line if line is not None and line.terms else None
