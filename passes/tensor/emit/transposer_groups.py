"""Groups of vectors that a transposer turns at once: in SRAM they lie side by side, one in each of as many slices."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import IntegerAttr, TensorType, i8, i64
from xdsl.ir import Attribute, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, Axis, Layout, rows, tiles
from ..analysis.views import Rows, Tensor, join, rows_of
from .buffers import Buffers


def group_buffer(words: int, to: Buffers, chip: int) -> SSAValue:
    """A buffer of bytes, as many vectors side by side as a transposer turns at once."""
    side, lanes = to.chip.lanes_per_tile, to.chip.lanes
    layout = Layout((Axis.of(words, 0, side),), (Axis.of(side, 0),), (Axis.of(lanes, 1),))
    return to.make("scratch", "", TensorType[Attribute](i8, [words * side, lanes]), layout, chip)


def room_for_groups(bytes_: int, to: Buffers) -> bool:
    """Whether there are streams and slices for the vectors of a group of elements of so many bytes: a byte of them
    before they are turned, and all behind."""
    side, chip = to.chip.lanes_per_tile, to.chip
    return side <= min(chip.streams, chip.slices) and side * (1 + bytes_) <= 2 * chip.slices


def runs_of(tensor: Tensor, to: Buffers) -> tuple[tuple[int, ...], Rows] | None:
    """The rows as a space with few dimensions, of which groups of neighbours can be taken; None where they cross."""
    shown = rows_of(to.planned_rows(tensor), tensor.shape, tensor.leading)
    space, (joined,) = join(tensor.leading, [shown])
    fits = len(space) == 1 or space[-1] % to.chip.lanes_per_tile == 0
    return (space, joined) if fits else None


def distributed_rows(tensor: Tensor, to: Buffers, chip: int) -> SSAValue:
    """The rows of each group side by side, byte by byte; rows that the last group does not have are any."""
    runs = runs_of(tensor, to)
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


def turned_groups(distributed: SSAValue, groups: int, element: Attribute, to: Buffers, chip: int) -> SSAValue:
    """The groups transposed: vector i of all of them, in slices of its own, then vector i + 1."""
    side, size = to.chip.lanes_per_tile, element_bytes(element)
    type_ = TensorType[Attribute](element, [side * groups, to.chip.lanes])
    layout = rows(type_.get_shape(), size, to.chip.lanes)
    parts = [(i * groups, i) for i in range(side)]
    result = to.make("scratch", "", type_, layout, chip, parts=parts)
    for byte in range(size):
        vectors = to.read(distributed, AccessPattern.run(byte * groups, groups), chip)
        properties = {"chip": IntegerAttr(chip, i64)}
        turned = to.add(ts.TransposeOp.build(operands=[vectors], result_types=[vectors.type], properties=properties))
        one = ts.StreamType.of((groups, to.chip.lanes), i8)
        for i in range(side):
            index = {"index": IntegerAttr(i, i64), "chip": IntegerAttr(chip, i64)}
            part = to.add(ts.PartOp.build(operands=[turned], result_types=[one], properties=index))
            to.write(part, result, AccessPattern.run(i * groups, groups), chip, byte)
    return result
