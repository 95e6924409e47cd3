"""The rigid bodies of a program: ops joined by streams, which cannot slip against each other."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.utils.disjoint_set import DisjointSet

from ...dialects import tsp_stream as ts
from ...dialects.errors import MalformedProgram
from ...dialects.locations import describe


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
    """The connected components of the ops over their streams, by their first op; each in program order."""
    ops = timed_ops(module)
    sets = DisjointSet(ops)
    for op in ops:
        for value in tied_operands(op):
            if isinstance(value.owner, ts.TimedOp):
                sets.union(value.owner, op)
    members: dict[ts.TimedOp, list[ts.TimedOp]] = {}
    for op in ops:
        members.setdefault(sets.find(op), []).append(op)
    return list(members.values())
