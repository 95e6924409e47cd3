"""When and where each stream op samples and drives, relative to its start: the geometry of a rigid cluster.

Everything is said in diagonals: a stream value has one diagonal for ever, its cycle minus its position when it flows
east and plus its position when it flows west. An op's start `at` is the dispatch of its first instruction on the unit
that it names first; its other instructions follow from the diagonals of its streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import I64, IntegerAttr
from xdsl.ir import BlockArgument, Operation, SSAValue

from ...dialects import tsp_stream as ts
from ...dialects.errors import MalformedProgram
from ...dialects.instructions import OP_CLASSES
from ...dialects.locations import describe
from ...dialects.placement import Place
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from .alu_levels import alu_levels
from .clusters import stream_operands


@dataclass(frozen=True)
class Touch:
    """An op samples or drives a stream: the value, and where and how long after the op's start."""

    value: SSAValue
    offset: int
    """Cycles from the op's start to the touch at the first position."""
    positions: tuple[int, ...]
    """Hops from the VXM; several for slices side by side, which touch one stream of the group each."""

    @property
    def position(self) -> int:
        return self.positions[0]


def required(op: Operation, name: str, pass_name: str) -> IntegerAttr[I64]:
    """An attribute that an earlier pass decides. Raises MalformedProgram when it is missing."""
    attr = op.properties.get(name)
    if attr is None:
        raise MalformedProgram(f"{describe(op)}: has no `{name}`; run {pass_name} first")
    return cast("IntegerAttr[I64]", attr)


def place_of(value: SSAValue) -> Place:
    """The place of a buffer. Raises MalformedProgram before stream-place."""
    buffer = value.owner
    if not isinstance(buffer, ts.BufferOp):
        raise MalformedProgram("a buffer comes from tsp_stream.buffer")
    if buffer.place is None:
        raise MalformedProgram(f"{describe(buffer)}: has no `place`; run stream-place first")
    return buffer.place.data


def slice_positions(op: ts.AccessOp, chip: ChipSpec) -> tuple[int, ...]:
    """The positions of the slices that an access visits side by side."""
    return tuple(chip.queues[chip.queue_numbers[name]].position for name in access_queues(op))


def access_queues(op: ts.AccessOp) -> tuple[str, ...]:
    """The MEM queues that an access visits side by side."""
    queues = place_of(op.buffer).queues()
    return queues if op.byte is None else (queues[op.byte.value.data],)


def plane_position(plane: int, chip: ChipSpec) -> int:
    return chip.mxm_distance if plane < chip.planes // 2 else -chip.mxm_distance


def lane_queue(op: ts.LaneOp) -> str:
    """The queue of the SXM unit that executes an op. Raises MalformedProgram before stream-place."""
    if op.side is None or len(op.units) != 1:
        raise MalformedProgram(f"{describe(op)}: has no `side` or `unit`; run stream-place first")
    return f"SXM.{op.side.data}.{op.units[0]}"


def lane_position(op: ts.LaneOp, chip: ChipSpec) -> int:
    return chip.queues[chip.queue_numbers[lane_queue(op)]].position


def link_position(link: int, chip: ChipSpec) -> int:
    return chip.queues[chip.queue_numbers[f"C2C.{link}"]].position


def latency(name: str, chip: ChipSpec) -> int:
    """d_func of an instruction."""
    return OP_CLASSES[name].INSTRUCTION.d_func(chip)


def argument_level(op: ts.VxmOp, argument: BlockArgument, levels: dict[Operation, int]) -> int:
    """The level at which a region samples an argument's stream."""
    return min((levels[use.operation] for use in argument.uses if use.operation in levels), default=0)


def samples(op: ts.TimedOp) -> Iterator[Touch]:
    """The streams that an op samples."""
    chip = target_of(op).chip
    match op:
        case ts.WriteOp():
            yield Touch(
                ts.origin(op.stream)[0], OP_CLASSES["write"].INSTRUCTION.d_skew(chip), slice_positions(op, chip)
            )
        case ts.GatherOp() | ts.ScatterOp():
            skew = OP_CLASSES["scatter" if isinstance(op, ts.ScatterOp) else "gather"].INSTRUCTION.d_skew(chip)
            for value in stream_operands(op):
                yield Touch(value, skew, slice_positions(op, chip))
        case ts.LaneOp():
            for value in stream_operands(op):
                yield _touch(value, 0, lane_position(op, chip))
        case ts.LoadWeightsOp():
            yield _touch(op.stream, 0, plane_position(required(op, "plane", "stream-place").value.data, chip))
        case ts.MatmulOp():
            yield _touch(op.activations, 0, plane_position(required(op, "plane", "stream-place").value.data, chip))
        case ts.VxmOp():
            levels = alu_levels(op)
            for value, argument in zip(op.inputs, op.body.block.args, strict=True):
                yield _touch(value, argument_level(op, argument, levels) * chip.latency_alu, 0)
        case ts.SendOp():
            yield _touch(op.stream, 0, link_position(op.link.value.data, chip))
        case _:
            return


def drive(op: ts.TimedOp) -> Touch | None:
    """The stream that an op drives, if it drives one."""
    chip = target_of(op).chip
    match op:
        case ts.ReadOp():
            return Touch(op.stream, latency("read", chip), slice_positions(op, chip))
        case ts.GatherOp():
            return Touch(op.stream, latency("gather", chip), slice_positions(op, chip))
        case ts.LaneOp():
            return _touch(op.driven, latency(op.mnemonic, chip), lane_position(op, chip))
        case ts.MatmulOp() if op.emits:
            position = plane_position(required(op, "plane", "stream-place").value.data, chip)
            return _touch(op.result, latency("abc", chip) + latency("acc_emit", chip), position)
        case ts.VxmOp():
            levels = alu_levels(op)
            last = levels.get(cast(Operation, op.yielded.owner))
            if last is None:
                raise MalformedProgram(f"{describe(op)}: its region yields what no ALU computes; leave out `alus`")
            return _touch(op.stream, last * chip.latency_alu + latency("add", chip), 0)
        case ts.ReceiveOp():
            return _touch(op.stream, latency("receive", chip), link_position(op.link.value.data, chip))
        case _:
            return None


def _touch(value: SSAValue, offset: int, position: int) -> Touch:
    return Touch(ts.origin(value)[0], offset, (position,))


def interval(op: ts.TimedOp) -> int:
    """Cycles between two vectors of an op: those of the read that its streams come from."""
    match op:
        case ts.ReadOp():
            return op.every.value.data
        case ts.ReceiveOp():
            return interval(cast(ts.SendOp, op.flight.owner))
        case _:
            sources = [touch.value.owner for touch in samples(op)]
            return max((interval(source) for source in sources if isinstance(source, ts.TimedOp)), default=1)


def diagonal(direction: str, cycle: int, position: int) -> int:
    """The diagonal of a value at `position` in `cycle`."""
    return cycle - position if direction == "E" else cycle + position


def cycle_on(direction: str, on: int, position: int) -> int:
    """The cycle in which a value on diagonal `on` is at `position`."""
    return on + position if direction == "E" else on - position
