"""Who meets whose result, before anything runs: every sample is matched with the drive that it sees.

The method is that of intervals: issues in equal distances are one interval of diagonals. All intervals of a stream
are cut at all their ends; of the elements so made each is driven and sampled as a whole, and sorting them matches them.
Whatever would be a hazard raises Irregular, so what is matched is a program without any, but for accumulators that
were never set (order.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ....dialects.effects import ENTERING, Effect
from ....dialects.stream_code import StreamCode, place_of
from ....dialects.topology import Port
from .issues import (
    CHAIN_BYTE,
    Edges,
    Ints,
    Irregular,
    Issues,
    cover,
    distinct,
    join,
    limit_number,
    ranges,
    split,
)
from .text import check_text

MOST_INSTALLS = 1 << 16
"""Installs of a plane's queue that bulk mode keeps the rows of."""


@dataclass(frozen=True)
class Installs:
    """The installs of all planes, by plane and then by time: [installs] each."""

    issue: Ints
    plane: Ints
    """chip * planes + plane"""
    time: Ints


@dataclass(frozen=True)
class Flow:
    """Where everything that is sampled comes from."""

    edges: Edges
    """What reads, ALUs and accumulators give to writes, ALUs, `lw` and `abc`; links are passed through."""
    sums: Edges
    """What `abc` gives to `acc`."""
    installs: Installs
    entries: Edges
    """c: vectors of `abc`; slot: the number of the install whose weights they meet; byte: which byte of them, 1 for
    the upper one of fp16; the rest means nothing."""
    loads: Ints
    """By record, for an `lw` the install that takes its rows, or -1."""


@dataclass(frozen=True)
class _Line:
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

    def take(self, chosen: Ints) -> _Line:
        return _Line(*(getattr(self, name)[chosen] for name in _Line.__dataclass_fields__))

    def apart(self, chosen: npt.NDArray[np.bool_]) -> _Line:
        """The same issues, those chosen one by one."""
        if not chosen.any():
            return self
        number = np.where(chosen, self.count, 1)
        limit_number(number)
        owner, i = np.repeat(np.arange(len(number)), number), ranges(0 * number, number)
        line = self.take(owner)
        count, start, issue = np.where(chosen[owner], 1, line.count), line.start + i * line.every, line.issue + i
        return _Line(start, count, line.every, issue, line.place, line.tag, line.tiles)


@dataclass(frozen=True)
class _User:
    """One use of a line by the records of a shape."""

    shape: int
    offset: int
    """From the dispatch to the place on the line."""
    place: int
    tag: int


