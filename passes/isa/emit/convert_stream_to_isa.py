"""convert-stream-to-isa: writes a scheduled program down as instructions, one list per queue and chip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from ....dialects import c2c, tsp_tensor
from ....dialects import instructions as ops
from ....dialects import tsp_isa as isa
from ....dialects import tsp_stream as ts
from ....dialects.errors import MalformedProgram
from ....dialects.instructions import OP_CLASSES
from ....dialects.locations import describe, located
from ....dialects.machine.layout import AccessPattern, Run, fold, runs
from ....dialects.machine.stream_code import stream_code
from ....dialects.machine.target import ChipSpec, SystemSpec
from ....dialects.placement import PlaceAttr
from ....dialects.programs.dataflow import QueueDataflow
from ....dialects.programs.records import program_length
from ....dialects.target_attr import target_of
from ...plans import put_on_whole
from ...stream.analysis.cached_analysis import analyses_preserved
from ...stream.analysis.clusters import timed_ops
from ...stream.analysis.timing import (
    activation_op,
    install_cycles,
    lane_queue,
    latency,
    one_pass,
    pace,
    pass_starts,
    place_of,
    repeat_limits,
    required,
)
from ...stream.schedule.stream_schedule import access_runs, check_schedule, direction_of
from .alu_instructions import alu_instructions
from .lane_instructions import lane_values
from .scheduled_instructions import ScheduledInstruction, in_dispatch_order, scheduled
from .stream_dataflow import stream_dataflow

MAX_VECTORS = ops.ActivationsOp.INSTRUCTION.fields[0].high
"""Vectors that one `abc` can take."""

Queues = dict[str, list[ScheduledInstruction]]


@dataclass(frozen=True)
class ConvertStreamToIsaPass(ModulePass):
    """Turns the scheduled function into one tsp_isa.program per chip."""

    name = "convert-stream-to-isa"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        put_on_whole(op)
        system = target_of(op)
        for function in [f for f in op.ops if isinstance(f, func.FuncOp)]:
            check_lowered(function)
            buffers = [b for b in function.walk() if isinstance(b, ts.BufferOp)]
            chips: dict[int, Queues] = {b.chip_number: defaultdict(list) for b in buffers}
            with analyses_preserved():
                check_schedule(op)
                ops = timed_ops(op)
                for timed in ops:
                    queues = chips.setdefault(timed.chip_number, defaultdict(list))
                    for queue, one in instructions(timed, system.chip):
                        queues[queue].append(one)
                chips = {c: {q: in_dispatch_order(queue) for q, queue in queues.items()} for c, queues in chips.items()}
                binds = {c: [bind for b in buffers if b.chip_number == c for bind in binds_of(b)] for c in chips}
                dataflow = stream_dataflow(ops, chips, binds, system)
            for chip in sorted(chips):
                name = function.sym_name.data if system.chips == 1 else f"{function.sym_name.data}_chip{chip}"
                program = chip_program(name, chip, binds[chip], chips[chip], dataflow[chip], system)
                op.body.block.add_op(program)
            function.detach()
            function.erase()


def check_lowered(function: func.FuncOp) -> None:
    """Raises MalformedProgram for an op that would be lost, since it is of an earlier level."""
    for op in function.walk():
        if op.dialect_name() == tsp_tensor.TSP_TENSOR.name:
            raise MalformedProgram(f"{describe(op)}: is of the tensor level; run convert-tensor-to-stream first")
        if isinstance(op, c2c.TransferOp):
            raise MalformedProgram(f"{describe(op)}: has no link; run c2c-route-and-schedule first")


def chip_program(
    name: str,
    chip: int,
    binds: Sequence[Operation],
    queues: Queues,
    dataflow: Mapping[str, QueueDataflow],
    system: SystemSpec,
) -> isa.ProgramOp:
    """The program of one chip; queues in the chip's order, their instructions in the order of time."""
    numbers = system.chip.queue_numbers
    body: list[Operation] = list(binds)
    last = -1
    for queue in sorted(queues, key=lambda q: numbers[q]):
        instructions = queues[queue]
        body.append(isa.QueueOp(queue, [located(d.kind.make(d.at, d.values, d.loops), d.source) for d in instructions]))
        last = max(last, *(d.last for d in instructions))
    body += [isa.DataflowOp(queue, dataflow[queue]) for queue in sorted(queues, key=lambda q: numbers[q])]
    return isa.ProgramOp(name, chip, program_length(last, system), Region([Block(body)]))


def binds_of(buffer: ts.BufferOp) -> Iterator[isa.BindOp]:
    """What the host needs to know of a buffer: an input that is returned is an output as well."""
    if buffer.kind.data == "scratch":
        return
    if buffer.tensor_name is None:
        raise MalformedProgram(f"{describe(buffer)}: a {buffer.kind.data} needs a name")
    yield bind(buffer, buffer.kind, buffer.tensor_name)
    if buffer.returned is not None:
        yield bind(buffer, StringAttr("output"), buffer.returned)


def bind(buffer: ts.BufferOp, kind: StringAttr, name: StringAttr) -> isa.BindOp:
    """The words of a buffer as a tensor of the host."""
    properties: dict[str, Attribute | None] = {
        "kind": kind,
        "tensor_name": name,
        "tensor": buffer.type.tensor,
        "external": buffer.external,
        "layout": buffer.type.layout_attr,
        "place": PlaceAttr(place_of(buffer.buffer)),
        "value": buffer.value,
    }
    return located(isa.BindOp.build(properties=properties), buffer)


# -- instructions of an op -----------------------------------------------------------------------------------------


