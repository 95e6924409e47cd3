"""What meets what, before anything runs: every sample is matched with the drive that it sees, as dialects/programs/def_use.py
finds it, and every vector with its weights.

Whatever would be a hazard raises Irregular, so what is matched is a program without any, but for accumulators that
were never set (order.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....dialects.machine.effects import ENTERING, Effect
from ....dialects.machine.intervals import Ints, distinct, join, ranges, split
from ....dialects.programs.def_use import Edges, Lines, Way
from ....dialects.programs.issues import Issues
from .ifetch import check_text
from .irregular import Irregular, limit_number

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


class Matcher:
    """Matches the issues of one program."""

    def __init__(self, issues: Issues):
        self.issues, self.spec, self.system = issues, issues.spec, issues.program.system
        self.lines = Lines(issues, limit_number)

    def flow(self) -> Flow:
        """The whole flow. Raises Irregular."""
        lines = self.lines
        streams = [self._taken(way, "stream-empty") for way in lines.streams()]
        edges = Edges.concatenate([*streams, *map(self._chain, lines.chains())])
        links = Edges.concatenate([*map(self._link, lines.links())])
        sums = Edges.concatenate([self._one_to_one(w, "result-missing", "result-lost") for w in lines.arrays()])
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

    # -- what is matched ---------------------------------------------------------------------------------------

    def _taken(self, way: Way, missing: str) -> Edges:
        """What is taken from a register, by whom and from whom."""
        found = self.lines.match(self.lines.line(way.gives), self.lines.line(way.takes))
        if found.collides:
            raise Irregular("stream-collision")
        if found.misses:
            raise Irregular(missing)
        return found.edges

    def _chain(self, way: Way) -> Edges:
        edges = self._taken(way, "chain-empty")
        return replace(edges, tiles=np.full(len(edges.c), self.spec.tiles))  # `config` is about streams

    def _one_to_one(self, way: Way, missing: str, lost: str) -> Edges:
        """The same where nothing may be left."""
        edges = self._taken(way, missing)
        if edges.count.sum() != self.lines.line(way.gives).count.sum():
            raise Irregular(lost)
        return edges

    def _link(self, way: Way) -> Edges:
        """What sends give to receives. Raises Irregular for sends that are too close."""
        sends = self.lines.line(way.gives)
        order = np.argsort(sends.start)
        start, count, every = sends.start[order], sends.count[order], sends.every[order]
        apart = np.append(start[1:] - (start + (count - 1) * every)[:-1], every[count > 1])
        if (apart < self.system.link_slot).any():
            raise Irregular("link-busy")
        return self._one_to_one(way, "link-empty", "link-lost")

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
