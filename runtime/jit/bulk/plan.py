"""The plan of a program in bulk mode: its groups and installs in an order in which they can run one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....dialects.machine.effects import ENTERING, STORES, Effect
from ....dialects.machine.intervals import Ints, distinct, distinct_pairs, split
from ....dialects.programs.issues import Issues
from ....dialects.programs.records import Program
from .groups import Cutter, Segments
from .irregular import RESULTS, Irregular, issues_of
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
    rewrites: set[int]
    """Groups that write, in their only round, a word more than once."""
    live: set[int]
    """Segments of `acc` whose entries later ones read."""


def plan(program: Program) -> Plan:
    """The plan of a program. Raises Irregular where bulk mode cannot run it, or where it has a hazard.

    A group reads memory when it uses the words, and so before or after others that write them. Groups that wait for
    each other take copies of what they read; if that does not help, they are cut into chunks.
    """
    issues = issues_of(program)
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
        from_memory = issues.kind_of(edges.p) == Effect.READ
        self.loads = issues.kind_of(edges.c) == Effect.LOAD
        # Rows of weights are taken as they are, and so must be cut before.
        masked = self.loads & (edges.tiles < issues.spec.tiles)
        self.captured = from_memory & (captured[issues.record_of(edges.p)] | masked)
        self.direct = from_memory & ~self.captured
        self.producer, consumer = segments.of(edges.p), segments.of(edges.c)
        acting = np.isin(segments.kind, (*STORES, *ENTERING, *RESULTS))
        acting[self.producer[self.captured]] = True
        self.acting = np.flatnonzero(acting)
        self.labels, nodes = np.unique(segments.group[self.acting], return_inverse=True)
        """By node of a group, its number in `segments.group`."""
        self.groups = len(self.labels)
        self.group = np.full(len(segments.first), -1)
        self.group[self.acting] = nodes
        install = segments.flow.loads[issues.record_of(edges.c)]
        self.node = np.where(self.loads, np.where(install < 0, -1, self.groups + install), self.group[consumer])
        """By edge, the node that takes what it brings; -1 for rows that are never installed."""
        self.rounds = np.where(self.loads, 0, edges.c - segments.first[consumer])

    def ordered(self) -> tuple[Plan | None, Ints]:
        """The plan, or the nodes that have no order."""
        segments, nothing = self.segments, np.zeros(0, np.int64)
        waits = dependences(self._accesses())
        if waits.stuck:
            return None, np.array(sorted(waits.stuck), np.int64)
        before, after = self._dependences(waits)
        installs = segments.flow.installs
        time = np.full(self.groups, np.iinfo(np.int64).max)
        np.minimum.at(time, self.group[self.acting], segments.time[self.acting])
        order, circle = sequence(self.groups + len(installs.issue), before, after, np.append(time, installs.time))
        if circle:
            return None, np.array(circle, np.int64)
        of = (waits.updates, waits.rewrites, waits.live)
        return Plan(segments, order, self.group, self.groups, self.captured, *of), nothing

    def sources(self, nodes: Ints) -> Ints:
        """The records that read what some nodes take from memory."""
        taken = np.isin(self.node, nodes) & (self.direct | self.captured)
        return distinct(self.issues.record_of(self.segments.flow.edges.p[taken]))

    def _accesses(self) -> Accesses:
        """All accesses to memory."""
        segments, issues, edges = self.segments, self.issues, self.segments.flow.edges
        memory, kind = _Memory(issues), self.segments.kind

        def of(chosen: Ints, writes: bool, token: int = WORDS, alone: bool = False) -> Accesses:
            """Those of whole segments."""
            ends = segments.first[chosen], segments.count[chosen]
            return memory.accesses(*ends, self.group[chosen], 0 * chosen, chosen, writes, token, alone)

        def reads(chosen: Mask, token: int) -> Accesses:
            """Those of edges, by their consumers."""
            of = (edges.p[chosen], edges.count[chosen], self.node[chosen], self.rounds[chosen])
            return memory.accesses(*of, -1 - np.flatnonzero(chosen), False, token)

        takers = np.flatnonzero(kind == Effect.ACCUMULATE)
        stores, gathers, scatters = (np.flatnonzero(kind == k) for k in (Effect.WRITE, Effect.GATHER, Effect.SCATTER))
        copies = distinct(self.producer[self.captured])
        direct = self.direct & (self.node >= 0)
        parts = [
            of(takers, True),
            of(stores, True),
            of(takers[memory.adds[issues.record_of(segments.first[takers])]], False),
            of(copies, False),
            reads(direct, WORDS),
        ]
        # A map may name any word of a slice.
        mapped = memory.mapped[issues.record_of(segments.first)]
        scattered = memory.scattered[issues.record_of(segments.first)]
        if mapped.any():
            parts += [of(gathers, False, GATHERED, True), of(scatters, True, GATHERED, True)]
            parts += [of(stores[mapped[stores]], True, GATHERED)]
        if scattered.any():
            parts += [of(scatters, True, SCATTERED, True), of(copies[scattered[copies]], False, SCATTERED)]
            parts += [reads(direct & memory.scattered[issues.record_of(edges.p)], SCATTERED)]
        return Accesses(*(np.concatenate([getattr(p, f) for p in parts]) for f in Accesses.__dataclass_fields__))

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
        before, after = zip(*pairs, strict=True)
        return distinct_pairs(np.concatenate(before), np.concatenate(after))


WORDS, GATHERED, SCATTERED = range(3)
"""What an access is to: words; all words of a slice, for those that maps name and those that are written beside them;
the same, for those that are scattered and those that are read beside them."""


class _Memory:
    """The words of all memories in one numbering: SRAM chip by chip, then accumulators, then slices as wholes."""

    def __init__(self, issues: Issues):
        spec = issues.spec
        self.issues = issues
        slices = len(issues.program.chips) * 2 * spec.slices
        accumulators = slices * spec.words
        wholes = accumulators + len(issues.program.chips) * spec.planes * spec.accumulators
        units = {k: {s.queue.unit for s in issues.shapes if s.kind == k} for k in (Effect.GATHER, Effect.SCATTER)}
        rows: list[tuple[int, int, bool, bool, bool]] = []
        for shape in issues.shapes:
            unit = shape.queue.unit
            slice_ = shape.chip * 2 * spec.slices + unit
            scattered = unit in units[Effect.SCATTER]
            mapped = scattered or unit in units[Effect.GATHER]
            in_memory, adds = shape.queue.kind == "MEM", False
            first = slice_ * spec.words
            if shape.kind == Effect.ACCUMULATE:
                first = accumulators + (shape.chip * spec.planes + unit) * spec.accumulators
                adds = shape.value("mode") == 1
            rows.append((first, wholes + 2 * slice_, adds, in_memory and mapped, in_memory and scattered))
        table = np.array(rows, np.int64).reshape(-1, 5)[issues.shape]
        self.first, self.whole = table[:, 0], table[:, 1]
        """By record, the word with address 0 of its unit's memory; and the slice as a whole."""
        self.adds, self.mapped, self.scattered = (table[:, i] != 0 for i in range(2, 5))
        """By record, whether it adds to an accumulator; whether its slice is one whose words maps name; whether it is
        one into which maps scatter."""

    def accesses(
        self,
        issue: Ints,
        count: Ints,
        node: Ints,
        rounds: Ints,
        origin: Ints,
        writes: bool,
        token: int = WORDS,
        alone: bool = False,
    ) -> Accesses:
        """Accesses by issues `issue`, `issue` + 1, ...; so many as `count`. `alone` is for slices as wholes."""
        issues, runs = self.issues, self.issues.runs
        piece, begin, count = split(issue, count, runs.first)
        issue, node, rounds, origin = issue[piece] + begin, node[piece], rounds[piece] + begin, origin[piece]
        run = runs.of(issue)
        record, within = runs.record[run], issue - runs.first[run]
        private, every, step = issues.kind[record] == Effect.ACCUMULATE, runs.every[run], runs.step[run]
        time, word = runs.time[run] + within * every, self.first[record] + runs.value[run] + within * step
        if writes:
            time = np.where(private, time, time + issues.spec.latency_write)
        if token != WORDS:
            word, step = self.whole[record] + token, 0 * step
        elif writes:
            # Of the writes of a run to one word only the last counts, where nothing can read in between.
            skipped = np.where((step == 0) & (private | (issues.spec.latency_write == 0)), count - 1, 0)
            time, count, rounds = time + skipped * every, count - skipped, rounds + skipped
        written, orders = np.full(len(issue), writes), np.full(len(issue), alone if token else writes)
        return Accesses(word, step, count, time, every, written, orders, node, rounds, origin, private)
