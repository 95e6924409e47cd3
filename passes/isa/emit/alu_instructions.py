"""The instructions of an ALU region: one for each ALU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import Float16Type, FloatAttr, IntegerAttr
from xdsl.ir import BlockArgument, Operation, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_of
from ....dialects.errors import MalformedProgram
from ....dialects.instructions import OP_CLASSES
from ....dialects.locations import describe
from ....dialects.machine.instruction import CHAIN, ElementType, source_alu, source_immediate
from ....dialects.machine.layout import Run
from ....dialects.machine.target import ChipSpec
from ....dialects.tsp_stream.alu_ops import alu_instruction
from ...stream.analysis.alu_levels import alu_levels
from .scheduled_instructions import ScheduledInstruction, scheduled


def alu_instructions(
    op: ts.VxmOp, at: int, issues: Sequence[Run], stream_of: Callable[[SSAValue], int], chip: ChipSpec
) -> Iterator[tuple[str, ScheduledInstruction]]:
    """The instructions of a region that starts in cycle `at`, one for each of the runs `issues` of an ALU, each with
    its queue; `stream_of` gives the code of the first stream that carries a value."""
    if op.alus is None:
        raise MalformedProgram(f"{describe(op)}: has no `alus`; run stream-place first")
    levels = alu_levels(op)
    alus = dict(zip(op.alu_ops, op.alus.get_values(), strict=True))

    def source(value: SSAValue) -> int:
        if isinstance(value, BlockArgument):
            return stream_of(op.inputs[value.index])
        owner = cast(Operation, value.owner)
        return (
            source_immediate(constant_bits(owner)) if isinstance(owner, arith.ConstantOp) else source_alu(alus[owner])
        )

    for inner, alu in alus.items():
        instruction = OP_CLASSES[cast(str, alu_instruction(inner))]
        to = stream_of(op.stream) if inner.results[0] is op.yielded else CHAIN
        fields = {
            "type": _element(inner.operands[-1]),
            "result_type": _element(inner.results[0]),
            "to": to,
            **dict(zip(operand_names(inner), map(source, inner.operands), strict=True)),
        }
        values = [fields[f.name] for f in instruction.INSTRUCTION.fields]
        for run in issues:
            yield f"VXM.{alu}", scheduled(instruction, at + levels[inner] * chip.latency_alu, values, run, inner)


def operand_names(op: Operation) -> tuple[str, ...]:
    """The fields of an instruction that its operands fill, in order."""
    return ("condition", "a", "b") if isinstance(op, ts.SelectOp) else ("a", "b")[: len(op.operands)]


def _element(value: SSAValue) -> ElementType:
    return cast(ElementType, element_of(value.type))  # check_alu_region


def constant_bits(op: arith.ConstantOp) -> int:
    """The 32 bits of a scalar constant, as a chain holds it: integers sign-extended, f16 zero-extended."""
    match op.value:
        case FloatAttr() if isinstance(op.result.type, Float16Type):
            return int(np.float16(op.value.value.data).view(np.uint16))
        case FloatAttr():
            return int(np.float32(op.value.value.data).view(np.uint32))
        case IntegerAttr():
            return op.value.value.data & 0xFFFFFFFF
        case _:
            raise MalformedProgram(f"{describe(op)}: an ALU's constant is a number")
