"""Products: rows of activations meet weights, pass by pass, and the sums go to SRAM or through a map on their way.

A matrix product and a convolution are the same here. Pass by pass a run of activation vectors, one for every row of the
result, meets the weights of one tile; all passes of a unit (units.py) are one rigid body, so the weights of the next pass
are loaded behind those in use. The passes of a convolution are its taps: the rows are read again, moved by the tap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import cast

from xdsl.dialects.builtin import IntegerAttr, f16, f32, i8, i32, i64
from xdsl.ir import Attribute, Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects import tsp_tensor
from ...dialects.elements import element_bytes
from ...dialects.layout import AccessPattern, Layout, rows, tiles, weights
from .buffers import Buffers, Destination, Unsupported, view_of
from .views import Named, Rows, Shape, Stored, Tensor, join, rows_of
from .units import Cost, Unit, divide


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

    @property
    def pass_count(self) -> int:
        return prod(n for n, _ in self.passes)

    def cost(self, to: Buffers) -> Cost:
        size = element_bytes(self.element)
        groups = tiles(min(self.k, to.chip.lanes), to.chip.weight_streams)
        return Cost(self.pass_count, size, groups * size, to.chip.accumulators)

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
    """The normal form of a matrix product [M, K] by [K, N]. Raises Unsupported."""
    (m, k), n = lhs.shape, rhs.shape[1]
    if not isinstance(rhs.source, Named):
        raise Unsupported("its right operand is computed; the weights of a plane must be an input or a parameter")
    straight = row_product(lhs, rhs.source, (m,), k, n, to, chip)
    both_named = isinstance(lhs.source, Named)
    only_returned = all(u.operation.name == "func.return" for u in op.result.uses)
    if both_named and only_returned:
        assert isinstance(lhs.source, Named)
        swapped = row_product(
            Tensor((n, k), rhs.element, rhs.source.transposed((1, 0))), lhs.source.transposed((1, 0)), (n,), k, m, to, chip
        )
        if longest(swapped, to) < longest(straight, to):
            return replace(swapped, swapped=True)
    return straight


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
    cost = product.cost(to)
    dealt = divide(product.space, tiles(product.columns, to.chip.lanes), len(product.planes(to)), cost)
    return max(sum(cost.passes * cost.period(u.block.rows) for u in units) for units in dealt)


# -- emission ------------------------------------------------------------------------------------------------------


def emit_product(product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None) -> Tensor:
    """Emits a product, its epilogue and the writes of the result, which it returns."""
    return _Emitter(product, to, destination, epilogue).run()


class _Emitter:
    def __init__(self, product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None):
        self.product, self.to, self.destination, self.epilogue = product, to, destination, epilogue
        self.chip, self.cost, self.planes = to.chip, product.cost(to), product.planes(to)
        self.lanes = self.chip.lanes
        shape = destination.type.get_shape()
        out = rows_of(destination.view, shape, product.space)
        operands = [t for t in (epilogue.operands if epilogue else ()) if t is not None]
        views = [to.operand_view(t, product.columns) for t in operands]
        all_rows = [product.act_rows, out, *(rows_of(v, t.shape, product.space) for v, t in zip(views, operands, strict=True))]
        self.space, (self.acts, self.out, *self.operand_rows) = join(product.space, all_rows)
        self.units = divide(self.space, tiles(product.columns, self.lanes), len(self.planes), self.cost)

    def run(self) -> Tensor:
        product, to = self.product, self.to
        self.act_view = self._activations()
        self.operands = self._operands()
        result = self.destination.make(self._parts(self.out, lambda unit: unit.tile))
        for round_ in range(max(len(units) for units in self.units)):
            for units in self.units:
                if round_ < len(units):
                    self._emit(units[round_], result)
        type_ = self.destination.type
        return Tensor(type_.get_shape(), type_.element_type, result)

    def _parts(self, rows_: Rows, tile_of: Callable[[Unit], int]) -> list[int]:
        """The first words that each plane visits, as the starts of parts."""
        firsts = {rows_.pattern(units[0].block, tile_of(units[0])).low for units in self.units if units}
        return [0, *sorted(firsts - {min(firsts)})]

    def _activations(self) -> SSAValue:
        source = self.product.activations.source
        if isinstance(source, Stored):
            return source.buffer
        assert self.product.act_layout is not None
        return self.to.named(source, self.product.act_layout, self.product.chip, self._parts(self.acts, lambda _: 0))

    def _operands(self) -> list[SSAValue]:
        """The buffers of the epilogue's operands, with as many copies as planes emit at once."""
        if self.epilogue is None:
            return []
        at_once = -(-len(self.planes) // self.cost.passes)
        found: list[SSAValue] = []
        for tensor in self.epilogue.operands:
            if tensor is not None:
                shown = self.operand_rows[len(found)]
                still = not any(shown.steps)
                parts = [0] if still else self._parts(shown, lambda unit: unit.tile)
                found.append(
                    self.to.operand(tensor, self.product.columns, self.product.chip, parts, at_once if still else 1)
                )
        return found

    def _emit(self, unit: Unit, result: Stored) -> None:
        to, product, count = self.to, self.product, unit.block.rows
        period, passes = self.cost.period(count), self.cost.passes
        one = self.acts.pattern(unit.block)
        words = AccessPattern(one.offset, (*one.levels, *product.passes))
        cycles = AccessPattern(0, ((count, self.cost.every), (passes, period)))
        vectors = to.read(self.act_view, words, product.chip, cycles)
        load = self._load(unit, period)
        sums = to.add(
            ts.MatmulOp.build(
                operands=[vectors, load],
                result_types=[ts.StreamType.of((count, self.lanes), i32 if product.element == i8 else f32)],
                properties={"plane": self._plane(unit), "chip": IntegerAttr(product.chip, i64)},
            )
        )
        if self.epilogue is not None:
            sums = self._through(sums, unit)
        to.write(sums, result.buffer, self.out.pattern(unit.block, unit.tile), product.chip)

    def _plane(self, unit: Unit) -> IntegerAttr:
        return IntegerAttr(self.planes[unit.plane], i64)

    def _through(self, sums: SSAValue, unit: Unit) -> SSAValue:
        """The map of the sums of a unit."""
        assert self.epilogue is not None
        to, count = self.to, unit.block.rows
        cycles = AccessPattern(0, ((count, self.cost.every),))
        streams: list[SSAValue] = []
        others = iter(zip(self.operands, self.operand_rows, strict=True))
        for tensor in self.epilogue.operands:
            if tensor is None:
                streams.append(sums)
                continue
            buffer, shown = next(others)
            words = shown.pattern(unit.block, unit.tile)
            copy = to.copy_for(buffer, unit.plane)
            streams.append(to.read(buffer, words, self.product.chip, cycles, copy))
        type_ = ts.StreamType.of((count, self.lanes), self.destination.type.element_type)
        return to.add(
            ts.VxmOp.build(
                operands=[streams],
                result_types=[type_],
                regions=[self.epilogue.region.clone()],
                properties={"chip": IntegerAttr(self.product.chip, i64)},
            )
        )

    # -- weights -----------------------------------------------------------------------------------------------

    def _load(self, unit: Unit, period: int) -> SSAValue:
        product, to, cost = self.product, self.to, self.cost
        buffer, first_tile = self._weights(unit)
        layout = cast(ts.BufferType, buffer.type).layout
        words = AccessPattern.run((unit.tile - first_tile) * layout.strides[0], cost.passes * cost.load)
        cycles = AccessPattern(0, ((cost.load, 1), (cost.passes, period)))
        stream = to.read(buffer, words, product.chip, cycles, element=i8)
        groups = cost.load // element_bytes(product.element)
        shape = (cost.passes, groups * self.chip.weight_streams, self.lanes)
        return to.add(
            ts.LoadWeightsOp.build(
                operands=[stream],
                result_types=[ts.WeightsType.of(shape, product.element)],
                properties={"plane": self._plane(unit), "chip": IntegerAttr(product.chip, i64)},
            )
        )

    def _weights(self, unit: Unit) -> tuple[SSAValue, int]:
        """The buffer with the weights of a unit's tile, and the first tile in it.

        The planes of a hemisphere share one; where they load for most of the time, each has its own.
        """
        rows_ = max(u.block.rows for u in self.units[unit.plane])
        busy = 2 * (self.cost.load + 1) > self.cost.period(rows_)
        half = self.chip.planes // 2
        mine = [
            u.tile
            for units in self.units
            for u in units
            if u.plane == unit.plane or (not busy and self.planes[u.plane] // half == self.planes[unit.plane] // half)
        ]
        first, last = min(mine), max(mine)
        product, stationary = self.product, self.product.stationary
        if isinstance(stationary, Stored):
            return self.to.dealt(stationary, product), 0
        columns = min(product.columns - first * self.lanes, (last - first + 1) * self.lanes)
        dims = len(product.taps)
        part = stationary.sliced((*(0,) * (dims + 1), first * self.lanes), (1,) * (dims + 2))
        layout = weights(
            product.taps, product.k, columns, element_bytes(product.element), self.lanes, self.chip.weight_streams
        )
        user = f"plane {self.planes[unit.plane]}" if busy else f"hemisphere {self.planes[unit.plane] // half}"
        return self.to.named(part, layout, product.chip, user=user), first

