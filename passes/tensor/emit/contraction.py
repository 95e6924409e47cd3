"""Products: rows of activations meet weights, pass by pass, and the sums go to SRAM or through a map on their way.

A matrix product and a convolution are the same here. Pass by pass a run of activation vectors, one for every row of the
result, meets the weights of one tile. All passes of a unit (units.py) are one rigid body: the weights of the next pass
are loaded behind those in use. The passes of a convolution are its taps: the rows are read again, moved by the tap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import I64, IntegerAttr, f32, i8, i32, i64
from xdsl.ir import SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, Axis, grouped_weights, identity, weights
from ...policy import Policy
from ..analysis.views import Block, Named, Rows, Shape, Stored, Tensor, join
from .buffers import WHOLE, Buffers, Destination, Parts
from .computed_weights import distribute_rows
from .elementwise import copied, parts_of
from .products import Epilogue, Product, summing_region
from .units import Share, Unit


def emit_product(product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None) -> Tensor:
    """Emits a product, its epilogue and the writes of the result, which it returns."""
    return _Emitter(product, to, destination, epilogue).run()


def _shown(product: Product, view: Stored, shape: Shape) -> Rows:
    rows = product.rows_of(view, shape)
    assert rows is not None  # as who emits a stack has seen
    return rows


class _Emitter:
    def __init__(self, product: Product, to: Buffers, destination: Destination, epilogue: Epilogue | None):
        self.product, self.to, self.destination, self.epilogue = product, to, destination, epilogue
        self.chip, self.cost, self.planes = to.chip, product.cost(to), product.planes(to)
        self.lanes = self.chip.lanes
        self.distributed: dict[tuple[str, int], SSAValue] = {}
        """The buffers of computed weights, by their user and first tile."""
        full = (*product.stack, *product.space, product.columns)
        view = destination.view
        if not product.swapped and destination.shape != full:  # a reduction that drops its axes
            view = view.reshaped(destination.shape, full)
            assert view is not None
        out = _shown(product, view, full)
        operands = [t for t in (epilogue.operands if epilogue else ()) if t is not None]
        views = [to.operand_view(t, product.columns) for t in operands]
        all_rows = [
            product.act_rows,
            out,
            *(_shown(product, v, t.shape) for v, t in zip(views, operands, strict=True)),
        ]
        self.space, (self.acts, self.out, *self.operand_rows) = join(product.space, all_rows)
        self.division = product.divide(self.space, to, epilogue, destination.layout.width * destination.copies)
        used = 1 + max(share.plane for unit in self.division for share in unit.shares)
        self.planes = to.planes_in_turn(self.planes, used, max(len(unit.shares) for unit in self.division))

    def run(self) -> Tensor:
        self.act_view = self._activations()
        self.separate_rows = self._rows_are_separate()
        self.operands = self._operands()
        result = self.destination.make(self._parts_of_result())
        for unit in self.division:
            self._emit(unit, result)
        type_ = self.destination.type
        if self.product.repeated and (self.epilogue is None or not self.operands):
            self.to.note_repeated(result.buffer)
        return Tensor(type_.get_shape(), type_.element_type, result)

    def _parts_of_result(self) -> Parts:
        """The parts of the result; one where planes may wait for each other and the parts would take more slices than
        there are beside the weights of the planes of a hemisphere, in which all lie that one run reads again. Matrices
        that will be joined to one word lie in slices of their own."""
        if self.product.heads_in_words is not None:
            per_word, before = self.product.heads_in_words
            whole = Block((0,) * len(self.space), self.space)
            count = self.product.tiles(self.lanes)
            return parts_of((self.out.pattern(whole, t), (t + before) % per_word) for t in range(count))
        parts, place = self._parts(self.out, by_tile=True), self.destination
        slices = len({owner for _, owner in parts}) * place.layout.width * place.copies
        beside = self.chip.slices - self.chip.planes // 2 * self.chip.weight_streams
        read_again = place.kind != "output"
        return WHOLE if slices > beside and read_again and not self._at_once else parts

    @property
    def _at_once(self) -> bool:
        """Whether planes write rows of one unit at the same time."""
        return any(len(unit.shares) > 1 and not unit.summed for unit in self.division)

    @property
    def _few(self) -> bool:
        """Whether planes may well wait for each other's visits."""
        return all(share.block.rows < self.to.policy.few_rows for unit in self.division for share in unit.shares)

    def _parts(self, shown: Rows, by_tile: bool) -> Parts:
        """The parts of a buffer that the planes visit, so that each finds its rows in slices of its own."""
        if self._few and not self._at_once and not self._loads_most:
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
        if self._loads_most or self._copies_pay:
            copies = len(self.planes)
        parts = self._parts(self.acts, by_tile=False)
        readers = -(-len(self.planes) // copies)
        rounds, step = self.product.passes[0]
        if rounds >= readers > 1 and step > 0:  # then each slice has its turn with one plane after the other
            each = rounds // readers
            parts = [(i * step, i // each) for i in range(0, rounds, each)]
        return self.to.named(source, self.product.act_layout, self.product.chip, parts, copies)

    @property
    def _copies_pay(self) -> bool:
        """Whether each plane should have a copy of activations which the host places: where several take all of them
        for tiles of their own, and would else begin one after the other, and the copies are few words."""
        layout, policy = self.product.act_layout, self.to.policy
        assert layout is not None
        again = self.product.tiles(self.lanes) > 1 and not self.product.tile_moves
        words = layout.depth * layout.width * len(self.planes)
        return again and words <= policy.named_words and len(self.planes) <= policy.copies

    def _rows_are_separate(self) -> bool:
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
        rows = max(share.block.rows for share in unit.shares)
        if not unit.summed:
            return self.cost.period(rows)
        units = list(self.division)
        return self.cost.period_in_step(rows, len(units) if all(u.summed for u in units) else 0)

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
        at_once = 2 if group > 1 or (self.cost.passes < len(self.planes) and not self._few) else 1
        found: list[SSAValue] = []
        for tensor in self.epilogue.operands:
            if tensor is not None:
                shown = self.operand_rows[len(found)]
                still = not any(shown.steps)
                parts = WHOLE if still else self._parts(shown, by_tile=True)
                copies = at_once if still else group
                found.append(self._operand(tensor, parts, copies))
        return found

    def _operand(self, tensor: Tensor, parts: Parts, copies: int) -> SSAValue:
        """The buffer of an operand of the epilogue: the activations only where they have copies for both."""
        source, product, to = tensor.source, self.product, self.to
        if isinstance(source, Named):
            user = "sums" if source == product.activations.source else ""
            return to.named(source, to.operand_layout(tensor, product.columns), product.chip, parts, copies, user)
        if source.buffer is self.act_view and to.copies_of(source.buffer) < 2:
            return copied(source.buffer, to, product.chip)
        return to.in_rows(tensor, product.chip).buffer

    def _copy_beside(self, buffer: SSAValue, share: Share) -> int:
        """The copy of an operand that meets the sums of a share: not the one with its activations."""
        number = self._hemisphere(share) if buffer is self.act_view and self.separate_rows else share.plane
        return self.to.copy_for(buffer, number + (self.to.copies_of(buffer) // 2 if buffer is self.act_view else 0))

    def _emit(self, unit: Unit, result: Stored) -> None:
        period = self._period(unit)
        loaded: dict[tuple[int, int], SSAValue] = {}
        sums: list[SSAValue] = []
        for share in unit.shares:
            source = self._hemisphere(share), share.first_pass
            if source not in loaded:
                loaded[source] = self._read_weights(unit, share, period)
            copy = self.to.copy_for(self.act_view, self._hemisphere(share) if self.separate_rows else share.plane)
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
        """Adds sums up, takes them through the map, and writes what comes out.

        `shared` are the streams that the planes of the unit have in common, by operand and rows."""
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
                streams.append(to.read(buffer, words, self.product.chip, cycles, self._copy_beside(buffer, share)))
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
        buffer, first_tile, first_pass = self._weights(unit, share)
        layout = cast(ts.BufferType, buffer.type).layout
        first = (self._weight_tile(unit) - first_tile) * layout.strides[0] + (share.first_pass - first_pass) * cost.load
        passes = 1 if product.repeats else share.passes
        cycles = AccessPattern(0, ((cost.load, 1), (passes, period)))
        return self.to.read(buffer, AccessPattern.run(first, passes * cost.load), product.chip, cycles, element=i8)

    def _weight_tile(self, unit: Unit) -> int:
        """The tile of weights of a unit."""
        if self.product.heads_in_words is None:
            return unit.tile
        per_word, before = self.product.heads_in_words
        return (unit.tile + before) // per_word

    @property
    def _loads_most(self) -> bool:
        """Whether loading weights takes most of the time, so that planes cannot take turns at the same slices."""
        if any(len(unit.shares) > 1 and not unit.summed for unit in self.division):
            return False  # planes that load the same weights together
        if self.product.repeats or isinstance(self.product.stationary, Stored):
            return False  # to distribute computed weights once more would take longer than it saves
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

    def _weights(self, unit: Unit, share: Share) -> tuple[SSAValue, int, int]:
        """The buffer with the weights of a unit's tile, and the first tile and the first pass in it."""
        user, first, last = self._user_of_weights(unit, share)
        product, stationary = self.product, self.product.stationary
        if product.repeats and isinstance(stationary, Named):
            return (
                self.to.named(
                    stationary, identity(self.cost.load, self.lanes, self.chip.weight_streams), product.chip, user=user
                ),
                unit.tile,
                0,
            )
        columns = (last - first + 1) * self.lanes
        if not product.stack:
            columns = min(product.columns - first * self.lanes, columns)
        if isinstance(stationary, Stored):
            if (user, first) not in self.distributed:
                distributed = distribute_rows(
                    stationary, product.taps, product.k, columns, first, product.element, self.to, product.chip
                )
                self.distributed[user, first] = distributed
            return self.distributed[user, first], first, 0
        first_pass, k = 0, product.k
        dims = len(product.taps)
        size, streams = element_bytes(product.element), self.chip.weight_streams
        if product.groups is not None:
            own_tile, count = product.tile_moves > 0, last - first + 1
            part, layout = (
                stationary,
                grouped_weights(product.taps, product.groups, first, count, own_tile, size, self.lanes, streams),
            )
        elif product.stack:
            part = stationary.sliced((first, 0, 0), (1, 1, 1))
            layout = weights((last - first + 1,), product.k, product.columns, size, self.lanes, streams)
            layout = replace(layout, words=layout.words[1:])  # the tiles are the matrices
        else:
            if unit.summed and not product.taps:  # the rows of the plane's own passes
                first_pass, k = share.first_pass, share.passes * self.lanes
            part = stationary.sliced((*(0,) * dims, first_pass * self.lanes, first * self.lanes), (1,) * (dims + 2))
            layout = weights(product.taps, k, columns, size, self.lanes, streams)
        if product.repeated:
            layout = replace(layout, lanes=(Axis(self.lanes),))
        return self.to.named(part, layout, product.chip, user=user), first, first_pass

    def _user_of_weights(self, unit: Unit, share: Share) -> tuple[str, int, int]:
        """Who shares the buffer with the weights of a unit's tile, and the first and the last tile in it.

        The planes of a hemisphere share one; where they load for most of the time, each has its own. Where words are
        scarce, both hemispheres share what their planes do, and what is long is cut into tiles, for which slices have
        room where they have none for all.
        """
        busy, who = self._loads_most, self._hemisphere(share)
        alone = busy or unit.summed
        common = self.to.policy.tight and not alone and not self.product.repeats
        tiles_ = [
            self._weight_tile(u)
            for u in self.division
            if u.summed == unit.summed
            for s in u.shares
            if common or (s.plane == share.plane if busy else self._hemisphere(s) == who)
        ]
        first, last = min(tiles_), max(tiles_)
        if self.to.policy.tight and (last - first + 1) * self.cost.passes * self.cost.load > self.to.policy.long_words:
            first = last = self._weight_tile(unit)
        user = f"plane {self.planes[share.plane]}" if alone else "all planes" if common else f"hemisphere {who}"
        return user, first, last


def meet(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], near: int) -> bool:
    """Whether two ascending runs of cycles come as near to each other as `near`, or have too many pauses to say."""
    if any(np.count_nonzero(np.diff(times) > 1) >= Policy.told_visits for times in (one, other)):
        return True
    after = np.searchsorted(one, other)
    before = np.maximum(after - 1, 0)
    gaps = np.minimum(abs(one[np.minimum(after, len(one) - 1)] - other), abs(one[before] - other))
    return bool((gaps <= near).any())
