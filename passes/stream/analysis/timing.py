"""When and where each stream op samples and drives, relative to its start: the geometry of a rigid cluster.

Everything is said in diagonals: a stream value has one diagonal for ever, its cycle minus its position when it flows
east and plus its position when it flows west. An op's start `at` is the dispatch of its first instruction on the unit
that it names first; its other instructions follow from the diagonals of its streams. The vectors of a run need not
follow each other in every cycle: the read that they come from says when, and what they become keeps that pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import I64, IntegerAttr, i8
from xdsl.ir import BlockArgument, Operation, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.errors import MalformedProgram, ScheduleError
from ....dialects.instructions import OP_CLASSES
from ....dialects.locations import describe
from ....dialects.machine.instruction import MAX_COUNT, MAX_EVERY, MAX_STEP
from ....dialects.machine.layout import AccessPattern, Limits
from ....dialects.machine.target import ChipSpec
from ....dialects.placement import Place, Slice
from ....dialects.target_attr import target_of
from .alu_levels import alu_levels
from .cached_analysis import cached_analysis
from .clusters import tied_operands


@dataclass(frozen=True)
class Touch:
    """An op samples or drives a stream: the value, and where and how long after the op's start."""

    value: SSAValue
    offset: int
    """Cycles from the op's start to the touch at the first position."""
    positions: tuple[int, ...]
    """Hops from the VXM; several for slices that take part side by side or one after the other."""

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


def repeat_limits(chip: ChipSpec) -> Limits:
    """What one instruction can repeat."""
    return Limits(chip.loop_levels, MAX_COUNT, MAX_EVERY, MAX_STEP)


# -- slices --------------------------------------------------------------------------------------------------------


def access_slices(op: ts.AccessOp, part: int) -> tuple[tuple[Slice, int], ...]:
    """The slices of a part that an access visits, each with the number of the stream that it takes part in."""
    place, byte = place_of(op.buffer), ts.only_byte(op)
    copies = range(place.copies) if writes(op) else [op.from_copy if isinstance(op, ts.ReadOp) else 0]
    found = [(s, i) for copy in copies for i, s in enumerate(place.side_by_side(copy, part))]
    return tuple((s, 0) for s, i in found if i == byte) if byte is not None else tuple(found)


def writes(op: ts.AccessOp) -> bool:
    """Whether an access writes to its buffer."""
    return isinstance(op, ts.WriteOp | ts.ScatterOp)


@cached_analysis
def is_written(buffer: SSAValue) -> bool:
    """Whether some op writes to a buffer."""
    return any(isinstance(use.operation, ts.AccessOp) and writes(use.operation) for use in buffer.uses)


def slice_position(slice_: Slice, chip: ChipSpec) -> int:
    """The stream register of a slice, in hops from the VXM."""
    return chip.queues[chip.queue_numbers[slice_.queue]].position


def access_parts(op: ts.AccessOp) -> range:
    """The parts of the buffer among which are all that an access visits."""
    place, words = place_of(op.buffer), op.words.data
    if isinstance(op, ts.GatherOp | ts.ScatterOp) and len(place.starts) > 1:
        raise MalformedProgram(
            f"{describe(op)}: its buffer lies in {len(place.starts)} parts, but a map finds words in "
            "one; split the tensor"
        )
    return range(place.part_of(words.low), place.part_of(words.high) + 1)


@cached_analysis
def access_positions(op: ts.AccessOp) -> tuple[int, ...]:
    """The positions of all slices that an access may visit, that of the least word's first slice first."""
    chip = target_of(op).chip
    return tuple(slice_position(s, chip) for part in access_parts(op) for s, _ in access_slices(op, part))


# -- units ---------------------------------------------------------------------------------------------------------


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


def activation_op(op: ts.MatmulOp) -> str:
    """The name of the instruction that takes a product's activations."""
    return "abc" if cast(ts.WeightsType, op.weights.type).element_type == i8 else "abc_f16"


def argument_level(op: ts.VxmOp, argument: BlockArgument, levels: dict[Operation, int]) -> int:
    """The level at which a region samples an argument's stream."""
    return min((levels[use.operation] for use in argument.uses if use.operation in levels), default=0)


# -- touches -------------------------------------------------------------------------------------------------------


@cached_analysis
def samples(op: ts.TimedOp) -> tuple[Touch, ...]:
    """The streams that an op samples."""
    return tuple(_samples(op))


def _samples(op: ts.TimedOp) -> Iterator[Touch]:
    chip = target_of(op).chip
    match op:
        case ts.WriteOp():
            skew = OP_CLASSES["write"].INSTRUCTION.d_skew(chip)
            yield Touch(ts.origin(op.stream)[0], skew, access_positions(op))
        case ts.GatherOp() | ts.ScatterOp():
            skew = OP_CLASSES["scatter" if isinstance(op, ts.ScatterOp) else "gather"].INSTRUCTION.d_skew(chip)
            for value in tied_operands(op):
                yield Touch(value, skew, access_positions(op))
        case ts.LaneOp():
            for value in tied_operands(op):
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


