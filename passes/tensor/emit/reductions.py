"""Reductions and sums over windows on the ALUs: rows of a tensor joined by sums, maxima or minima.

Where the order is free, along one dimension at a time: its places are cut into as many runs as a map has operands,
which it joins place by place, until one place is left. Floating-point sums keep their order: a map adds a few rows to
the sum so far. Rows are read from copies of the tensor, since a slice gives one word a cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xdsl.dialects import arith
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import tiles
from ....dialects.tsp_tensor.types import is_float
from ....dialects.tsp_tensor.window import Window
from ..analysis.views import Pads, Rows, Shape, Stored, Tensor, indices, rows_of
from .buffers import WHOLE, Buffers, Destination, Unsupported, rows_layout, view_of
from .elementwise import Operand, copy_rows, emit_rows, scratch_like, separate_slices

JOIN = {
    ("sum", True): arith.AddfOp,
    ("sum", False): arith.AddiOp,
    ("max", True): arith.MaximumfOp,
    ("max", False): arith.MaxSIOp,
    ("min", True): arith.MinimumfOp,
    ("min", False): arith.MinSIOp,
}
"""The scalar op of a reduction, by its kind and whether it is of floating-point numbers."""


def ways(element: Attribute, to: Buffers) -> int:
    """The operands of a type that a map joins at a time."""
    return to.policy.joined_at_once(element_bytes(element))


MOST_TAPS = 1 << 13
"""Taps of a window that are added in order: every two take a map of their own."""


def join_region(kind: str, elements: Sequence[Attribute], to: Attribute) -> Region:
    """The ALU region that joins operands of these types to one of type `to`: sums of floats one after the other, others
    in pairs."""
    block = Block(arg_types=elements)
    join = JOIN[kind, is_float(to)]
    terms: list[SSAValue] = []
    for argument in block.args:
        terms.append(argument)
        if argument.type != to:
            block.add_op(wider := arith.ExtSIOp(argument, to))  # pyright: ignore[reportArgumentType]
            terms[-1] = wider.result
    while len(terms) > 1:
        count = 1 if kind == "sum" and is_float(to) else len(terms) // 2
        pairs = [join(terms[2 * i], terms[2 * i + 1]) for i in range(count)]
        block.add_ops(pairs)
        terms = [*(p.result for p in pairs), *terms[2 * count :]]
    block.add_op(ts.YieldOp(terms[0]))
    return Region(block)


def emit_reduce(
    kind: str, tensor: Tensor, axes: Sequence[int], to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """Emits the reduction of a tensor over leading axes. The result leaves them out, or keeps them with size 1."""
    element, shape = destination.type.element_type, tensor.shape
    kept = tuple(1 if d in axes else n for d, n in enumerate(shape))
    if kind == "sum" and is_float(element):
        source = with_copies(tensor, ways(element, to), to, chip)
        view = rows_of(source, shape, shape[:-1])
        starts = [
            view.offset + sum(i * view.steps[axis] for i, axis in zip(index, axes, strict=True))
            for index in indices(tuple(shape[axis] for axis in axes))
        ]
        steps = tuple(0 if d in axes else s for d, s in enumerate(view.steps))
        rows = [Rows(start, steps, view.tile_step) for start in starts]
        return emit_in_order(rows, source.buffer, kept, tensor, to, destination, chip)
    left = [axis for axis in axes if shape[axis] > 1] or [axes[0]]
    for axis in left:
        while True:
            size = tensor.shape[axis]
            # what has no copies is cut in halves, of which one is copied
            most = min(ways(tensor.element, to), 2 if to.policy.tight > 1 else to.policy.window_copies)
            last = axis == left[-1] and size <= most
            rest = -(-size // most) if size > most else 1
            smaller = (*tensor.shape[:axis], rest, *tensor.shape[axis + 1 :])
            between = (
                destination
                if last
                else scratch_like(Tensor(smaller, element, tensor.source), smaller, to, chip, ways(element, to))
            )
            tensor = _shrunk(kind, tensor, axis, smaller, to, between, chip)
            if rest == 1:
                break
    view = to.in_rows(tensor, chip).reshaped(tensor.shape, destination.shape)
    assert view is not None  # dimensions of size 1 are omitted
    return Tensor(destination.shape, element, view)


def _shrunk(
    kind: str, tensor: Tensor, axis: int, shape: Shape, to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """A tensor with fewer places along an axis, each of which joins several: place i those at i, i + n, i + 2n, ..."""
    element = destination.type.element_type
    source = with_copies(tensor, ways(tensor.element, to), to, chip)
    view = rows_of(source, tensor.shape, shape[:-1])
    stride = source.strides[axis]
    steps = (*view.steps[:axis], stride, *view.steps[axis + 1 :])
    place = destination.view
    if len(place.strides) != len(shape) - 1:
        opened = place.reshaped(destination.shape, shape)
        assert opened is not None  # dimensions of size 1 are put in
        place = opened
    out = rows_of(place, shape, shape[:-1])
    result = destination.make(WHOLE)
    size, count = tensor.shape[axis], shape[axis]
    full = size % count or count
    for first, number, joined in ((0, full, tiles(size, count)), (full, count - full, size // count)):
        if not number:
            continue
        operands = [
            Operand(source.buffer, Rows(view.offset + (first + i * count) * stride, steps, view.tile_step))
            for i in range(joined)
        ]
        target = Rows(out.offset + first * out.steps[axis], out.steps, out.tile_step)
        space = (*shape[:axis], number, *shape[axis + 1 : -1])
        region = join_region(kind, [tensor.element] * joined, element)
        numbers = range(tiles(shape[-1], to.chip.lanes))
        emit_rows(region, operands, Operand(result.buffer, target), space, numbers, element, to, chip)
    if len(result.strides) != len(shape) - 1:
        opened = result.reshaped(destination.shape, shape)
        assert opened is not None
        return Tensor(shape, element, opened)
    return Tensor(shape, element, result)


def emit_window_sum(tensor: Tensor, window: Window, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits the sums over a window that slides over images, tap by tap, row by row; padding is zero and takes part.

    Raises Unsupported for more taps than can be added one after the other.
    """
    if (taps := prod(window.kernel)) > MOST_TAPS:
        raise Unsupported(
            f"adds {taps} floating-point numbers one after the other, {taps - MOST_TAPS} more than {MOST_TAPS}; pool "
            "with a smaller window first, or reduce over the axes that the window spans"
        )
    n, height, width, channels = tensor.shape
    top, left, bottom, right = window.pads
    source = with_copies(
        tensor, ways(tensor.element, to), to, chip, ((0, 0), (top, bottom), (left, right)), windows=True
    )
    per_image, per_row, per_pixel = source.strides
    origin = source.offset - top * per_row - left * per_pixel
    steps = (per_image, per_row * window.strides[0], per_pixel * window.strides[1])
    rows = [
        Rows(
            origin + r * window.dilations[0] * per_row + c * window.dilations[1] * per_pixel,
            steps,
            source.tile_stride,
        )
        for r in range(window.kernel[0])
        for c in range(window.kernel[1])
    ]
    shape = (n, *window.places((height, width)), channels)
    return emit_in_order(rows, source.buffer, shape, tensor, to, destination, chip)


