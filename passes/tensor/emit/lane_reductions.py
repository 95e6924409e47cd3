"""Sums, maxima and minima over the last dimension, and over others with it, in the order of docs/numerics.md.

First come the other axes (reductions.py), then the tiles of columns, one after the other. Then the lanes of a word are
halved until one lane has all: the upper half comes down through the permuter, and an ALU combines it with the
lower one. With few rows several halvings are one step, with a part of the columns for each operand of a map; so of w
columns a row takes at most ceil(log2 w) trips through permuter and ALU.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ..analysis.views import Stored, Tensor
from .buffers import Buffers, Destination
from .elementwise import emit_map, move
from .extremes import extremes, worth_groups
from .lanes import Numbers, move_lanes, reshaped, scratch
from .reductions import JOIN, emit_reduce, is_float, join_region


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


def halving_region(kind: str, element: Attribute, count: int) -> Region:
    """The ALU region that joins the second half of its operands to the first until one is left; of a power of two."""
    block = Block(arg_types=[element] * count)
    terms: list[SSAValue] = list(block.args)
    while len(terms) > 1:
        half = len(terms) // 2
        joins = [JOIN[kind, is_float(element)](a, b) for a, b in zip(terms[:half], terms[half:], strict=True)]
        block.add_ops(joins)
        terms = [join.result for join in joins]
    block.add_op(ts.YieldOp(terms[0]))
    return Region(block)


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
        size = 1 << (width - 1).bit_length()
        if size == 1:
            return move(tensor, self.to, destination, self.chip)
        while size > 1:
            count = min(size, self._parts(prod(tensor.leading)))
            size //= count
            shape = (*tensor.leading, size)
            others = [
                move_lanes(
                    [tensor],
                    len(shape) - 1,
                    _filled(part * size, size, width, self.kind),
                    self.to,
                    scratch(self.element, shape, self.to, self.chip),
                    self.chip,
                )
                for part in range(1, count)
            ]
            first = Tensor(shape, tensor.element, tensor.source)
            target = destination if size == 1 else scratch(self.element, shape, self.to, self.chip)
            region = halving_region(self.kind, self.element, count)
            tensor, width = emit_map(region, [first, *others], self.to, target, self.chip), size
        return tensor

    def _parts(self, rows: int) -> int:
        """Into how many parts the columns of so many rows are cut at a time, a power of two: with more there are fewer
        trips to the permuters and back, but more vectors pass them. A map has them all as operands."""
        size = element_bytes(self.element)
        policy, chip = self.to.policy, self.to.chip
        most = min(chip.streams // 2 // size, chip.alus + 1).bit_length() - 1
        vectors = rows * size / 2  # there are two permuters
        halvings = min(range(1, max(most, 1) + 1), key=lambda n: (vectors * ((1 << n) - 1) + policy.permute_cycles) / n)
        return 1 << min(halvings, policy.most_halvings)

    def _map(self, tensors: Sequence[Tensor], destination: Destination) -> Tensor:
        region = join_region(self.kind, [t.element for t in tensors], self.element)
        return emit_map(region, tensors, self.to, destination, self.chip)