@cached_analysis
def drive(op: ts.TimedOp) -> Touch | None:
    """The stream that an op drives, if it drives one."""
    chip = target_of(op).chip
    match op:
        case ts.ReadOp():
            return Touch(op.stream, latency("read", chip), access_positions(op))
        case ts.GatherOp():
            return Touch(op.stream, latency("gather", chip), access_positions(op))
        case ts.LaneOp():
            return _touch(op.driven, latency(op.mnemonic, chip), lane_position(op, chip))
        case ts.MatmulOp():
            position = plane_position(required(op, "plane", "stream-place").value.data, chip)
            last_pass = int(pace(op).words()[-op.result.type.vectors])
            return _touch(op.result, last_pass + latency(activation_op(op), chip) + latency("acc_emit", chip), position)
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


# -- pace ----------------------------------------------------------------------------------------------------------


@cached_analysis
def pace(op: ts.TimedOp) -> AccessPattern:
    """The cycles of an op's vectors after the first one: of those that it takes, or that it brings where it takes none.

    Raises ScheduleError where streams that meet do not keep one pace.
    """
    match op:
        case ts.ReadOp():
            vectors = op.stream.type.vectors
            return AccessPattern.run(0, vectors) if op.cycles is None else op.cycles.data.canonicalize()
        case ts.ReceiveOp():
            return pace(cast(ts.SendOp, op.flight.owner))
        case _:
            paces = [drive_pace(touch.value) for touch in samples(op)]
            if any(other != paces[0] for other in paces):
                raise ScheduleError(f"{describe(op)}: the streams that meet here have vectors at different cycles")
            return paces[0] if paces else AccessPattern(0, ())


def drive_pace(value: SSAValue) -> AccessPattern:
    """The cycles of a stream's vectors after its first one."""
    producer = value.owner
    if not isinstance(producer, ts.DrivingOp):
        raise MalformedProgram("a stream comes from an op that drives it")
    return one_pass(producer) if isinstance(producer, ts.MatmulOp) else pace(producer)


@cached_analysis
def one_pass(op: ts.MatmulOp) -> AccessPattern:
    """The cycles of the vectors of each pass after its first one. Raises ScheduleError where passes differ."""
    wanted, levels = op.result.type.vectors, list[tuple[int, int]]()
    for count, step in pace(op).levels:
        if wanted % count == 0:
            levels.append((count, step))
            wanted //= count
        elif count % wanted == 0:
            levels.append((wanted, step))
            wanted = 1
        else:
            break
        if wanted == 1:
            break
    if wanted > 1:
        raise ScheduleError(f"{describe(op)}: its activations come in no {op.passes} equal passes")
    return AccessPattern(0, tuple(levels)).canonicalize()


@cached_analysis
def pass_starts(op: ts.MatmulOp) -> list[int]:
    """The cycles of the first vectors of all passes after the op's start."""
    return pace(op).words()[:: op.result.type.vectors].tolist()


@cached_analysis
def install_cycles(op: ts.LoadWeightsOp) -> list[int]:
    """The cycles after the start of a load in which the weights of each pass are installed."""
    return (pace(op).words()[op.groups * op.bytes - 1 :: op.groups * op.bytes] + 1).tolist()


def product_offset(load: ts.LoadWeightsOp, product: ts.MatmulOp) -> int:
    """Cycles from the start of a load to that of the product that uses its weights.

    Raises ScheduleError where a pass would not meet its own weights, or a load would not find the buffer empty.
    """
    installs = install_cycles(load)
    starts = pass_starts(product)
    offset = installs[0] + target_of(load).chip.latency_install
    if len(starts) > 1 and load.passes > 1:
        free = starts[1] - one_pass(product).high - 1
        offset += install_slack(free, load.groups * load.bytes + target_of(load).chip.latency_install)
    if load.passes > 1:
        first = [int(t) for t in pace(load).words()[:: load.groups * load.bytes]]
        early = any(t <= before for t, before in zip(first[1:], installs, strict=False))
        if early or [t - installs[0] for t in installs] != starts:
            raise ScheduleError(
                f"{describe(product)}: its passes start at {starts[:3]}... cycles, those of its weights are installed "
                f"at {[t - installs[0] for t in installs][:3]}...; give both the same cycles, with room for the install"
            )
    return offset


def install_slack(free: int, loading: int) -> int:
    """Cycles from when weights are installed to the start of their pass, of several: where between passes there is no
    more time free than to load and install, as many as the next install lets it. Then a pass takes no stream from the
    loads that run before it."""
    return max(0, free) if free <= loading else 0


def diagonal(direction: str, cycle: int, position: int) -> int:
    """The diagonal of a value at `position` in `cycle`."""
    return cycle - position if direction == "E" else cycle + position


def cycle_on(direction: str, on: int, position: int) -> int:
    """The cycle in which a value on diagonal `on` is at `position`."""
    return on + position if direction == "E" else on - position
