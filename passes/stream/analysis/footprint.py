"""Rigid footprints and the timelines that they are placed on. Plain mathematics, no IR."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from ...policy import Policy

Spans = tuple[tuple[int, int], ...]
"""Disjoint intervals [start, end) of cycles, ascending."""


def break_of(width: int, widest: int) -> int:
    """The cycles without a visit that are worth to be left to others on a group of so many streams: beside the widest,
    those of weights, every gap counts."""
    return 1 if width >= widest else Policy.pause


@dataclass(frozen=True)
class Need:
    """A resource that a footprint holds, in cycles after the footprint's start."""

    resource: Hashable
    spans: Spans


@dataclass(frozen=True)
class StreamNeed:
    """A group of streams that a footprint needs; which one, is decided when it is placed.

    The spans are diagonals, relative to the footprint's start. A stream is cut into `zones` along its way: on one
    diagonal its register may serve one value in each of them.
    """

    key: Hashable
    """What the need is for: the scheduler's name of the stream."""
    bank: Hashable
    """The set of streams to choose from: a chip and a direction."""
    width: int
    spans: Spans
    zones: tuple[int, ...]


@dataclass(frozen=True)
class Footprint:
    """All that a cluster holds, relative to its start."""

    needs: tuple[Need, ...]
    streams: tuple[StreamNeed, ...]


@dataclass
class Timeline:
    """What is taken of one resource: disjoint intervals in ascending order; those that touch are joined."""

    starts: list[int] = field(default_factory=list[int])
    ends: list[int] = field(default_factory=list[int])

    def wait(self, spans: Spans, start: int) -> int:
        """The least number of cycles by which `start` must grow so that the first conflict goes; 0 when all is free."""
        ends = self.ends
        if not ends or start + spans[0][0] >= ends[-1]:
            return 0
        starts, count = self.starts, len(ends)
        most = 0
        for a, b in spans:
            i = bisect_right(ends, start + a)
            if i < count and starts[i] < start + b:
                most = max(most, ends[i] - start - a)
        return most

    def take(self, spans: Spans, start: int) -> None:
        starts, ends = self.starts, self.ends
        for a, b in spans:
            first, end = start + a, start + b
            i = bisect_left(ends, first)
            j = bisect_right(starts, end)
            if i < j:
                first, end = min(first, starts[i]), max(end, ends[j - 1])
            starts[i:j] = [first]
            ends[i:j] = [end]


class Reservations:
    """All that the clusters placed so far have taken."""

    def __init__(self, streams: int):
        self.streams = streams
        """Stream numbers per direction."""
        self.timelines: dict[Hashable, Timeline] = defaultdict(Timeline)

    def place(self, footprint: Footprint, earliest: int) -> tuple[int, dict[Hashable, int]] | None:
        """Takes the earliest start from `earliest` on at which everything is free, and the streams chosen.

        Wide streams choose first, so that groups never leave gaps, and then those that begin first, which colours
        intervals with the fewest streams. Seldom another choice fits earlier. Where the footprint's own streams are in
        each other's way like that, those that pass most zones choose first, and where they still are, those that last
        longest, since of several that come after each other each has the choice. None when no order does.
        """
        lines = [(self.timelines[need.resource], need.spans) for need in footprint.needs]
        orders = [
            sorted(footprint.streams, key=lambda n: (-n.width, n.spans[0][0])),
            sorted(footprint.streams, key=lambda n: (-len(n.zones), -n.width, n.spans[0][0])),
            sorted(footprint.streams, key=lambda n: (n.spans[0][0] - n.spans[-1][1], -n.width)),
        ]
        start = earliest
        while True:
            wait = 0
            for line, spans in lines:
                wait = max(wait, line.wait(spans, start))
            if not wait:
                chosen, wait = self._choose_streams(orders[0], start)
                if chosen is not None:
                    self._take(footprint, start, chosen)
                    return start, chosen
                if not wait:
                    orders = orders[1:]
                    if not orders:
                        return None
            start += wait

    def claim(self, footprint: Footprint, start: int, chosen: Mapping[Hashable, int]) -> Hashable | None:
        """Takes a footprint at a given start on given streams.

        Gives what is taken already, if something is: the resource of a need, or the bank and number of a stream.
        """
        for need in footprint.needs:
            if self.timelines[need.resource].wait(need.spans, start):
                return need.resource
        for need in footprint.streams:
            base = chosen[need.key]
            for number in range(base, base + need.width):
                for zone in need.zones:
                    line = self.timelines[need.bank, number, zone]
                    if line.wait(need.spans, start):
                        return need.bank, number
                    line.take(need.spans, start)
        for need in footprint.needs:
            self.timelines[need.resource].take(need.spans, start)
        return None

    def _choose_streams(self, needs: Sequence[StreamNeed], start: int) -> tuple[dict[Hashable, int] | None, int]:
        """A stream for every need; else None, and the least wait that frees one group for the need that failed, 0 if
        none will.

        Each need takes the first group that is free.
        """
        chosen: dict[Hashable, int] = {}
        own: dict[Hashable, Timeline] = defaultdict(Timeline)
        for need in needs:
            least = 0
            for base in self._bases(need.width):
                wait, blocked = self._wait(need, base, start, own)
                if blocked:
                    continue
                if not wait:
                    chosen[need.key] = base
                    if len(needs) > 1:
                        for number in range(base, base + need.width):
                            for zone in need.zones:
                                own[need.bank, number, zone].take(need.spans, start)
                    break
                least = min(least, wait) if least else wait
            else:
                return None, least
        return chosen, 0

    def _bases(self, width: int) -> range:
        """Groups to try: wide ones from below, narrow ones from above, so that both find room."""
        groups = range(0, self.streams - width + 1, width)
        return groups if 2 * width >= self.streams else groups[::-1]

    def _wait(self, need: StreamNeed, base: int, start: int, own: dict[Hashable, Timeline]) -> tuple[int, bool]:
        """How long a group stays taken by others, and whether the footprint itself has taken some of it."""
        wait = 0
        for number in range(base, base + need.width):
            for zone in need.zones:
                key = (need.bank, number, zone)
                if key in own and own[key].wait(need.spans, start):
                    return 0, True
                if key in self.timelines:
                    wait = max(wait, self.timelines[key].wait(need.spans, start))
        return wait, False

    def _take(self, footprint: Footprint, start: int, chosen: Mapping[Hashable, int]) -> None:
        for need in footprint.needs:
            self.timelines[need.resource].take(need.spans, start)
        for need in footprint.streams:
            base = chosen[need.key]
            for number in range(base, base + need.width):
                for zone in need.zones:
                    self.timelines[need.bank, number, zone].take(need.spans, start)
