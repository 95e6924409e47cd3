"""Sums, maxima and minima over the last dimension, and over others with it, in the order of docs/numerics.md.

First come the other axes (reducing.py), then the tiles of columns, one after the other. What is left in the lanes of a
word is halved until one lane has all: the upper half comes down through the permuter, and an ALU combines it with the
lower one. So of w columns a row takes ceil(log2 w) times a vector of the permuter for each byte of the element, and as
many of an ALU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.ir import Attribute

from .buffers import Buffers, Destination
from .elementwise import emit_map, move
from .extremes import extremes, worth_groups
from .lanes import Numbers, move_lanes, reshaped, scratch
from .reducing import emit_reduce, join_region
from .views import Stored, Tensor


def reduce_columns(
    kind: str, tensor: Tensor, axes: Sequence[int], to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """Emits a reduction whose axes include the last one, and gives the result."""
    kept = tuple(1 if d in axes else n for d, n in enumerate(tensor.shape))
    element, leading = destination.type.element_type, [d for d in axes if d != len(tensor.shape) - 1]
    if leading:
        between = scratch(element, (*kept[:-1], tensor.columns), to, chip)
        tensor = emit_reduce(kind, tensor, leading, to, between, chip)
    reduction = _Reduction(kind, element, to, chip)
    total = reduction.folded(_tiles(tensor, kind, to, chip))
    if worth_groups(kind, total, to):
        found = extremes(kind, total, to, chip)
        if destination.shape != kept:
            return reshaped(found, to, destination, chip)
        return found if destination.kind == "scratch" else move(found, to, destination, chip)
    if destination.shape == kept:
        return reduction.across(total, destination)
    return reshaped(reduction.across(total, scratch(element, kept, to, chip)), to, destination, chip)


def _tiles(tensor: Tensor, kind: str, to: Buffers, chip: int) -> list[Tensor]:
    """The tiles of a tensor; the last filled up with zeros, or with what is there where that changes nothing."""
    lanes = to.chip.lanes
    count, rest = divmod(tensor.columns, lanes)
    if count == 0:
        return [tensor]
    view = to.in_rows(tensor, chip)
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


def _filled(first: int, count: int, width: int, kind: str) -> Numbers:
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
        region = join_region(self.kind, [t.element for t in tensors], self.element)
        return emit_map(region, tensors, self.to, destination, self.chip)
