"""What lies in the lanes beyond the last column of a computed tensor, and its removal where it would matter.

Such lanes meet weights that are zero. Of integers any number will do; of f16, infinity or NaN times zero would be NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    TensorType,
    i8,
)
from xdsl.ir import Attribute, Block, Region

from ....dialects import tsp_stream as ts
from ....dialects.elements import numpy_of
from ....dialects.semantics.arithmetic import Array
from ....dialects.semantics.regions import evaluate
from ..analysis.views import Named, Stored, Tensor
from .buffers import Buffers, Destination
from .elementwise import emit_map


def padding_of(tensor: Tensor, to: Buffers) -> Array | None:
    """The number in the lanes beyond the last column of a tensor, or None where it is not known."""
    if isinstance(tensor.source, Named):
        return np.zeros((), numpy_of(tensor.element))
    whole = cast(ts.BufferType, tensor.source.buffer.type).shape
    if not whole or tensor.columns != whole[-1]:
        return None  # columns of a wider tensor: what lies beyond are its other columns
    return to.padding(tensor.source.buffer)


def set_padding(tensor: Tensor, padding: Array | None, to: Buffers) -> None:
    """Takes note of what lies beyond the last column of a computed tensor, or that it is not known."""
    if isinstance(tensor.source, Stored):
        to.note_padding(tensor.source.buffer, padding)


def mapped(region: Region, operands: Sequence[Tensor], to: Buffers) -> Array | None:
    """What a map leaves there."""
    known = [padding_of(tensor, to) for tensor in operands]
    numbers = [p for p in known if p is not None]
    return evaluate(region.block, numbers) if len(numbers) == len(known) else None


def harmless(tensor: Tensor, to: Buffers) -> bool:
    """Whether what lies beyond the last column, times zero, is zero."""
    if tensor.columns % to.chip.lanes == 0 or not isinstance(tensor.element, Float16Type):
        return True
    padding = padding_of(tensor, to)
    return padding is not None and bool(np.isfinite(padding))


def emit_masked(tensor: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits a copy of a tensor with zeros beyond its last column."""
    result = emit_map(
        mask_region(tensor.element, zero(tensor.element)), [ones(tensor.columns), tensor], to, destination, chip
    )
    set_padding(result, np.zeros((), numpy_of(tensor.element)), to)
    return result


def mask_result(region: Region, columns: int) -> Tensor:
    """Makes the ALU region of a map give zero beyond so many columns, and gives the operand that it takes for that
    after the others."""
    block = region.block
    last = block.last_op
    assert isinstance(last, ts.YieldOp)
    value = last.operands[0]
    constant = arith.ConstantOp(zero(value.type))
    select = ts.SelectOp(block.insert_arg(i8, len(block.args)), value, constant.result)
    block.insert_ops_before([constant, select], last)
    last.operands[0] = select.result
    return ones(columns)


def ones(columns: int) -> Tensor:
    """A mask of so many columns."""
    type_ = TensorType(i8, [columns])
    value = DenseIntOrFPElementsAttr.from_list(type_, [1] * columns)
    return Tensor((columns,), i8, Named.of("constant", "", type_, value))


def zero(element: Attribute) -> IntegerAttr | FloatAttr:
    """The zero of an element type."""
    if isinstance(element, Float16Type | Float32Type):
        return FloatAttr(0.0, element)
    return IntegerAttr(0, cast(IntegerType, element))


def mask_region(element: Attribute, other: IntegerAttr | FloatAttr) -> Region:
    """The ALU region that gives its second operand where the first is not 0, and elsewhere `other`."""
    block = Block(arg_types=[i8, element])
    constant = arith.ConstantOp(other)
    select = ts.SelectOp(block.args[0], block.args[1], constant.result)
    block.add_ops([constant, select, ts.YieldOp(select.result)])
    return Region(block)
