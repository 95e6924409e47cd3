"""Lowers what moves elements. It moves nothing where other words, or columns of words, show them as they lie."""

from __future__ import annotations

from xdsl.dialects import func

from ....dialects import tsp_tensor
from ..analysis.views import Named, Tensor
from ..emit.column_views import emit_joined, joins, split
from ..emit.concatenation import emit_concat, emit_pad
from ..emit.lanes import reshaped, sliced, transposed
from .registry import lowers
from .values import Values, chip_of


@lowers(tsp_tensor.ReshapeOp)
def lower_reshape(op: tsp_tensor.ReshapeOp, values: Values) -> None:
    """Rows that were split are joined where they lie, and columns are split where they lie; else a view, or moves."""
    shape, chip, view = op.result.type.get_shape(), chip_of(op), values[op.input].column_view
    if view is not None and joins(view, shape, values.chip.lanes):
        place = values.destination(op.result, chip)
        values.define(op.result, emit_joined(view, values.to, place, chip))
        return
    tensor = values.stored(op.input, chip)
    parts = split(tensor, shape, values.chip.lanes) if view is None and not _for_host(op) else None
    values.define(op.result, parts or _reshaped(op, tensor, values))


def _for_host(op: tsp_tensor.ReshapeOp) -> bool:
    """Whether only the host reads the result: elements in their order, whatever the shape."""
    return all(isinstance(use.operation, func.ReturnOp) for use in op.result.uses)


def _reshaped(op: tsp_tensor.ReshapeOp, tensor: Tensor, values: Values) -> Tensor:
    """The elements of a tensor of words of its own under the shape of the result."""
    shape, chip, source = op.result.type.get_shape(), chip_of(op), tensor.source
    if isinstance(source, Named):
        if source.plain:
            return Tensor(shape, tensor.element, source.reshaped(shape))
        source = values.to.in_rows(tensor, chip)
        tensor = Tensor(tensor.shape, tensor.element, source)
    view = source.reshaped(tensor.shape, shape)
    if view is not None:
        return Tensor(shape, tensor.element, view)
    if _for_host(op):
        return tensor
    return reshaped(tensor, values.to, values.destination(op.result, chip), chip)


@lowers(tsp_tensor.TransposeOp)
def lower_transpose(op: tsp_tensor.TransposeOp, values: Values) -> None:
    """A view, unless the last dimension moves."""
    permutation, chip, view = op.permutation.get_values(), chip_of(op), values[op.input].column_view
    if view is not None and (turned := view.transposed(permutation)) is not None:
        values.define(op.result, turned)
        return
    tensor = values.stored(op.input, chip)
    view = tensor.source.transposed(permutation)
    if view is not None:
        values.define(op.result, Tensor(op.result.type.get_shape(), tensor.element, view))
        return
    place = values.destination(op.result, chip)
    values.define(op.result, transposed(tensor, permutation, values.to, place, chip))


@lowers(tsp_tensor.SliceOp)
def lower_slice(op: tsp_tensor.SliceOp, values: Values) -> None:
    """A view, unless columns move to other lanes."""
    offsets, strides, shape = op.offsets.get_values(), op.strides.get_values(), op.result.type.get_shape()
    chip, view = chip_of(op), values[op.input].column_view
    if view is not None and (part := view.sliced(offsets, strides, shape)) is not None:
        values.define(op.result, part)
        return
    tensor = values.stored(op.input, chip)
    if isinstance(tensor.source, Named):
        view = tensor.source.sliced(offsets, strides, op.sizes.get_values())
    else:
        view = tensor.source.sliced(offsets, strides, values.chip.lanes)
    if view is not None:
        values.define(op.result, Tensor(shape, tensor.element, view))
        return
    place = values.destination(op.result, chip)
    values.define(op.result, sliced(tensor, offsets, strides, values.to, place, chip))


@lowers(tsp_tensor.ConcatOp)
def lower_concat(op: tsp_tensor.ConcatOp, values: Values) -> None:
    """Copies all operands to the buffer of the result."""
    tensors, chip = values.operands(op), chip_of(op)
    place = values.destination(op.result, chip)
    values.define(op.result, emit_concat(tensors, op.dim.value.data, values.to, place, chip))


@lowers(tsp_tensor.PadOp)
def lower_pad(op: tsp_tensor.PadOp, values: Values) -> None:
    """Copies the operand to the buffer of the result, and the number around it."""
    (tensor,), chip = values.operands(op), chip_of(op)
    place = values.destination(op.result, chip)
    values.define(op.result, emit_pad(op, tensor, values.to, place, chip))
