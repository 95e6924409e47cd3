"""Evaluates map and ALU regions on numpy arrays: the scalar ops of both upper levels, with the ALUs' bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, i1
from xdsl.ir import Attribute, Block, Operation, SSAValue

from .. import tsp_stream, tsp_tensor
from ..elements import element_of, numpy_of
from ..errors import UnsupportedModel
from ..instruction import ElementType
from ..locations import describe
from .arithmetic import BINARY, UNARY, Array, convert, select, wrap

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
    arith.AndIOp: BINARY["and"],
    arith.OrIOp: BINARY["or"],
    arith.XOrIOp: BINARY["xor"],
    arith.ShLIOp: BINARY["shl"],
    arith.ShRSIOp: BINARY["shr"],
    arith.ShRUIOp: BINARY["shr_u"],
}
_UNARY: dict[type[Operation], Callable[[Array], Array]] = {
    math.RoundEvenOp: UNARY["round"],
    math.TruncOp: UNARY["trunc"],
    math.ExpOp: UNARY["exp"],
    math.LogOp: UNARY["log"],
    math.TanhOp: UNARY["tanh"],
    math.RsqrtOp: UNARY["rsqrt"],
    tsp_stream.DelayOp: UNARY["copy"],
}
_CONVERSIONS: dict[type[Operation], Callable[[Array, ElementType], Array]] = {
    arith.ExtSIOp: convert,
    arith.SIToFPOp: convert,
    arith.TruncIOp: wrap,
    arith.ExtFOp: convert,
    arith.TruncFOp: convert,
    tsp_stream.ConvertOp: convert,
    arith.FPToSIOp: lambda a, to: convert(UNARY["trunc"](a), to),
}


def evaluate(block: Block, arguments: Sequence[Array]) -> Array:
    """The value that a region yields for these argument arrays, which broadcast against each other."""
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        if isinstance(op, tsp_tensor.YieldOp | tsp_stream.YieldOp):
            return values[op.value]
        values[op.results[0]] = evaluate_op(op, [values[v] for v in op.operands])
    raise UnsupportedModel("a region without a yield")


def evaluate_op(op: Operation, operands: list[Array]) -> Array:
    """The value of a scalar op; i1 is bool."""
    kind = type(op)
    if isinstance(op, arith.ConstantOp):
        return scalar(op)
    if kind in _BINARY:
        return _BINARY[kind](operands[0], operands[1])
    if kind in _UNARY:
        return _UNARY[kind](operands[0])
    if isinstance(op, arith.CmpiOp | arith.CmpfOp):
        predicates = _INTEGER_PREDICATES if isinstance(op, arith.CmpiOp) else _FLOAT_PREDICATES
        return predicates[op.predicate.value.data](operands[0], operands[1])
    if isinstance(op, arith.SelectOp):
        return select(*operands)
    if isinstance(op, arith.ExtUIOp):
        return _unsigned(operands[0]).astype(numpy_of(op.results[0].type))
    if kind in _CONVERSIONS:
        return _CONVERSIONS[kind](operands[0], cast(ElementType, element_of(op.results[0].type)))
    raise UnsupportedModel(f"{describe(op)}: is no scalar op of an ALU")


def _unsigned(a: Array) -> Array:
    return a.view(f"u{a.dtype.itemsize}") if a.dtype.kind == "i" else a


_INTEGER_PREDICATES: tuple[Callable[[Array, Array], Array], ...] = (
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: _unsigned(a) < _unsigned(b),
    lambda a, b: _unsigned(a) <= _unsigned(b),
    lambda a, b: _unsigned(a) > _unsigned(b),
    lambda a, b: _unsigned(a) >= _unsigned(b),
)
"""By the number of the predicate of arith.cmpi: eq, ne, slt, sle, sgt, sge, ult, ule, ugt, uge."""

_FLOAT_PREDICATES: tuple[Callable[[Array, Array], Array], ...] = (
    lambda a, b: (a != a) & False,
    lambda a, b: a == b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
    lambda a, b: (a < b) | (a > b),
    lambda a, b: (a == a) & (b == b),
    lambda a, b: ~((a < b) | (a > b)),
    lambda a, b: ~(a <= b),
    lambda a, b: ~(a < b),
    lambda a, b: ~(a >= b),
    lambda a, b: ~(a > b),
    lambda a, b: a != b,
    lambda a, b: (a != a) | (b != b),
    lambda a, b: (a == a) | True,
)
"""By the number of the predicate of arith.cmpf: false, oeq, ogt, oge, olt, ole, one, ord, ueq, ugt, uge, ult, ule, une,
uno, true."""


def scalar(op: arith.ConstantOp) -> Array:
    """A scalar constant as an array of no dimensions; of i1 as bool."""
    type_: Attribute = op.result.type
    match op.value:
        case FloatAttr():
            return np.array(op.value.value.data, numpy_of(type_))
        case IntegerAttr() if type_ == i1:
            return np.array(op.value.value.data != 0)
        case IntegerAttr():
            return np.array(op.value.value.data, np.int64).astype(numpy_of(type_))
        case _:
            raise UnsupportedModel(f"{describe(op)}: an ALU's constant is a number")
