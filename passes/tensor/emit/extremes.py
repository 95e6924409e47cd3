"""Maxima and minima over the last dimension, whose order is free: 16 rows at a time, by the transposers.

The rows are distributed to as many slices as a tile has lanes, and transposed: then the elements of a row in one tile
lie in as many vectors, which ALUs combine. The result is a vector for every group of rows, in which each tile
has a number for each of them; rotations of whole tiles combine these, and the permuter spreads each number over the
lanes of its row, where maps want it. So a row costs the permuter one vector for each byte, and a little for its
group.
"""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np
from xdsl.dialects.builtin import Float16Type, Float32Type, FloatAttr, IntegerAttr, IntegerType, TensorType, i64
from xdsl.ir import Attribute, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, rows, tiles
from ..analysis.views import Stored, Tensor
from .buffers import Buffers
from .elementwise import emit_map, in_turn, move
from .lanes import move_lanes, scratch
from .padding import mask_region, ones
from .reductions import join_region
from .transposer_groups import distributed_rows, room_for_groups, runs_of, turned_groups

ORDERLESS = ("max", "min")


def worth_groups(kind: str, tensor: Tensor, to: Buffers) -> bool:
    """Whether there are rows and room enough for it."""
    enough = prod(tensor.leading) >= to.chip.lanes_per_tile
    return kind in ORDERLESS and enough and room_for_groups(element_bytes(tensor.element), to)


def extremes(kind: str, tensor: Tensor, to: Buffers, chip: int) -> Tensor:
    """Emits the maxima or minima of rows [*leading, at most a tile of columns], [*leading, 1], and leaves each in all
    lanes."""
    side, leading = to.chip.lanes_per_tile, tensor.leading
    if tensor.columns % side:
        place = scratch(tensor.element, tensor.shape, to, chip)
        mask = mask_region(tensor.element, _neutral(kind, tensor.element))
        tensor = emit_map(mask, [ones(tensor.columns), tensor], to, place, chip)
    if runs_of(tensor, to) is None:
        tensor = move(tensor, to, scratch(tensor.element, tensor.shape, to, chip), chip)
    across = tiles(tensor.columns, side)
    groups = tiles(prod(leading), side)
    found = _joined_tiles(
        kind, turned_groups(distributed_rows(tensor, to, chip), groups, tensor.element, to, chip), groups, to, chip
    )
    total = Tensor((groups, across * side), tensor.element, found)
    have = 1
    while have < across:
        step = min(have, across - have)
        taken = (np.arange(across)[:, None] + step) % across * side + np.arange(side)
        moved = move_lanes([total], 1, taken.reshape(-1), to, scratch(tensor.element, total.shape, to, chip), chip)
        region = join_region(kind, [tensor.element] * 2, tensor.element)
        total = emit_map(region, [total, moved], to, scratch(tensor.element, total.shape, to, chip), chip)
        have += step
    everywhere = np.repeat(np.arange(side)[:, None], to.chip.lanes, axis=1)
    place = scratch(tensor.element, (groups, *everywhere.shape), to, chip)
    wide = to.in_rows(move_lanes([total], 1, everywhere, to, place, chip, in_turn(place)), chip)
    to.note_repeated(wide.buffer)
    strides = tuple(prod(leading[d + 1 :]) for d in range(len(leading)))
    return Tensor((*leading, 1), tensor.element, Stored(wide.buffer, wide.offset, strides, 0))


def _neutral(kind: str, element: Attribute) -> FloatAttr | IntegerAttr:
    """What changes no maximum or minimum."""
    sign = -1 if kind == "max" else 1
    if isinstance(element, Float16Type | Float32Type):
        return FloatAttr(sign * float("inf"), element)
    limit = 1 << (cast(IntegerType, element).width.data - 1)
    return IntegerAttr(-limit if kind == "max" else limit - 1, cast(IntegerType, element))


def _joined_tiles(kind: str, turned: SSAValue, groups: int, to: Buffers, chip: int) -> Stored:
    """The vectors of each group combined."""
    element = cast(ts.BufferType, turned.type).tensor.element_type
    lanes, count = to.chip.lanes, to.chip.lanes_per_tile
    most = max(2, min(to.chip.streams // 2 // element_bytes(element), to.chip.alus + 1))
    while True:
        left = tiles(count, most)
        type_ = TensorType[Attribute](element, [left * groups, lanes])
        layout = rows(type_.get_shape(), element_bytes(element), lanes)
        result = to.make("scratch", "", type_, layout, chip, parts=[(i * groups, i) for i in range(left)])
        for i in range(left):
            taken = range(i * most, min(count, (i + 1) * most))
            streams = [to.read(turned, AccessPattern.run(v * groups, groups), chip) for v in taken]
            vxm = ts.VxmOp.build(
                operands=[streams],
                result_types=[ts.StreamType.of((groups, lanes), element)],
                regions=[join_region(kind, [element] * len(streams), element)],
                properties={"chip": IntegerAttr(chip, i64)},
            )
            to.write(to.add(vxm), result, AccessPattern.run(i * groups, groups), chip)
        if left == 1:
            return Stored(result, 0, (1,), 0)
        turned, count = result, left
