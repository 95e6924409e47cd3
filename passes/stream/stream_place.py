"""stream-place: where things are: planes, slices, ALUs, and the direction of every stream.

Planes and ALUs are dealt out in turn, so that independent work may overlap. Buffers that one cluster touches lie in
different slices, since a slice has one instruction queue; among the slices left the least loaded are taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.passes import ModulePass

from ...dialects import tsp_stream as ts
from ...dialects.elements import element_bytes
from ...dialects.errors import CapacityError, ScheduleError, UnsupportedModel
from ...dialects.layout import Layout
from ...dialects.locations import describe
from ...dialects.placement import Place, PlaceAttr
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from .alu_levels import balance
from .clusters import clusters, consumers, timed_ops
from .sides import place_sides
from .timing import drive, samples


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
    """Gives weights to the plane with the least vectors to multiply so far; sums of several tiles share one."""
    load: dict[tuple[int, int], int] = defaultdict(int)
    chip = target_of(module).chip
    for op in timed_ops(module):
        if isinstance(op, ts.LoadWeightsOp):
            products = [u.operation for u in op.weights.uses if isinstance(u.operation, ts.MatmulOp)]
            plane = op.plane
            if plane is None:  # an IntegerAttr of 0 is false, so `or` would not do
                plane = _partial_plane(products)
            if plane is None:
                plane = _least_loaded(load, op.chip_number, chip)
            op.plane = plane
            for product in products:
                product.plane = plane
                load[op.chip_number, plane.value.data] += cast(ts.StreamType, product.activations.type).vectors


def _partial_plane(products: list[ts.MatmulOp]) -> IntegerAttr[I64] | None:
    """The plane in whose accumulators the sums rest to which a product is added."""
    for product in products:
        if product.partial is not None and isinstance(before := product.partial.owner, ts.MatmulOp):
            return before.plane
    return None


def _least_loaded(load: dict[tuple[int, int], int], chip_number: int, chip: ChipSpec) -> IntegerAttr[I64]:
    return IntegerAttr(min(range(chip.planes), key=lambda p: load[chip_number, p]), i64)


# -- buffers -------------------------------------------------------------------------------------------------------


def place_buffers(module: ModuleOp) -> None:
    """Gives every buffer its hemisphere and slices. Raises CapacityError when too few slices are free of conflicts."""
    chip = target_of(module).chip
    neighbours = _neighbours(module)
    load: dict[tuple[int, str, int], int] = defaultdict(int)
    for buffer in [b for b in module.walk() if isinstance(b, ts.BufferOp)]:
        if buffer.place is None:
            buffer.place = PlaceAttr(_choose(buffer, neighbours[buffer], load, chip))
        place = buffer.place.data
        for s in place.slices:
            load[buffer.chip_number, place.hemisphere, s] += place.layout.depth(buffer.type.shape, chip)


def _neighbours(module: ModuleOp) -> dict[ts.BufferOp, set[ts.BufferOp]]:
    """The buffers that share a cluster with each buffer."""
    result: dict[ts.BufferOp, set[ts.BufferOp]] = defaultdict(set)
    for cluster in clusters(module):
        touched = {
            op.buffer.owner
            for op in cluster
            if isinstance(op, ts.AccessOp) and isinstance(op.buffer.owner, ts.BufferOp)
        }
        for buffer in touched:
            result[buffer] |= {b for b in touched if b is not buffer and b.chip_number == buffer.chip_number}
    return result


def _choose(
    buffer: ts.BufferOp, neighbours: set[ts.BufferOp], load: dict[tuple[int, str, int], int], chip: ChipSpec
) -> Place:
    layout = buffer.type.layout
    wanted = layout.slices(element_bytes(buffer.type.tensor.element_type), chip)
    depth = layout.depth(buffer.type.shape, chip)
    if depth > chip.words:
        raise CapacityError(
            f"{describe(buffer)}: {_name(buffer)} takes {depth} words in each of its slices, a slice has {chip.words}: "
            f"{depth - chip.words} too many; split the tensor"
        )
    taken = {(b.place.data.hemisphere, s) for b in neighbours if b.place for s in b.place.data.slices}
    places: list[tuple[bool, Place]] = []
    for hemisphere in _preference(buffer, load, chip):
        free = [s for s in range(chip.slices) if (hemisphere, s) not in taken]
        free.sort(key=lambda s: (load[buffer.chip_number, hemisphere, s], s))
        if any(isinstance(use.operation, ts.GatherOp | ts.ScatterOp) for use in buffer.buffer.uses):
            free = _one_position_first(free, wanted, chip)
        if len(chosen := free[:wanted]) == wanted:
            crowded = load[buffer.chip_number, hemisphere, chosen[-1]] + depth > chip.words
            places.append((crowded, Place(layout, hemisphere, tuple(sorted(chosen)))))
    if places:
        return min(places, key=lambda p: p[0])[1]
    if wanted > chip.slices:
        raise CapacityError(
            f"{describe(buffer)}: {_name(buffer)} lies in {wanted} slices side by side, {wanted - chip.slices} more "
            f"than a hemisphere's {chip.slices} (target field `chip.slices`)"
        )
    raise CapacityError(
        f"{describe(buffer)}: {_name(buffer)} needs {wanted} slices that the {len(neighbours)} other tensors used "
        f"together with it leave free in one hemisphere of {chip.slices}; split the op that uses them all"
    )


def _one_position_first(free: list[int], wanted: int, chip: ChipSpec) -> list[int]:
    """Free slices, first the best that lie at one position where there are enough: there the map's stream and that of
    the words meet whichever ways they flow."""
    by_position: dict[int, list[int]] = defaultdict(list)
    for s in free:
        by_position[s // chip.slices_per_hop].append(s)
    together = next((slices for slices in by_position.values() if len(slices) >= wanted), list[int]())
    return together + [s for s in free if s not in together]


def _preference(buffer: ts.BufferOp, load: dict[tuple[int, str, int], int], chip: ChipSpec) -> list[str]:
    """The hemispheres in the order of preference: weights near their plane, a copy opposite to what it copies (so that
    all its bytes flow one way), and else the less loaded."""
    sums = {h: sum(load[buffer.chip_number, h, s] for s in range(chip.slices)) for h in "EW"}
    order = sorted("EW", key=lambda h: sums[h])
    for use in buffer.buffer.uses:
        op = use.operation
        if isinstance(op, ts.WriteOp) and isinstance(read := op.stream.owner, ts.ReadOp):
            source = cast(ts.BufferOp, read.buffer.owner)
            if source.place is not None:
                return ["W" if source.place.data.hemisphere == "E" else "E"]
        if isinstance(op, ts.ReadOp) and buffer.type.layout is Layout.WEIGHTS:
            for consumer in op.stream.uses:
                if isinstance(load_op := consumer.operation, ts.LoadWeightsOp) and load_op.plane is not None:
                    near = "E" if load_op.plane.value.data < chip.planes // 2 else "W"
                    return [near, "W" if near == "E" else "E"]
    return order


def _name(buffer: ts.BufferOp) -> str:
    name = f" `{buffer.tensor_name.data}`" if buffer.tensor_name else ""
    return f"{buffer.kind.data}{name} {buffer.type.tensor}"


# -- ALUs ----------------------------------------------------------------------------------------------------------


def place_alus(module: ModuleOp) -> None:
    """Numbers the ALUs of every region, dealing them out in turn. Raises UnsupportedModel for too long a region."""
    chip = target_of(module).chip
    after: dict[int, int] = defaultdict(int)
    for op in timed_ops(module):
        if not isinstance(op, ts.VxmOp) or op.alus is not None:
            continue
        needed = len(op.alu_ops)
        if needed > chip.alus:
            delays = sum(isinstance(o, ts.DelayOp) for o in op.alu_ops)
            raise UnsupportedModel(
                f"{describe(op)}: its region takes {needed} ALUs ({delays} of them delays), the chip has {chip.alus}; "
                "split the map into several"
            )
        first = after[op.chip_number]
        if first + needed > chip.alus:
            first = 0
        op.alus = DenseArrayBase.from_list(i64, list(range(first, first + needed)))
        after[op.chip_number] = first + needed


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
                pairs = zip(
                    touch.positions * len(sample.positions), sample.positions * len(touch.positions), strict=True
                )
                ways |= {"E" if b > a else "W" for a, b in pairs if a != b}
    if len(ways) > 1:
        raise ScheduleError(f"{describe(op)}: its consumers lie on both sides; read or compute it once for each")
    op.direction = StringAttr(ways.pop() if ways else "E")
