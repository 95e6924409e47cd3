"""The fields of the instruction of an SXM op."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from ...dialects import tsp_stream as ts
from ...dialects.instructions import OP_CLASSES


def lane_values(op: ts.LaneOp, stream_of: Callable[[SSAValue], int]) -> list[int]:
    """The values of the instruction's fields, in order; `stream_of` gives the code of a value's first stream."""
    match op:
        case ts.ShiftOp():
            words = next(f.words for f in OP_CLASSES[op.mnemonic].INSTRUCTION.fields if f.name == "way")
            values = [op.count.value.data, words.index(op.way.data), stream_of(op.vector)]
        case ts.PermuteOp() | ts.DistributeOp():
            values = [stream_of(op.map), stream_of(op.vector)]
        case _:
            values = [stream_of(v) for v in op.operands]
    return [*values, stream_of(op.driven)]
