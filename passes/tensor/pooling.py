"""Maxima over windows on the ALUs, first along the columns of images, then along their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import Float16Type, Float32Type, FloatAttr, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects import tsp_tensor
from ...dialects.elements import element_bytes
from ...dialects.layout import tiles
from .buffers import Buffers, Destination
from .demand import MOST_COPIES, SIDE_BY_SIDE
from .elementwise import Operand, emit_rows, parts_of, scratch_like
from .joining import constant, fill
from .views import Rows, Tensor, blocks, rows_of

DestinationOf = Callable[[SSAValue, int], Destination]


def emit_pool(op: tsp_tensor.PoolOp, tensor: Tensor, to: Buffers, destination: DestinationOf, chip: int) -> Tensor:
    """Emits the maxima over a window that slides over images."""
    window = op.window
    n, height, width, channels = tensor.shape
    places = window.places((height, width))
    top, left, _, _ = window.pads

    def largest(count: int) -> Region:
        return max_region(tensor.element, count)

    along = Taps(window.kernel[1], window.strides[1], window.dilations[1], left, places[1])
    down = Taps(window.kernel[0], window.strides[0], window.dilations[0], top, places[0])
    copies = min(down.count, MOST_COPIES)
    between = scratch_like(tensor, (n, height, places[1], channels), to, chip, copies)
    rows = emit_window_max(largest, tensor, 2, along, to, between, chip)
    return emit_window_max(largest, rows, 1, down, to, destination(op.result, chip), chip)


def max_region(element: Attribute, count: int) -> Region:
    """The ALU region of the maximum of `count` operands, as a tree."""
    kind = arith.MaximumfOp if isinstance(element, Float16Type | Float32Type) else arith.MaxSIOp
    block = Block(arg_types=[element] * count)
    terms: list[SSAValue] = list(block.args)
    while len(terms) > 1:
        pairs = [kind(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        block.add_ops(pairs)
        terms = [*(p.result for p in pairs), *terms[len(pairs) * 2 :]]
    block.add_op(ts.YieldOp(terms[0]))
    return Region(block)


def lowest(element: Attribute) -> IntegerAttr | FloatAttr:
    """The least number of an element type."""
    if isinstance(element, Float16Type | Float32Type):
        return FloatAttr(float("-inf"), element)
    return IntegerAttr(-1 << (8 * element_bytes(element) - 1), cast(IntegerType, element))


def emit_window_max(
    region_of: RegionOf, tensor: Tensor, axis: int, taps: Taps, to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """Emits the maximum over a window that slides along one leading dimension of a tensor.

    Padding never wins: taps that lie outside are left out, and where all do, the result is the lowest number.
    """
    source = to.in_rows(tensor, chip)
    shape = destination.shape
    space = shape[:-1]
    size = tensor.shape[axis]
    shown = rows_of(source, (*tensor.shape[:axis], shape[axis], *tensor.shape[axis + 1 :]), space)
    stride = source.strides[axis]
    out = rows_of(destination.view, shape, space)
    groups = max(1, SIDE_BY_SIDE // element_bytes(tensor.element))  # of slices, each with its copies
    result = destination.make(parts_of((out.pattern(b), i) for i, b in enumerate(blocks(space, 1 << 30, groups))))
    tile_numbers = range(tiles(tensor.columns, to.chip.lanes))
    for first, count in taps.runs(size):
        part = (*space[:axis], count, *space[axis + 1 :])
        places = [at for at in taps.at(first) if 0 <= at < size]
        target = Rows(out.offset + first * out.steps[axis], out.steps, out.tile_step)
        if not places:
            alone = replace(result, offset=target.offset)
            fill(constant(lowest(tensor.element), to, chip), alone, (*part, shape[-1]), to, chip)
            continue
        steps = (*shown.steps[:axis], stride * taps.stride if count > 1 else 0, *shown.steps[axis + 1 :])
        operands = [Operand(source.buffer, Rows(shown.offset + at * stride, steps, shown.tile_step)) for at in places]
        emit_rows(
            region_of(len(operands)),
            operands,
            Operand(result.buffer, target),
            part,
            tile_numbers,
            tensor.element,
            to,
            chip,
        )
    return Tensor(shape, tensor.element, result)


RegionOf = Callable[[int], Region]
"""Gives the ALU region of the maximum of so many operands."""


@dataclass(frozen=True)
class Taps:
    """The taps of a window along one dimension."""

    count: int
    stride: int
    dilation: int
    before: int
    """Places of padding before the first element."""
    places: int
    """Places of the window."""

    def at(self, place: int) -> list[int]:
        """The elements of the taps at a place of the window; some may lie outside."""
        return [place * self.stride - self.before + i * self.dilation for i in range(self.count)]

    def runs(self, size: int) -> list[tuple[int, int]]:
        """The places as runs (first, count): those whose taps all lie inside in one, the others alone."""
        inside = [p for p in range(self.places) if self.at(p)[0] >= 0 and self.at(p)[-1] < size]
        alone = [(p, 1) for p in range(self.places) if p not in {*inside}]
        return ([(inside[0], len(inside))] if inside else []) + alone
