"""The instruction of an SXM op."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from ...dialects import tsp_stream as ts
from ...dialects.instruction import Loop
from ...dialects.instructions import OP_CLASSES, InstructionOp


def lane_instruction(op: ts.LaneOp, at: int, loops: list[Loop], stream_of: Callable[[SSAValue], int]) -> InstructionOp:
    """The instruction of an op that starts in cycle `at`; `stream_of` gives the code of a value's first stream."""
    instruction = OP_CLASSES[op.mnemonic]
    match op:
        case ts.ShiftOp():
            words = next(f.words for f in instruction.INSTRUCTION.fields if f.name == "way")
            values = [op.count.value.data, words.index(op.way.data), stream_of(op.vector)]
        case ts.PermuteOp() | ts.DistributeOp():
            values = [stream_of(op.map), stream_of(op.vector)]
        case _:
            values = [stream_of(v) for v in op.operands]
    return instruction.make(at, [*values, stream_of(op.driven)], loops)
