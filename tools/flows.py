"""Which record takes what another record gives, as the timeline and the profile show it: pairs of records, from the
matches of their issues (dialects/programs/def_use.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..dialects.machine.intervals import Ints, ranges
from ..dialects.programs.def_use import Edges, Lines, Way
from ..dialects.programs.issues import Issues
from ..dialects.programs.records import Program

KINDS = ("stream", "chain", "array")
"""The kinds of register within a chip."""


@dataclass(frozen=True)
class Matched:
    """What is given to one register and taken from it."""

    way: Way
    edges: Edges


@dataclass(frozen=True)
class Pairs:
    """Pairs of records of which one takes what the other gives, each pair once: [pairs] in every array."""

    kind: str
    """The kind of register between them."""
    giver_chip: int
    """The index of the chip program with the records that give."""
    taker_chip: int
    """The index of the chip program with the records that take."""
    giver: Ints
    """The index of the record that gives, in its chip's program."""
    taker: Ints
    """The index of the record that takes."""
    given: Ints
    """The cycle in which the giver dispatches the first value of the pair."""
    taken: Ints
    """The cycle in which the taker dispatches what takes it."""
    vectors: Ints
    """Values in all: vectors of one byte per lane on streams and links, of 32 bits in chains and arrays."""
    number: Ints
    """The number of the register of that first value, the taker's for a link."""


class Flows:
    """What the records of a program, but for ifetch, give to each other."""

    def __init__(self, program: Program):
        self.program = program
        self.issues = Issues(program, fetches=False)
        lines = Lines(self.issues)
        ways = [*lines.streams(), *lines.chains(), *lines.arrays(), *lines.links()]
        self.matched = [Matched(w, lines.match(lines.line(w.gives), lines.line(w.takes)).edges) for w in ways]
        """Every register. What is taken and was never given is left out."""

    def pairs(self) -> Iterator[Pairs]:
        """All pairs of records that are joined by a register: by chip and kind, then those of every link."""
        for chip in range(len(self.program.chips)):
            for kind in KINDS:
                yield self._pairs(self.of(kind, chip), kind, chip, chip)
        for one in self.matched:
            if one.way.kind == "link" and min(one.way.chip, one.way.giver_chip) >= 0:
                yield self._pairs([one], "link", one.way.giver_chip, one.way.chip)

    def of(self, kind: str, chip: int) -> list[Matched]:
        """The registers of a kind of which those who take are of one chip program, which is given by its index."""
        return [m for m in self.matched if (m.way.kind, m.way.chip) == (kind, chip)]

    def _pairs(self, matched: Sequence[Matched], kind: str, giver_chip: int, taker_chip: int) -> Pairs:
        """The pairs of some registers, with what passes first."""
        issues, first_record = self.issues, self.issues.chips
        edges = Edges.concatenate([m.edges for m in matched])
        sizes = [len(m.edges.c) for m in matched]
        numbers = np.repeat(np.array([m.way.number for m in matched], np.int64), sizes)
        giver = issues.record_of(edges.p) - first_record[giver_chip]
        taker = issues.record_of(edges.c) - first_record[taker_chip]
        given, taken = issues.time_of(edges.p), issues.time_of(edges.c)
        order = np.lexsort((numbers, taken, taker, giver))
        new = np.ones(len(order), np.bool_)
        new[1:] = (np.diff(giver[order]) != 0) | (np.diff(taker[order]) != 0)
        totals = np.bincount(np.cumsum(new) - 1, weights=edges.count[order]).astype(np.int64)
        first = order[new]
        giver, taker, given, taken, numbers = (c[first] for c in (giver, taker, given, taken, numbers))
        return Pairs(kind, giver_chip, taker_chip, giver, taker, given, taken, totals, numbers)


def stretches(start: Ints, length: Ints, counts: Ints, every: Ints) -> tuple[Ints, Ints, Ints]:
    """Rounds of a stretch of `length` from `start` on, with those that touch joined to one.

    `start` and `length` are [records], `counts` and `every` [records, levels], innermost first. Gives for each joined
    stretch the index of its record, its start and its length.
    """
    counts, length = counts.copy(), length.copy()
    joins = np.ones(len(start), np.bool_)
    for level in range(counts.shape[1]):
        joins &= (counts[:, level] == 1) | (every[:, level] == length)
        length[joins] *= counts[joins, level]
        counts[joins, level] = 1
    owner = np.arange(len(start))
    for level in reversed(range(counts.shape[1])):
        rounds = counts[owner, level]
        round_ = ranges(0 * rounds, rounds)
        start, owner = np.repeat(start, rounds), np.repeat(owner, rounds)
        start += round_ * every[owner, level]
    return owner, start, length[owner]
