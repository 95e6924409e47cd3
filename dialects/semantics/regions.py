"""Evaluates map and ALU regions on numpy arrays: the scalar ops of both upper levels, with the ALUs' bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Attribute, Block, Operation, SSAValue

from .. import tsp_stream, tsp_tensor
from ..elements import element_of, numpy_of
from ..errors import UnsupportedModel
from ..instruction import ElementType
from ..locations import describe
from .arithmetic import BINARY, UNARY, Array, convert, wrap

_BINARY: dict[type[Operation], Callable[[Array, Array], Array]] = {
    arith.AddiOp: BINARY["add"],
    arith.AddfOp: BINARY["add"],
    arith.SubiOp: BINARY["sub"],
    arith.SubfOp: BINARY["sub"],
    arith.MuliOp: BINARY["mul"],
    arith.MulfOp: BINARY["mul"],
    arith.MaxSIOp: BINARY["max"],
    arith.MaximumfOp: BINARY["max"],
    arith.MinSIOp: BINARY["min"],
    arith.MinimumfOp: BINARY["min"],
}
_UNARY: dict[type[Operation], Callable[[Array], Array]] = {
    math.RoundEvenOp: UNARY["round"],
    math.TruncOp: UNARY["trunc"],
    tsp_stream.DelayOp: UNARY["copy"],
}
_CONVERSIONS: dict[type[Operation], Callable[[Array, ElementType], Array]] = {
    arith.ExtSIOp: convert,
    arith.SIToFPOp: convert,
    arith.TruncIOp: wrap,
    tsp_stream.ConvertOp: convert,
    arith.FPToSIOp: lambda a, to: convert(UNARY["trunc"](a), to),
}


def evaluate(block: Block, arguments: Sequence[Array]) -> Array:
    """The value that a region yields for these argument arrays, which broadcast against each other."""
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        if isinstance(op, tsp_tensor.YieldOp | tsp_stream.YieldOp):
            return values[op.value]
        values[op.results[0]] = _evaluate_op(op, [values[v] for v in op.operands])
    raise UnsupportedModel("a region without a yield")


def _evaluate_op(op: Operation, operands: list[Array]) -> Array:
    kind = type(op)
    if isinstance(op, arith.ConstantOp):
        return scalar(op)
    if kind in _BINARY:
        return _BINARY[kind](operands[0], operands[1])
    if kind in _UNARY:
        return _UNARY[kind](operands[0])
    if kind in _CONVERSIONS:
        return _CONVERSIONS[kind](operands[0], cast(ElementType, element_of(op.results[0].type)))
    raise UnsupportedModel(f"{describe(op)}: is no scalar op of an ALU")


def scalar(op: arith.ConstantOp) -> Array:
    """A scalar constant as an array of no dimensions."""
    type_: Attribute = op.result.type
    match op.value:
        case FloatAttr():
            return np.array(op.value.value.data, numpy_of(type_))
        case IntegerAttr():
            return np.array(op.value.value.data, np.int64).astype(numpy_of(type_))
        case _:
            raise UnsupportedModel(f"{describe(op)}: an ALU's constant is a number")
