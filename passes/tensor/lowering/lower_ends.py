"""Where values come from and go to: parameters, constants, other chips, and the outputs of the program."""

from __future__ import annotations

from typing import cast

from xdsl.dialects import func
from xdsl.dialects.builtin import TensorType

from ....dialects import c2c, tsp_tensor
from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern
from ..analysis.views import Stored, Tensor
from ..emit.buffers import WHOLE, Unsupported, named_tensor, rows_layout
from ..emit.elementwise import move
from ..emit.padding import padding_of, set_padding
from .registry import lowers
from .values import Values


@lowers(tsp_tensor.ParameterOp)
def lower_parameter(op: tsp_tensor.ParameterOp, values: Values) -> None:
    """The host places it."""
    values.define(op.result, named_tensor("parameter", op.tensor_name.data, op.result.type))


@lowers(tsp_tensor.ConstantOp)
def lower_constant(op: tsp_tensor.ConstantOp, values: Values) -> None:
    """The host places it."""
    values.define(op.result, named_tensor("constant", "", op.result.type, op.value))


@lowers(c2c.TransferOp)
def lower_transfer(op: c2c.TransferOp, values: Values) -> None:
    """Moves a tensor, byte by byte, to the same words of another chip."""
    (tensor,), to = values.operands(op), values.to
    source, target = op.source.value.data, op.target.value.data
    view = to.in_rows(tensor, source)
    place = values.destination(op.result, target)
    if (view.offset, view.strides, view.tile_stride) != (
        place.view.offset,
        place.view.strides,
        place.view.tile_stride,
    ):
        raise Unsupported("moves a part of a tensor to another chip; write it to a tensor of its own first")
    moved = place.make(WHOLE)
    words = AccessPattern.run(0, place.layout.depth)
    for byte in range(element_bytes(tensor.element)):
        stream = to.read(view.buffer, words, source, byte=byte)
        to.write(to.add(c2c.TransferOp(stream, source, target)), moved.buffer, words, target, byte)
    result = Tensor(tensor.shape, tensor.element, moved)
    set_padding(result, padding_of(tensor, to), to)
    values.define(op.result, result)


@lowers(func.ReturnOp)
def lower_return(op: func.ReturnOp, values: Values) -> None:
    """Copies what is returned to the buffers of outputs, unless it was computed there."""
    for tensor, output in zip(values.operands(op), values.outputs, strict=True):
        if output.built:
            continue
        chip = 0
        if isinstance(tensor.source, Stored):
            chip = cast(ts.BufferOp, tensor.source.buffer.owner).chip_number
        type_ = TensorType(tensor.element, tensor.shape)
        move(tensor, values.to, values.in_output(output, type_, rows_layout(type_, values.chip), chip), chip)


@lowers(func.CallOp)
def refuse_call(op: func.CallOp, values: Values) -> None:
    """A program is one function."""
    raise Unsupported("calls a function, and a program is one; write here what it does")
