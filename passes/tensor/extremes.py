"""Maxima and minima over the last dimension, whose order is free: 16 rows at a time, by the transposers.

The rows are dealt out to as many slices as a tile has lanes, and transposed: then the elements of a row that lay in one
tile lie in as many vectors, which ALUs combine. What is left is a vector for every group of rows, in which each tile
has a number for each of them; rotations of whole tiles combine these, and the permuter spreads each number over the
lanes of its row, where maps want it. A row so costs the permuter one vector for each byte, and a little for its
group.
"""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np
from xdsl.dialects.builtin import Float16Type, Float32Type, FloatAttr, IntegerAttr, IntegerType, TensorType, i8, i64
from xdsl.ir import Attribute, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects.elements import element_bytes
from ...dialects.layout import AccessPattern, rows, tiles
from .buffers import Buffers
from .elementwise import emit_map, in_turn, move
from .groups import group_buffer
from .lanes import move_lanes, scratch
from .padding import mask_region, ones
from .reducing import join_region
from .views import Rows, Stored, Tensor, join, rows_of

ORDERLESS = ("max", "min")


def worth_groups(kind: str, tensor: Tensor, to: Buffers) -> bool:
    """Whether there are rows enough for it, and slices for the vectors of a group, those to be turned beside those that
    are."""
    side, slices = to.chip.lanes_per_tile, 2 * to.chip.slices
    room = side * (1 + element_bytes(tensor.element)) <= slices and side <= min(to.chip.slices, to.chip.streams)
    return kind in ORDERLESS and prod(tensor.leading) >= side and room


def extremes(kind: str, tensor: Tensor, to: Buffers, chip: int) -> Tensor:
    """Emits the maxima or minima of rows [*leading, at most a tile of columns], [*leading, 1], and leaves each in all
    lanes."""
    side, leading = to.chip.lanes_per_tile, tensor.leading
    if tensor.columns % side:
        place = scratch(tensor.element, tensor.shape, to, chip)
        mask = mask_region(tensor.element, _neutral(kind, tensor.element))
        tensor = emit_map(mask, [ones(tensor.columns), tensor], to, place, chip)
    if _runs(tensor, to) is None:
        tensor = move(tensor, to, scratch(tensor.element, tensor.shape, to, chip), chip)
    across = tiles(tensor.columns, side)
    groups = tiles(prod(leading), side)
    found = _joined_tiles(kind, _turned(_dealt(tensor, to, chip), groups, tensor.element, to, chip), groups, to, chip)
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


def _runs(tensor: Tensor, to: Buffers) -> tuple[tuple[int, ...], Rows] | None:
    """The rows as a space with few dimensions, of which groups of neighbours can be taken; None where they cross."""
    shown = rows_of(to.planned_rows(tensor), tensor.shape, tensor.leading)
    space, (joined,) = join(tensor.leading, [shown])
    fits = len(space) == 1 or space[-1] % to.chip.lanes_per_tile == 0
    return (space, joined) if fits else None


def _dealt(tensor: Tensor, to: Buffers, chip: int) -> SSAValue:
    """The rows of each group side by side, byte by byte; rows that the last group does not have are any."""
    runs = _runs(tensor, to)
    assert runs is not None
    (*outer, size), shown = runs
    buffer, side = to.in_rows(tensor, chip).buffer, to.chip.lanes_per_tile
    bytes_ = element_bytes(tensor.element)
    groups = tiles(size, side)
    total = prod(outer) * groups
    result = group_buffer(bytes_ * total, to, chip)
    *outer_steps, step = shown.steps
    levels = tuple(zip(reversed(outer), reversed(outer_steps), strict=True))
    for byte in range(bytes_):
        for number in range(side):
            there = tiles(size - number, side) if number < size else 0
            for first, count, row in ((0, there, number), (there, groups - there, 0)):
                if count:
                    read = AccessPattern(shown.offset + row * step, ((count, side * step), *levels))
                    write = AccessPattern(byte * total + first, ((count, 1), (prod(outer), groups)))
                    copy = to.copy_for(buffer, number)
                    to.write(to.read(buffer, read, chip, copy=copy, byte=byte), result, write, chip, number)
    return result


def _turned(dealt: SSAValue, groups: int, element: Attribute, to: Buffers, chip: int) -> SSAValue:
    """The groups transposed: vector i of all of them, in slices of its own, then vector i + 1."""
    side, size = to.chip.lanes_per_tile, element_bytes(element)
    type_ = TensorType[Attribute](element, [side * groups, to.chip.lanes])
    layout = rows(type_.get_shape(), size, to.chip.lanes)
    parts = [(i * groups, i) for i in range(side)]
    result = to.make("scratch", "", type_, layout, chip, parts=parts)
    for byte in range(size):
        vectors = to.read(dealt, AccessPattern.run(byte * groups, groups), chip)
        properties = {"chip": IntegerAttr(chip, i64)}
        turned = to.add(ts.TransposeOp.build(operands=[vectors], result_types=[vectors.type], properties=properties))
        one = ts.StreamType.of((groups, to.chip.lanes), i8)
        for i in range(side):
            index = {"index": IntegerAttr(i, i64), "chip": IntegerAttr(chip, i64)}
            part = to.add(ts.PartOp.build(operands=[turned], result_types=[one], properties=index))
            to.write(part, result, AccessPattern.run(i * groups, groups), chip, byte)
    return result


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
