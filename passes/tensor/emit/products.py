"""Products in normal form: matrix products, convolutions and sums as rows of activations that meet weights.

Plain descriptions; contraction.py emits them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType, i8, i32
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects import tsp_tensor
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import BYTE, Axis, Groups, Layout, rows, tiles
from ....dialects.tsp_tensor.window import Window
from ...stream.analysis.alu_levels import alus_of
from ...stream.analysis.timing import streams_of
from ..analysis.views import Named, Pads, Rows, Shape, Stored, Tensor, join, rows_of
from .buffers import Buffers, Unsupported
from .column_views import ColumnView
from .lanes import scratch, transposed
from .units import Beside, Cost, Division, divide


@dataclass(frozen=True)
class Product:
    """A product in normal form: `space` rows of activations, `passes` runs of them, and a stationary operand."""

    space: Shape
    """The rows of the result."""
    columns: int
    """Columns of the result."""
    element: Attribute
    """i8 or f16."""
    activations: Tensor
    act_layout: Layout | None
    """The layout in which the host places the activations; None for computed ones."""
    act_rows: Rows
    """The words of the first pass."""
    passes: tuple[tuple[int, int], ...]
    """(count, words) of each level of passes, the innermost first."""
    stationary: Named | Stored
    taps: Shape
    """The leading dimensions of the stationary operand [*taps, k, n]."""
    k: int
    """Rows of the stationary operand that meet one vector of all tiles."""
    chip: int
    swapped: bool = False
    """Whether it computes the transpose of the result."""
    groups: Groups | None = None
    """The groups of channels, each of which meets weights of its own."""
    repeats: bool = False
    """Whether all passes and tiles meet the same weights: ones on the diagonal."""
    tile_moves: int = 0
    """Words by which the activations move from one tile of the result to the next."""
    one_of_many: bool = False
    """Whether its result is part of a tensor, so that its rows are not distributed to slices for each plane."""
    stack: Shape = ()
    """The leading dimensions of a stack of products, each with one tile of columns and matrices of its own: tiles of
    the result are those of one after the other."""
    heads_in_words: tuple[int, int] | None = None
    """Of a stack whose weights lie in columns of common words: how many matrices a word holds, and how many of them
    come before the first. The columns of the result lie in the same lanes."""
    repeated: bool = False
    """Whether the single column of the weights lies in all lanes, and so does that of the result."""

    @property
    def pass_count(self) -> int:
        return prod(n for n, _ in self.passes)

    def tiles(self, lanes: int) -> int:
        """The tiles of columns of the result."""
        return prod(self.stack) if self.stack else tiles(self.columns, lanes)

    def rows_of(self, view: Stored, shape: Shape) -> Rows | None:
        """How a tensor that broadcasts to the result shows itself to the space of rows, and tile by tile; None where
        it does not do so in equal steps."""
        if not self.stack:
            return rows_of(view, shape, self.space)
        whole = rows_of(view, shape, (*self.stack, *self.space))
        outer = len(self.stack)
        space, (stacked,) = join(self.stack, [replace(whole, steps=whole.steps[:outer])])
        return Rows(whole.offset, whole.steps[outer:], stacked.steps[0]) if len(space) == 1 else None

    def cost(self, to: Buffers) -> Cost:
        size = element_bytes(self.element)
        groups = tiles(min(self.k, to.chip.lanes), to.chip.weight_streams)
        one_level = sum(n > 1 for n, _ in self.passes) <= 1
        # computed weights would be distributed once more for each plane that shares the passes
        divisible = self.element == i8 and one_level and not self.repeats and isinstance(self.stationary, Named)
        load, chip = groups * size, to.chip
        turns = chip.weight_streams + size > chip.streams and self.pass_count > 1 and not self.repeats
        pause = max(load + chip.latency_install + 2, to.policy.pause) if turns else 0
        named = isinstance(self.activations.source, Named)
        beside = Beside(chip.streams, chip.weight_streams, chip.latency_install, chip.planes, named)
        return Cost(
            self.pass_count,
            size,
            load,
            chip.accumulators,
            divisible,
            self.repeats,
            pause,
            beside if divisible else None,
        )

    def divide(
        self, space: Shape, to: Buffers, epilogue: Epilogue | None = None, result: int = ts.SUM_BYTES
    ) -> Division:
        """Its units, if its rows are walked along as `space` and its result is written to so many slices."""
        planes, streams = self.planes(to), to.chip.streams
        cost = self.cost(to)
        most = [len(planes) // 2]
        """How many planes can share a unit by its rows, for one reason after the other."""
        if cost.passes > 1 and not cost.pause:
            most.append((streams - to.chip.weight_streams) // cost.every)  # rows of all beside the weights
        if self.one_of_many:
            most.append(1)  # they write at the same time
        if epilogue is not None:
            cost = replace(cost, alus=alus_of(epilogue.region), all_alus=to.chip.alus)
            wide = sum(element_bytes(t.element) for t in epilogue.operands if t is not None) + ts.SUM_BYTES
            most += [to.chip.alus // max(1, cost.alus), streams // wide]
            stored = [t.source.buffer for t in epilogue.operands if t is not None and isinstance(t.source, Stored)]
            most += [to.copies_of(buffer) for buffer in stored]  # they read its operands at the same time
        source = self.activations.source
        if isinstance(source, Stored) or to.policy.tight:
            copies = to.copies_of(source.buffer) if isinstance(source, Stored) else 1
            most.append(copies)  # they read them at the same time
            # those that share it by its passes, too, but of one copy each hemisphere takes few rows after the other
            if copies < len(planes) and (copies < len(planes) // 2 or prod(space) > to.policy.between):
                cost = replace(cost, divisible=False)
        if cost.divisible and not self._sums_meet(prod(space) * cost.every, to, epilogue, result):
            cost = replace(cost, divisible=False)
        return divide(space, self.tiles(to.chip.lanes), len(planes), max(1, min(most)), cost)

    def _sums_meet(self, cycles: int, to: Buffers, epilogue: Epilogue | None, result: int) -> bool:
        """Whether planes can share the passes of a unit, the sums of which take so many cycles: whether there are
        streams for the weights of those of a hemisphere, and ALUs, streams and slices for what meets behind them."""
        chip, planes, half = to.chip, len(self.planes(to)), len(self.planes(to)) // 2
        weights = half * chip.weight_streams
        if weights > chip.streams or (weights + half > chip.streams and planes & (planes - 1)):
            return False  # of another number the tree of sums takes some later, and these planes keep no step
        region, others = None, list[Tensor]()
        where = 0
        if epilogue is not None:
            region, where = epilogue.region.clone(), epilogue.operands.index(None)
            others = [t for t in epilogue.operands if t is not None]
        region = summing_region(region, where, [i32] * planes)
        wide = [element_bytes(t.element) for t in others]
        if alus_of(region) > chip.alus or streams_of(region, cycles, chip) + max(wide, default=0) > 2 * chip.streams:
            return False
        # each buffer lies in one hemisphere, whichever has room for it beside the weights and the activations
        source = self.activations.source
        copies = (to.copies_of(source.buffer), 0) if isinstance(source, Stored) else (half, half)
        room = [chip.slices - half * chip.weight_streams - element_bytes(self.element) * n for n in copies]
        stored = [t.source if isinstance(t.source, Stored) else None for t in others]
        wide = [w if s is None else w * to.copies_of(s.buffer) for w, s in zip(wide, stored, strict=True)]
        wide.append(result)
        return all(sum(wide) - w < sum(max(0, r - w + 1) for r in room) for w in wide)

    def planes(self, to: Buffers) -> list[int]:
        """The planes that can work on it: pairs, by their first, for two bytes. Raises Unsupported."""
        size = element_bytes(self.element)
        able = [p for p in range(to.chip.planes) if size == 1 or to.chip.paired_plane(p) is not None]
        if not able:
            raise Unsupported("multiplies f16, which takes a pair of planes, and a hemisphere has one; use i8")
        return able


@dataclass(frozen=True)
class Epilogue:
    """The map through which the sums go: its ALU region, and its operands, with None for the sums."""

    region: Region
    operands: tuple[Tensor | None, ...]


def summing_region(region: Region | None, where: int, sums: list[Attribute]) -> Region:
    """A region whose argument `where` becomes the sum of several, where it is used; without one it yields that sum."""
    if region is None:
        region = Region(Block(arg_types=[sums[0]]))
        region.block.add_op(ts.YieldOp(region.block.args[0]))
    block = region.block
    argument = block.args[where]
    used = argument.uses.get_length() > 0
    terms: list[SSAValue] = [argument]
    terms += [block.insert_arg(type_, where + 1 + i) for i, type_ in enumerate(sums[1:])]
    adds: list[arith.AddiOp] = []
    while used and len(terms) > 1:  # a tree, so that few delays are needed
        pairs = [arith.AddiOp(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        adds += pairs
        terms = [*(p.result for p in pairs), *terms[len(pairs) * 2 :]]
    if adds:
        argument.replace_uses_with_if(terms[0], lambda use: use.operation not in adds)
        first = block.first_op
        assert first is not None
        block.insert_ops_before(adds, first)
    return region


def matmul_product(
    op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: Tensor, leading: Shape, to: Buffers, chip: int
) -> Product:
    """The normal form of a matrix product [..., M, K] by [K, N] with rows `leading`, of all of the result or of a
    matrix of it. Raises Unsupported."""
    if op.transpose_lhs:
        lhs = turned(lhs, to, chip)
    if op.transpose_rhs:
        rhs = turned(rhs, to, chip)
    right = rhs.source
    if isinstance(right, Named):
        right = replace(right, dims=right.dims[-2:])
    else:
        right = replace(right, strides=right.strides[-1:])
    *space, k = lhs.shape
    n = rhs.shape[-1]
    straight = row_product(lhs, right, leading, k, n, to, chip)
    if n == 1 and isinstance(right, Named):
        return replace(straight, repeated=True)
    returned_once = [use.operation.name for use in op.result.uses] == ["func.return"]
    whole = len(leading) == 1 and leading == op.result.type.get_shape()[:-1]
    if isinstance(lhs.source, Named) and isinstance(right, Named) and returned_once and whole:
        acts = Tensor((n, k), rhs.element, right.transposed((1, 0)))
        swapped = row_product(acts, lhs.source.transposed((1, 0)), (n,), k, space[0], to, chip)
        if longest(swapped, to) < longest(straight, to):
            return replace(swapped, swapped=True)
    return straight


def stacked_product(op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: Tensor, to: Buffers, chip: int) -> Product | None:
    """The normal form of a stack of products of one tile of columns each; None where its matrices do not follow each
    other in equal steps, and then nothing is emitted."""
    left = _turned_view(lhs, to, chip) if op.transpose_lhs else lhs
    right = _turned_view(rhs, to, chip) if op.transpose_rhs else rhs
    if _stack(op, replace(left, source=to.planned_rows(left)), right, to, chip) is None:
        return None
    lhs = turned(lhs, to, chip) if op.transpose_lhs else lhs
    rhs = turned(rhs, to, chip) if op.transpose_rhs else rhs
    lhs = replace(lhs, source=to.in_rows(lhs, chip))
    if isinstance(rhs.source, Stored):
        rhs = replace(rhs, source=to.in_rows(rhs, chip))
    return _stack(op, lhs, rhs, to, chip)


def _stack(op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: Tensor, to: Buffers, chip: int) -> Product | None:
    """The stack of products of matrices that are turned already, the left ones in rows; None where there is none."""
    *stack, rows_, n = op.result.type.get_shape()
    if n > to.chip.lanes:
        return None
    k, left, right = rhs.shape[-2], lhs.source, rhs.source
    assert isinstance(left, Stored)
    if isinstance(right, Named) and rhs.shape[:-2] != (prod(stack),):
        return None
    passes = ((tiles(k, to.chip.lanes), left.tile_stride),)
    product = Product(
        (rows_,), n, lhs.element, lhs, None, Rows(0, (), 0), passes, right, (), k, chip, stack=tuple(stack)
    )
    shown = product.rows_of(left, lhs.shape)
    if isinstance(right, Stored):
        matrices = replace(product, space=(k,)).rows_of(right, rhs.shape)
        if matrices is None:
            return None
        right = Stored(right.buffer, right.offset, right.strides[-1:], matrices.tile_step)
    return shown and replace(product, act_rows=shown, stationary=right, tile_moves=shown.tile_step)


def column_view_product(
    op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: ColumnView, to: Buffers, chip: int
) -> Product | None:
    """The normal form of a stack of products whose weights lie in columns of common words; None if it is not that, and
    then nothing is emitted."""
    lanes = to.chip.lanes
    *stack, _, n = rhs.shape
    if op.transpose_rhs or op.result.type.get_shape()[:-2] != (*stack,) or len(stack) != 1 or rhs.column % n:
        return None
    if rhs.columns != (n, 0) or rhs.words[0] or lanes % n:
        return None
    rows_ = replace(rhs.source, strides=(0, rhs.words[1]), tile_stride=0)
    product = stacked_product(op, lhs, Tensor(rhs.shape, rhs.element, rows_), to, chip)
    if product is None:
        return None
    first, before = divmod(rhs.column // n, lanes // n)
    stationary = Stored(
        rhs.source.buffer,
        rhs.source.offset + first * rhs.source.tile_stride,
        (rhs.words[1],),
        rhs.source.tile_stride,
    )
    return replace(product, stationary=stationary, heads_in_words=(lanes // n, before))


def turned(tensor: Tensor, to: Buffers, chip: int) -> Tensor:
    """Matrices transposed: a view of what the host places, a computed tensor in a buffer of its own."""
    view = _turned_view(tensor, to, chip)
    if isinstance(view.source, Named):
        return view
    return transposed(tensor, _turn(tensor), to, scratch(tensor.element, view.shape, to, chip), chip)


def _turned_view(tensor: Tensor, to: Buffers, chip: int) -> Tensor:
    """What `turned` gives, before anything is emitted for it: of a computed tensor without the buffer."""
    order = _turn(tensor)
    shape = tuple(tensor.shape[d] for d in order)
    if isinstance(tensor.source, Named):
        return Tensor(shape, tensor.element, tensor.source.transposed(order))
    return Tensor(shape, tensor.element, scratch(tensor.element, shape, to, chip).view)


def _turn(tensor: Tensor) -> Shape:
    """The order of dimensions that exchanges the last two."""
    *batch, rows_, columns = range(len(tensor.shape))
    return (*batch, columns, rows_)


def conv_product(op: tsp_tensor.ConvOp, images: Tensor, kernel: Tensor, to: Buffers, chip: int) -> Product:
    """The normal form of a convolution: rows of pixels, moved tap by tap. Raises Unsupported."""
    window, groups, lanes = op.window, op.groups.value.data, to.chip.lanes
    n, height, width, channels = images.shape
    rows_, columns = window.places((height, width))
    taps, space = window.kernel, (n, rows_, columns)
    outputs = kernel.shape[3]
    source = images.source
    depth = taps[0] * taps[1] * channels
    few = channels < depth <= lanes and groups == 1 and images.element == i8
    if isinstance(source, Named) and few and isinstance(kernel.source, Named) and kernel.source.plain:
        # the host distributes the pixels of all taps to the lanes; sums of integers do not mind the order
        return _distributed_by_host(source, kernel.source, window, space, channels, outputs, to, chip)
    top, left, bottom, right = window.pads
    view, act_layout = _in_rows(images, to, ((0, 0), (top, bottom), (left, right)))
    per_image, per_row, per_pixel = view.strides
    shown = Rows(
        view.offset - top * per_row - left * per_pixel,
        (per_image, per_row * window.strides[0], per_pixel * window.strides[1]),
        view.tile_stride,
    )
    passes = (
        (tiles(channels, lanes), view.tile_stride),
        (taps[1], per_pixel * window.dilations[1]),
        (taps[0], per_row * window.dilations[0]),
    )
    product = Product(
        space, outputs, images.element, images, act_layout, shown, passes, kernel.source, taps, channels, chip
    )
    return product if groups == 1 else _grouped(product, Groups(groups, channels // groups, outputs // groups), lanes)


def _grouped(product: Product, groups: Groups, lanes: int) -> Product:
    """The product with the weights of groups side by side. Raises Unsupported for what decompose-tensor-ops splits."""
    if isinstance(product.stationary, Stored) or not groups.fit(lanes):
        raise Unsupported(
            f"its {groups.count} groups do not lie side by side in a tile; run decompose-tensor-ops first"
        )
    if groups.own_tile(lanes):
        step = product.passes[0][1]
        return replace(product, groups=groups, passes=((1, 0), *product.passes[1:]), tile_moves=step)
    return replace(product, groups=groups)


def _distributed_by_host(
    images: Named, kernel: Named, window: Window, space: Shape, channels: int, outputs: int, to: Buffers, chip: int
) -> Product:
    """A convolution of few channels: a word holds the pixels of all taps, as the host puts them there."""
    (down, along), (rows_, columns) = window.strides, window.kernel
    layout = Layout(
        (Axis(1), Axis.of(space[0], 0), Axis.of(space[1], 1, down), Axis.of(space[2], 2, along)),
        (Axis.of(1, BYTE),),
        (Axis.of(rows_, 1, window.dilations[0]), Axis.of(columns, 2, window.dilations[1]), Axis.of(channels, 3)),
        (0, -window.pads[0], -window.pads[1]),
    )
    k = rows_ * columns * channels
    acts = Tensor((*space, k), i8, images)
    shown = Rows(0, layout.strides[1:], layout.strides[0])
    return Product(space, outputs, i8, acts, layout, shown, ((1, 0),), kernel.reshaped((k, outputs)), (), k, chip)


def window_sum(images: Tensor, window: Window, to: Buffers, chip: int) -> Product:
    """The normal form of the sums of i8 pixels over a window: a convolution with ones, each channel for itself."""
    n, height, width, channels = images.shape
    top, left, bottom, right = window.pads
    view, layout = _in_rows(images, to, ((0, 0), (top, bottom), (left, right)))
    per_image, per_row, per_pixel = view.strides
    offset = view.offset - top * per_row - left * per_pixel
    steps = (per_image, per_row * window.strides[0], per_pixel * window.strides[1])
    taps = (
        (window.kernel[1], per_pixel * window.dilations[1]),
        (window.kernel[0], per_row * window.dilations[0]),
    )
    shown = Rows(offset, steps, view.tile_stride)
    return _ones(images, layout, shown, (n, *window.places((height, width))), taps, channels, chip)


def axes_sum(tensor: Tensor, axes: Sequence[int], to: Buffers, chip: int) -> Product:
    """The normal form of the sums of i8 elements over some leading dimensions."""
    view, layout = _in_rows(tensor, to, ())
    space = tuple(1 if d in axes else n for d, n in enumerate(tensor.leading))
    steps = tuple(0 if d in axes else s for d, s in enumerate(view.strides))
    passes = tuple((tensor.shape[d], view.strides[d]) for d in reversed(axes))
    return _ones(tensor, layout, Rows(view.offset, steps, view.tile_stride), space, passes, tensor.columns, chip)


def _in_rows(tensor: Tensor, to: Buffers, pads: Pads) -> tuple[Stored, Layout | None]:
    """The view of activations, and the layout in which the host places them if it does."""
    view = to.planned_rows(tensor, pads)
    if isinstance(tensor.source, Stored):
        return view, None
    return view, rows(tensor.shape, element_bytes(tensor.element), to.chip.lanes, pads)


def _ones(
    acts: Tensor,
    layout: Layout | None,
    shown: Rows,
    space: Shape,
    passes: tuple[tuple[int, int], ...],
    channels: int,
    chip: int,
) -> Product:
    one = TensorType(i8, [1])
    stationary = Named.of("constant", "", one, DenseIntOrFPElementsAttr.from_list(one, [1]))
    return Product(
        space,
        channels,
        i8,
        acts,
        layout,
        shown,
        ((1, 0), *passes),
        stationary,
        (),
        channels,
        chip,
        tile_moves=shown.tile_step,
        repeats=True,
    )


def row_product(
    acts: Tensor, stationary: Named | Stored, space: Shape, k: int, n: int, to: Buffers, chip: int
) -> Product:
    """Rows [*space, k] by a matrix [k, n]."""
    view, layout = _in_rows(acts, to, ())
    shown = rows_of(view, acts.shape, space)
    passes = ((tiles(k, to.chip.lanes), shown.tile_step),)
    return Product(space, n, acts.element, acts, layout, shown, passes, stationary, (), k, chip)


def longest(product: Product, to: Buffers) -> int:
    """The cycles for which the busiest plane works on a product."""
    return product.divide(product.space, to).cycles
