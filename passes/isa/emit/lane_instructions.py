"""The fields of the instruction of an SXM op."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.instructions import OP_CLASSES


def lane_operands(op: ts.LaneOp) -> list[SSAValue]:
    """The streams that the instruction samples, in the order of its fields."""
    return [op.map, op.vector] if isinstance(op, ts.PermuteOp | ts.DistributeOp) else list(op.operands)


def lane_values(op: ts.LaneOp, stream_of: Callable[[SSAValue], int]) -> list[int]:
    """The values of the instruction's fields, in order; `stream_of` gives the code of a value's first stream."""
    values: list[int] = []
    if isinstance(op, ts.ShiftOp):
        words = next(f.words for f in OP_CLASSES[op.mnemonic].INSTRUCTION.fields if f.name == "way")
        values = [op.count.value.data, words.index(op.way.data)]
    return [*values, *map(stream_of, lane_operands(op)), stream_of(op.driven)]
