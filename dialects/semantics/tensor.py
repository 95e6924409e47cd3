"""What the ops of tsp_tensor mean, on numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.ir import Block, Operation, SSAValue

from .. import tsp_tensor as tt
from ..elements import numpy_of
from ..errors import UnsupportedModel
from ..literals import dense_value
from ..locations import describe
from ..tsp_tensor.expansion import Expansion
from ..tsp_tensor.types import shape_of, tensor_of
from ..tsp_tensor.window import inside
from .arithmetic import Array
from .products import conv, matmul
from .reductions import pool, reduce
from .regions import evaluate as evaluate_region


def evaluate(op: Operation, operands: Sequence[Array], lanes: int) -> Array:
    """The value of an op whose operands have these values, on a machine of so many lanes.

    Raises UnsupportedModel for an op that takes more than its operands to know, such as a parameter.
    """
    match op:
        case tt.ConstantOp():
            return dense_value(op.value)
        case tt.MapOp():
            shape = op.result.type.get_shape()
            return np.array(np.broadcast_to(evaluate_region(op.body.block, operands), shape), order="C")
        case tt.NamedOp():
            return _expanded(op, operands, lanes)
        case tt.MatmulOp() | tt.ConvOp() | tt.ReduceOp() | tt.PoolOp():
            return _computed(op, operands, lanes)
        case _:
            return np.asarray(_moved(op, operands), order="C")


def _computed(op: tt.MatmulOp | tt.ConvOp | tt.ReduceOp | tt.PoolOp, operands: Sequence[Array], lanes: int) -> Array:
    to: np.dtype[Any] = np.dtype(numpy_of(tensor_of(op.result).element_type))
    match op:
        case tt.MatmulOp():
            a, b = operands
            a = a.swapaxes(-1, -2) if op.transpose_lhs else a
            return matmul(a, b.swapaxes(-1, -2) if op.transpose_rhs else b, lanes)
        case tt.ConvOp():
            return conv(operands[0], operands[1], op.window, op.groups.value.data, lanes)
        case tt.ReduceOp():
            value = reduce(op.kind.data, operands[0], op.axes.get_values(), to, lanes)
            return value.reshape(shape_of(op.result))
        case tt.PoolOp():
            return pool(op.kind.data, operands[0], op.window, to)


def _moved(op: Operation, operands: Sequence[Array]) -> Array:
    match op:
        case tt.ReshapeOp():
            return operands[0].reshape(shape_of(op.result))
        case tt.TransposeOp():
            return operands[0].transpose(op.permutation.get_values())
        case tt.SliceOp():
            return slice_of(op, operands[0])
        case tt.ConcatOp():
            return np.concatenate(operands, axis=op.dim.value.data)
        case tt.PadOp():
            return Padded(operands[0], op).whole()
        case tt.GatherOp():
            return operands[0][rows(operands[1], operands[0])]
        case tt.ScatterOp():
            table, indices, updates = operands
            result = table.copy()
            result[rows(indices, table).reshape(-1)] = updates.reshape(-1, *table.shape[1:])
            return result
        case _:
            raise UnsupportedModel(f"{describe(op)}: cannot be run at the tensor level; express it with tsp_tensor ops")


def slice_of(op: tt.SliceOp, x: Array | Padded) -> Array:
    """What a slice shows of an array, or of one with padding, none of which is made beyond that."""
    starts, sizes, strides = (p.get_values() for p in (op.offsets, op.sizes, op.strides))
    if isinstance(x, Padded):
        return x.part(starts, sizes, strides)
    ends = (o + (n - 1) * s + 1 for o, n, s in zip(starts, sizes, strides, strict=True))
    return x[tuple(slice(*piece) for piece in zip(starts, ends, strides, strict=True))]


@dataclass(frozen=True)
class Padded:
    """The value of a pad, whose padding is not made."""

    array: Array
    op: tt.PadOp

    def whole(self) -> Array:
        """With all of its padding."""
        shape = shape_of(self.op.result)
        return self.part([0] * len(shape), shape, [1] * len(shape))

    def part(self, starts: Sequence[int], sizes: Sequence[int], strides: Sequence[int]) -> Array:
        """A slice of it."""
        result = np.full(tuple(sizes), number(self.op.value))
        there: list[slice] = []
        met: list[slice] = []
        for at, n, step, low, size in zip(
            starts, sizes, strides, self.op.low.get_values(), self.array.shape, strict=True
        ):
            shown = inside(size, at - low, step, n)
            there.append(slice(shown.start, shown.stop))
            first = at - low + shown.start * step
            met.append(slice(first, first + (len(shown) - 1) * step + 1, step) if shown else slice(0, 0))
        result[tuple(there)] = self.array[tuple(met)]
        return result


def rows(indices: Array, table: Array) -> Array:
    """The rows that indices name: those out of range the nearest."""
    return np.clip(indices, 0, len(table) - 1)


def number(attr: IntegerAttr | FloatAttr) -> Array:
    """A typed number as an array of no dimensions."""
    return np.array(attr.value.data).astype(numpy_of(attr.type))


def _expanded(op: tt.NamedOp, operands: Sequence[Array], lanes: int) -> Array:
    """The value of the expression that a named op stands for."""
    arguments = Block(arg_types=[v.type for v in op.operands]).args
    expansion = Expansion(op)
    result = op.expand(expansion, arguments)
    values: dict[SSAValue, Array] = dict(zip(arguments, operands, strict=True))
    for inner in expansion.ops:
        values[inner.results[0]] = evaluate(inner, [values[v] for v in inner.operands], lanes)
    return values[result]
