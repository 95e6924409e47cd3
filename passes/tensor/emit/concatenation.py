"""Tensors put together from others: concatenation, padding, and single numbers written to many places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, TensorType

from ....dialects import tsp_tensor
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import BYTE, AccessPattern, Axis, Layout, tiles
from ....dialects.semantics.tensor import number
from ....dialects.tsp_tensor.types import dense
from ..analysis.views import Block, Named, Rows, Shape, Stored, Tensor, rows_of
from .buffers import WHOLE, Buffers, Destination, Part
from .elementwise import Operand, copy_rows, emit_rows
from .lanes import joined, move_lanes
from .padding import mask_region, ones, set_padding


def emit_concat(tensors: Sequence[Tensor], dim: int, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits tensors one after the other along a dimension."""
    shape = destination.shape
    starts = [sum(t.shape[dim] for t in tensors[:i]) for i in range(len(tensors))]
    if dim == len(shape) - 1 and any(at % to.chip.lanes for at in starts):
        return joined(tensors, to, destination, chip)
    result = destination.make(WHOLE)
    for tensor, at in zip(tensors, starts, strict=True):
        copy_rows(tensor, part(result, [at if d == dim else 0 for d in range(len(shape))], to), to, chip)
    return Tensor(shape, destination.type.element_type, result)


def part(whole: Stored, offsets: Sequence[int], to: Buffers) -> Stored:
    """The view of a result that begins at an element; its columns begin with a tile."""
    view = whole.sliced(offsets, (1,) * len(offsets), to.chip.lanes)
    assert view is not None
    return view


def emit_pad(op: tsp_tensor.PadOp, tensor: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits a tensor with a number around it."""
    low, lanes, shape = op.low.get_values(), to.chip.lanes, destination.shape
    result = destination.make(WHOLE)
    if not shape:
        copy_rows(tensor, result, to, chip)
        return Tensor(shape, tensor.element, result)
    border = constant(op.value, to, chip)
    if low[-1] % lanes:
        tensor = _columns_between(border, tensor, low[-1], part(result, (*low[:-1], 0), to), destination)
        low = (*low[:-1], 0)
    elif op.high.get_values()[-1] and tensor.columns % lanes:
        source = to.in_rows(tensor, chip)
        mask = ones(tensor.columns)
        assert isinstance(mask.source, Named)
        space = shape_of_rows = tensor.shape[:-1]
        operands = [
            Operand(
                to.operand(mask, tensor.columns, chip, WHOLE, 1), _still(to.operand_view(mask, tensor.columns), space)
            ),
            Operand(source.buffer, rows_of(source, tensor.shape, shape_of_rows)),
        ]
        target = Operand(result.buffer, rows_of(part(result, low, to), tensor.shape, space))
        numbers = range(tiles(tensor.columns, lanes))
        emit_rows(mask_region(tensor.element, op.value), operands, target, space, numbers, tensor.element, to, chip)
    else:
        copy_rows(tensor, part(result, low, to), to, chip)
    for start, extent in around(tensor.shape, low, shape, lanes):
        fill(border, part(result, start, to), extent, to, chip)
    padded = Tensor(shape, tensor.element, result)
    set_padding(padded, None, to)  # some of its words have the number in all lanes
    return padded


def _columns_between(word: Operand, tensor: Tensor, before: int, view: Stored, destination: Destination) -> Tensor:
    """Writes a tensor that begins `before` columns on to a view of rows as long as those of the destination, with the
    number of a word in all their other columns. Gives what the view then holds."""
    columns = destination.shape[-1]
    type_ = TensorType(tensor.element, (*tensor.leading, columns))
    place = Part(destination.to, "scratch", "", type_, destination.layout, destination.chip, place=view)
    border = Stored(word.buffer, word.rows.offset, (0,) * len(tensor.leading), 0)
    inside = np.arange(columns) - before
    elements = np.where((inside >= 0) & (inside < tensor.columns), inside + 1, 0)
    sources = [Tensor((*tensor.leading, 1), tensor.element, border), tensor]
    return move_lanes(sources, len(tensor.leading), elements, destination.to, place, destination.chip)


def _still(view: Stored, space: Shape) -> Rows:
    """A single row that every row of a space meets."""
    return Rows(view.offset, (0,) * len(space), view.tile_stride)


def around(inner: Shape, low: Sequence[int], outer: Shape, lanes: int) -> Iterator[tuple[list[int], Shape]]:
    """The boxes (first element, extent) of a padded tensor that lie outside the one within, which keeps its tiles."""
    columns = tiles(inner[-1], lanes) * lanes
    inner = (*inner[:-1], min(columns, outer[-1] - low[-1]))
    for d, (size, at, full) in enumerate(zip(inner, low, outer, strict=True)):
        for first, count in ((0, at), (at + size, full - at - size)):
            if count > 0:
                yield [*low[:d], first, *(0,) * (len(outer) - d - 1)], (*inner[:d], count, *outer[d + 1 :])


def constant(value: IntegerAttr | FloatAttr, to: Buffers, chip: int) -> Operand:
    """A word of one number in every lane."""
    type_ = TensorType(value.type, [1])
    layout = Layout((Axis(1),), (Axis.of(element_bytes(value.type), BYTE),), (Axis(to.chip.lanes),))
    buffer = to.named(Named.of("constant", "", type_, dense(type_, number(value).reshape(1))), layout, chip)
    return Operand(buffer, Rows(0, (), 0))


def fill(word: Operand, view: Stored, shape: Shape, to: Buffers, chip: int) -> None:
    """Writes a word to all elements of a view of `shape`."""
    words = rows_of(view, shape, shape[:-1])
    whole = Block((0,) * len(shape[:-1]), shape[:-1])
    for tile in range(tiles(shape[-1], to.chip.lanes)):
        stream = to.read(word.buffer, AccessPattern(0, ((whole.rows, 0),)), chip)
        to.write(stream, view.buffer, words.pattern(whole, tile), chip)
