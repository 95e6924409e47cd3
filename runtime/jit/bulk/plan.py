"""The plan of a program in bulk mode: its groups and installs in an order in which they can run one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....dialects.program import Program
from .groups import Cutter, Segments
from .issues import Ints, Irregular, Issues, Kind
from .match import Matcher
from .order import Accesses, Dependences, Mask, dependences, sequence

_CHUNKS = (64, 8, 1)
"""Vectors to which groups are cut, one size after the other, that wait for each other vector by vector."""

_ATTEMPTS = 12
"""Orders that are tried before a program is left to cycle mode."""


@dataclass(frozen=True)
class Plan:
    """What to run in which order. A node is a group, or an install: its number less the number of groups."""

    segments: Segments
    nodes: list[int]
    group: Ints
    """By segment, the node of its group, or -1."""
    groups: int
    captured: Mask
    """By edge, whether it brings words that are copied when they are read, and not read where they are used."""
    updates: set[int]
    """Groups that write, in one round, words that they read in the same."""
    live: set[int]
    """Segments of `acc` whose entries later ones read."""


def plan(program: Program) -> Plan:
    """The plan of a program. Raises Irregular where bulk mode cannot run it, or where it has a hazard.

    A group reads memory when it uses the words, and so before or after others that write them. Groups that wait for
    each other take copies of what they read; if that does not help, they are cut into chunks.
    """
    issues = Issues(program)
    cutter = Cutter(issues, Matcher(issues).flow())
    segments = cutter.cut(np.zeros(0, np.int64))
    captured = np.zeros(len(issues.records), np.bool_)
    sizes = iter(_CHUNKS)
    for _ in range(_ATTEMPTS):
        attempt = _Attempt(segments, captured)
        found, stuck = attempt.ordered()
        if found is not None:
            return found
        sources = attempt.sources(stuck)
        if not captured[sources].all():
            captured[sources] = True
        elif size := next(sizes, 0):
            segments = cutter.cut(segments.chunks(attempt.labels[stuck[stuck < attempt.groups]], size))
        else:
            break
    raise Irregular("groups that wait for each other within a vector")


class _Attempt:
    """Segments as nodes, with the reads of some records captured: such a read is a node of its own."""

    def __init__(self, segments: Segments, captured: Mask):
        self.segments, issues, edges = segments, segments.issues, segments.flow.edges
        self.issues = issues
        from_memory = issues.kind_of(edges.p) == Kind.READ
        self.captured = from_memory & captured[issues.record_of(edges.p)]
        self.direct = from_memory & ~self.captured
        self.producer, consumer = segments.of(edges.p), segments.of(edges.c)
        acting = np.isin(segments.kind, (Kind.WRITE, Kind.VECTORS, Kind.ACCUMULATE, Kind.ALU))
        acting[self.producer[self.captured]] = True
        self.acting = np.flatnonzero(acting)
        self.labels, nodes = np.unique(segments.group[self.acting], return_inverse=True)
        """By node of a group, its number in `segments.group`."""
        self.groups = len(self.labels)
        self.group = np.full(len(segments.first), -1)
        self.group[self.acting] = nodes
        self.loads = issues.kind_of(edges.c) == Kind.LOAD
        install = segments.flow.loads[issues.record_of(edges.c)]
        self.node = np.where(self.loads, np.where(install < 0, -1, self.groups + install), self.group[consumer])
        """By edge, the node that takes what it brings; -1 for rows that are never installed."""
        self.rounds = np.where(self.loads, 0, edges.c - segments.first[consumer])

    def ordered(self) -> tuple[Plan | None, Ints]:
        """The plan, or the nodes that have no order."""
        segments, nothing = self.segments, np.zeros(0, np.int64)
        accesses, takers = self._accesses()
        waits = dependences(accesses)
        if waits.stuck:
            return None, np.array(sorted(waits.stuck), np.int64)
        before, after = self._dependences(waits)
        installs = segments.flow.installs
        time = np.full(self.groups, np.iinfo(np.int64).max)
        np.minimum.at(time, self.group[self.acting], segments.time[self.acting])
        order, circle = sequence(self.groups + len(installs.issue), before, after, np.append(time, installs.time))
        if circle:
            return None, np.array(circle, np.int64)
        live = set(takers[waits.live[: len(takers)]].tolist())
        return Plan(segments, order, self.group, self.groups, self.captured, waits.updates, live), nothing

    def sources(self, nodes: Ints) -> Ints:
        """The records that read what some nodes take from memory."""
        taken = np.isin(self.node, nodes) & (self.direct | self.captured)
        return np.unique(self.issues.record_of(self.segments.flow.edges.p[taken]))

    def _accesses(self) -> tuple[Accesses, Ints]:
        """All accesses to memory; and the segments of the first of them, which are those of `acc`."""
        segments, issues, edges = self.segments, self.issues, self.segments.flow.edges
        memory, group = _Memory(issues), self.group

        def of(chosen: Ints, writes: bool, offset: int = 0) -> Accesses:
            """Those of whole segments."""
            first, count = segments.first[chosen], segments.count[chosen]
            return memory.accesses(first, count, group[chosen], 0 * chosen, writes, offset)

        def last_of(chosen: Ints) -> Accesses:
            """Of the writes of a segment to one word, only the last counts where nothing can read in between."""
            first, count = segments.first[chosen], segments.count[chosen]
            skipped = np.where(issues.runs.step[issues.run_of(first)] == 0, count - 1, 0)
            return memory.accesses(first + skipped, count - skipped, group[chosen], skipped, True)

        takers = np.flatnonzero(segments.kind == Kind.ACCUMULATE)
        stores = np.flatnonzero(segments.kind == Kind.WRITE)
        late = issues.spec.latency_write
        adds = takers[memory.adds[issues.record_of(segments.first[takers])]]
        copies = np.unique(self.producer[self.captured])
        direct = self.direct & (self.node >= 0)
        parts = (
            last_of(takers),
            of(stores, True, late) if late else last_of(stores),
            of(adds, False),
            of(copies, False),
            memory.accesses(edges.p[direct], edges.count[direct], self.node[direct], self.rounds[direct], False),
        )
        joined = Accesses(*(np.concatenate([getattr(p, f) for p in parts]) for f in Accesses.__dataclass_fields__))
        return joined, takers

    def _dependences(self, waits: Dependences) -> tuple[Ints, Ints]:
        """Those of memory; those of weights, a plane having room for one array; and those of copies and of rows that
        come from no memory."""
        installs, entries = self.segments.flow.installs, self.segments.flow.entries
        number = np.arange(len(installs.issue))
        followed = np.append(installs.plane[1:] == installs.plane[:-1], np.zeros(min(1, len(number)), np.bool_))
        users, replaced = self.group[self.segments.of(entries.c)], followed[entries.slot]
        apart = (self.captured | (self.loads & ~self.direct)) & (self.node >= 0)
        install, following = entries.slot + self.groups, entries.slot + self.groups + 1
        pairs = [
            (waits.before, waits.after),
            (number[followed] + self.groups, number[followed] + self.groups + 1),
            (install, users),
            (users[replaced], following[replaced]),
            (self.group[self.producer[apart]], self.node[apart]),
        ]
        both = np.unique(np.concatenate([np.stack(p) for p in pairs], axis=1), axis=1)
        return both[0], both[1]


class _Memory:
    """The words of all memories in one numbering: SRAM chip by chip, then accumulators."""

    def __init__(self, issues: Issues):
        spec = issues.spec
        self.issues = issues
        accumulators = len(issues.program.chips) * 2 * spec.slices * spec.words
        first: list[int] = []
        for shape in issues.shapes:
            unit = shape.queue.unit
            if shape.kind == Kind.ACCUMULATE:
                first.append(accumulators + (shape.chip * spec.planes + unit) * spec.accumulators)
            else:
                first.append((shape.chip * 2 * spec.slices + unit) * spec.words)
        self.first = np.array(first, np.int64)[issues.shape]
        """By record, the word with address 0 of its unit's memory."""
        adds = [s.kind == Kind.ACCUMULATE and s.value("mode") == 1 for s in issues.shapes]
        self.adds = np.array(adds, np.bool_)[issues.shape]
        """By record, whether it adds to an accumulator."""

    def accesses(self, issue: Ints, count: Ints, node: Ints, rounds: Ints, writes: bool, offset: int = 0) -> Accesses:
        """Accesses by issues `issue`, `issue` + 1, ...; so many as `count`, `offset` cycles after their dispatch."""
        issues = self.issues
        run, record = issues.run_of(issue), issues.record_of(issue)
        word, time = self.first[record] + issues.value_of(issue), issues.time_of(issue) + offset
        step, every, private = issues.runs.step[run], issues.runs.every[run], issues.kind[record] == Kind.ACCUMULATE
        return Accesses(word, step, count, time, every, np.full(len(issue), writes), node, rounds, private)
