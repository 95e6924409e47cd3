"""Evaluates map and ALU regions on numpy arrays: the scalar ops of both upper levels, with the ALUs' bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, i1
from xdsl.ir import Attribute, Block, Operation, SSAValue

from .. import tsp_stream, tsp_tensor
from ..elements import element_of, numpy_of
from ..errors import UnsupportedModel
from ..locations import describe
from ..machine.instruction import ElementType
from ..tsp_stream.alu_ops import alu_instruction
from .arithmetic import BINARY, UNARY, Array, convert, select, wrap


def evaluate(block: Block, arguments: Sequence[Array]) -> Array:
    """The value that a region yields for these argument arrays, which broadcast against each other."""
    values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        if isinstance(op, tsp_tensor.YieldOp | tsp_stream.YieldOp):
            return values[op.value]
        values[op.results[0]] = evaluate_op(op, [values[v] for v in op.operands])
    raise UnsupportedModel("a region without a yield")


def evaluate_op(op: Operation, operands: list[Array]) -> Array:
    """The value of a scalar op: what an ALU executes in one operation has that operation's bits. i1 is int8, 0 or 1."""
    match op:
        case arith.ConstantOp():
            return scalar(op)
        case arith.CmpiOp() | arith.CmpfOp():
            predicates = _INTEGER_PREDICATES if isinstance(op, arith.CmpiOp) else _FLOAT_PREDICATES
            return predicates[op.predicate.value.data](*operands).astype(np.int8)
        case arith.SelectOp():
            return select(*operands)
        case arith.ExtUIOp():
            return _unsigned(operands[0]).astype(numpy_of(op.results[0].type))
        case arith.FPToSIOp():
            return convert(UNARY["trunc"](operands[0]), cast(ElementType, element_of(op.results[0].type)))
        case _:
            pass
    match alu_instruction(op):
        case None:
            raise UnsupportedModel(f"{describe(op)}: is no scalar op of an ALU")
        case "select":
            return select(*operands)
        case "convert" | "wrap" as name:
            function = convert if name == "convert" else wrap
            return function(operands[0], cast(ElementType, element_of(op.results[0].type)))
        case name:
            return BINARY[name](*operands) if name in BINARY else UNARY[name](*operands)


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
    """A scalar constant as an array of no dimensions; of i1 as int8, 0 or 1."""
    type_: Attribute = op.result.type
    match op.value:
        case FloatAttr():
            return np.array(op.value.value.data, numpy_of(type_))
        case IntegerAttr() if type_ == i1:
            return np.array(op.value.value.data & 1, np.int8)
        case IntegerAttr():
            return np.array(op.value.value.data, np.int64).astype(numpy_of(type_))
        case _:
            raise UnsupportedModel(f"{describe(op)}: an ALU's constant is a number")
