"""Streams whose consumers lie on both sides of what drives them, which no direction serves.

Placement avoids them as far as there is room. What is left is parted here: consumers on one side each get a stream of
their own, from a second op that reads or computes the same, with all that leads to it; and a word whose bytes or copies
go to both sides of the slices that it comes from goes through the ALUs, on one side of which all of these lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from xdsl.dialects.builtin import IntegerAttr, i64
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from ....dialects import tsp_stream as ts
from ....dialects.locations import located
from ..analysis.clusters import consumers
from ..analysis.timing import drive, samples

Ways = dict[ts.TimedOp, set[str]]
"""The directions in which a stream would have to flow to each of its consumers."""


def ways_of(op: ts.DrivingOp) -> Ways:
    """The ways of the stream that an op drives, if it drives one."""
    ways: Ways = {}
    if (touch := drive(op)) is not None:
        for consumer in consumers(touch.value):
            ends = {b for sample in samples(consumer) if sample.value is touch.value for b in sample.positions}
            ways[consumer] = {"E" if b > a else "W" for a in touch.positions for b in ends if a != b}
    return ways


def part(op: ts.DrivingOp, ways: Ways) -> list[ts.DrivingOp]:
    """Parts a stream with consumers on both sides, where that can be done, so that those of each lie on one side: of
    `op` and of the ops made, which are returned. What crosses between chips comes once, so it cannot be made again."""
    made: list[ts.DrivingOp] = []
    for consumer in [c for c, sides in ways.items() if len(sides) > 1]:
        match op, consumer:
            case ts.ReadOp() | ts.GatherOp(), ts.WriteOp() | ts.GatherOp() | ts.ScatterOp() if (
                op.stream in consumer.operands and len(op.stream.type.shape) == 2
            ):
                made.append(_through_alus(op, consumer))
            case _:
                return made
    ways, leading = ways_of(op), _leading_to(op)
    west = [consumer for consumer, sides in ways.items() if sides == {"W"}]
    parted = all(len(sides) < 2 for sides in ways.values()) and len(west) < len(ways)
    if west and parted and not any(isinstance(o, ts.ReceiveOp) for o in leading):
        made += _again(leading, west)
    return made


def _through_alus(op: ts.ReadOp | ts.GatherOp, consumer: ts.AccessOp) -> ts.VxmOp:
    """Takes a stream through an ALU on its way to a consumer."""
    block = Block(arg_types=[op.stream.type.element_type])
    delay = ts.DelayOp(block.args[0])
    block.add_ops([delay, ts.YieldOp(delay.result)])
    vxm = ts.VxmOp.build(
        operands=[[op.stream]],
        result_types=[op.stream.type],
        regions=[Region(block)],
        properties={"chip": IntegerAttr(op.chip_number, i64)},
    )
    Rewriter.insert_op(located(vxm, consumer), InsertPoint.before(consumer))
    _rewire(consumer, {op.stream: vxm.stream})
    return vxm


def _leading_to(op: ts.TimedOp) -> list[Operation]:
    """An op and all that streams bring to it, those first that bring them."""
    found: dict[Operation, None] = {}
    stack: list[tuple[Operation, bool]] = [(op, False)]
    while stack:
        at, seen = stack.pop()
        if at in found:
            continue
        if seen:
            found[at] = None
            continue
        stack.append((at, True))
        stack += [(value.owner, False) for value in _streams(at) if isinstance(value.owner, Operation)]
    return list(found)


def _streams(op: Operation) -> list[SSAValue]:
    """What streams, weights and links bring to an op."""
    return [v for v in op.operands if isinstance(v.type, ts.StreamType | ts.WeightsType | ts.FlightType)]


def _again(leading: Sequence[Operation], wanted: Iterable[ts.TimedOp]) -> list[ts.DrivingOp]:
    """Drives a stream once more for some of its consumers, with all that leads to it. Gives the ops that do."""
    values: dict[SSAValue, SSAValue] = {}
    point = InsertPoint.after(leading[-1])
    made: list[ts.DrivingOp] = []
    for one in leading:
        copy = located(one.clone(values), one)
        Rewriter.insert_op(copy, point)
        point = InsertPoint.after(copy)
        if isinstance(copy, ts.DrivingOp):
            copy.direction = None
            made.append(copy)
    for consumer in wanted:
        _rewire(consumer, values)
    return made


def _rewire(consumer: Operation, values: dict[SSAValue, SSAValue]) -> None:
    """Gives an op other streams in place of some, or of the groups to which its streams belong."""
    for i, value in enumerate(consumer.operands):
        group = ts.origin(value)[0]
        if value not in values and group in values:
            parts: list[Operation] = []
            at = value
            while at is not group:
                parts.append(part := cast(ts.PartOp, at.owner))
                at = part.vectors
            for part in reversed(parts):
                Rewriter.insert_op(located(part.clone(values), part), InsertPoint.before(consumer))
        if value in values:
            consumer.operands[i] = values[value]