class Matcher:
    """Matches the issues of one program."""

    def __init__(self, issues: Issues):
        self.issues, self.spec, self.system = issues, issues.spec, issues.program.system
        self._by_unit: dict[tuple[Effect, int, int], list[int]] = defaultdict(list)
        """The shapes of a kind on a unit of a chip."""
        for number, shape in enumerate(issues.shapes):
            self._by_unit[shape.kind, shape.chip, shape.queue.unit].append(number)

    def flow(self) -> Flow:
        """The whole flow. Raises Irregular."""
        edges = Edges.concatenate([*self._streams(), *self._chains()])
        links, sums = self._links(), self._sums()
        for _ in range(len(self.issues.program.chips) + 1):
            received = self.issues.kind_of(edges.p) == Effect.RECEIVE
            if not received.any():
                break
            passed = _through(_through(edges.take(received), links), edges)
            edges = Edges.concatenate([edges.take(~received), passed])
        else:
            raise Irregular("a vector passes more links than there are chips without a stop in memory")
        check_text(self.issues, edges)
        edges = edges.take(~np.isin(self.issues.kind_of(edges.c), (Effect.SEND, Effect.FETCH)))
        installs = self._installs()
        return Flow(self._merged(edges), self._merged(sums), installs, self._entries(installs), self._loads(installs))

    def _merged(self, edges: Edges) -> Edges:
        """The same flow in the fewest edges, in the order of the consumers' slots and then of their numbers."""
        edges = edges.take(np.lexsort((edges.c, edges.slot)))
        if not len(edges.c):
            return edges
        end_c, end_p = edges.c + edges.count, edges.p + edges.count
        records = [self.issues.record_of(x) for x in (edges.c, edges.p)]
        goes_on = (edges.c[1:] == end_c[:-1]) & (edges.p[1:] == end_p[:-1])
        for same in (edges.slot, edges.byte, edges.tiles, *records):
            goes_on &= same[1:] == same[:-1]
        first = np.flatnonzero(np.append(True, ~goes_on))
        merged = edges.take(first)
        last = np.append(first[1:], len(edges.c)) - 1
        return Edges(merged.c, merged.p, end_c[last] - merged.c, merged.slot, merged.byte, merged.tiles)

    # -- lines -------------------------------------------------------------------------------------------------

    def _line(self, users: Sequence[_User]) -> _Line:
        beats = self.issues.beats
        columns: list[list[Ints]] = [[] for _ in _Line.__dataclass_fields__]
        for user in users:
            of = self.issues.beats_of(user.shape)
            fixed = (user.place, user.tag, self.issues.shapes[user.shape].tiles)
            values = (beats.time[of] + user.offset - user.place, beats.count[of], beats.every[of], beats.first[of])
            for column, value in zip(columns, (*values, *np.tile(np.array(fixed)[:, None], len(of))), strict=True):
                column.append(value)
        return _Line(*(join(c) for c in columns))

    def _match(self, driven: _Line, sampled: _Line, hazard: str) -> Edges:
        """Matches the samples of a line with the newest drive at or before their place."""
        driven, sampled = _dense(driven, sampled)
        bounds = distinct(join([x for line in (driven, sampled) for x in (line.start, line.start + line.count)]))
        stations = 1 + max((int(line.place.max(initial=0)) for line in (driven, sampled)), default=0)
        driver, element = cover(driven.start, driven.count, bounds)
        keys = element * stations + driven.place[driver]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        if (keys[1:] == keys[:-1]).any():
            raise Irregular("stream-collision")
        sampler, element = cover(sampled.start, sampled.count, bounds)
        newest = np.searchsorted(keys, element * stations + sampled.place[sampler], "right") - 1
        if len(newest) and (not len(keys) or (newest < 0).any() or (keys[newest] // stations != element).any()):
            raise Irregular(hazard)
        driver = driver[order[newest]]
        start = bounds[element]
        return Edges(
            sampled.issue[sampler] + start - sampled.start[sampler],
            driven.issue[driver] + start - driven.start[driver],
            bounds[element + 1] - start,
            sampled.tag[sampler],
            driven.tag[driver],
            np.minimum(sampled.tiles[sampler], driven.tiles[driver]),
        )

    # -- streams and chains ------------------------------------------------------------------------------------

    def _streams(self) -> Iterator[Edges]:
        """The matches on each stream of each chip. A value's place is counted along its way, from where it enters."""
        users: dict[tuple[int, int], tuple[list[_User], list[_User]]] = defaultdict(lambda: ([], []))
        for number, shape in enumerate(self.issues.shapes):
            for which, uses in enumerate((shape.drives, shape.samples)):
                for use in uses:
                    place = place_of(StreamCode(use.code), shape.queue.position, self.spec.mxm_distance)
                    users[shape.chip, use.code][which].append(_User(number, use.offset, place, use.slot))
        for drives, samples in users.values():
            yield self._match(self._line(drives), self._line(samples), "stream-empty")

    def _chains(self) -> Iterator[Edges]:
        users: dict[tuple[int, int], tuple[list[_User], list[_User]]] = defaultdict(lambda: ([], []))
        for number, shape in enumerate(self.issues.shapes):
            if shape.to_chain:
                users[shape.chip, shape.queue.unit][0].append(_User(number, self.spec.latency_alu, 0, CHAIN_BYTE))
            for use in shape.chains:
                users[shape.chip, use.code][1].append(_User(number, 0, 0, use.slot))
        for results, readers in users.values():
            edges = self._match(self._line(results), self._line(readers), "chain-empty")
            yield replace(edges, tiles=np.full(len(edges.c), self.spec.tiles))  # `config` is about streams

    # -- one to one --------------------------------------------------------------------------------------------

    def _users(self, kind: Effect, chip: int, unit: int, offset: int = 0) -> list[_User]:
        return [_User(number, offset, 0, 0) for number in self._by_unit.get((kind, chip, unit), ())]

    def _one_to_one(self, givers: list[_User], takers: list[_User], missing: str, lost: str) -> Edges:
        """Matches what must meet in pairs."""
        given = self._line(givers)
        edges = self._match(given, self._line(takers), missing)
        if edges.count.sum() != given.count.sum():
            raise Irregular(lost)
        return edges

    def _sums(self) -> Edges:
        pairs: list[Edges] = []
        for chip in range(len(self.issues.program.chips)):
            for plane in range(self.spec.planes):
                vectors = [u for k in ENTERING for u in self._users(k, chip, plane, self.spec.latency_array)]
                takers = self._users(Effect.ACCUMULATE, chip, plane)
                pairs.append(self._one_to_one(vectors, takers, "result-missing", "result-lost"))
        return Edges.concatenate(pairs)

    def _links(self) -> Edges:
        """What sends give to receives."""
        program = self.issues.program
        index = {c.chip: i for i, c in enumerate(program.chips)}
        flight = self.spec.latency_send + self.system.link_latency
        pairs: list[Edges] = []
        for source, target in program.peers.items():
            sends = self._on_link(Effect.SEND, index, source, flight)
            self._check_distance(self._line(sends))
            receives = self._on_link(Effect.RECEIVE, index, target)
            pairs.append(self._one_to_one(sends, receives, "link-empty", "link-lost"))
        return Edges.concatenate(pairs)

    def _on_link(self, kind: Effect, index: dict[int, int], port: Port, offset: int = 0) -> list[_User]:
        return self._users(kind, index[port.chip], port.link, offset) if port.chip in index else []

    def _check_distance(self, sends: _Line) -> None:
        """Raises Irregular for sends on one link that are too close."""
        order = np.argsort(sends.start)
        start, count, every = sends.start[order], sends.count[order], sends.every[order]
        apart = np.append(start[1:] - (start + (count - 1) * every)[:-1], every[count > 1])
        if (apart < self.system.link_slot).any():
            raise Irregular("link-busy")

    # -- weights -----------------------------------------------------------------------------------------------

    def _installs(self) -> Installs:
        """All installs."""
        beats = self.issues.beats
        columns: list[tuple[Ints, Ints, Ints]] = []
        for number, shape in enumerate(self.issues.shapes):
            if shape.kind == Effect.INSTALL:
                of = self.issues.beats_of(number)
                limit_number(beats.count[of], MOST_INSTALLS)
                owner, i = np.repeat(of, beats.count[of]), ranges(0 * of, beats.count[of])
                plane = np.full(len(owner), shape.chip * self.spec.planes + shape.queue.unit)
                columns.append((beats.first[owner] + i, plane, beats.time[owner] + i * beats.every[owner]))
        issue, plane, time = (join([c[i] for c in columns]) for i in range(3))
        order = np.lexsort((time, plane))
        return Installs(issue[order], plane[order], time[order])

    def _entries(self, installs: Installs) -> Edges:
        """Which installs the vectors of each `abc` meet."""
        parts: list[Edges] = []
        for number, shape in enumerate(self.issues.shapes):
            if shape.kind in ENTERING:
                low = shape.queue.unit
                high = [] if shape.kind == Effect.ENTER else [self.spec.paired_plane(low)]
                for byte, unit in enumerate([low, *high]):
                    assert unit is not None  # check_program
                    parts.append(self._weights(number, installs, shape.chip * self.spec.planes + unit, byte))
        entries = Edges.concatenate(parts)
        return entries.take(np.argsort(entries.c, kind="stable"))

    def _weights(self, shape: int, installs: Installs, plane: int, byte: int) -> Edges:
        """Which installs of a plane the vectors of the records of a shape meet."""
        low, high = np.searchsorted(installs.plane, [plane, plane + 1])
        effective = installs.time[low:high] + self.spec.latency_install
        of, beats = self.issues.beats_of(shape), self.issues.beats
        first, count, time, every = beats.first[of], beats.count[of], beats.time[of], beats.every[of]
        if not len(effective) or (time < effective[0]).any():
            raise Irregular("weights-empty")
        # Installs after a run's first vector, by the number of the first vector that meets them.
        after = np.searchsorted(effective, time, "right")
        number = np.searchsorted(effective, time + (count - 1) * every, "right") - after
        run, install = np.repeat(np.arange(len(of)), number), ranges(after, number)
        cuts = first[run] + -((time[run] - effective[install]) // every[run])
        pieces, begin, length = split(first, count, distinct(cuts))
        at = time[pieces] + begin * every[pieces]
        meets = low + np.searchsorted(effective, at, "right") - 1
        nothing = np.zeros(len(at), np.int64)
        return Edges(first[pieces] + begin, nothing, length, meets, nothing + byte, nothing)

    def _loads(self, installs: Installs) -> Ints:
        """The install that takes the rows of each `lw`: the next of its plane."""
        issues, records = self.issues, np.flatnonzero(self.issues.kind == Effect.LOAD)
        unit = np.array([s.chip * self.spec.planes + s.queue.unit for s in issues.shapes], np.int64)
        plane, time = unit[issues.shape[records]], issues.time_of(issues.offsets[records])
        order = np.lexsort((np.append(time, installs.time), np.append(plane, installs.plane)))
        is_install = order >= len(records)
        own, install = order[~is_install], np.cumsum(is_install)[~is_install]  # installs are in this order
        found = np.append(installs.plane, -1)[install] == plane[own]
        loads = np.full(len(issues.records), -1)
        loads[records[own]] = np.where(found, install, -1)
        return loads


def _through(edges: Edges, links: Edges) -> Edges:
    """Edges whose producers are consumers of `links`, led on to the producers of those: of slot 0 only, where all of
    them take what they pass on. Every producer has one there."""
    links = links.take(links.slot == 0)
    links = links.take(np.argsort(links.c))
    edges = edges.split(links.c, by_producer=True)
    link = np.searchsorted(links.c, edges.p, "right") - 1
    producers, tiles = links.p[link] + edges.p - links.c[link], np.minimum(edges.tiles, links.tiles[link])
    return Edges(edges.c, producers, edges.count, edges.slot, links.byte[link], tiles)


def _dense(*lines: _Line) -> tuple[_Line, ...]:
    """The same lines on a scale on which all issues of an interval are neighbours, as far as they can be.

    Where intervals overlap that have one distance between their issues, the scale is cut into as many pieces, one for
    each remainder of times. Where distances differ, intervals become single issues.
    """
    if all((line.every[line.count > 1] == 1).all() for line in lines):
        return lines
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
    result: list[_Line] = []
    taken = 0
    for line in lines:
        own = stretch[taken : taken + len(line.start)]
        taken += len(line.start)
        mixed = (most != least)[own] & (line.count > 1)
        own = np.repeat(own, np.where(mixed, line.count, 1))
        line = line.apart(mixed)
        turn, place = np.divmod(line.start - begin[own], unit[own])[::-1]
        result.append(replace(line, start=origin[own] + turn * width[own] + place))
    return tuple(result)
