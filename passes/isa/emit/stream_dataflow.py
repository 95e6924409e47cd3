"""What the instructions of a scheduled program are meant to take: from the stream ops alone, by their values and by the
order in which they visit words of SRAM.

An instruction takes what the op that its operand's value comes from gives, vector by vector. The schedule only says
which instruction of a queue is the one for a vector of an op: the one in its cycle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from xdsl.dialects import arith
from xdsl.ir import BlockArgument, Operation, SSAValue

from ....dialects import tsp_isa as isa
from ....dialects import tsp_stream as ts
from ....dialects.instructions import OP_CLASSES
from ....dialects.machine.instruction import Record
from ....dialects.machine.target import ChipSpec, SystemSpec
from ....dialects.programs.dataflow import (
    Digests,
    Ints,
    Memory,
    Places,
    Port,
    QueueDataflow,
    Reach,
    Sources,
    Visit,
    block_size,
    bound_words,
    issue_source,
    of_stream,
    operation_source,
    stream_port,
)
from ....dialects.tsp_stream.alu_ops import alu_instruction
from ...stream.analysis.alu_levels import alu_levels
from ...stream.analysis.timing import (
    access_parts,
    access_slices,
    activation_op,
    install_cycles,
    lane_queue,
    latency,
    pace,
    place_of,
    required,
)
from ...stream.schedule.stream_schedule import slice_shifts
from ..analysis.stream_occupancy import issue_cycles
from .alu_instructions import operand_names
from .lane_instructions import lane_operands
from .scheduled_instructions import ScheduledInstruction

_KINDS = {ts.ReadOp: Visit.READ, ts.WriteOp: Visit.WRITE, ts.GatherOp: Visit.GATHER, ts.ScatterOp: Visit.SCATTER}


class _Queue(NamedTuple):
    """The issues of a queue."""

    cycles: Ints
    """Of each issue, ascending: [issues]."""
    named: np.uint64
    """Issue 0 as a source."""
    first: int
    """How many issues the queues before it have."""


class _Issues(NamedTuple):
    """The issues of a queue that are those of an op, one for each vector."""

    places: Places
    sources: Sources


class _Visits(NamedTuple):
    """The visits of an op to a slice."""

    issues: _Issues
    kind: Visit
    addresses: Ints
    low: int
    high: int


Group = list[Sources]
"""What drives the vectors of each stream of a group: [streams][vectors]."""


def stream_dataflow(
    ops: Iterable[ts.TimedOp],
    queues: Mapping[int, Mapping[str, Sequence[ScheduledInstruction]]],
    binds: Mapping[int, Sequence[isa.BindOp]],
    system: SystemSpec,
) -> dict[int, dict[str, QueueDataflow]]:
    """By chip and queue, what the issues are meant to be and to take.

    `ops` in the order of the program; `queues` by chip and name, with their instructions in the order of time.
    """
    relation = _Relation(queues, system)
    for op in ops:
        relation.follow(op)
    return {chip: one.dataflow(binds.get(chip, ())) for chip, one in relation.chips.items()}


class _Chip:
    """The issues of one chip, and what they take."""

    def __init__(self, number: int, queues: Mapping[str, Sequence[ScheduledInstruction]], spec: ChipSpec):
        self.number, self.spec = number, spec
        self.visits: dict[str, list[_Visits]] = defaultdict(list)
        records = {
            q: [Record(spec.queue_numbers[q], d.at, d.kind.INSTRUCTION, d.values, d.loops) for d in instructions]
            for q, instructions in queues.items()
        }
        sizes = {q: [r.vectors for r in some] for q, some in records.items()}
        numbers = {q: spec.queue_numbers[q] for q in queues}
        self.sizes = {numbers[q]: (n := sum(of), block_size(n, len(of))) for q, of in sizes.items()}
        self.digests = Digests(number, self.sizes)
        self.queues: dict[str, _Queue] = {}
        for name, some in records.items():
            queue, first = numbers[name], self.digests.first[numbers[name]]
            self.queues[name] = _Queue(_cycles(some), np.uint64(issue_source(number, queue)), first)
            operations = np.array([operation_source(r.instruction, r.values) for r in some], np.uint64)
            places = slice(first, first + self.sizes[queue][0])
            self.digests.add(places, Port.OPERATION, np.repeat(operations, sizes[name]))

    def issues(self, queue: str, cycles: Ints) -> _Issues:
        """The issues of a queue in some of its cycles, which ascend."""
        of = self.queues[queue]
        first, count = int(np.searchsorted(of.cycles, cycles[:1])[0]), len(cycles)
        if first + count <= len(of.cycles) and of.cycles[first + count - 1] == cycles[-1]:
            sources = np.arange(first, first + count, dtype=np.uint64) + of.named
            return _Issues(slice(of.first + first, of.first + first + count), sources)
        numbers = np.searchsorted(of.cycles, cycles)
        return _Issues(numbers + of.first, numbers.astype(np.uint64) + of.named)

    def take(self, issues: _Issues, port: int, sources: Sources) -> None:
        """Says what issues take."""
        self.digests.add(issues.places, port, sources)

    def take_group(self, issues: _Issues, number: int, streams: Sequence[Sources]) -> None:
        """Says what issues take as their group of streams with this number."""
        for i, sources in enumerate(streams):
            self.take(issues, stream_port(number, i), sources)

    def dataflow(self, binds: Sequence[isa.BindOp]) -> dict[str, QueueDataflow]:
        for queue in self.visits:
            self._remember(queue)
        for bind in binds:
            kind, name, depth = bind.kind.data, bind.tensor_name.data, bind.layout.data.depth
            for queue, number in bound_words(kind, name, bind.place.data, depth, self.spec):
                self.digests.add_final(queue, number)
        result: dict[str, QueueDataflow] = {}
        for name in self.queues:
            queue = self.spec.queue_numbers[name]
            sums, final = self.digests.of(queue), self.digests.final(queue)
            result[name] = QueueDataflow(*self.sizes[queue], sums, final, self._reaches(name))
        return result

    def _remember(self, queue: str) -> None:
        """Says what the visits to a slice take, and what it holds after them."""
        visits = self.visits[queue]
        memory = Memory(self.spec.queues[self.spec.queue_numbers[queue]].unit, self.spec)
        sizes = [len(v.addresses) for v in visits]
        said = np.array([(v.kind, v.low, v.high) for v in visits], np.int64)
        kinds, lows, highs = np.repeat(said, sizes, axis=0).T
        sources = np.concatenate([v.issues.sources for v in visits])
        taken = memory.visit(kinds, np.concatenate([v.addresses for v in visits]), sources, lows, highs)
        of = self.queues[queue]
        self.digests.add((sources - of.named).astype(np.int64) + of.first, Port.MEMORY, taken)
        if any(v.kind in (Visit.WRITE, Visit.SCATTER) for v in visits):
            self.digests.add_final(self.spec.queue_numbers[queue], memory.state)

    def _reaches(self, queue: str) -> tuple[Reach, ...]:
        """The words that the gathers and scatters of a queue may touch."""
        named = self.queues[queue].named
        said = sorted(
            (number, v.low, v.high)
            for v in self.visits.get(queue, ())
            if v.kind in (Visit.GATHER, Visit.SCATTER)
            for number in (v.issues.sources - named).tolist()
        )
        return tuple(
            Reach(*now) for before, now in zip([(-1, 0, 0), *said], said, strict=False) if before[1:] != now[1:]
        )


def _cycles(records: Sequence[Record]) -> Ints:
    """The cycles of all issues of a queue, in their order."""
    after: dict[tuple[object, ...], Ints] = {}
    found: list[Ints] = []
    for record in records:
        instruction, loops = record.instruction, record.loops
        key = instruction.vectors(record.values), instruction.pace, *(loop[:2] for loop in loops)
        if key not in after:
            after[key] = issue_cycles(record) - record.at
        found.append(after[key] + record.at)
    return np.concatenate(found)


class _Relation:
    """What the values of a program come from, as far as its ops have been followed."""

    def __init__(self, queues: Mapping[int, Mapping[str, Sequence[ScheduledInstruction]]], system: SystemSpec):
        self.spec = system.chip
        self.chips = {chip: _Chip(chip, named, system.chip) for chip, named in queues.items()}
        self.driven: dict[SSAValue, Group] = {}
        self.weights: dict[SSAValue, list[Sources]] = {}
        """The installs of each byte of weights, pass by pass."""
        self.flights: dict[SSAValue, Sources] = {}

    def streams(self, value: SSAValue) -> list[Sources]:
        """What drives the streams of a value."""
        whole, before = ts.origin(value)
        return self.driven[whole][before : before + cast(ts.StreamType, value.type).width]

    def drive(self, op: ts.DrivingOp, issues: Sources) -> None:
        """Says that issues drive all streams of an op's value."""
        width = cast(ts.StreamType, op.driven.type).width
        self.driven[op.driven] = [issues + more for more in of_stream(np.arange(width))]

    def follow(self, op: ts.TimedOp) -> None:
        """Says what the issues of an op take and give."""
        chip, times = self.chips[op.chip_number], pace(op).words() + required(op, "at", "stream-schedule").value.data
        match op:
            case ts.ReadOp() | ts.WriteOp() | ts.GatherOp() | ts.ScatterOp():
                self._access(op, times, chip)
            case ts.LoadWeightsOp():
                self._load(op, times, chip)
            case ts.MatmulOp():
                self._multiply(op, times, chip)
            case ts.VxmOp():
                self._compute(op, times, chip)
            case ts.LaneOp():
                issues = chip.issues(lane_queue(op), times)
                for number, operand in enumerate(lane_operands(op)):
                    chip.take_group(issues, number, self.streams(operand))
                self.drive(op, issues.sources)
            case ts.SendOp():
                issues = chip.issues(f"C2C.{op.link.value.data}", times)
                chip.take_group(issues, 0, self.streams(op.stream))
                self.flights[op.flight] = issues.sources
            case ts.ReceiveOp():
                issues = chip.issues(f"C2C.{op.link.value.data}", times)
                chip.take(issues, Port.LINK, self.flights[op.flight])
                self.drive(op, issues.sources)
            case _:
                raise AssertionError(op.name)  # instructions() has none for it either

    def _access(self, op: ts.AccessOp, times: Ints, chip: _Chip) -> None:
        place, words, shifts = place_of(op.buffer), op.words.data.words(), slice_shifts(op)
        kind, depth = _KINDS[type(op)], cast(ts.BufferType, op.buffer.type).layout.depth
        whole = len(place.starts) == 1
        parts = np.zeros(0) if whole else np.searchsorted(np.array(place.starts), words, side="right") - 1
        maps = [self.streams(op.map)] if isinstance(op, ts.GatherOp | ts.ScatterOp) else []
        taken = self.streams(op.stream) if isinstance(op, ts.WriteOp | ts.ScatterOp) else None
        driven: Group = []
        if isinstance(op, ts.ReadOp | ts.GatherOp):
            driven = self.driven[op.stream] = [*np.zeros((op.stream.type.width, 0 if whole else len(words)), np.uint64)]
        for part in access_parts(op):
            mine = slice(None) if whole else np.flatnonzero(parts == part)
            inside, when = words[mine] - (place.starts[part] - place.bases[part]), times[mine]
            if not len(when):
                continue
            shifted: dict[int, Ints] = {}
            for slice_, number in access_slices(op, part):
                if (shift := shifts[slice_]) not in shifted:
                    shifted[shift] = when + shift
                issues = chip.issues(slice_.queue, shifted[shift])
                base = place.address_of[slice_]
                low = base + place.bases[part]
                chip.visits[slice_.queue].append(_Visits(issues, kind, inside + base, low, low + depth))
                for group in maps:
                    chip.take_group(issues, 0, [sources[mine] for sources in group])
                if taken is not None:
                    chip.take_group(issues, len(maps), [taken[number][mine]])
                elif whole:
                    driven[number] = issues.sources
                else:
                    driven[number][mine] = issues.sources

    def _load(self, op: ts.LoadWeightsOp, times: Ints, chip: _Chip) -> None:
        plane, start = (
            required(op, "plane", "stream-place").value.data,
            required(op, "at", "stream-schedule").value.data,
        )
        streams = [s.reshape(op.passes, op.bytes, op.groups) for s in self.streams(op.stream)]
        cycles = times.reshape(op.passes, op.bytes, op.groups)
        installs = np.array(install_cycles(op)) + start
        self.weights[op.weights] = []
        for byte in range(op.bytes):
            queue = f"MXM.{plane + byte}.weights"
            rows = chip.issues(queue, cycles[:, byte].reshape(-1))
            chip.take_group(rows, 0, [s[:, byte].reshape(-1) for s in streams])
            chip.take(rows, Port.ROW, np.tile(np.arange(op.groups, dtype=np.uint64), op.passes))
            installed = chip.issues(queue, installs)
            chip.take(installed, Port.LOADED, rows.sources.reshape(op.passes, -1).sum(axis=1, dtype=np.uint64))
            self.weights[op.weights].append(installed.sources)

    def _multiply(self, op: ts.MatmulOp, times: Ints, chip: _Chip) -> None:
        plane = required(op, "plane", "stream-place").value.data
        vectors = chip.issues(f"MXM.{plane}.activations", times)
        chip.take_group(vectors, 0, self.streams(op.activations))
        of_pass = op.result.type.vectors
        for byte, installs in enumerate(self.weights[op.weights]):
            chip.take(vectors, Port.WEIGHTS + byte, np.repeat(np.resize(installs, op.passes), of_pass))
        sums = chip.issues(f"MXM.{plane}.accumulators", times + latency(activation_op(op), self.spec))
        chip.take(sums, Port.SUMS, vectors.sources)
        before = np.zeros(len(times), np.uint64)
        before[of_pass:] = sums.sources[:-of_pass]
        chip.take(sums, Port.ENTRY, before)
        self.drive(op, sums.sources[-of_pass:])

    def _compute(self, op: ts.VxmOp, times: Ints, chip: _Chip) -> None:
        assert op.alus is not None  # alu_instructions
        levels, results = alu_levels(op), dict[Operation, _Issues]()
        for inner, alu in zip(op.alu_ops, op.alus.get_values(), strict=True):
            issues = chip.issues(f"VXM.{alu}", times + levels[inner] * self.spec.latency_alu)
            instruction, number = OP_CLASSES[cast(str, alu_instruction(inner))].INSTRUCTION, 0
            for field, operand in zip(operand_names(inner), inner.operands, strict=True):
                if isinstance(operand, BlockArgument):
                    chip.take_group(issues, number, self.streams(op.inputs[operand.index]))
                    number += 1
                elif not isinstance(operand.owner, arith.ConstantOp):
                    port = Port.CHAIN + instruction.index(field)
                    chip.take(issues, port, results[cast(Operation, operand.owner)].sources)
            results[inner] = issues
        self.drive(op, results[cast(Operation, op.yielded.owner)].sources)
