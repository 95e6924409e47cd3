"""Products: rows of activations meet weights, pass by pass, and the sums go to SRAM or through a map on their way.

A matrix product and a convolution are the same here. Pass by pass a run of activation vectors, one for every row of the
result, meets the weights of one tile; all passes of a unit (units.py) are one rigid body, so the weights of the next pass
are loaded behind those in use. The passes of a convolution are its taps: the rows are read again, moved by the tap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import cast

from xdsl.dialects import arith
from xdsl.dialects.builtin import I64, IntegerAttr, f32, i8, i32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects import tsp_tensor
from ...dialects.elements import element_bytes
from ...dialects.layout import AccessPattern, Layout, rows, tiles, weights
from .buffers import WHOLE, Buffers, Destination, Parts, Unsupported, view_of
from .elementwise import parts_of
from .units import Cost, Division, Share, Unit, divide
from .views import Named, Rows, Shape, Stored, Tensor, join, rows_of


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
        one_level = sum(n > 1 for n, _ in self.passes) <= 1
        return Cost(self.pass_count, size, groups * size, to.chip.accumulators, self.element == i8 and one_level)

    def divide(self, space: Shape, to: Buffers) -> Division:
        """Its units, if its rows are walked along as `space`."""
        planes = self.planes(to)
        together = len(planes) // 2
        if isinstance(self.activations.source, Stored) and to.copies_of(self.activations.source.buffer) < together:
            together = 1  # planes that share a unit read its rows at the same time
        return divide(space, tiles(self.columns, to.chip.lanes), len(planes), together, self.cost(to))

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
        shape = destination.shape[::-1] if product.swapped else destination.shape
        out = rows_of(destination.view, shape, product.space)
        operands = [t for t in (epilogue.operands if epilogue else ()) if t is not None]
        views = [to.operand_view(t, product.columns) for t in operands]
        all_rows = [product.act_rows, out, *(rows_of(v, t.shape, product.space) for v, t in zip(views, operands, strict=True))]
        self.space, (self.acts, self.out, *self.operand_rows) = join(product.space, all_rows)
        self.division = product.divide(self.space, to)

    def run(self) -> Tensor:
        product, to = self.product, self.to
        self.act_view = self._activations()
        self.operands = self._operands()
        result = self.destination.make(self._parts(self.out, by_tile=True))
        for unit in self.division:
            self._emit(unit, result)
        type_ = self.destination.type
        return Tensor(type_.get_shape(), type_.element_type, result)

    def _parts(self, shown: Rows, by_tile: bool) -> Parts:
        """The parts of a buffer that the planes visit, so that each finds its rows in slices of its own."""
        few = all(share.block.rows < _FEW_ROWS for unit in self.division for share in unit.shares)
        if few and not self._loads_most:
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

    def _operands(self) -> list[SSAValue]:
        """The buffers of the epilogue's operands, with as many copies as planes emit at once."""
        if self.epilogue is None:
            return []
        group = max((len(unit.shares) for unit in self.division if not unit.summed), default=1)
        at_once = max(-(-len(self.planes) // self.cost.passes), group)
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
        period = self.cost.period(max(share.block.rows for share in unit.shares))
        loaded: dict[tuple[int, int], SSAValue] = {}
        sums: list[SSAValue] = []
        for share in unit.shares:
            source = self._hemisphere(share), share.first_pass
            if source not in loaded:
                loaded[source] = self._read_weights(unit, share, period)
            copy = self.to.copy_for(self.act_view, share.plane)
            sums.append(self._multiply(share, period, self._load(share, loaded[source]), copy))
        if unit.summed:
            self._finish(sums, unit, unit.shares[0], result)
        else:
            for one, share in zip(sums, unit.shares, strict=True):
                self._finish([one], unit, share, result)

    def _multiply(self, share: Share, period: int, weights_: SSAValue, copy: int) -> SSAValue:
        product, count = self.product, share.block.rows
        one = self.acts.pattern(share.block)
        if share.passes == self.cost.passes:
            offset, passes = one.offset, product.passes
        else:  # some of the rounds of the only level
            ((_, step),) = [level for level in product.passes if level[0] > 1]
            offset, passes = one.offset + share.first_pass * step, ((share.passes, step),)
        words = AccessPattern(offset, (*one.levels, *passes))
        cycles = AccessPattern(0, ((count, self.cost.every), (share.passes, period)))
        vectors = self.to.read(self.act_view, words, product.chip, cycles, copy)
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

    def _finish(self, sums: list[SSAValue], unit: Unit, share: Share, result: Stored) -> None:
        """Adds sums up, takes them through the map, and writes what comes out."""
        if self.epilogue is not None or len(sums) > 1:
            sums = [self._through(sums, unit, share)]
        self.to.write(sums[0], result.buffer, self.out.pattern(share.block, unit.tile), self.product.chip)

    def _through(self, sums: list[SSAValue], unit: Unit, share: Share) -> SSAValue:
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
            copy = to.copy_for(buffer, share.plane)
            streams.append(to.read(buffer, words, self.product.chip, cycles, copy))
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
        cycles = AccessPattern(0, ((cost.load, 1), (share.passes, period)))
        return self.to.read(
            buffer, AccessPattern.run(first, share.passes * cost.load), product.chip, cycles, element=i8
        )

    @property
    def _loads_most(self) -> bool:
        """Whether loading weights takes most of the time."""
        rows_ = max(s.block.rows for u in self.division for s in u.shares)
        return 2 * (self.cost.load + 1) > self.cost.period(rows_)

    def _load(self, share: Share, stream: SSAValue) -> SSAValue:
        product = self.product
        groups = self.cost.load // element_bytes(product.element)
        shape = (share.passes, groups * self.chip.weight_streams, self.lanes)
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
        columns = min(product.columns - first * self.lanes, (last - first + 1) * self.lanes)
        dims = len(product.taps)
        part = stationary.sliced((*(0,) * (dims + 1), first * self.lanes), (1,) * (dims + 2))
        layout = weights(
            product.taps, product.k, columns, element_bytes(product.element), self.lanes, self.chip.weight_streams
        )
        user = f"plane {self.planes[share.plane]}" if busy or unit.summed else f"hemisphere {who}"
        return self.to.named(part, layout, product.chip, user=user), first


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
