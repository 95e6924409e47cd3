"""The hemisphere, and the unit, of every SXM op."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import cast

from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, i64

from ....dialects import tsp_stream as ts
from ....dialects.machine.target import ChipSpec
from ....dialects.target_attr import target_of
from ..analysis.clusters import clusters, consumers, tied_operands


def place_sxm_units(module: ModuleOp) -> None:
    """Gives every SXM op a unit that nothing else of its cluster uses, if there is one: on the side of the MXM, link or
    SXM from which its streams come or to which its result goes; else one that has had less to do."""
    chip = target_of(module).chip
    load: dict[tuple[int, str, str], int] = defaultdict(int)
    for cluster in clusters(module):
        ops = [op for op in cluster if isinstance(op, ts.LaneOp)]
        taken = {(op.chip_number, side, unit) for op in ops if len(at := [*_choices(op)]) == 1 for side, unit in at}
        for op in ops:
            near, where = [*_sides_near(op, chip)], op.chip_number
            costs = {
                (side, unit): ((where, side, unit) in taken, -near.count(side), load[where, side, unit])
                for side, unit in _choices(op)
            }
            side, unit = min(costs, key=costs.__getitem__)
            if isinstance(op, ts.TransposeOp) and op.unit is None:
                op.unit = IntegerAttr(op.units.index(unit), i64)
            op.side = StringAttr(side)
            taken.add((where, side, unit))
            load[where, side, unit] += cast(ts.StreamType, op.driven.type).vectors


def _choices(op: ts.LaneOp) -> Iterator[tuple[str, str]]:
    """The sides and units that an op may still take."""
    for side in "EW" if op.side is None else op.side.data:
        for unit in op.units:
            yield side, unit


def _sides_near(op: ts.LaneOp, chip: ChipSpec) -> Iterator[str]:
    """The sides of the units beyond the slices with which an op exchanges streams."""
    for other in (*(v.owner for v in tied_operands(op)), *consumers(op.driven)):
        match other:
            case ts.MatmulOp() | ts.LoadWeightsOp() if other.plane is not None:
                yield "E" if other.plane.value.data < chip.planes // 2 else "W"
            case ts.SendOp() | ts.ReceiveOp():
                yield "E" if other.link.value.data < chip.links // 2 else "W"
            case ts.LaneOp() if other.side is not None:
                yield other.side.data
            case _:
                pass
