"""stream-place: where things are: planes, slices, ALUs, and the direction of every stream.

Planes and ALUs are assigned in turn, so that independent work may overlap. Buffers that one cluster touches lie in
different slices, since a slice has one instruction queue; among the slices left the least loaded are taken.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, StringAttr, i64
from xdsl.passes import ModulePass

from ....dialects import tsp_stream as ts
from ....dialects.errors import ScheduleError, UnsupportedModel
from ....dialects.locations import describe
from ....dialects.target_attr import target_of
from ..analysis.alu_levels import balance
from ..analysis.clusters import clusters, timed_ops, weights_load
from ..analysis.timing import drive
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
    """Numbers the ALUs of every region, assigned in turn; those of one cluster work at the same time. Raises
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
            f"{describe(op)}: its consumers lie both east and west of it; store it in SRAM, and put the slices of each "
            "of them into one hemisphere"
        )
    op.direction = StringAttr(flows.pop() if flows else "E")
