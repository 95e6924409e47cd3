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

from ..dialects.instruction import Record
from ..dialects.program import Program
from ..passes.isa.issues import ChipIssues, Issues
from .flows import ChipFlows, Ints, flows


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


def critical_path(program: Program, chips: list[ChipFlows]) -> CriticalPath:
    """The critical path of a program. `chips` is `chip_flows(program)`."""
    records = [(c.chip, r) for c in program.chips for r in c.records]
    if not records:
        return CriticalPath(0, -1, -1, ())
    at = np.array([r.at for _, r in records], np.int64)
    start = min(program.system.release, int(at.min()))
    offsets = np.cumsum([0, *(len(c.records) for c in program.chips)])
    body = _bodies(program, chips, offsets)
    count = int(body.max()) + 1
    last = np.full(count, -1)
    np.maximum.at(last, body, [r.last for _, r in records])
    leaders = np.full(count, -1)
    leaders[body[np.argsort(-at, kind="stable")]] = np.argsort(-at, kind="stable")  # the earliest is put in last
    edges = [e for chip, offset in zip(chips, offsets.tolist(), strict=False) for e in _edges(chip.issues, offset)]
    shift, through = _earliest(body, start - at[leaders], edges)
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


def _bodies(program: Program, chips: list[ChipFlows], offsets: Ints) -> Ints:
    """The number of each record's rigid body: [records of the program]."""
    parent = list(range(int(offsets[-1])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for pairs in flows(program, chips):
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


def _edges(chip: ChipIssues, offset: int) -> Iterator[_Edge]:
    """The edges within a chip program; `offset` is added to the indices of its records."""
    for edges in (*_words(chip), *_weights(chip), *_sums(chip)):
        for giver, taker, slack in zip(*(column.tolist() for column in edges), strict=True):
            yield _Edge(giver + offset, taker + offset, slack)


def _words(chip: ChipIssues) -> Iterator[_Edges]:
    """A word that is read after it was written: in the cycle after the write at the earliest."""
    for unit in range(2 * chip.spec.slices):
        writes, reads = chip.dispatches("MEM", unit, "write"), chip.dispatches("MEM", unit, "read")
        delay = chip.spec.latency_write + 1
        yield _newest(writes, writes.moved("address"), reads, reads.moved("address"), delay)


def _weights(chip: ChipIssues) -> Iterator[_Edges]:
    """Rows that are installed, and vectors that enter after that."""
    for plane in range(chip.spec.planes):
        loads, installs = (chip.dispatches("MXM.weights", plane, name) for name in ("lw", "iw"))
        loaded, installed = loads.cycles(), installs.cycles()
        following = np.searchsorted(installed, loaded, "right")
        used = following < len(installed)
        givers, takers = _owners(loads)[used], _owners(installs)[following[used]]
        yield _grouped(givers, takers, installed[following[used]] - loaded[used] - 1)
        vectors = chip.dispatches("MXM.activations", plane, "abc", "abc_f16")
        delay = chip.spec.latency_install
        yield _newest(installs, installed * 0, vectors, vectors.cycles() * 0, delay)
        if (high := chip.spec.paired_plane(plane)) is not None:
            halves = chip.dispatches("MXM.activations", plane, "abc_f16")
            installs = chip.dispatches("MXM.weights", high, "iw")
            yield _newest(installs, installs.cycles() * 0, halves, halves.cycles() * 0, delay)


def _sums(chip: ChipIssues) -> Iterator[_Edges]:
    """An accumulator entry that is added to after it was set or added to."""
    for plane in range(chip.spec.planes):
        takers = chip.dispatches("MXM.accumulators", plane, "acc", "acc_emit")
        adding = chip.issues([takers.records[takers.field("mode") == 1]])
        yield _newest(takers, takers.moved("entry"), adding, adding.moved("entry"), 1)


def _owners(issues: Issues) -> Ints:
    """The index of each issue's record: [issues]."""
    return np.repeat(issues.records, issues.sizes)


def _newest(givers: Issues, given: Ints, takers: Issues, taken: Ints, delay: int) -> _Edges:
    """Who takes what who left under the same key last: at least `delay` cycles before. `given` and `taken` are the keys
    of the issues."""
    leaving, wanting = givers.cycles() + delay, takers.cycles()
    span = int(max(leaving.max(initial=0), wanting.max(initial=0))) + 1
    left = given * span + leaving
    order = np.argsort(left, kind="stable")
    newest = np.searchsorted(left[order], taken * span + wanting, "right") - 1
    found = newest >= 0
    giver = order[newest[found]]
    same = given[giver] == taken[found]
    giver, slack = giver[same], (wanting[found] - leaving[giver])[same]
    return _grouped(_owners(givers)[giver], _owners(takers)[found][same], slack)


def _grouped(givers: Ints, takers: Ints, slack: Ints) -> _Edges:
    """One edge for each pair of records, with the least slack."""
    order = np.lexsort((slack, takers, givers))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(givers[order]) != 0) | (np.diff(takers[order]) != 0)
    first = order[new]
    return _Edges(givers[first], takers[first], slack[first])
