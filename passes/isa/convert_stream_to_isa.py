"""convert-stream-to-isa: writes a scheduled program down as instructions, one list per queue and chip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from ...dialects import c2c, tsp_tensor
from ...dialects import instructions as ops
from ...dialects import tsp_isa as isa
from ...dialects import tsp_stream as ts
from ...dialects.errors import MalformedProgram
from ...dialects.instruction import (
    MAX_COUNT,
    MAX_EVERY,
    MAX_STEP,
    Loop,
    stream_code,
)
from ...dialects.instructions import OP_CLASSES
from ...dialects.layout import AccessPattern
from ...dialects.locations import describe, located
from ...dialects.placement import PlaceAttr
from ...dialects.program import program_length
from ...dialects.target import ChipSpec, SystemSpec
from ...dialects.target_attr import target_of
from ..stream.clusters import timed_ops
from ..stream.stream_schedule import check_schedule, direction_of, slice_shifts
from ..stream.timing import access_queues, interval, lane_queue, latency, place_of, required
from .alu_instructions import alu_instructions
from .lane_instructions import lane_instruction

MAX_VECTORS = ops.ActivationsOp.INSTRUCTION.fields[0].high
"""Vectors that one `abc` can take."""

Queues = dict[str, list[ops.InstructionOp]]


@dataclass(frozen=True)
class ConvertStreamToIsaPass(ModulePass):
    """Turns the scheduled function into one tsp_isa.program per chip."""

    name = "convert-stream-to-isa"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        system = target_of(op)
        for function in [f for f in op.ops if isinstance(f, func.FuncOp)]:
            check_lowered(function)
            check_schedule(op)
            chips: dict[int, Queues] = defaultdict(lambda: defaultdict(list))
            for timed in timed_ops(op):
                for queue, instruction in instructions(timed, system.chip):
                    chips[timed.chip_number][queue].append(located(instruction, timed))
            buffers = [b for b in function.walk() if isinstance(b, ts.BufferOp)]
            for chip in sorted({*chips, *(b.chip_number for b in buffers)}):
                binds = [bind(b) for b in buffers if b.chip_number == chip and b.kind.data != "scratch"]
                name = function.sym_name.data if system.chips == 1 else f"{function.sym_name.data}_chip{chip}"
                op.body.block.add_op(chip_program(name, chip, binds, chips[chip], target_of(op)))
            function.detach()
            function.erase()


def check_lowered(function: func.FuncOp) -> None:
    """Raises MalformedProgram for an op that would be lost, since it is of an earlier level."""
    for op in function.walk():
        if op.dialect_name() == tsp_tensor.TSP_TENSOR.name:
            raise MalformedProgram(f"{describe(op)}: is of the tensor level; run convert-tensor-to-stream first")
        if isinstance(op, c2c.TransferOp):
            raise MalformedProgram(f"{describe(op)}: has no link; run c2c-route-and-schedule first")


def chip_program(name: str, chip: int, binds: Sequence[Operation], queues: Queues, system: SystemSpec) -> isa.ProgramOp:
    """The program of one chip; queues in the chip's order, instructions in the order of their cycles."""
    numbers = system.chip.queue_numbers
    body: list[Operation] = list(binds)
    last = -1
    for queue in sorted(queues, key=lambda q: numbers[q]):
        in_order = sorted(queues[queue], key=lambda i: i.at.value.data)
        body.append(isa.QueueOp(queue, in_order))
        last = max(last, *(i.record(0).last for i in in_order))
    return isa.ProgramOp(name, chip, program_length(last, system), Region([Block(body)]))


def bind(buffer: ts.BufferOp) -> isa.BindOp:
    """What the host needs to know of a buffer."""
    name = buffer.tensor_name
    if name is None:
        raise MalformedProgram(f"{describe(buffer)}: a {buffer.kind.data} needs a name")
    properties: dict[str, Attribute | None] = {
        "kind": buffer.kind,
        "tensor_name": name,
        "tensor": buffer.type.tensor,
        "external": buffer.external,
        "place": PlaceAttr(place_of(buffer.buffer)),
        "value": buffer.value,
    }
    return located(isa.BindOp.build(properties=properties), buffer)


# -- instructions of an op -----------------------------------------------------------------------------------------


