"""Tensors whose rows begin in the middle of words: columns of a wider tensor under dimensions of their own.

What splits the columns of a tensor, such as the heads of an attention, so moves nothing as long as who uses it can do
with rows that lie where they are. Weights may lie in any columns: the sums then lie in the same. Rows that are joined
again where they lie are selected lane by lane. For all others the rows are moved to the first lanes (`settled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerAttr, TensorType, i8, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import numpy_of
from ....dialects.machine.layout import AccessPattern, tiles
from ..analysis.views import Named, Shape, Stored, Tensor
from .buffers import WHOLE, Buffers, Destination, Part
from .elementwise import in_turn
from .lanes import move_lanes, scratch
from .padding import set_padding, zero


@dataclass(frozen=True)
class ColumnView:
    """A view of words: row (i, j, ...) begins at column `column + i * columns[0] + j * columns[1] + ...` of the word
    `source.offset + i * words[0] + j * words[1] + ...` and of the tiles that follow it, and lies in one word."""

    shape: Shape
    element: Attribute
    source: Stored
    words: tuple[int, ...]
    """Words from one place of each leading dimension to the next."""
    columns: tuple[int, ...]
    """Columns from one place of each leading dimension to the next."""
    column: int = 0

    def transposed(self, permutation: Sequence[int]) -> ColumnView | None:
        """The view with other leading dimensions first; None where the last dimension moves."""
        if permutation[-1] != len(permutation) - 1:
            return None
        shape, words, columns = ([v[p] for p in permutation[:-1]] for v in (self.shape, self.words, self.columns))
        return replace(self, shape=(*shape, self.shape[-1]), words=tuple(words), columns=tuple(columns))

    def sliced(self, offsets: Sequence[int], strides: Sequence[int], shape: Shape) -> ColumnView | None:
        """A part of the view; None where it is not of whole rows."""
        if shape[-1] != self.shape[-1]:
            return None
        word = sum(at * step for at, step in zip(offsets[:-1], self.words, strict=True))
        column = sum(at * step for at, step in zip(offsets[:-1], self.columns, strict=True))
        words, columns = (
            tuple(n * step for n, step in zip(steps, strides[:-1], strict=True)) for steps in (self.words, self.columns)
        )
        source = replace(self.source, offset=self.source.offset + word)
        return ColumnView(shape, self.element, source, words, columns, self.column + column)


def split(tensor: Tensor, shape: Shape, lanes: int) -> ColumnView | None:
    """A stored tensor with its columns under several dimensions; None where it is not that, or rows cross words."""
    outer = len(tensor.leading)
    if not isinstance(tensor.source, Stored) or shape[:outer] != tensor.leading or len(shape) < outer + 2:
        return None
    inner = shape[outer:]
    if prod(inner) != tensor.columns or lanes % inner[-1]:
        return None
    columns = tuple(prod(inner[d + 1 :]) for d in range(len(inner) - 1))
    source = tensor.source
    return ColumnView(shape, tensor.element, source, (*source.strides, *(0,) * len(columns)), (*(0,) * outer, *columns))


def column_view_of_sums(sums: Tensor, before: int) -> ColumnView:
    """The sums of a stack of products, each of whose columns lie in the lanes of its weights: behind those of `before`
    others, and so on."""
    assert isinstance(sums.source, Stored)
    source, size = sums.source, sums.columns
    columns = (size, *(0,) * (len(source.strides) - 1))
    return ColumnView(sums.shape, sums.element, replace(source, tile_stride=0), source.strides, columns, before * size)


def settled(shared: ColumnView, to: Buffers, copies: int, chip: int) -> Tensor:
    """Emits the moves of the rows to the first lanes of words of their own, and gives the tensor."""
    leading = range(len(shared.shape) - 1)
    still = [d for d in leading if not shared.columns[d]]
    moving = [d for d in leading if shared.columns[d]]
    order = (*still, *moving)
    lanes, size = to.chip.lanes, shared.shape[-1]
    starts = shared.column + _sums([(shared.shape[d], shared.columns[d]) for d in moving])
    wide = int(starts.max()) + size
    if not shared.source.tile_stride:
        starts, wide = starts % lanes, lanes
    outer = [shared.shape[d] for d in still]
    inner = [shared.shape[d] for d in moving]
    view = replace(shared.source, strides=tuple(shared.words[d] for d in order))
    source = Tensor((*outer, *inner, wide), shared.element, view)
    first = (np.arange(prod(inner)) * wide).reshape(starts.shape) + starts
    elements = (first[:, None] + np.arange(size)).reshape(*inner, size)
    place = replace(scratch(shared.element, shared.shape, to, chip), copies=copies)
    made = place.make(in_turn(place))
    type_ = TensorType(shared.element, (*outer, *inner, size))
    there = Part(
        to, "scratch", "", type_, place.layout, chip, place=replace(made, strides=tuple(made.strides[d] for d in order))
    )
    move_lanes([source], len(outer), elements, to, there, chip)
    return Tensor(shared.shape, shared.element, made)


def _sums(levels: Sequence[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The sums of steps of nested dimensions, the outermost first."""
    found = np.zeros(1, np.int64)
    for count, step in levels:
        found = (found[:, None] + np.arange(count) * step).reshape(-1)
    return found


