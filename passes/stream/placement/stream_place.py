"""stream-place: where things are: planes, slices, ALUs, and the direction of every stream.

Planes and ALUs are dealt out in turn, so that independent work may overlap. Buffers that one cluster touches lie in
different slices, since a slice has one instruction queue; among the slices left the least loaded are taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.ir import Block, Region
from xdsl.passes import ModulePass

from ....dialects import tsp_stream as ts
from ....dialects.errors import ScheduleError, UnsupportedModel
from ....dialects.locations import describe
from ....dialects.machine.target import ChipSpec
from ....dialects.target_attr import target_of
from ..analysis.alu_levels import alu_levels, balance
from ..analysis.clusters import clusters, timed_ops, weights_load
from ..analysis.timing import argument_level, drive
from .both_sides import part, ways_of
from .buffer_places import place_buffers
from .sxm_units import place_sxm_units


@dataclass(frozen=True)
class StreamPlacePass(ModulePass):
    """Decides planes, slices, ALUs and directions; what is decided already stays."""

    name = "stream-place"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        place_planes(op)
        place_sxm_units(op)
        place_buffers(op)
        balance_regions(op)
        for driving in [d for d in timed_ops(op) if isinstance(d, ts.DrivingOp)]:
            set_direction(driving)
        place_alus(op)


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


# -- ALUs ----------------------------------------------------------------------------------------------------------


def balance_regions(module: ModuleOp) -> None:
    """Puts delays into every region that the ALUs may hold, so that its operands meet."""
    for op in [op for op in module.walk() if isinstance(op, ts.VxmOp) and op.alus is None]:
        if len(op.alu_ops) <= target_of(op).chip.alus:
            balance(op)


def place_alus(module: ModuleOp) -> None:
    """Numbers the ALUs of every region, dealing them out in turn; those of one cluster work at the same time. Raises
    UnsupportedModel for too many of them."""
    chip = target_of(module).chip
    after: dict[int, int] = defaultdict(int)
    for cluster in clusters(module):
        regions = [op for op in cluster if isinstance(op, ts.VxmOp) and op.alus is None]
        if not regions:
            continue
        needed = sum(len(op.alu_ops) for op in regions)
        if needed > chip.alus:
            delays = sum(isinstance(o, ts.DelayOp) for op in regions for o in op.alu_ops)
            counted = f"{delays} of them delays" if delays else "without those for delays"
            raise UnsupportedModel(
                f"{describe(regions[0])}: its region takes {needed} ALUs ({counted}), the chip has "
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


def streams_of(region: Region, cycles: int, chip: ChipSpec) -> int:
    """The streams, of both directions, that come to the ALUs of a region and leave them at once, if what comes and
    leaves does so for so many cycles."""
    op = _balanced(region)
    levels = alu_levels(op)
    wide = [cast(ts.StreamType, v.type).width for v in (*op.inputs, op.stream)]
    taken = [argument_level(op, argument, levels) for argument in op.body.block.args]
    begins = [level * chip.latency_alu for level in (*taken, max(levels.values()) + 1)]
    return max(sum(w for w, a in zip(wide, begins, strict=True) if a <= at < a + cycles) for at in begins)


def _balanced(region: Region) -> ts.VxmOp:
    """An op with a copy of a region, and the delays that it needs."""
    shape = (1, 1)
    types = [ts.StreamType.of(shape, argument.type) for argument in region.block.args]
    yielded = cast(ts.YieldOp, region.block.last_op).value
    block = Block(arg_types=types)
    op = ts.VxmOp.build(
        operands=[list(block.args)], result_types=[ts.StreamType.of(shape, yielded.type)], regions=[region.clone()]
    )
    balance(op)
    return op


# -- directions ----------------------------------------------------------------------------------------------------


def set_direction(op: ts.DrivingOp) -> None:
    """Sends a stream toward its consumers; where they lie on both sides, it is parted. Raises ScheduleError where it
    cannot be."""
    if op.direction is not None or drive(op) is None:
        return
    ways = ways_of(op)
    if len(set[str]().union(*ways.values())) > 1:
        for made in part(op, ways):
            set_direction(made)
        ways = ways_of(op)
    flows = set[str]().union(*ways.values())
    if len(flows) > 1:
        raise ScheduleError(
            f"{describe(op)}: its consumers lie on both sides; let it rest in SRAM, and put the slices of each of them "
            "into one hemisphere"
        )
    op.direction = StringAttr(flows.pop() if flows else "E")
