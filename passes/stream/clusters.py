"""The rigid bodies of a program: ops joined by streams, which cannot slip against each other."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.utils.disjoint_set import DisjointSet

from ...dialects import tsp_stream as ts


def timed_ops(module: ModuleOp) -> list[ts.TimedOp]:
    """All ops that issue instructions, in program order."""
    return [op for op in module.walk() if isinstance(op, ts.TimedOp)]


def stream_operands(op: ts.TimedOp) -> list[SSAValue]:
    """The values that tie an op to its producer's time: streams, whole groups, and vectors on a link."""
    return [ts.origin(v)[0] for v in op.operands if isinstance(v.type, ts.StreamType | ts.FlightType)]


def consumers(value: SSAValue) -> list[ts.TimedOp]:
    """The ops that take a stream, or one of its group."""
    found: list[ts.TimedOp] = []
    for use in value.uses:
        if isinstance(use.operation, ts.PartOp):
            found += consumers(use.operation.result)
        elif isinstance(use.operation, ts.TimedOp):
            found.append(use.operation)
    return found


def clusters(module: ModuleOp) -> list[list[ts.TimedOp]]:
    """The connected components of the ops over their streams, by their first op; each in program order."""
    ops = timed_ops(module)
    sets = DisjointSet(ops)
    for op in ops:
        for value in stream_operands(op):
            if isinstance(value.owner, ts.TimedOp):
                sets.union(value.owner, op)
    members: dict[ts.TimedOp, list[ts.TimedOp]] = {}
    for op in ops:
        members.setdefault(sets.find(op), []).append(op)
    return list(members.values())
