"""Turns the region of a map into one that ALUs execute: one ALU operation per op.

`arith.fptosi` truncates, an ALU converts to the nearest: a truncation is put before it, unless a rounding stands there,
which the conversion then does itself. Arithmetic on i8 and i16 is widened to i32 and wrapped back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import Float16Type, IntegerType, f32, i32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects import tsp_tensor
from ...dialects.locations import located
from ...dialects.tsp_stream import ConvertOp, YieldOp

_INTEGER_BINARY = (arith.AddiOp, arith.SubiOp, arith.MuliOp, arith.MaxSIOp, arith.MinSIOp)

LOWERED = (
    *_INTEGER_BINARY,
    arith.ConstantOp,
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
    arith.ExtSIOp,
    arith.TruncIOp,
    arith.SIToFPOp,
    arith.FPToSIOp,
    math.RoundEvenOp,
    math.TruncOp,
)
"""The ops of a map region that become ALU operations."""


class UnsupportedRegion(Exception):
    """An op of a map region that no ALU executes; carries the op and the reason."""

    def __init__(self, op: Operation, reason: str):
        super().__init__(reason)
        self.op = op
        self.reason = reason


def alu_region(op: tsp_tensor.MapOp, arguments: Sequence[int]) -> Region:
    """The ALU region of a map, in which operand i of the map is argument `arguments[i]`; operands may share one. Raises
    UnsupportedRegion."""
    source = op.body.block
    block = Block(arg_types=[source.args[arguments.index(i)].type for i in range(len({*arguments}))])
    values: dict[SSAValue, SSAValue] = {arg: block.args[i] for arg, i in zip(source.args, arguments, strict=True)}
    builder = _Builder(block, values)
    for inner in source.ops:
        if any(isinstance(v.type, Float16Type) for v in (*inner.operands, *inner.results)):
            raise UnsupportedRegion(inner, "f16 has no ALU operations yet; convert to f32 on the host")
        if not isinstance(inner, (*LOWERED, tsp_tensor.YieldOp)):
            raise UnsupportedRegion(inner, "has no ALU operation at the stream level yet; run it at the tensor level")
        builder.lower(inner)
    builder.drop_unused()
    return Region(block)


class _Builder:
    def __init__(self, block: Block, values: dict[SSAValue, SSAValue]):
        self.block, self.values = block, values

    def add(self, op: Operation, source: Operation) -> SSAValue:
        self.block.add_op(located(op, source))
        return op.results[0]

    def lower(self, op: Operation) -> None:
        if isinstance(op, arith.FPToSIOp):
            value = self._to_integer(op)
        elif isinstance(op, _INTEGER_BINARY) and op.results[0].type != i32:
            wide = [self._convert(self.values[v], i32, op) for v in op.operands]
            result = self.add(type(op)(wide[0], wide[1]), op)
            value = self.add(arith.TruncIOp(result, cast(IntegerType, op.results[0].type)), op)
        elif isinstance(op, tsp_tensor.YieldOp):
            self.block.add_op(located(YieldOp(self.values[op.operands[0]]), op))
            return
        else:
            value = self.add(op.clone(self.values), op)
        self.values[op.results[0]] = value

    def _to_integer(self, op: arith.FPToSIOp) -> SSAValue:
        operand = self.values[op.operands[0]]
        if operand.type != f32:
            raise UnsupportedRegion(op, f"converts from {operand.type}; ALUs convert from f32")
        if isinstance(operand.owner, math.RoundEvenOp):
            operand = operand.owner.operands[0]
        elif not isinstance(operand.owner, math.TruncOp):
            operand = self.add(math.TruncOp(operand), op)
        return self._convert(operand, op.results[0].type, op)

    def _convert(self, value: SSAValue, type_: Attribute, source: Operation) -> SSAValue:
        return value if value.type == type_ else self.add(ConvertOp(value, type_), source)

    def drop_unused(self) -> None:
        for op in reversed(list(self.block.ops)):
            if op.results and not any(r.first_use for r in op.results):
                op.detach()
                op.erase()
