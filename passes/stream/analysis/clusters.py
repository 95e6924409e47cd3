"""The rigid bodies of a program: ops joined by streams, which cannot slip against each other."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from itertools import pairwise
from typing import cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.utils.disjoint_set import DisjointSet

from ....dialects import tsp_stream as ts
from ....dialects.errors import MalformedProgram, ScheduleError
from ....dialects.locations import describe


def timed_ops(module: ModuleOp) -> list[ts.TimedOp]:
    """All ops that issue instructions, in program order."""
    return [op for op in module.walk() if isinstance(op, ts.TimedOp)]


def tied_operands(op: ts.TimedOp) -> list[SSAValue]:
    """What ties an op to its producers' time: whole groups of streams, weights, and vectors on a link."""
    tied = ts.StreamType | ts.WeightsType | ts.FlightType
    return [ts.origin(v)[0] for v in op.operands if isinstance(v.type, tied)]


def consumers(value: SSAValue) -> list[ts.TimedOp]:
    """The ops that take a stream, or one of its group."""
    found: list[ts.TimedOp] = []
    for use in value.uses:
        if isinstance(use.operation, ts.PartOp):
            found += consumers(use.operation.result)
        elif isinstance(use.operation, ts.TimedOp):
            found.append(use.operation)
    return found


def weights_load(op: ts.MatmulOp) -> ts.LoadWeightsOp:
    """The op that loads a product's weights."""
    load = op.weights.owner
    if not isinstance(load, ts.LoadWeightsOp):
        raise MalformedProgram(f"{describe(op)}: its weights come from no tsp_stream.load_weights")
    return load


def clusters(module: ModuleOp) -> list[list[ts.TimedOp]]:
    """The connected components of the ops over their streams; each in program order, and all of them by their first op
    where the words of SRAM that they visit allow it. Raises ScheduleError where these allow no order."""
    ops = timed_ops(module)
    sets = DisjointSet(ops)
    for op in ops:
        for value in tied_operands(op):
            if isinstance(value.owner, ts.TimedOp):
                sets.union(value.owner, op)
    members: dict[ts.TimedOp, list[ts.TimedOp]] = {}
    for op in ops:
        members.setdefault(sets.find(op), []).append(op)
    return _ordered(list(members.values()), {op: position for position, op in enumerate(ops)})


def _ordered(found: list[list[ts.TimedOp]], positions: dict[ts.TimedOp, int]) -> list[list[ts.TimedOp]]:
    """Clusters so that of two ops that visit a word, one of them to write it, that comes first whose op does so first
    in the program; otherwise in the order given."""
    visits: dict[SSAValue, list[tuple[int, int, ts.AccessOp]]] = {}
    for number, cluster in enumerate(found):
        for op in cluster:
            if isinstance(op, ts.AccessOp):
                visits.setdefault(op.buffer, []).append((positions[op], number, op))
    for of_buffer in visits.values():
        of_buffer.sort(key=lambda visit: visit[0])
    if all(a <= b for of_buffer in visits.values() for (_, a, _), (_, b, _) in pairwise(of_buffer)):
        return found
    sorter: TopologicalSorter[int] = TopologicalSorter({number: () for number in range(len(found))})
    for of_buffer in visits.values():
        for i, (_, first, one) in enumerate(of_buffer):
            for _, second, other in of_buffer[i + 1 :]:
                if first != second and _meet(one, other):
                    sorter.add(second, first)
    try:
        sorter.prepare()
    except CycleError as e:
        one, other, *_ = sorted({*cast("list[int]", e.args[1])})
        raise ScheduleError(
            f"{describe(found[one][0])}: what streams join to it uses words of SRAM both before and after what they "
            f"join to {describe(found[other][0])}; let a value rest in SRAM in between"
        ) from None
    ordered: list[list[ts.TimedOp]] = []
    ready: list[int] = []
    while sorter.is_active():
        for number in sorter.get_ready():
            heappush(ready, number)
        number = heappop(ready)
        ordered.append(found[number])
        sorter.done(number)
    return ordered


def _meet(one: ts.AccessOp, other: ts.AccessOp) -> bool:
    """Whether two accesses to a buffer visit a word, one of them to write it."""
    if not isinstance(one, ts.WriteOp | ts.ScatterOp) and not isinstance(other, ts.WriteOp | ts.ScatterOp):
        return False
    if isinstance(one, ts.GatherOp | ts.ScatterOp) or isinstance(other, ts.GatherOp | ts.ScatterOp):
        return True  # the words are known at run time
    a, b = one.words.data, other.words.data
    return a.low <= b.high and b.low <= a.high and bool(np.intersect1d(a.words(), b.words()).size)