def joins(shared: ColumnView, shape: Shape, lanes: int) -> bool:
    """Whether rows [*, h, n] are those of words [*, h * n] and lie in the lanes where they lie there."""
    *_, count, size = shared.shape
    own = all(not c for c in shared.columns[:-1]) and shared.columns[-1] == size
    return shape == (*shared.shape[:-2], count * size) and own and shared.column % lanes == 0 and lanes % size == 0


def emit_joined(shared: ColumnView, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits the rows [*, h, n] as words [*, h * n], of which `joins` says that each stays in its lanes."""
    *outer, count, size = shared.shape
    result = destination.make(WHOLE)
    lanes, element = to.chip.lanes, shared.element
    per_word = lanes // size
    for tile in range(tiles(count, per_word)):
        heads = range(tile * per_word, min(count, (tile + 1) * per_word))
        streams: list[SSAValue] = []
        for head in heads:
            column = shared.column + head * size
            first = shared.source.offset + head * shared.words[-1] + column // lanes * shared.source.tile_stride
            levels = tuple(zip(reversed(outer), reversed(shared.words[:-1]), strict=True))
            streams.append(to.read(shared.source.buffer, AccessPattern(first, levels), chip))
        partial = len(heads) < per_word
        for i in range(0 if partial else 1, len(heads)):
            mask = to.in_rows(_mask(i * size, size, lanes), chip).buffer
            still = AccessPattern(0, tuple((n, 0) for n in reversed(outer)))
            streams.append(to.read(mask, still, chip))
        vxm = ts.VxmOp.build(
            operands=[streams],
            result_types=[ts.StreamType.of((prod(outer), lanes), element)],
            regions=[_selecting(element, len(heads), partial)],
            properties={"chip": IntegerAttr(chip, i64)},
        )
        levels = tuple(zip(reversed(outer), reversed(result.strides), strict=True))
        to.write(to.add(vxm), result.buffer, AccessPattern(result.offset + tile * result.tile_stride, levels), chip)
    joined = Tensor(destination.shape, element, result)
    set_padding(joined, np.zeros((), numpy_of(element)), to)
    return joined


def _mask(first: int, size: int, lanes: int) -> Tensor:
    """Ones in some lanes."""
    type_ = TensorType(i8, [lanes])
    value = DenseIntOrFPElementsAttr.from_list(type_, [int(first <= i < first + size) for i in range(lanes)])
    return Tensor((lanes,), i8, Named.of("constant", "", type_, value))


def _selecting(element: Attribute, count: int, partial: bool) -> Region:
    """The ALU region that takes of each of its first operands the lanes of its mask; the rest of the lanes are those of
    the first operand, or zero where the word is filled in part."""
    block = Block(arg_types=[*[element] * count, *[i8] * (count if partial else count - 1)])
    rows_, masks = block.args[:count], list(block.args[count:])
    value: SSAValue = rows_[0]
    if partial:
        nothing = arith.ConstantOp(zero(element))
        block.add_op(nothing)
        value = nothing.result
    for row, mask in zip(rows_ if partial else rows_[1:], masks, strict=True):
        select = ts.SelectOp(mask, row, value)
        block.add_op(select)
        value = select.result
    block.add_op(ts.YieldOp(value))
    return Region(block)