def instructions(op: ts.TimedOp, chip: ChipSpec) -> Iterator[tuple[str, ScheduledInstruction]]:
    """The instructions of a scheduled op, each with its queue."""
    at = required(op, "at", "stream-schedule").value.data
    match op:
        case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
            yield from _access(op, at, chip)
        case ts.LoadWeightsOp():
            yield from _load_weights(op, at, chip)
        case ts.MatmulOp():
            yield from _multiply(op, at, chip)
        case ts.VxmOp():
            yield from alu_instructions(op, at, _still(pace(op), chip), stream_of, chip)
        case ts.LaneOp():
            for run in _still(pace(op), chip):
                yield lane_queue(op), scheduled(OP_CLASSES[op.mnemonic], at, lane_values(op, stream_of), run, op)
        case ts.SendOp():
            for run in _still(pace(op), chip):
                yield f"C2C.{op.link.value.data}", scheduled(ops.SendOp, at, [stream_of(op.stream)], run, op)
        case ts.ReceiveOp():
            for run in _still(pace(op), chip):
                yield f"C2C.{op.link.value.data}", scheduled(ops.ReceiveOp, at, [stream_of(op.stream)], run, op)
        case _:
            raise MalformedProgram(f"{describe(op)}: has no instructions")


def stream_of(value: SSAValue) -> int:
    """The code of the first stream that carries a value."""
    driven, before = ts.origin(value)
    op = driven.owner
    if not isinstance(op, ts.DrivingOp):
        raise MalformedProgram("a stream comes from an op that drives it")
    return stream_code(direction_of(op), required(op, "on", "stream-schedule").value.data + before)


def _access(op: ts.AccessOp, at: int, chip: ChipSpec) -> Iterator[tuple[str, ScheduledInstruction]]:
    address_of = place_of(op.buffer).address_of
    if not address_of:
        raise MalformedProgram(f"{describe(op)}: its buffer has no address; run stream-allocate first")
    kind = OP_CLASSES[op.name.partition(".")[2]]
    maps = [stream_of(op.map)] if isinstance(op, ts.GatherOp | ts.ScatterOp) else []
    first = stream_of(op.stream)
    for slice_, number, run in access_runs(op):
        yield slice_.queue, scheduled(kind, at, [address_of[slice_] + run.word, *maps, first + number], run, op)


def _paced(cycles: AccessPattern, words: AccessPattern, chip: ChipSpec) -> list[Run]:
    """The visits of a unit that does something at `cycles`, with a field that follows `words`."""
    return [run for _, run in runs(words, cycles, (0,), repeat_limits(chip))]


def _still(cycles: AccessPattern, chip: ChipSpec) -> list[Run]:
    return _paced(cycles, AccessPattern(0, ((cycles.count, 0),)), chip)


def _repeated(pieces: Sequence[Run], starts: Sequence[int], chip: ChipSpec) -> list[Run]:
    """The same visits after each of some starts."""
    return fold([p._replace(at=p.at + start) for start in starts for p in pieces], repeat_limits(chip))


def _load_weights(op: ts.LoadWeightsOp, at: int, chip: ChipSpec) -> Iterator[tuple[str, ScheduledInstruction]]:
    plane, stream = required(op, "plane", "stream-place").value.data, stream_of(op.stream)
    times = pace(op).words().reshape(op.passes, op.bytes, op.groups).tolist()
    for byte in range(op.bytes):
        queue = f"MXM.{plane + byte}.weights"
        pieces = [Run(t, row, ()) for one in times for row, t in enumerate(one[byte])]
        for run in fold(pieces, repeat_limits(chip)):
            yield queue, scheduled(ops.LoadWeightsOp, at, [run.word, stream], run, op)
        for run in fold([Run(t, 0, ()) for t in install_cycles(op)], repeat_limits(chip)):
            yield queue, scheduled(ops.InstallWeightsOp, at, [], run, op)


def _multiply(op: ts.MatmulOp, at: int, chip: ChipSpec) -> Iterator[tuple[str, ScheduledInstruction]]:
    plane = required(op, "plane", "stream-place").value.data
    starts, one = pass_starts(op), one_pass(op)
    kind = ops.ActivationsOp if activation_op(op) == "abc" else ops.HalfActivationsOp
    step = kind.INSTRUCTION.pace
    if all(t == step for _, t in one.levels) and len(one.levels) <= 1:
        runs_of = [(min(MAX_VECTORS, one.count - first), first * step) for first in range(0, one.count, MAX_VECTORS)]
        bursts = [(count, _repeated([Run(first, 0, ())], starts, chip)) for count, first in runs_of]
    else:
        bursts = [(1, _repeated(_still(one, chip), starts, chip))]
    for count, found in bursts:
        for run in found:
            values = [count, stream_of(op.activations)]
            yield f"MXM.{plane}.activations", scheduled(kind, at, values, run, op)
    sums = at + latency(activation_op(op), chip)
    queue = f"MXM.{plane}.accumulators"
    entries = AccessPattern.run(0, one.count) if len(starts) > 1 else AccessPattern(0, ((one.count, 0),))
    entry_runs = _paced(one, entries, chip)
    for mode, some in ((0, starts[:-1][:1]), (1, starts[1:-1])):
        for run in _repeated(entry_runs, some, chip):
            yield queue, scheduled(ops.AccumulateOp, sums, [run.word, mode], run, op)
    for run in _repeated(entry_runs, starts[-1:], chip):
        values = [run.word, int(len(starts) > 1), stream_of(op.result)]
        yield queue, scheduled(ops.AccumulateEmitOp, sums, values, run, op)
