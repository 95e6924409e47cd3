"""Who takes whose result: every sample of a program with the drive that it sees, found from the records alone.

What one issue gives to another rests in a register that moves: a stream, the chain of an ALU, the array of a plane, a
link. A value there keeps its diagonal, and whoever takes a value takes the one that was given last on its diagonal, at
or before the taker's own place. Such a way is a line; issues in equal distances are one interval of it. All intervals
are cut at all their ends; of the elements so made each is driven and sampled as a whole, and sorting them matches them.
So the work grows with the number of records and not with that of their vectors.

Bulk mode plans with this, and the profiler and the timeline show it. The verifier has a proof of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine.effects import ENTERING, Effect
from ..machine.intervals import Ints, Limit, cover, distinct, join, ranges, split, unlimited
from ..machine.stream_code import StreamCode, place_of
from ..machine.topology import Port
from .issues import Issues

CHAIN_BYTE = -1
"""In place of the number of a byte plane: a whole result, by a chain."""


@dataclass(frozen=True)
class Edges:
    """Vectors that flow: issues c, c + 1, ... sample at `slot` what issues p, p + 1, ... drive as byte plane `byte`, so
    many as `count` says, and of them the first `tiles` superlanes. [edges] each."""

    c: Ints
    p: Ints
    count: Ints
    slot: Ints
    byte: Ints
    tiles: Ints

    @staticmethod
    def concatenate(parts: Sequence[Edges]) -> Edges:
        return Edges(*(join([getattr(e, name) for e in parts]) for name in Edges.__dataclass_fields__))

    def take(self, chosen: npt.NDArray[np.bool_] | Ints) -> Edges:
        return Edges(*(getattr(self, name)[chosen] for name in Edges.__dataclass_fields__))

    def split(self, cuts: Ints, by_producer: bool = False) -> Edges:
        """The same flow, cut where the consumers' numbers, or the producers', pass one of the ascending `cuts`."""
        pieces, begin, count = split(self.p if by_producer else self.c, self.count, cuts)
        if len(pieces) == len(self.c):
            return self
        c, p, slot, byte, tiles = (a[pieces] for a in (self.c, self.p, self.slot, self.byte, self.tiles))
        return Edges(c + begin, p + begin, count, slot, byte, tiles)


@dataclass(frozen=True)
class Line:
    """The intervals of those who drive, or of those who sample, on one line of time or diagonals: [intervals] each."""

    start: Ints
    count: Ints
    every: Ints
    issue: Ints
    """The number of the first issue."""
    place: Ints
    """Where on the way of a value they stand, from 0 on."""
    tag: Ints
    """The slot or the byte."""
    tiles: Ints
    """The superlanes that are on."""

    def take(self, chosen: Ints) -> Line:
        return Line(*(getattr(self, name)[chosen] for name in Line.__dataclass_fields__))

    def apart(self, chosen: npt.NDArray[np.bool_], limit: Limit) -> Line:
        """The same issues, those chosen one by one."""
        if not chosen.any():
            return self
        number = np.where(chosen, self.count, 1)
        limit(number)
        owner, i = np.repeat(np.arange(len(number)), number), ranges(0 * number, number)
        line = self.take(owner)
        count, start, issue = np.where(chosen[owner], 1, line.count), line.start + i * line.every, line.issue + i
        return Line(start, count, line.every, issue, line.place, line.tag, line.tiles)


@dataclass(frozen=True)
class User:
    """One use of a line by the records of a shape."""

    shape: int
    offset: int
    """From the dispatch to the place on the line."""
    place: int
    tag: int


class Found(NamedTuple):
    """What matching a line finds."""

    edges: Edges
    """What is taken, and from whom."""
    collides: bool
    """Whether two drive one place at once, of which the match then has either."""
    misses: bool
    """Whether some samples see no drive; they have no edges."""


class Way(NamedTuple):
    """A register of a chip that moves, with those who give to it and those who take from it."""

    kind: str
    """`stream`, `chain`, `array` or `link`."""
    chip: int
    """The index of the chip program that takes."""
    number: int
    """The code of a stream, or the number of the ALU, plane or link; of a link the taker's."""
    giver_chip: int
    """The index of the chip program that gives: another one only for a link."""
    gives: Sequence[User]
    takes: Sequence[User]


