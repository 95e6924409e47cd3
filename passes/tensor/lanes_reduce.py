"""Sums, maxima and minima over the last dimension, and over others with it, in the order of docs/numerics.md.

Rows of the other axes are combined one after the other, then the tiles of columns, on the VXM. What is left in the
lanes of a word is halved until one lane has all: the upper half comes down through the permuter, and an ALU combines it
with the lower one. So of w columns a row takes ceil(log2 w) times a vector of the permuter for each byte of the element, and
as many of an ALU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import Float16Type, Float32Type, IntegerType
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ...dialects import tsp_stream as ts
from .buffers import Buffers, Destination
from .elementwise import emit_map, move
from .lanes import move_lanes, reshaped, scratch
from .views import Stored, Tensor, indices

_COMBINE: dict[str, tuple[type[Operation], type[Operation]]] = {
    "sum": (arith.AddiOp, arith.AddfOp),
    "max": (arith.MaxSIOp, arith.MaximumfOp),
    "min": (arith.MinSIOp, arith.MinimumfOp),
}
"""The ops that combine two integers, or two floats, by kind."""


def emit_reduce(
    kind: str, tensor: Tensor, axes: Sequence[int], to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """Emits a reduction whose axes include the last one, and gives the result."""
    kept = tuple(1 if d in axes else n for d, n in enumerate(tensor.shape))
    reduction = _Reduction(kind, destination.type.element_type, to, chip)
    total = reduction.folded(_rows(tensor, axes, to, chip))
    total = reduction.folded(_tiles(total, kind, to, chip))
    if destination.shape == kept:
        return reduction.across(total, destination)
    between = scratch(destination.type.element_type, kept, to, chip)
    return reshaped(reduction.across(total, between), to, destination, chip)


def _rows(tensor: Tensor, axes: Sequence[int], to: Buffers, chip: int) -> list[Tensor]:
    """The views of a tensor at each place of the axes before the last, row-major, which have size 1 in them."""
    view = to.in_rows(tensor, chip)
    leading = [d for d in axes if d != len(tensor.shape) - 1]
    shape = tuple(1 if d in leading else n for d, n in enumerate(tensor.shape))
    places = indices(tuple(tensor.shape[d] for d in sorted(leading)))
    offsets = (sum(at * view.strides[d] for at, d in zip(place, sorted(leading), strict=True)) for place in places)
    return [
        Tensor(shape, tensor.element, Stored(view.buffer, view.offset + offset, view.strides, view.tile_stride))
        for offset in offsets
    ]


def _tiles(tensor: Tensor, kind: str, to: Buffers, chip: int) -> list[Tensor]:
    """The tiles of a tensor; the last filled up with zeros, or with what is there where that changes nothing."""
    lanes = to.chip.lanes
    count, rest = divmod(tensor.columns, lanes)
    if count == 0:
        return [tensor]
    view = cast(Stored, tensor.source)
    tiles = [
        Stored(view.buffer, view.offset + t * view.tile_stride, view.strides, 0) for t in range(count + (rest > 0))
    ]
    shape = (*tensor.leading, lanes)
    found = [Tensor(shape, tensor.element, tile) for tile in tiles]
    if rest:
        last = Tensor((*tensor.leading, rest), tensor.element, tiles[-1])
        found[-1] = move_lanes(
            [last], len(shape) - 1, _filled(0, lanes, rest, kind), to, scratch(tensor.element, shape, to, chip), chip
        )
    return found


def _filled(first: int, count: int, width: int, kind: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`count` columns from `first` on; in place of those from `width` on none, which is zero, or the first of all."""
    columns = first + np.arange(count)
    return np.where(columns < width, columns, -1 if kind == "sum" else 0)


class _Reduction:
    """Combines tensors of one shape, with elements of type `element`."""

    def __init__(self, kind: str, element: Attribute, to: Buffers, chip: int):
        self.kind, self.element, self.to, self.chip = kind, element, to, chip

    def folded(self, tensors: Sequence[Tensor]) -> Tensor:
        """All of them combined, one after the other."""
        total = tensors[0]
        if len(tensors) == 1 and total.element != self.element:
            return self._map(tensors[:1], scratch(self.element, total.shape, self.to, self.chip))
        for tensor in tensors[1:]:
            total = self._map([total, tensor], scratch(self.element, total.shape, self.to, self.chip))
        return total

    def across(self, tensor: Tensor, destination: Destination) -> Tensor:
        """The columns of a tensor, at most those of a tile, combined."""
        width = tensor.columns
        half = (1 << (width - 1).bit_length()) // 2
        if not half:
            return move(tensor, self.to, destination, self.chip)
        while half:
            shape = (*tensor.leading, half)
            upper = move_lanes(
                [tensor],
                len(shape) - 1,
                _filled(half, half, width, self.kind),
                self.to,
                scratch(self.element, shape, self.to, self.chip),
                self.chip,
            )
            lower = Tensor(shape, tensor.element, tensor.source)
            target = destination if half == 1 else scratch(self.element, shape, self.to, self.chip)
            tensor = self._map([lower, upper], target)
            width, half = half, half // 2
        return tensor

    def _map(self, tensors: Sequence[Tensor], destination: Destination) -> Tensor:
        return emit_map(self._region([t.element for t in tensors]), tensors, self.to, destination, self.chip)

    def _region(self, elements: Sequence[Attribute]) -> Region:
        """The ALU region that widens one or two elements and combines two."""
        block = Block(arg_types=elements)
        values: list[SSAValue] = []
        for argument in block.args:
            if argument.type == self.element:
                values.append(argument)
                continue
            widened = arith.ExtSIOp(argument, cast(IntegerType, self.element))
            block.add_op(widened)
            values.append(widened.result)
        if len(values) == 2:
            kind = _COMBINE[self.kind][isinstance(self.element, Float16Type | Float32Type)]
            combined = kind.build(operands=values, result_types=[self.element])
            block.add_op(combined)
            values = [combined.results[0]]
        block.add_op(ts.YieldOp(values[0]))
        return Region(block)