def emit_in_order(
    rows: Sequence[Rows],
    buffer: SSAValue,
    shape: Shape,
    tensor: Tensor,
    to: Buffers,
    destination: Destination,
    chip: int,
) -> Tensor:
    """Emits the sums of rows, each to a tensor of `shape`, one after the other."""
    element, space = destination.type.element_type, shape[:-1]
    numbers = range(tiles(shape[-1], to.chip.lanes))
    at_once = ways(element, to)
    total: Operand | None = None
    at = 0
    while True:
        most = min(at_once - (total is not None), to.copies_of(buffer))
        taken = rows[at : at + most]
        at += len(taken)
        end = at == len(rows)
        place = destination if end else scratch_like(Tensor(shape, element, tensor.source), shape, to, chip)
        view = place.view
        if len(view.strides) != len(space):
            opened = view.reshaped(place.shape, shape)
            assert opened is not None
            view = opened
        shown = rows_of(view, shape, space)
        made = place.make(separate_slices(shown, space, element))
        out = Operand(made.buffer, shown)
        operands = [*([total] if total else []), *(Operand(buffer, r) for r in taken)]
        types = [*([element] if total else []), *[tensor.element] * len(taken)]
        emit_rows(join_region("sum", types, element), operands, out, space, numbers, element, to, chip)
        if end:
            return Tensor(destination.shape, element, made)
        total = out


def with_copies(tensor: Tensor, copies: int, to: Buffers, chip: int, pads: Pads = (), windows: bool = False) -> Stored:
    """A tensor in as many copies as a map has operands of it, with zeros around it where `pads` asks for them.

    Windows let blocks of neighbouring rows be read side by side, so what the host places for them is cut into parts."""
    if not isinstance(tensor.source, Stored):
        layout = rows_layout(TensorType(tensor.element, tensor.shape), to.chip, pads)
        shown = rows_of(view_of(to.nowhere, layout, tensor.shape), tensor.shape, tensor.leading)
        parts = separate_slices(shown, tensor.leading, tensor.element) if windows else WHOLE
        return to.in_rows(tensor, chip, pads, parts, copies)
    if to.copies_of(tensor.source.buffer) >= copies and not any(map(any, pads)):
        return to.in_rows(tensor, chip)
    place = scratch_like(tensor, tensor.shape, to, chip, copies, pads)
    made = place.make(WHOLE)
    copy_rows(tensor, made, to, chip)
    return made