class Lines:
    """The lines of a program's issues."""

    def __init__(self, issues: Issues, limit: Limit = unlimited):
        """`limit` sees the intervals of a line that are cut into single issues."""
        self.issues, self.spec, self._limit = issues, issues.spec, limit

    def streams(self) -> Iterator[Way]:
        """The streams of each chip that somebody uses. A place is counted along the way, from where values enter."""
        users: dict[tuple[int, StreamCode], tuple[list[User], list[User]]] = defaultdict(lambda: ([], []))
        for number, shape in enumerate(self.issues.shapes):
            for which, uses in enumerate((shape.drives, shape.samples)):
                for use in uses:
                    code = StreamCode(use.code)
                    place = place_of(code, shape.queue.position, self.spec.mxm_distance)
                    users[shape.chip, code][which].append(User(number, use.offset, place, use.slot))
        for (chip, code), (drives, samples) in sorted(users.items(), key=lambda way: way[0]):
            yield Way("stream", chip, code, chip, drives, samples)

    def chains(self) -> Iterator[Way]:
        """The chains of the ALUs that somebody uses."""
        users: dict[tuple[int, int], tuple[list[User], list[User]]] = defaultdict(lambda: ([], []))
        for number, shape in enumerate(self.issues.shapes):
            if shape.to_chain:
                users[shape.chip, shape.queue.unit][0].append(User(number, self.spec.latency_alu, 0, CHAIN_BYTE))
            for use in shape.chains:
                users[shape.chip, use.code][1].append(User(number, 0, 0, use.slot))
        for (chip, alu), (results, readers) in sorted(users.items(), key=lambda way: way[0]):
            yield Way("chain", chip, alu, chip, results, readers)

    def arrays(self) -> Iterator[Way]:
        """The arrays of all planes, which sums leave in the order of the vectors."""
        for chip in range(len(self.issues.program.chips)):
            for plane in range(self.spec.planes):
                vectors = [u for e in ENTERING for u in self._users(e, chip, plane, self.spec.latency_array)]
                takers = self._users(Effect.ACCUMULATE, chip, plane)
                yield Way("array", chip, plane, chip, vectors, takers)

    def links(self) -> Iterator[Way]:
        """The links of which an end is at a chip with a program; a program's index is -1 where there is none."""
        program = self.issues.program
        index = {c.chip: i for i, c in enumerate(program.chips)}
        flight = self.spec.latency_send + program.system.link_latency

        def on_link(effect: Effect, port: Port, offset: int = 0) -> list[User]:
            return self._users(effect, index[port.chip], port.link, offset) if port.chip in index else []

        for source, target in program.peers.items():
            ends = on_link(Effect.SEND, source, flight), on_link(Effect.RECEIVE, target)
            yield Way("link", index.get(target.chip, -1), target.link, index.get(source.chip, -1), *ends)

    def _users(self, effect: Effect, chip: int, unit: int, offset: int = 0) -> list[User]:
        """The issues of an effect on a unit, at place 0."""
        return [User(number, offset, 0, 0) for number in self.issues.shapes_on(effect, chip, unit)]

    def line(self, users: Sequence[User]) -> Line:
        """The intervals of some uses."""
        beats = self.issues.beats
        columns: list[list[Ints]] = [[] for _ in Line.__dataclass_fields__]
        for user in users:
            of = self.issues.beats_of(user.shape)
            fixed = (user.place, user.tag, self.issues.shapes[user.shape].tiles)
            values = (beats.time[of] + user.offset - user.place, beats.count[of], beats.every[of], beats.first[of])
            for column, value in zip(columns, (*values, *np.tile(np.array(fixed)[:, None], len(of))), strict=True):
                column.append(value)
        return Line(*(join(c) for c in columns))

    def match(self, driven: Line, sampled: Line) -> Found:
        """Matches the samples of a line with the newest drive at or before their place."""
        driven, sampled = _dense((driven, sampled), self._limit)
        bounds = distinct(join([x for line in (driven, sampled) for x in (line.start, line.start + line.count)]))
        stations = 1 + max((int(line.place.max(initial=0)) for line in (driven, sampled)), default=0)
        driver, element = cover(driven.start, driven.count, bounds)
        keys = element * stations + driven.place[driver]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        collides = bool((keys[1:] == keys[:-1]).any())
        sampler, element = cover(sampled.start, sampled.count, bounds)
        newest = np.searchsorted(keys, element * stations + sampled.place[sampler], "right") - 1
        # Before the first drive there is none, and one of another element is none of this.
        meets = newest >= 0
        meets[meets] = keys[newest[meets]] // stations == element[meets]
        if misses := not meets.all():
            newest, sampler, element = newest[meets], sampler[meets], element[meets]
        driver = driver[order[newest]]
        start = bounds[element]
        edges = Edges(
            sampled.issue[sampler] + start - sampled.start[sampler],
            driven.issue[driver] + start - driven.start[driver],
            bounds[element + 1] - start,
            sampled.tag[sampler],
            driven.tag[driver],
            np.minimum(sampled.tiles[sampler], driven.tiles[driver]),
        )
        return Found(edges, collides, misses)


def _dense(lines: Sequence[Line], limit: Limit) -> tuple[Line, ...]:
    """The same lines on a scale on which all issues of an interval are neighbours, as far as they can be.

    Where intervals overlap that have one distance between their issues, the scale is cut into as many pieces, one for
    each remainder of times. Where distances differ, intervals become single issues.
    """
    if all((line.every[line.count > 1] == 1).all() for line in lines):
        return tuple(lines)
    start, count, every = (join([getattr(line, name) for line in lines]) for name in ("start", "count", "every"))
    end = start + (count - 1) * every
    order = np.argsort(start, kind="stable")
    fresh = np.append(True, start[order][1:] > np.maximum.accumulate(end[order])[:-1])
    stretch = np.empty(len(start), np.int64)
    stretch[order] = np.cumsum(fresh) - 1
    most, least = np.ones(len(order), np.int64), np.full(len(order), np.iinfo(np.int64).max)
    several = count > 1
    np.maximum.at(most, stretch[several], every[several])
    np.minimum.at(least, stretch[several], every[several])
    begin = start[order][fresh]
    last = np.zeros(len(begin), np.int64)
    np.maximum.at(last, stretch, end - begin[stretch])
    unit = np.where(most == least, most, 1)[: len(begin)]
    width = last // unit + 1
    origin = np.cumsum(width * unit) - width * unit
    result: list[Line] = []
    taken = 0
    for line in lines:
        own = stretch[taken : taken + len(line.start)]
        taken += len(line.start)
        mixed = (most != least)[own] & (line.count > 1)
        own = np.repeat(own, np.where(mixed, line.count, 1))
        line = line.apart(mixed, limit)
        turn, place = np.divmod(line.start - begin[own], unit[own])[::-1]
        result.append(replace(line, start=origin[own] + turn * width[own] + place))
    return tuple(result)
