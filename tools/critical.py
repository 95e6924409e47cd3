"""The critical path of a program: how early everything could happen if no unit were ever taken.

Records that are joined by streams, chains, arrays or links cannot slip against each other: together they are a rigid
body. Bodies wait for each other only through what is kept: a word of SRAM that one writes and another reads, the
weights of a plane, an accumulator that is added to. Each such edge has a slack, the cycles by which the schedule waits
longer than it must; the path along which nothing could be earlier is the critical one.

Addresses of gather and scatter are data, so no edge is known for them: what is found is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..dialects.machine.effects import ENTERING, Effect
from ..dialects.machine.instruction import Record
from ..dialects.machine.intervals import Ints
from ..dialects.programs.issues import Issues
from ..dialects.programs.records import Program
from .flows import Flows


@dataclass(frozen=True)
class Step:
    """A rigid body on the critical path, by the record that waits for the body before it."""

    chip: int
    queue: str
    text: str
    """The record in assembly."""
    at: int
    """The cycle of its first dispatch."""
    earliest: int
    """The earliest cycle in which that could be, with every unit free."""
    waits: int
    """Cycles for which the schedule lets it wait longer than what it takes needs."""
    after: str
    """The record of the body before whose result it takes; empty for the first body."""


@dataclass(frozen=True)
class CriticalPath:
    """The longest chain of what must come one after the other."""

    start: int
    """The first cycle in which anything can be dispatched."""
    last: int
    """The earliest cycle in which the last dispatch of the path could end."""
    scheduled: int
    """The cycle in which it does."""
    steps: tuple[Step, ...]


class _Edges(NamedTuple):
    """Records that take what others left: [edges] each."""

    giver: Ints
    taker: Ints
    slack: Ints
    """Cycles by which the taker is later than it must be."""


class _Edge(NamedTuple):
    giver: int
    taker: int
    slack: int


def critical_path(flows: Flows) -> CriticalPath:
    """The critical path of a program."""
    program, issues = flows.program, flows.issues
    records = [(c.chip, r) for c in program.chips for r in c.records]
    if not records:
        return CriticalPath(0, -1, -1, ())
    at = np.array([r.at for _, r in records], np.int64)
    start = min(program.system.release, int(at.min()))
    body = _bodies(flows)
    count = int(body.max()) + 1
    last = np.full(count, -1)
    np.maximum.at(last, body, [r.last for _, r in records])
    leaders = np.full(count, -1)
    leaders[body[np.argsort(-at, kind="stable")]] = np.argsort(-at, kind="stable")  # the earliest is put in last
    shift, through = _earliest(body, start - at[leaders], [*_edges(issues)])
    final = int(np.argmax(last + shift))
    steps = tuple(_steps(program, records, body, leaders, shift, through, final))
    return CriticalPath(start, int(last[final] + shift[final]), int(last[final]), steps)


def _steps(
    program: Program,
    records: list[tuple[int, Record]],
    body: Ints,
    leaders: Ints,
    shift: Ints,
    through: list[_Edge | None],
    final: int,
) -> list[Step]:
    """The path to body `final`, its first body first."""
    steps: list[Step] = []
    queues = program.system.chip.queues
    node: int | None = final
    while node is not None:
        edge = through[node]
        chip, record = records[edge.taker if edge else int(leaders[node])]
        earliest = record.at + int(shift[node])
        after = ""
        if edge:
            giver = records[edge.giver][1]
            after = f"{queues[giver.queue].name} {giver.text}"
        waits = edge.slack if edge else record.at - earliest
        steps.append(Step(chip, queues[record.queue].name, record.text, record.at, earliest, waits, after))
        node = int(body[edge.giver]) if edge else None
    return steps[::-1]


def _bodies(flows: Flows) -> Ints:
    """The number of each record's rigid body: [records of the program]."""
    offsets = flows.issues.chips
    parent = list(range(int(offsets[-1])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for pairs in flows.pairs():
        givers = (pairs.giver + offsets[pairs.giver_chip]).tolist()
        takers = (pairs.taker + offsets[pairs.taker_chip]).tolist()
        for giver, taker in zip(givers, takers, strict=True):
            parent[root(giver)] = root(taker)
    _, numbers = np.unique([root(i) for i in range(len(parent))], return_inverse=True)
    return numbers


def _earliest(body: Ints, shift: Ints, edges: list[_Edge]) -> tuple[Ints, list[_Edge | None]]:
    """For every body how far it can move (cycles, against the schedule), and the edge that holds it there.

    `shift` is how far it could move with no edge, which is as early as the start. The schedule itself keeps all edges,
    so the passes over them come to an end; in the order of time one or two of them suffice.
    """
    moved = shift.tolist()
    through: list[_Edge | None] = [None] * len(moved)
    between = [(e, int(body[e.giver]), int(body[e.taker])) for e in edges]
    ordered = [(e, giver, taker) for e, giver, taker in between if giver != taker]
    ordered.sort(key=lambda e: -shift[e[2]])
    changed = True
    while changed:
        changed = False
        for edge, giver, taker in ordered:
            if moved[giver] - edge.slack > moved[taker]:
                moved[taker], through[taker], changed = moved[giver] - edge.slack, edge, True
    return np.array(moved), through


# -- what is kept --------------------------------------------------------------------------------------------------


def _edges(issues: Issues) -> Iterator[_Edge]:
    """The edges of a program."""
    for chip in range(len(issues.program.chips)):
        for edges in (*_words(issues, chip), *_weights(issues, chip), *_sums(issues, chip)):
            for giver, taker, slack in zip(*(column.tolist() for column in edges), strict=True):
                yield _Edge(giver, taker, slack)


class _Kept(NamedTuple):
    """Issues that leave something, or take it: [issues] each."""

    record: Ints
    cycle: Ints
    key: Ints
    """What it is left under."""


def _done(issues: Issues, chip: int, unit: int, *effects: Effect, added: bool = False, keyed: bool = True) -> _Kept:
    """The issues of some effects on a unit of a chip, in the order of time; with `added` those of them that add. Their
    key is the value of the field that `repeat` moves, if they are `keyed`."""
    shapes = [n for effect in effects for n in issues.shapes_on(effect, chip, unit)]
    found = issues.of([n for n in shapes if not added or issues.shapes[n].value("mode") == 1])
    cycles = issues.time_of(found)
    return _Kept(issues.record_of(found), cycles, issues.value_of(found)[0] if keyed else 0 * cycles)


def _words(issues: Issues, chip: int) -> Iterator[_Edges]:
    """A word that is read after it was written: in the cycle after the write at the earliest."""
    for unit in range(2 * issues.spec.slices):
        writes, reads = (_done(issues, chip, unit, effect) for effect in (Effect.WRITE, Effect.READ))
        yield _newest(writes, reads, issues.spec.latency_write + 1)


def _weights(issues: Issues, chip: int) -> Iterator[_Edges]:
    """Rows that are installed, and vectors that enter after that."""
    spec = issues.spec
    for plane in range(spec.planes):
        loads = _done(issues, chip, plane, Effect.LOAD)
        installs = _done(issues, chip, plane, Effect.INSTALL, keyed=False)
        following = np.searchsorted(installs.cycle, loads.cycle, "right")
        used = following < len(installs.cycle)
        takers = following[used]
        yield _grouped(loads.record[used], installs.record[takers], installs.cycle[takers] - loads.cycle[used] - 1)
        vectors = _done(issues, chip, plane, *ENTERING, keyed=False)
        yield _newest(installs, vectors, spec.latency_install)
        if (high := spec.paired_plane(plane)) is not None:
            halves = _done(issues, chip, plane, Effect.ENTER_PAIR, keyed=False)
            yield _newest(_done(issues, chip, high, Effect.INSTALL, keyed=False), halves, spec.latency_install)


def _sums(issues: Issues, chip: int) -> Iterator[_Edges]:
    """An accumulator entry that is added to after it was set or added to."""
    for plane in range(issues.spec.planes):
        takers = _done(issues, chip, plane, Effect.ACCUMULATE)
        yield _newest(takers, _done(issues, chip, plane, Effect.ACCUMULATE, added=True), 1)


def _newest(givers: _Kept, takers: _Kept, delay: int) -> _Edges:
    """Who takes what who left under the same key last: at least `delay` cycles before."""
    leaving, wanting = givers.cycle + delay, takers.cycle
    span = int(max(leaving.max(initial=0), wanting.max(initial=0))) + 1
    left = givers.key * span + leaving
    order = np.argsort(left, kind="stable")
    newest = np.searchsorted(left[order], takers.key * span + wanting, "right") - 1
    found = newest >= 0
    giver = order[newest[found]]
    same = givers.key[giver] == takers.key[found]
    giver, slack = giver[same], (wanting[found] - leaving[giver])[same]
    return _grouped(givers.record[giver], takers.record[found][same], slack)


def _grouped(givers: Ints, takers: Ints, slack: Ints) -> _Edges:
    """One edge for each pair of records, with the least slack."""
    order = np.lexsort((slack, takers, givers))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(givers[order]) != 0) | (np.diff(takers[order]) != 0)
    first = order[new]
    return _Edges(givers[first], takers[first], slack[first])
