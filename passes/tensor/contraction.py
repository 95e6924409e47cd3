"""Products: rows of activations meet weights, pass by pass, and the sums go to SRAM or through a map on their way.

A matrix product and a convolution are the same here. Pass by pass a run of activation vectors, one for every row of the
result, meets the weights of one tile; all passes of a unit (units.py) are one rigid body, so the weights of the next pass
are loaded behind those in use. The passes of a convolution are its taps: the rows are read again, moved by the tap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects import arith
from xdsl.dialects.builtin import I64, DenseIntOrFPElementsAttr, IntegerAttr, TensorType, f32, i8, i32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects import tsp_tensor
from ...dialects.elements import element_bytes
from ...dialects.layout import (
    BYTE,
    AccessPattern,
    Axis,
    Groups,
    Layout,
    grouped_weights,
    identity,
    rows,
    tiles,
    weights,
)
from ...dialects.tsp_tensor.window import Window
from ..stream.stream_place import alus_of
from .buffers import WHOLE, Buffers, Destination, Parts, Unsupported, view_of
from .elementwise import parts_of
from .units import Cost, Division, Share, Unit, divide
from .views import Named, Pads, Rows, Shape, Stored, Tensor, join, rows_of


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

    @property
    def pass_count(self) -> int:
        return prod(n for n, _ in self.passes)

    def cost(self, to: Buffers) -> Cost:
        size = element_bytes(self.element)
        groups = tiles(min(self.k, to.chip.lanes), to.chip.weight_streams)
        one_level = sum(n > 1 for n, _ in self.passes) <= 1
        divisible = self.element == i8 and one_level and not self.repeats
        return Cost(self.pass_count, size, groups * size, to.chip.accumulators, divisible, self.repeats)

    def divide(self, space: Shape, to: Buffers, epilogue: Epilogue | None = None) -> Division:
        """Its units, if its rows are walked along as `space`."""
        planes = self.planes(to)
        together = len(planes) // 2
        cost = self.cost(to)
        if epilogue is not None:
            cost = replace(cost, alus=alus_of(epilogue.region), all_alus=to.chip.alus)
            if cost.alus * together > to.chip.alus:
                together = 1  # there are not enough ALUs for several of them at the same time
        if isinstance(self.activations.source, Stored) and to.copies_of(self.activations.source.buffer) < together:
            together = 1  # planes that share a unit read its rows at the same time
        return divide(space, tiles(self.columns, to.chip.lanes), len(planes), together, cost)

    def planes(self, to: Buffers) -> list[int]:
        """The planes that can work on it: pairs, by their first, for two bytes."""
        size = element_bytes(self.element)
        return [p for p in range(to.chip.planes) if size == 1 or to.chip.paired_plane(p) is not None]


@dataclass(frozen=True)
class Epilogue:
    """The map through which the sums go: its ALU region, and its operands, with None for the sums."""

    region: Region
    operands: tuple[Tensor | None, ...]


def matmul_product(op: tsp_tensor.MatmulOp, lhs: Tensor, rhs: Tensor, to: Buffers, chip: int) -> Product:
    """The normal form of a matrix product [..., M, K] by [K, N]. Raises Unsupported."""
    if op.transpose_lhs:
        source = lhs.source.transposed(swapped_last(len(lhs.shape)))
        if source is None:
            raise Unsupported("transposes a computed left operand, which no lowering does yet")
        lhs = Tensor((*lhs.shape[:-2], lhs.shape[-1], lhs.shape[-2]), lhs.element, source)
    if any(n > 1 for n in rhs.shape[:-2]):
        raise Unsupported("its right operand is a batch of matrices, which no lowering does yet")
    if not isinstance(rhs.source, Named):
        raise Unsupported("its right operand is computed; the weights of a plane must be an input or a parameter")
    right = Named(**{**vars(rhs.source), "dims": rhs.source.dims[-2:]})
    if op.transpose_rhs:
        right = right.transposed((1, 0))
    *space, k = lhs.shape
    n = rhs.shape[-2 if op.transpose_rhs else -1]
    leading = op.result.type.get_shape()[:-1]
    straight = row_product(lhs, right, leading, k, n, to, chip)
    only_returned = all(u.operation.name == "func.return" for u in op.result.uses)
    if isinstance(lhs.source, Named) and only_returned and len(leading) == 1:
        acts = Tensor((n, k), rhs.element, right.transposed((1, 0)))
        swapped = row_product(acts, lhs.source.transposed((1, 0)), (n,), k, space[0], to, chip)
        if longest(swapped, to) < longest(straight, to):
            return replace(swapped, swapped=True)
    return straight


def swapped_last(rank: int) -> tuple[int, ...]:
    """The permutation that swaps the last two dimensions."""
    return (*range(rank - 2), rank - 1, rank - 2)


def conv_product(op: tsp_tensor.ConvOp, images: Tensor, kernel: Tensor, to: Buffers, chip: int) -> Product:
    """The normal form of a convolution: rows of pixels, moved tap by tap. Raises Unsupported."""
    if not isinstance(kernel.source, Named):
        raise Unsupported("its weights are computed; the weights of a convolution must be an input or a parameter")
    window, groups, lanes = op.window, op.groups.value.data, to.chip.lanes
    n, height, width, channels = images.shape
    rows_, columns = window.places((height, width))
    taps, space = window.kernel, (n, rows_, columns)
    outputs = kernel.shape[3]
    source = images.source
    depth = taps[0] * taps[1] * channels
    if isinstance(source, Named) and groups == 1 and images.element == i8 and 1 < depth // channels and depth <= lanes:
        # the host deals out the pixels of all taps to the lanes; sums of integers do not mind the order
        if kernel.source.plain:
            return _dealt_by_host(source, kernel.source, window, space, channels, outputs, to, chip)
    act_layout = None
    top, left, bottom, right = window.pads
    if isinstance(source, Named):
        act_layout = rows(images.shape, element_bytes(images.element), lanes, ((0, 0), (top, bottom), (left, right)))
        view = view_of(to.nowhere, act_layout, images.shape)
    else:
        view = source
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
    """The product with weights in groups. Raises Unsupported for groups that do not fit to the tiles."""
    own_tile = groups.channels == groups.outputs and lanes % groups.channels == 0
    if not own_tile and product.columns > lanes and lanes % groups.outputs:
        raise Unsupported(
            f"groups of {groups.outputs} outputs do not fill the {lanes} lanes of a tile; "
            "give each group a divisor of the lanes, or convolve the groups one by one"
        )
    if own_tile:
        step = product.passes[0][1]
        return replace(product, groups=groups, passes=((1, 0), *product.passes[1:]), tile_moves=step)
    return replace(product, groups=groups)


def _dealt_by_host(
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
    return Product(
        space, outputs, i8, acts, layout, shown, ((1, 0),), kernel.reshaped((k, outputs)), (), k, chip
    )


def window_sum(images: Tensor, window: Window, to: Buffers, chip: int) -> Product:
    """The normal form of the sums of i8 pixels over a window: a convolution with ones, each channel for itself."""
    n, height, width, channels = images.shape
    view, layout = _in_rows(images, to, ((0, 0), window.pads[::2], window.pads[1::2]))
    per_image, per_row, per_pixel = view.strides
    offset = view.offset - window.pads[0] * per_row - window.pads[1] * per_pixel
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
    if isinstance(tensor.source, Stored):
        return tensor.source, None
    layout = rows(tensor.shape, element_bytes(tensor.element), to.chip.lanes, pads)
    return view_of(to.nowhere, layout, tensor.shape), layout


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
        space, channels, i8, acts, layout, shown, ((1, 0), *passes), stationary, (), channels, chip,
        tile_moves=shown.tile_step, repeats=True,
    )


def row_product(acts: Tensor, stationary: Named, space: Shape, k: int, n: int, to: Buffers, chip: int) -> Product:
    """Rows [*space, k] by a matrix [k, n]."""
    layout, view = None, acts.source
    if isinstance(view, Named):
        layout = rows(acts.shape, element_bytes(acts.element), to.chip.lanes)
        view = view_of(to.nowhere, layout, acts.shape)
    shown = rows_of(view, acts.shape, space)
    passes = ((tiles(k, to.chip.lanes), shown.tile_step),)
    return Product(space, n, acts.element, acts, layout, shown, passes, stationary, (), k, chip)


def longest(product: Product, to: Buffers) -> int:
    """The cycles for which the busiest plane works on a product."""
    return product.divide(product.space, to).cycles


# -- emission ------------------------------------------------------------------------------------------------------


_FEW_ROWS = 16
"""Rows of a unit below which planes may well wait for each other's visits."""


