"""Rigid footprints and the timelines that they are placed on. Plain mathematics, no IR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Interval:
    """A resource that a footprint holds, from `start` to before `end`, in cycles after the footprint's start."""

    resource: Hashable
    start: int
    end: int


@dataclass(frozen=True)
class StreamNeed:
    """A group of streams that a footprint needs; which one, is decided when it is placed.

    `start` and `end` are diagonals, relative to the footprint's start; `low` and `high` the positions between which
    the values must survive. On one diagonal a register may serve several values one after the other along its way.
    """

    key: Hashable
    """What the need is for: the scheduler's name of the stream."""
    bank: Hashable
    """The set of streams to choose from: a chip and a direction."""
    width: int
    start: int
    end: int
    low: int
    high: int


@dataclass(frozen=True)
class Footprint:
    """All that a cluster holds, relative to its start."""

    intervals: tuple[Interval, ...]
    streams: tuple[StreamNeed, ...]


@dataclass
class _Timeline:
    """What is taken of one resource: disjoint intervals of cycles, in no order."""

    taken: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def clear_after(self, start: int, end: int) -> int | None:
        """The end of a taken interval that overlaps, or None when all is free."""
        return max((b for a, b in self.taken if a < end and start < b), default=None)


@dataclass
class _Register:
    """What is taken of one stream: diagonals and spans of positions."""

    taken: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])

    def clear_after(self, start: int, end: int, low: int, high: int) -> int | None:
        return max(
            (b for a, b, lo, hi in self.taken if a < end and start < b and lo <= high and low <= hi), default=None
        )


class Reservations:
    """All that the clusters placed so far have taken."""

    def __init__(self, streams: int):
        self.streams = streams
        """Stream numbers per direction."""
        self.timelines: dict[Hashable, _Timeline] = defaultdict(_Timeline)
        self.registers: dict[tuple[Hashable, int], _Register] = defaultdict(_Register)

    def place(self, footprint: Footprint, earliest: int) -> tuple[int, dict[Hashable, int]] | None:
        """Takes the earliest start from `earliest` on at which everything is free, and the streams chosen.

        None when the footprint's own streams can never be free together.
        """
        start = earliest
        while True:
            moved = self._next_free(footprint.intervals, start)
            if moved is not None:
                start = moved
                continue
            chosen, wait = self._choose_streams(footprint.streams, start)
            if chosen is not None:
                self._take(footprint, start, chosen)
                return start, chosen
            if wait is None:
                return None
            start += wait

    def claim(self, footprint: Footprint, start: int, chosen: Mapping[Hashable, int]) -> Hashable | None:
        """Takes a footprint at a given start on given streams.

        Gives what is taken already, if something is: the resource of an interval, or the bank and number of a stream.
        """
        for need in footprint.intervals:
            if self.timelines[need.resource].clear_after(start + need.start, start + need.end) is not None:
                return need.resource
        for need in footprint.streams:
            base = chosen[need.key]
            for number in range(base, base + need.width):
                where = (start + need.start, start + need.end, need.low, need.high)
                if self.registers[need.bank, number].clear_after(*where) is not None:
                    return need.bank, number
            self._mark(self.registers, need, base, start)
        for need in footprint.intervals:
            self.timelines[need.resource].taken.append((start + need.start, start + need.end))
        return None

    def _next_free(self, intervals: Sequence[Interval], start: int) -> int | None:
        """A later start that clears one conflict, or None when there is none."""
        for need in intervals:
            end = self.timelines[need.resource].clear_after(start + need.start, start + need.end)
            if end is not None:
                return end - need.start
        return None

    def _choose_streams(self, needs: Sequence[StreamNeed], start: int) -> tuple[dict[Hashable, int] | None, int | None]:
        """A stream for every need; else None, and the least wait that frees one group for the need that failed.

        Each need takes the first group that is free. Wide ones come first, so that groups never leave gaps, and then
        those that begin first, which colours intervals with the fewest streams. Seldom another choice fits earlier.
        """
        chosen: dict[Hashable, int] = {}
        own: dict[tuple[Hashable, int], _Register] = defaultdict(_Register)
        for need in sorted(needs, key=lambda n: (-n.width, n.start)):
            waits: list[int] = []
            for base in self._bases(need.width):
                ends, blocked = self._conflicts(need, base, start, own)
                if blocked:
                    continue
                if not ends:
                    chosen[need.key] = base
                    self._mark(own, need, base, start)
                    break
                waits.append(max(ends) - (start + need.start))
            else:
                return None, min(waits, default=None)
        return chosen, None

    def _bases(self, width: int) -> range:
        """Groups to try: wide ones from below, narrow ones from above, so that both find room."""
        groups = range(0, self.streams - width + 1, width)
        return groups if 2 * width >= self.streams else groups[::-1]

    def _conflicts(
        self, need: StreamNeed, base: int, start: int, own: dict[tuple[Hashable, int], _Register]
    ) -> tuple[list[int], bool]:
        """The ends of what others have taken of a group, and whether the footprint itself has taken some of it."""
        ends: list[int] = []
        where = (start + need.start, start + need.end, need.low, need.high)
        for number in range(base, base + need.width):
            if own[need.bank, number].clear_after(*where) is not None:
                return [], True
            end = self.registers[need.bank, number].clear_after(*where)
            if end is not None:
                ends.append(end)
        return ends, False

    def _take(self, footprint: Footprint, start: int, chosen: dict[Hashable, int]) -> None:
        for need in footprint.intervals:
            self.timelines[need.resource].taken.append((start + need.start, start + need.end))
        for need in footprint.streams:
            self._mark(self.registers, need, chosen[need.key], start)

    @staticmethod
    def _mark(registers: dict[tuple[Hashable, int], _Register], need: StreamNeed, base: int, start: int) -> None:
        for number in range(base, base + need.width):
            registers[need.bank, number].taken.append((start + need.start, start + need.end, need.low, need.high))