def instructions(op: ts.TimedOp, chip: ChipSpec) -> Iterator[tuple[str, ops.InstructionOp]]:
    """The instructions of a scheduled op, each with its queue."""
    at = required(op, "at", "stream-schedule").value.data
    match op:
        case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
            yield from _access(op, at, chip)
        case ts.LoadWeightsOp():
            yield from _load_weights(op, at)
        case ts.MatmulOp():
            yield from _multiply(op, at, chip)
        case ts.VxmOp():
            loops = _loops(op.stream.type.vectors, interval(op))
            yield from alu_instructions(op, at, loops, stream_of, chip)
        case ts.LaneOp():
            loops = _loops(cast(ts.StreamType, op.driven.type).vectors, interval(op))
            yield lane_queue(op), lane_instruction(op, at, loops, stream_of)
        case ts.SendOp():
            loops = _loops(cast(ts.StreamType, op.stream.type).vectors, interval(op))
            yield f"C2C.{op.link.value.data}", ops.SendOp.make(at, [stream_of(op.stream)], loops)
        case ts.ReceiveOp():
            loops = _loops(op.stream.type.vectors, interval(op))
            yield f"C2C.{op.link.value.data}", ops.ReceiveOp.make(at, [stream_of(op.stream)], loops)
        case _:
            raise MalformedProgram(f"{describe(op)}: has no instructions")


def stream_of(value: SSAValue) -> int:
    """The code of the first stream that carries a value."""
    driven, before = ts.origin(value)
    op = driven.owner
    if not isinstance(op, ts.DrivingOp):
        raise MalformedProgram("a stream comes from an op that drives it")
    return stream_code(direction_of(op), required(op, "on", "stream-schedule").value.data + before)


def _loops(count: int, every: int, step: int = 0) -> list[Loop]:
    return [Loop(count, every, step)] if count > 1 else []


def _access(op: ts.AccessOp, at: int, chip: ChipSpec) -> Iterator[tuple[str, ops.InstructionOp]]:
    address = place_of(op.buffer).address
    if address is None:
        raise MalformedProgram(f"{describe(op)}: its buffer has no address; run stream-allocate first")
    kind = OP_CLASSES[op.name.partition(".")[2]]
    numbers = [stream_of(op.map)] if isinstance(op, ts.GatherOp | ts.ScatterOp) else []
    runs = list(loop_runs(op.words.data, interval(op), chip.loop_levels))
    for i, (queue, shift) in enumerate(zip(access_queues(op), slice_shifts(op), strict=True)):
        for after, word, loops in runs:
            yield queue, kind.make(at + shift + after, [address + word, *numbers, stream_of(op.stream) + i], loops)


def loop_runs(pattern: AccessPattern, every: int, deepest: int) -> Iterator[tuple[int, int, list[Loop]]]:
    """A pattern as instructions: cycles after the first, word, and loops that an instruction can hold."""
    loops: list[Loop] = []
    round_trip = every
    levels = list(pattern.canonicalize().levels)
    while levels and len(loops) < deepest:
        count, step = levels[0]
        if count > MAX_COUNT or round_trip > MAX_EVERY or abs(step) > MAX_STEP:
            break
        del levels[0]
        loops.append(Loop(count, round_trip, step))
        round_trip *= count
    rest = AccessPattern(pattern.offset, tuple(levels))
    for i, word in enumerate(rest.words()):
        yield i * round_trip, int(word), loops


def _load_weights(op: ts.LoadWeightsOp, at: int) -> Iterator[tuple[str, ops.InstructionOp]]:
    queue = f"MXM.{required(op, 'plane', 'stream-place').value.data}.weights"
    groups, every = cast(ts.StreamType, op.stream.type).vectors, interval(op)
    yield queue, ops.LoadWeightsOp.make(at, [0, stream_of(op.stream)], _loops(groups, every, 1))
    yield queue, ops.InstallWeightsOp.make(at + (groups - 1) * every + 1, [])


def _multiply(op: ts.MatmulOp, at: int, chip: ChipSpec) -> Iterator[tuple[str, ops.InstructionOp]]:
    plane = required(op, "plane", "stream-place").value.data
    vectors, every = cast(ts.StreamType, op.activations.type).vectors, interval(op)
    stream = stream_of(op.activations)
    queue = f"MXM.{plane}.activations"
    if every == 1:
        for first in range(0, vectors, MAX_VECTORS):
            yield queue, ops.ActivationsOp.make(at + first, [min(MAX_VECTORS, vectors - first), stream])
    else:
        yield queue, ops.ActivationsOp.make(at, [1, stream], _loops(vectors, every))
    sums = at + latency("abc", chip)
    mode = int(op.partial is not None)
    resting = op.partial is not None or not op.emits
    loops = _loops(vectors, every, 1 if resting else 0)
    queue = f"MXM.{plane}.accumulators"
    if op.emits:
        yield queue, ops.AccumulateEmitOp.make(sums, [0, mode, stream_of(op.result)], loops)
    else:
        yield queue, ops.AccumulateOp.make(sums, [0, mode], loops)