def emit_product(product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None) -> Tensor:
    """Emits a product, its epilogue and the writes of the result, which it returns."""
    return _Emitter(product, to, destination, epilogue).run()


class _Emitter:
    def __init__(self, product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None):
        self.product, self.to, self.destination, self.epilogue = product, to, destination, epilogue
        self.chip, self.cost, self.planes = to.chip, product.cost(to), product.planes(to)
        self.lanes = self.chip.lanes
        full = (*product.space, product.columns)
        view = destination.view
        if not product.swapped and destination.shape != full:  # a reduction that leaves out its axes
            view = view.reshaped(destination.shape, full)
            assert view is not None
        out = rows_of(view, full, product.space)
        operands = [t for t in (epilogue.operands if epilogue else ()) if t is not None]
        views = [to.operand_view(t, product.columns) for t in operands]
        all_rows = [product.act_rows, out, *(rows_of(v, t.shape, product.space) for v, t in zip(views, operands, strict=True))]
        self.space, (self.acts, self.out, *self.operand_rows) = join(product.space, all_rows)
        self.division = product.divide(self.space, to, epilogue)

    def run(self) -> Tensor:
        product, to = self.product, self.to
        self.act_view = self._activations()
        self.apart = self._rows_apart()
        self.operands = self._operands()
        result = self.destination.make(self._parts(self.out, by_tile=True))
        for unit in self.division:
            self._emit(unit, result)
        type_ = self.destination.type
        return Tensor(type_.get_shape(), type_.element_type, result)

    def _parts(self, shown: Rows, by_tile: bool) -> Parts:
        """The parts of a buffer that the planes visit, so that each finds its rows in slices of its own."""
        few = all(share.block.rows < _FEW_ROWS for unit in self.division for share in unit.shares)
        at_once = any(len(unit.shares) > 1 and not unit.summed for unit in self.division)
        if few and not at_once and not self._loads_most:
            return WHOLE
        return parts_of(
            (shown.pattern(share.block, unit.tile if by_tile else 0), share.plane)
            for unit in self.division
            for share in unit.shares
        )

    def _activations(self) -> SSAValue:
        source = self.product.activations.source
        if isinstance(source, Stored):
            return source.buffer
        assert self.product.act_layout is not None
        copies = max(len(unit.shares) for unit in self.division)
        if self._loads_most:
            copies = len(self.planes)
        parts = self._parts(self.acts, by_tile=False)
        readers = -(-len(self.planes) // copies)
        rounds, step = self.product.passes[0]
        if rounds >= readers > 1 and step > 0:  # then each slice has its turn with one plane after the other
            each = rounds // readers
            parts = [(i * step, i // each) for i in range(0, rounds, each)]
        return self.to.named(source, self.product.act_layout, self.product.chip, parts, copies)

    def _rows_apart(self) -> bool:
        """Whether the planes that share a unit never visit the same slices of one copy at the same time, or nearly so:
        they start as far apart as slices are. Then each hemisphere has a copy for itself, and the edges of one plane's
        rows are not in the way of another's."""
        near = 2 * self.chip.mxm_distance
        for unit in self.division:
            if unit.summed:
                return False
            period = self._period(unit)
            seen: dict[int, list[npt.NDArray[np.int64]]] = {}
            for share in unit.shares:
                words = self._words(share, unit.tile * self.product.tile_moves)
                cycles = self._cycles(share, period)
                for owner, mine in self.to.visits_of(self.act_view, words, cycles).items():
                    if any(meet(mine, other, near) for other in seen.setdefault(owner, [])):
                        return False
                    seen[owner].append(mine)
        return True

    def _period(self, unit: Unit) -> int:
        """Cycles from a pass to the next."""
        return self.cost.period(max(share.block.rows for share in unit.shares))

    def _cycles(self, share: Share, period: int) -> AccessPattern:
        """When a share takes its activations."""
        return AccessPattern(0, ((share.block.rows, self.cost.every), (share.passes, period)))

    def _words(self, share: Share, moved: int) -> AccessPattern:
        """The activations of a share, pass by pass."""
        one = self.acts.pattern(share.block)
        if share.passes == self.cost.passes:
            return AccessPattern(one.offset + moved, (*one.levels, *self.product.passes))
        # some of the rounds of the only level
        ((_, step),) = [level for level in self.product.passes if level[0] > 1]
        return AccessPattern(one.offset + moved + share.first_pass * step, (*one.levels, (share.passes, step)))

    def _operands(self) -> list[SSAValue]:
        """The buffers of the epilogue's operands, with as many copies as planes emit at once."""
        if self.epilogue is None:
            return []
        group = max((len(unit.shares) for unit in self.division if not unit.summed), default=1)
        at_once = 2 if self.cost.passes < len(self.planes) or group > 1 else 1
        found: list[SSAValue] = []
        for tensor in self.epilogue.operands:
            if tensor is not None:
                shown = self.operand_rows[len(found)]
                still = not any(shown.steps)
                parts = WHOLE if still else self._parts(shown, by_tile=True)
                found.append(
                    self.to.operand(tensor, self.product.columns, self.product.chip, parts, at_once if still else group)
                )
        return found

    def _emit(self, unit: Unit, result: Stored) -> None:
        period = self._period(unit)
        loaded: dict[tuple[int, int], SSAValue] = {}
        sums: list[SSAValue] = []
        for share in unit.shares:
            source = self._hemisphere(share), share.first_pass
            if source not in loaded:
                loaded[source] = self._read_weights(unit, share, period)
            copy = self.to.copy_for(self.act_view, self._hemisphere(share) if self.apart else share.plane)
            moved = unit.tile * self.product.tile_moves
            sums.append(self._multiply(share, period, self._load(share, loaded[source]), copy, moved))
        if unit.summed:
            self._finish(sums, unit, unit.shares[0], result, {})
        else:
            shared: dict[tuple[int, int], SSAValue] = {}
            for one, share in zip(sums, unit.shares, strict=True):
                self._finish([one], unit, share, result, shared)

    def _multiply(self, share: Share, period: int, weights_: SSAValue, copy: int, moved: int) -> SSAValue:
        product, count = self.product, share.block.rows
        words = self._words(share, moved)
        vectors = self.to.read(self.act_view, words, product.chip, self._cycles(share, period), copy)
        return self.to.add(
            ts.MatmulOp.build(
                operands=[vectors, weights_],
                result_types=[ts.StreamType.of((count, self.lanes), i32 if product.element == i8 else f32)],
                properties={"plane": self._plane(share), "chip": IntegerAttr(product.chip, i64)},
            )
        )

    def _plane(self, share: Share) -> IntegerAttr[I64]:
        return IntegerAttr(self.planes[share.plane], i64)

    def _hemisphere(self, share: Share) -> int:
        return self.planes[share.plane] // (self.chip.planes // 2)

    def _finish(
        self,
        sums: list[SSAValue],
        unit: Unit,
        share: Share,
        result: Stored,
        shared: dict[tuple[int, int], SSAValue],
    ) -> None:
        """Adds sums up, takes them through the map, and writes what comes out. `shared` are the streams that the planes of
        the unit have in common, by operand and rows."""
        if self.epilogue is not None or len(sums) > 1:
            sums = [self._through(sums, unit, share, shared)]
        self.to.write(sums[0], result.buffer, self.out.pattern(share.block, unit.tile), self.product.chip)

    def _through(
        self, sums: list[SSAValue], unit: Unit, share: Share, shared: dict[tuple[int, int], SSAValue]
    ) -> SSAValue:
        """The map of the sums of a unit."""
        to, count = self.to, share.block.rows
        cycles = AccessPattern(0, ((count, self.cost.every),))
        region = self.epilogue.region.clone() if self.epilogue is not None else None
        where, streams = 0, list[SSAValue]()
        others = iter(zip(self.operands, self.operand_rows, strict=True))
        for tensor in self.epilogue.operands if self.epilogue is not None else ():
            if tensor is None:
                where = len(streams)
                continue
            buffer, shown = next(others)
            words = shown.pattern(share.block, unit.tile)
            if any(shown.steps):
                streams.append(to.read(buffer, words, self.product.chip, cycles, to.copy_for(buffer, share.plane)))
                continue
            key = len(streams), count
            if key not in shared:
                alone = len({s.block.rows for s in unit.shares}) > 1
                copy = to.copy_for(buffer, share.plane if alone else self._hemisphere(share))
                shared[key] = to.read(buffer, words, self.product.chip, cycles, copy)
            streams.append(shared[key])
        region = summing_region(region, where, [cast(ts.StreamType, s.type).element_type for s in sums])
        type_ = ts.StreamType.of((count, self.lanes), self.destination.type.element_type)
        return to.add(
            ts.VxmOp.build(
                operands=[[*streams[:where], *sums, *streams[where:]]],
                result_types=[type_],
                regions=[region],
                properties={"chip": IntegerAttr(self.product.chip, i64)},
            )
        )

    # -- weights -----------------------------------------------------------------------------------------------

    def _read_weights(self, unit: Unit, share: Share, period: int) -> SSAValue:
        product, cost = self.product, self.cost
        buffer, first_tile = self._weights(unit, share)
        layout = cast(ts.BufferType, buffer.type).layout
        first = (unit.tile - first_tile) * layout.strides[0] + share.first_pass * cost.load
        passes = 1 if product.repeats else share.passes
        cycles = AccessPattern(0, ((cost.load, 1), (passes, period)))
        return self.to.read(buffer, AccessPattern.run(first, passes * cost.load), product.chip, cycles, element=i8)

    @property
    def _loads_most(self) -> bool:
        """Whether loading weights takes most of the time, so that planes cannot take turns at the same slices."""
        if any(len(unit.shares) > 1 and not unit.summed for unit in self.division):
            return False  # planes that load the same weights together
        if self.product.repeats:
            return False
        rows_ = max(s.block.rows for u in self.division for s in u.shares)
        return 2 * (self.cost.load + 1) > self.cost.period(rows_)

    def _load(self, share: Share, stream: SSAValue) -> SSAValue:
        product = self.product
        groups = self.cost.load // element_bytes(product.element)
        shape = (1 if product.repeats else share.passes, groups * self.chip.weight_streams, self.lanes)
        return self.to.add(
            ts.LoadWeightsOp.build(
                operands=[stream],
                result_types=[ts.WeightsType.of(shape, product.element)],
                properties={"plane": self._plane(share), "chip": IntegerAttr(product.chip, i64)},
            )
        )

    def _weights(self, unit: Unit, share: Share) -> tuple[SSAValue, int]:
        """The buffer with the weights of a unit's tile, and the first tile in it.

        The planes of a hemisphere share one; where they load for most of the time, each has its own.
        """
        busy = self._loads_most
        who = self._hemisphere(share)
        mine = [
            u.tile
            for u in self.division
            if u.summed == unit.summed
            for s in u.shares
            if (s.plane == share.plane if busy else self._hemisphere(s) == who)
        ]
        first, last = min(mine), max(mine)
        product, stationary = self.product, self.product.stationary
        if isinstance(stationary, Stored):
            raise Unsupported("its weights are computed")
        user = f"plane {self.planes[share.plane]}" if busy or unit.summed else f"hemisphere {who}"
        if product.repeats:
            return self.to.named(stationary, identity(self.cost.load, self.lanes, self.chip.weight_streams), product.chip, user=user), unit.tile
        columns = min(product.columns - first * self.lanes, (last - first + 1) * self.lanes)
        dims = len(product.taps)
        size, streams = element_bytes(product.element), self.chip.weight_streams
        if product.groups is not None:
            own_tile, count = product.tile_moves > 0 or product.columns <= self.lanes, last - first + 1
            part, layout = stationary, grouped_weights(
                product.taps, product.groups, first, count, own_tile, size, self.lanes, streams
            )
        else:
            part = stationary.sliced((*(0,) * (dims + 1), first * self.lanes), (1,) * (dims + 2))
            layout = weights(product.taps, product.k, columns, size, self.lanes, streams)
        return self.to.named(part, layout, product.chip, user=user), first


_MOST_VISITS = 512
"""Visits of one group of slices, with pauses between, that are told apart; a schedule does so for few more."""


def meet(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], near: int) -> bool:
    """Whether two ascending runs of cycles come as near to each other as `near`, or have too many pauses to say."""
    if any(np.count_nonzero(np.diff(times) > 1) >= _MOST_VISITS for times in (one, other)):
        return True
    after = np.searchsorted(one, other)
    before = np.maximum(after - 1, 0)
    gaps = np.minimum(abs(one[np.minimum(after, len(one) - 1)] - other), abs(one[before] - other))
    return bool((gaps <= near).any())


def summing_region(region: Region | None, where: int, sums: list[Attribute]) -> Region:
    """A region whose argument `where` becomes the sum of several; without a region it yields that sum."""
    if region is None:
        region = Region(Block(arg_types=[sums[0]]))
        region.block.add_op(ts.YieldOp(region.block.args[0]))
    block = region.block
    argument = block.args[where]
    terms: list[SSAValue] = [argument]
    terms += [block.insert_arg(type_, where + 1 + i) for i, type_ in enumerate(sums[1:])]
    adds: list[arith.AddiOp] = []
    while len(terms) > 1:  # a tree, so that few delays are needed
        pairs = [arith.AddiOp(a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)]
        adds += pairs
        terms = [*(p.result for p in pairs), *terms[len(pairs) * 2 :]]
    if adds:
        argument.replace_uses_with_if(terms[0], lambda use: use.operation not in adds)
        first = block.first_op
        assert first is not None
        block.insert_ops_before(adds, first)
    return region
