"""stream-place: where things are: planes, slices, ALUs, and the direction of every stream.

Planes and ALUs are dealt out in turn, so that independent work may overlap. Buffers that one cluster touches lie in
different slices, since a slice has one instruction queue; among the slices left the least loaded are taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.ir import Block, Region
from xdsl.passes import ModulePass

from ...dialects import tsp_stream as ts
from ...dialects.errors import CapacityError, ScheduleError, UnsupportedModel
from ...dialects.locations import describe
from ...dialects.placement import Place, PlaceAttr, Slice
from ...dialects.target_attr import target_of
from .alu_levels import balance
from .clusters import clusters, consumers, timed_ops, weights_load
from .sides import place_sides
from .timing import drive, is_written, pace, samples, slice_position, writes


@dataclass(frozen=True)
class StreamPlacePass(ModulePass):
    """Decides planes, slices, ALUs and directions; what is decided already stays."""

    name = "stream-place"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        place_planes(op)
        place_sides(op)
        place_buffers(op)
        for vxm in [v for v in op.walk() if isinstance(v, ts.VxmOp)]:
            balance(vxm)
        place_alus(op)
        for driving in [d for d in timed_ops(op) if isinstance(d, ts.DrivingOp)]:
            set_direction(driving)


# -- planes --------------------------------------------------------------------------------------------------------


def place_planes(module: ModuleOp) -> None:
    """Gives every product that has no plane the one with the least vectors to multiply so far."""
    load: dict[tuple[int, int], int] = defaultdict(int)
    chip = target_of(module).chip
    for op in timed_ops(module):
        if not isinstance(op, ts.MatmulOp):
            continue
        weights = weights_load(op)
        plane = op.plane if op.plane is not None else weights.plane  # an IntegerAttr of 0 is false
        if plane is None:
            able = [p for p in range(chip.planes) if weights.bytes == 1 or chip.paired_plane(p) is not None]
            if not able:
                raise UnsupportedModel(f"{describe(op)}: takes a pair of planes, a hemisphere has one; use int8")
            plane = IntegerAttr(min(able, key=lambda p: load[op.chip_number, p]), i64)
        op.plane = weights.plane = plane
        for i in range(weights.bytes):
            load[op.chip_number, plane.value.data + i] += cast(ts.StreamType, op.activations.type).vectors


# -- buffers -------------------------------------------------------------------------------------------------------

_NEAR = 8
"""Clusters that are so near to each other in the program may well run at the same time."""


def place_buffers(module: ModuleOp) -> None:
    """Gives every buffer its slices. Raises CapacityError when too few slices are free of conflicts."""
    placer = _Placer(module)
    buffers = [b for b in module.walk() if isinstance(b, ts.BufferOp)]
    # weights first: they need many slices, and those near their plane
    for buffer in sorted(buffers, key=lambda b: (b.place is None, not placer.planes(b))):
        if buffer.place is None:
            buffer.place = PlaceAttr(placer.choose(buffer))
        placer.count(buffer)


_SMALL = 64
"""Words of a read-only buffer that is no activation matrix but a vector for every row."""


class _Placer:
    """Chooses slices: those of one cluster apart, since a slice has one instruction queue, those of clusters that may
    run at the same time apart if there is room, and among the others those with the fewest words."""

    def __init__(self, module: ModuleOp):
        self.chip = target_of(module).chip
        self.words: dict[tuple[int, Slice], int] = defaultdict(int)
        """Words that lie in each slice so far."""
        self.busy: dict[tuple[int, Slice], list[tuple[int, int]]] = defaultdict(list)
        """For each slice the clusters in which it takes part so far, and the visits there."""
        self.lives: dict[tuple[int, Slice], list[tuple[int, int, int]]] = defaultdict(list)
        """For each slice the first and the last cluster of each buffer there, and its words."""
        self.last = 0
        """The last cluster."""
        self.together: dict[ts.BufferOp, set[ts.BufferOp]] = defaultdict(set)
        self.clusters_of: dict[ts.BufferOp, list[int]] = defaultdict(list)
        self.writers: dict[ts.BufferOp, set[ts.VxmOp | ts.MatmulOp]] = defaultdict(set)
        for number, cluster in enumerate(clusters(module)):
            self.last = number
            touched: set[ts.BufferOp] = set()
            for op in cluster:
                if isinstance(op, ts.AccessOp) and isinstance(op.buffer.owner, ts.BufferOp):
                    touched.add(op.buffer.owner)
            for buffer in touched:
                self.together[buffer] |= {b for b in touched if b is not buffer and b.chip == buffer.chip}
                self.clusters_of[buffer].append(number)

    def count(self, buffer: ts.BufferOp) -> None:
        """Takes note of a placed buffer."""
        assert buffer.place is not None
        place = buffer.place.data
        depth = place.depth_of(buffer.type.layout.depth)
        for s in place.slices:
            self.words[buffer.chip_number, s] += depth
            self.busy[buffer.chip_number, s] += [(n, depth) for n in self.clusters_of[buffer]]
            self.lives[buffer.chip_number, s].append((*self._life(buffer), depth))

    def _life(self, buffer: ts.BufferOp) -> tuple[int, int]:
        """The first and the last cluster in which a buffer keeps its words: of scratch without padding those that touch
        it."""
        mine = self.clusters_of[buffer]
        passing = buffer.kind.data == "scratch" and mine and not buffer.type.layout.has_empty_words(buffer.type.shape)
        return (mine[0], mine[-1]) if passing else (0, self.last)

    def _full(self, buffer: ts.BufferOp, s: Slice, depth: int) -> int:
        """How full a slice is with so many words more: 0 if it has them beside all others, 1 if only beside those that
        live when the buffer does, 2 if not even that."""
        key = buffer.chip_number, s
        if self.words[key] + depth <= self.chip.words:
            return 0
        first, last = self._life(buffer)
        beside = [life for life in self.lives[key] if life[0] <= last and first <= life[1]]
        if depth + sum(words for *_, words in beside) <= self.chip.words:
            return 1
        changes = sorted([(max(low, first), words) for low, _, words in beside] + [(h + 1, -w) for _, h, w in beside])
        return 1 + (depth + max(accumulate(words for _, words in changes)) > self.chip.words)

    def choose(self, buffer: ts.BufferOp) -> Place:
        """A place for a buffer: each group of slices in one hemisphere, with all its copies if they are written."""
        layout, chip = buffer.type.layout, self.chip
        starts, owners, copies = buffer.wanted.starts, buffer.wanted.owners, buffer.wanted.copies
        if layout.depth > chip.words and len(starts) == 1:
            pieces = -(-layout.depth // chip.words)
            starts = tuple(i * -(-layout.depth // pieces) for i in range(pieces))
            owners = ()
        shape = Place((), starts, owners, copies)
        depth = shape.depth_of(layout.depth)
        taken = {s for b in self.together[buffer] if b.place is not None for s in b.place.data.slices}
        weights = self.planes(buffer)
        joined = copies if self._is_written(buffer) else 1
        groups = shape.groups if self._on_one_side(buffer, shape) else 1
        chosen: dict[tuple[int, int], list[Slice]] = {}
        for copy in range(0, copies, joined):
            for group in range(0, shape.groups, groups):
                wanted = layout.width * joined * groups
                found = [
                    ((self._crowded(buffer, picked, depth), self._conflicts(buffer, picked), order), picked)
                    for order, hemisphere in enumerate(self._preference(buffer, weights, shape, copy, group))
                    if (picked := self._pick(buffer, hemisphere, wanted, depth, taken, weights)) is not None
                ]
                if not found:
                    raise self._no_room(buffer, layout.width * shape.groups * copies)
                slices = iter(min(found, key=lambda f: f[0])[1])
                for i in range(joined):
                    for k in range(groups):
                        chosen[copy + i, group + k] = [next(slices) for _ in range(layout.width)]
                        taken |= {*chosen[copy + i, group + k]}
        return replace(shape, slices=tuple(s for key in sorted(chosen) for s in chosen[key]))

    def _pick(
        self, buffer: ts.BufferOp, hemisphere: str, wanted: int, depth: int, taken: set[Slice], weights: list[int]
    ) -> list[Slice] | None:
        """The best slices of a hemisphere, in their order, or None where too few are free."""
        free = [s for n in range(self.chip.slices) if (s := Slice(hemisphere, n)) not in taken]
        if len(free) < wanted:
            return None
        key = buffer.chip_number
        if weights:
            # next to the planes; where each plane of the hemisphere has its own weights, beside those of the others
            own = len(weights) == 1
            skip = weights[0] % (self.chip.planes // 2) * wanted if own and self._loads_most(buffer) else 0
            free.sort(key=lambda s: (self._full(buffer, s, depth), -s.number))
            picked = free[skip : skip + wanted] if len(free) >= skip + wanted else free[:wanted]
        elif not self._is_written(buffer) and depth <= _SMALL:
            # what meets every row lies in the same slices for all ops, beside the weights and away from the rows
            weights_from = self.chip.slices - self.chip.weight_streams
            free.sort(key=lambda s: (self._full(buffer, s, depth), s.number >= weights_from, -s.number))
            picked = free[:wanted]
        else:
            rows_until = self.chip.slices - 3 * self.chip.weight_streams // 2
            free.sort(
                key=lambda s: (
                    self._full(buffer, s, depth),
                    s.number >= rows_until,
                    self._overlap(buffer, s),
                    self.words[key, s],
                    s.number,
                )
            )
            picked = free[:wanted]
        if any(isinstance(use.operation, ts.GatherOp | ts.ScatterOp) for use in buffer.buffer.uses):
            picked = self._one_position_first(free, wanted)[:wanted]
        return sorted(picked)

    def _one_position_first(self, free: list[Slice], wanted: int) -> list[Slice]:
        """Free slices, first the best that lie at one position where there are enough: there the map's stream and that
        of the words meet whichever ways they flow."""
        by_position: dict[int, list[Slice]] = defaultdict(list)
        for s in free:
            by_position[slice_position(s, self.chip)].append(s)
        together = next((slices for slices in by_position.values() if len(slices) >= wanted), list[Slice]())
        return together + [s for s in free if s not in together]

    def _overlap(self, buffer: ts.BufferOp, s: Slice) -> int:
        """Visits of a slice by clusters that may run at the same time as those of a buffer."""
        mine = self.clusters_of[buffer]
        if not mine:
            return 0
        low, high = mine[0] - _NEAR, mine[-1] + _NEAR
        return sum(depth for n, depth in self.busy[buffer.chip_number, s] if low <= n <= high)

    def _crowded(self, buffer: ts.BufferOp, picked: list[Slice], depth: int) -> int:
        return max(self._full(buffer, s, depth) for s in picked)

    def _conflicts(self, buffer: ts.BufferOp, picked: list[Slice]) -> int:
        return 0 if self.planes(buffer) else sum(self._overlap(buffer, s) for s in picked)

    def planes(self, buffer: ts.BufferOp) -> list[int]:
        """The planes for which a buffer holds weights, if it does."""
        return sorted({op.plane.value.data for op in self._loads(buffer) if op.plane is not None})

    def _loads(self, buffer: ts.BufferOp) -> list[ts.LoadWeightsOp]:
        reads = [u.operation for u in buffer.buffer.uses if isinstance(u.operation, ts.ReadOp)]
        users = [u.operation for read in reads for u in read.stream.uses]
        return [op for op in users if isinstance(op, ts.LoadWeightsOp)]

    def _loads_most(self, buffer: ts.BufferOp) -> bool:
        """Whether loading these weights takes most of the time of the products that use them."""
        cycles = [pace(op) for op in self._loads(buffer)]
        return any(2 * c.count > c.high for c in cycles)

    def _on_one_side(self, buffer: ts.BufferOp, shape: Place) -> bool:
        """Whether a run of visits must not go from one hemisphere to the other: unless it begins or ends at a plane,
        whose streams pass both, or stays within one group of slices."""
        for use in buffer.buffer.uses:
            op = use.operation
            if not isinstance(op, ts.AccessOp):
                continue
            first, last = shape.part_of(op.words.data.low), shape.part_of(op.words.data.high)
            if len({shape.owner(part) for part in range(first, last + 1)}) == 1:
                continue
            ends = [ts.origin(op.stream)[0].owner] if writes(op) else consumers(op.stream)
            if not all(isinstance(end, ts.MatmulOp | ts.LoadWeightsOp) for end in ends):
                return True
        return False

    def _is_written(self, buffer: ts.BufferOp) -> bool:
        return is_written(buffer.buffer)

    def _users(self, buffer: ts.BufferOp, shape: Place, copy: int, group: int) -> list[int]:
        """The planes that take their activations from a group of slices of a copy, or whose sums go straight there."""
        planes: list[int] = []
        for use in buffer.buffer.uses:
            op = use.operation
            if isinstance(op, ts.WriteOp) and isinstance(op.stream.owner, ts.MatmulOp):
                found = [op.stream.owner]
            elif isinstance(op, ts.ReadOp) and op.from_copy == copy:
                found = [u.operation for u in op.stream.uses if isinstance(u.operation, ts.MatmulOp)]
            else:
                continue
            first, last = shape.part_of(op.words.data.low), shape.part_of(op.words.data.high)
            if any(shape.owner(part) == group for part in range(first, last + 1)):
                planes += [p.plane.value.data for p in found if p.plane is not None]
        return planes

    def _preference(self, buffer: ts.BufferOp, weights: list[int], shape: Place, copy: int, group: int) -> list[str]:
        """The hemispheres in the order of preference: that of the planes which use the slices, where it is one, a copy
        opposite to what it copies (so that all its bytes flow one way), and else the less loaded."""
        sides = {plane < self.chip.planes // 2 for plane in weights or self._users(buffer, shape, copy, group)}
        if len(sides) == 1:
            return ["E", "W"] if sides == {True} else ["W", "E"]
        for use in buffer.buffer.uses:
            op = use.operation
            if isinstance(op, ts.WriteOp) and isinstance(read := op.stream.owner, ts.ReadOp):
                source = cast(ts.BufferOp, read.buffer.owner)
                if source.place is not None:
                    return ["W" if source.place.data.slices[0].hemisphere == "E" else "E"]
        sums = {h: sum(n for (_, s), n in self.words.items() if s.hemisphere == h) for h in "EW"}
        return sorted("EW", key=lambda h: sums[h])

    def _no_room(self, buffer: ts.BufferOp, wanted: int) -> CapacityError:
        slices = self.chip.slices
        if wanted > slices:
            return CapacityError(
                f"{describe(buffer)}: {_name(buffer)} lies in {wanted} slices, {wanted - slices} more than a "
                f"hemisphere's {slices} (target field `chip.slices`); split the tensor"
            )
        return CapacityError(
            f"{describe(buffer)}: {_name(buffer)} needs {wanted} slices that the {len(self.together[buffer])} other "
            f"tensors used together with it leave free in one hemisphere of {slices}; split the op that uses them all"
        )


def _name(buffer: ts.BufferOp) -> str:
    name = f" `{buffer.tensor_name.data}`" if buffer.tensor_name else ""
    return f"{buffer.kind.data}{name} {buffer.type.tensor}"


# -- ALUs ----------------------------------------------------------------------------------------------------------


def place_alus(module: ModuleOp) -> None:
    """Numbers the ALUs of every region, dealing them out in turn; those of one cluster work at the same time. Raises
    UnsupportedModel for too many of them."""
    chip = target_of(module).chip
    after: dict[int, int] = defaultdict(int)
    for cluster in clusters(module):
        regions = [op for op in cluster if isinstance(op, ts.VxmOp) and op.alus is None]
        needed = sum(len(op.alu_ops) for op in regions)
        if not regions:
            continue
        if needed > chip.alus:
            delays = sum(isinstance(o, ts.DelayOp) for op in regions for o in op.alu_ops)
            raise UnsupportedModel(
                f"{describe(regions[0])}: its region takes {needed} ALUs ({delays} of them delays), the chip has "
                f"{chip.alus}; split the map into several"
            )
        first = after[regions[0].chip_number]
        if first + needed > chip.alus:
            first = 0
        for op in regions:
            count = len(op.alu_ops)
            op.alus = DenseArrayBase.from_list(i64, list(range(first, first + count)))
            first += count
        after[regions[0].chip_number] = first


def alus_of(region: Region) -> int:
    """The ALUs that a region takes, those that only delay among them."""
    shape = (1, 1)
    types = [ts.StreamType.of(shape, argument.type) for argument in region.block.args]
    yielded = cast(ts.YieldOp, region.block.last_op).value
    block = Block(arg_types=types)
    op = ts.VxmOp.build(
        operands=[list(block.args)], result_types=[ts.StreamType.of(shape, yielded.type)], regions=[region.clone()]
    )
    balance(op)
    return len(op.alu_ops)


# -- directions ----------------------------------------------------------------------------------------------------


def set_direction(op: ts.DrivingOp) -> None:
    """Sends a stream toward its consumers. Raises ScheduleError when they lie on both sides."""
    touch = drive(op)
    if op.direction is not None or touch is None:
        return
    ways: set[str] = set()
    for consumer in consumers(touch.value):
        for sample in samples(consumer):
            if sample.value is touch.value:
                ways |= {"E" if b > a else "W" for a in touch.positions for b in sample.positions if a != b}
    if len(ways) > 1:
        raise ScheduleError(f"{describe(op)}: its consumers lie on both sides; read or compute it once for each")
    op.direction = StringAttr(ways.pop() if ways else "E")
