"""The reference engine: numpy, one instruction issue at a time, as plain as the manual. The executable specification.

Time advances from one cycle in which anything happens to the next. In a cycle first the drives that fall due are made,
then the queues dispatch, then what nobody took is reported. Streams are stored by diagonal (a value's cycle minus its
position eastward, plus westward, never changes), so nothing is ever shifted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dialects.errors import Hazard, InputError, earliest_in_run
from ..dialects.instructions import (
    AccumulateEmitOp,
    AccumulateOp,
    ActivationsOp,
    ConfigOp,
    DistributeOp,
    FetchOp,
    GatherOp,
    HalfActivationsOp,
    InstallWeightsOp,
    LaneSelectOp,
    LoadWeightsOp,
    PermuteOp,
    ReadOp,
    ReceiveOp,
    RotateFourOp,
    RotateThreeOp,
    ScatterOp,
    SendOp,
    ShiftOp,
    TransposeOp,
    WriteOp,
)
from ..dialects.machine.effects import STORES, Effect
from ..dialects.machine.instruction import CHAIN, ElementType, SourceKind, source_kind, source_payload
from ..dialects.machine.instruction_fetch import word_of
from ..dialects.machine.stream_code import StreamCode, position_of
from ..dialects.machine.target import Queue, SystemSpec
from ..dialects.machine.topology import Port
from ..dialects.programs.records import ChipProgram, Program, actor, program_length
from ..dialects.semantics.arithmetic import (
    BINARY,
    UNARY,
    Array,
    canonical,
    convert,
    from_bytes,
    from_word,
    select,
    to_bytes,
    to_word,
    wrap,
)
from . import lane_moves
from .engine import RunStats
from .event_queue import EventQueue, Issue
from .flips import Flip, FlipsByCycle, flips_by_chip
from .host import HostSession
from .secded import Secded
from .semantics import Semantics
from .snapshot import ChipState, Seen, Snapshot
from .vectors import ChipVectors, Vector

EXECUTES: Semantics[Callable[[Any, int, Issue, Queue], None]] = Semantics("reference")
"""The functions of a chip that execute an issue in a cycle: what it samples, and what becomes of it."""


@dataclass
class _Plane:
    """The state of one MXM plane."""

    buffer: npt.NDArray[np.int8]
    array: npt.NDArray[np.int8] | None = None
    installs: deque[tuple[int, npt.NDArray[np.int8]]] = field(default_factory=deque[tuple[int, npt.NDArray[np.int8]]])
    """Installs that have not yet taken effect: the cycle in which they do, and the weights."""
    arrivals: dict[int, tuple[Array, Issue]] = field(default_factory=dict[int, tuple[Array, Issue]])
    """Sums on their way to the accumulators, by the cycle in which they arrive."""
    accumulators: dict[int, tuple[Array, int, Issue]] = field(default_factory=dict[int, tuple[Array, int, Issue]])
    """By entry: its value, the cycle in which it took it, and what it took it from."""


class _Chip(ChipVectors):
    """One chip in a run."""

    def __init__(
        self, program: ChipProgram, system: SystemSpec, sram: Vector, code: Secded | None, flips: FlipsByCycle
    ):
        """`sram` and `code` as ChipVectors takes them."""
        super().__init__(program.chip, system.chip, sram, code, EventQueue(program.dispatches, system.chip))
        self.program, self.system, self.flips = program, system, flips
        for cycle in flips:
            self.agenda.wake(cycle)
        self.text = program.text_image(system.chip)
        self.fetched = {(f.record.queue, f.record.at): f.text for f in program.fetches}
        """By queue and cycle, what an ifetch must take."""
        self.chains: dict[tuple[int, int], tuple[Array, Issue]] = {}
        """By ALU and cycle: the result in that cycle, as 32-bit patterns, and what it is the result of."""
        self.room = 1000
        """How many of both there may be before those are dropped that nothing can see."""
        self.writers: dict[tuple[int, int], tuple[int, Issue]] = {}
        """By slice and word: the cycle in which it was last written, and by what."""
        side = self.spec.lanes
        self.planes = [_Plane(np.zeros((side, side), np.int8)) for _ in range(self.spec.planes)]
        self.sent: dict[int, Issue] = {}
        """By link: the last send."""
        self.arriving: dict[tuple[int, int], tuple[Vector, Issue, str]] = {}
        """By link and cycle: a vector on the wire, its sender, and the sender's queue."""
        self.outbox: list[tuple[int, int, Vector, Issue]] = []
        """Sends of this cycle: link, arrival, vector, sender."""
        self.issues = np.zeros(len(self.queues), np.int64)
        self.last = -1

    def step(self, t: int) -> None:
        """One cycle. SRAM writes come after all samples of the cycle."""
        self._drive(t)
        for flip in self.flips.get(t, ()):
            self._flip(t, flip)
        for plane in self.planes:
            if plane.installs and plane.installs[0][0] == t:
                plane.array = plane.installs.popleft()[1]
        due = [*self.agenda.due(t)]
        for issue in sorted(due, key=lambda i: i.record.instruction.effect in STORES):
            queue = self.queues[issue.record.queue]
            instruction = issue.record.instruction
            if instruction.effect is not Effect.FETCH:
                self.issues[issue.record.queue] += 1
                self.last = max(self.last, t - instruction.d_skew(self.spec))
            EXECUTES[instruction](self, t, issue, queue)
        self._look_for_losses(t)
        self._forget(t)

    def _forget(self, t: int) -> None:
        """Drops values that have left the chip, and results that no cycle can see any more, when they are many."""
        if len(self.streams) + len(self.chains) > self.room:
            self.streams = {k: v for k, v in self.streams.items() if abs(position_of(*k, t)) <= self.spec.mxm_distance}
            self.chains = {key: result for key, result in self.chains.items() if key[1] >= t}
            self.room = 1000 + 2 * (len(self.streams) + len(self.chains))

    # -- ICU ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(ConfigOp)
    def _config(self, t: int, issue: Issue, queue: Queue) -> None:
        """Has its effect in the records that follow it."""

    @EXECUTES.executes(FetchOp)
    def _fetch(self, t: int, issue: Issue, queue: Queue) -> None:
        """The records that follow were decoded from the whole text; here it must arrive."""
        text = self.fetched[issue.record.queue, issue.dispatched]
        (vectors,) = self._samples(t, issue, queue)
        if vectors.tobytes()[: len(text)] != text:
            self._hazard("text-wrong", f"queue {queue.name}", t, (issue.record.queue,), issue)

    # -- MEM ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(ReadOp)
    def _read(self, t: int, issue: Issue, queue: Queue) -> None:
        self._pass_on(issue, queue, self.sram[queue.unit, issue.values[0]][None])

    @EXECUTES.executes(WriteOp)
    def _write(self, t: int, issue: Issue, queue: Queue) -> None:
        address = issue.values[0]
        (use,) = issue.reads
        on = self._on(issue)
        self._keep_text(t, issue, queue, {address})
        self.sram[queue.unit, address, on] = self._arrive(t, issue, queue, use.code)[0, on]
        self.writers[queue.unit, address] = (t, issue)

    @EXECUTES.executes(GatherOp)
    def _gather(self, t: int, issue: Issue, queue: Queue) -> None:
        (numbers,) = self._samples(t, issue, queue)
        self._gather_words(issue, queue, self._mapped(numbers[0], issue.values[0]))

    @EXECUTES.executes(ScatterOp)
    def _scatter(self, t: int, issue: Issue, queue: Queue) -> None:
        numbers, source = issue.reads
        vector = self._sample(t, issue, queue, numbers.code, 1)[0]
        self._scatter_words(t, issue, queue, self._mapped(vector, issue.values[0]), source.code)

    def _mapped(self, numbers: Vector, address: int) -> Array:
        """The word of each tile: `address` plus the number in the first two lanes of the tile, low byte first."""
        low, high = numbers.reshape(self.spec.tiles, -1)[:, :2].astype(np.int64).T
        return (address + low + 256 * high) % self.spec.words

    def _gather_words(self, issue: Issue, queue: Queue, words: Array) -> None:
        """Drives of every tile its word: [tiles]."""
        of_byte = words[self.tile_of]
        self._pass_on(issue, queue, self.sram[queue.unit][of_byte, np.arange(len(of_byte))][None])

    def _scatter_words(self, t: int, issue: Issue, queue: Queue, words: Array, code: StreamCode) -> None:
        """Writes every tile of the vector on a stream to its word: [tiles]."""
        on, of_byte = self._on(issue), words[self.tile_of]
        written = {*of_byte[on].tolist()}
        self._keep_text(t, issue, queue, written)
        self.sram[queue.unit, of_byte[on], np.flatnonzero(on)] = self._arrive(t, issue, queue, code)[0, on]
        self.writers |= {(queue.unit, word): (t, issue) for word in written}

    def _keep_text(self, t: int, issue: Issue, queue: Queue, addresses: set[int]) -> None:
        for address in sorted(addresses):
            if (word := word_of(queue.unit, address, self.spec)) in self.text:
                self._hazard("text-overwritten", f"word {word}", t, (queue.unit, address), issue)

    # -- MXM ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(LoadWeightsOp)
    def _load(self, t: int, issue: Issue, queue: Queue) -> None:
        (rows,) = self._samples(t, issue, queue)
        first = issue.values[0] * len(rows)
        self.planes[queue.unit].buffer[first : first + len(rows)] = rows.view(np.int8)

    @EXECUTES.executes(InstallWeightsOp)
    def _install(self, t: int, issue: Issue, queue: Queue) -> None:
        plane = self.planes[queue.unit]
        plane.installs.append((t + self.spec.latency_install, plane.buffer))
        self.agenda.wake(t + self.spec.latency_install)
        plane.buffer = np.zeros_like(plane.buffer)

    @EXECUTES.executes(ActivationsOp)
    def _enter(self, t: int, issue: Issue, queue: Queue) -> None:
        plane = self.planes[queue.unit]
        (vectors,) = self._samples(t, issue, queue)
        x = vectors[0].view(np.int8).astype(np.int32)
        if plane.array is None:
            self._hazard("weights-empty", f"plane {queue.unit}", t, (queue.unit,), issue)
            return
        self._sum(t, plane, x @ plane.array.astype(np.int32), issue)

    @EXECUTES.executes(HalfActivationsOp)
    def _enter_pair(self, t: int, issue: Issue, queue: Queue) -> None:
        high = self.spec.paired_plane(queue.unit)
        assert high is not None  # check_program
        (vectors,) = self._samples(t, issue, queue)
        x = from_bytes(vectors, ElementType.F16)
        arrays = [self.planes[n].array for n in (queue.unit, high)]
        if arrays[0] is None or arrays[1] is None:
            self._hazard("weights-empty", f"plane {queue.unit}", t, (queue.unit,), issue)
            return
        planes = np.stack([a.reshape(-1).view(np.uint8) for a in arrays if a is not None])
        weights = from_bytes(planes, ElementType.F16).astype(np.float64).reshape(self.spec.lanes, -1)
        sums = np.zeros(self.spec.lanes, np.float64)
        with np.errstate(all="ignore"):
            for k, row in zip(x.astype(np.float64), weights, strict=True):
                sums = sums + k * row
            rounded = canonical(sums.astype(np.float32))
        self._sum(t, self.planes[queue.unit], rounded, issue)

    def _sum(self, t: int, plane: _Plane, sums: Array, issue: Issue) -> None:
        """Has the sums of a vector that enters in cycle t arrive at the accumulators."""
        plane.arrivals[t + self.spec.latency_array] = (sums, issue)
        self.agenda.wake(t + self.spec.latency_array)

    @EXECUTES.executes(AccumulateOp)
    def _accumulate(self, t: int, issue: Issue, queue: Queue) -> None:
        self._take_sums(t, issue, queue)

    @EXECUTES.executes(AccumulateEmitOp)
    def _accumulate_and_emit(self, t: int, issue: Issue, queue: Queue) -> None:
        self._post(issue, queue, to_bytes(self._take_sums(t, issue, queue)))

    def _take_sums(self, t: int, issue: Issue, queue: Queue) -> Array:
        plane, (entry, adds) = self.planes[queue.unit], issue.values[:2]
        sums, _ = plane.arrivals.pop(t, (None, None))
        if sums is None:
            self._hazard("result-missing", f"plane {queue.unit}", t, (queue.unit,), issue)
            return np.zeros(self.spec.lanes, np.int32)
        if adds and entry not in plane.accumulators:
            resource = f"accumulator {entry} of plane {queue.unit}"
            self._hazard("accumulator-empty", resource, t, (queue.unit, entry), issue)
        if adds:
            before = plane.accumulators[entry][0] if entry in plane.accumulators else np.zeros_like(sums)
            sums = BINARY["add"](before.view(sums.dtype), sums)
        plane.accumulators[entry] = (sums, t, issue)
        return sums

    # -- VXM ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(Effect.COMPUTE)
    def _compute(self, t: int, issue: Issue, queue: Queue) -> None:
        instruction = issue.record.instruction
        fields = dict(zip((f.name for f in instruction.fields), issue.values, strict=True))
        element = ElementType(fields["type"])
        operands = [self._operand(t, issue, queue, fields[name], element) for name in ("a", "b") if name in fields]
        match instruction.name:
            case "select":
                condition = self._operand(t, issue, queue, fields["condition"], ElementType.I8)
                value = select(condition, operands[0], operands[1])
            case "convert":
                value = convert(operands[0], ElementType(fields["result_type"]))
            case "wrap":
                value = wrap(operands[0], ElementType(fields["result_type"]))
            case name if len(operands) == 2:
                value = BINARY[name](*operands)
            case name:
                value = UNARY[name](operands[0])
        if fields["to"] == CHAIN:
            ready = t + instruction.d_func(self.spec)
            self.chains[queue.unit, ready] = (to_word(value), issue)
        else:
            self._post(issue, queue, to_bytes(value))

    def _operand(self, t: int, issue: Issue, queue: Queue, code: int, element: ElementType) -> Array:
        payload = source_payload(code)
        match source_kind(code):
            case SourceKind.STREAM:
                return from_bytes(self._sample(t, issue, queue, StreamCode(payload), element.bytes), element)
            case SourceKind.IMMEDIATE:
                return from_word(np.full(self.spec.lanes, payload, np.uint32), element)
            case SourceKind.ALU:
                result = self.chains.get((payload, t + self.spec.latency_vxm_entry))
                if result is None:
                    self._hazard("chain-empty", f"chain of ALU {payload}", t, (payload, issue.record.queue), issue)
                    return from_word(np.zeros(self.spec.lanes, np.uint32), element)
                return from_word(result[0], element)

    # -- SXM ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(ShiftOp)
    def _shift(self, t: int, issue: Issue, queue: Queue) -> None:
        count, down = issue.values[:2]
        (vector,) = self._samples(t, issue, queue)
        self._post(issue, queue, lane_moves.shift(vector, count, bool(down)))

    @EXECUTES.executes(LaneSelectOp)
    def _lane_select(self, t: int, issue: Issue, queue: Queue) -> None:
        mask, a, b = self._samples(t, issue, queue)
        self._post(issue, queue, lane_moves.lane_select(mask, a, b))

    @EXECUTES.executes(PermuteOp)
    def _permute(self, t: int, issue: Issue, queue: Queue) -> None:
        numbers, vector = self._samples(t, issue, queue)
        low, high = numbers.astype(np.uint16)
        self._post(issue, queue, lane_moves.permute(vector, (low | high << 8)[None]))

    @EXECUTES.executes(DistributeOp)
    def _distribute(self, t: int, issue: Issue, queue: Queue) -> None:
        numbers, vector = self._samples(t, issue, queue)
        self._post(issue, queue, lane_moves.distribute(vector, numbers, self.spec.lanes_per_tile))

    @EXECUTES.executes(RotateThreeOp, RotateFourOp)
    def _rotate(self, t: int, issue: Issue, queue: Queue) -> None:
        (vectors,) = self._samples(t, issue, queue)
        self._post(issue, queue, lane_moves.rotate(vectors, self.spec.lanes_per_tile))

    @EXECUTES.executes(TransposeOp)
    def _transpose(self, t: int, issue: Issue, queue: Queue) -> None:
        (vectors,) = self._samples(t, issue, queue)
        self._post(issue, queue, lane_moves.transpose(vectors))

    # -- C2C ---------------------------------------------------------------------------------------------------

    @EXECUTES.executes(SendOp)
    def _send(self, t: int, issue: Issue, queue: Queue) -> None:
        (vectors,) = self._samples(t, issue, queue)
        before = self.sent.get(queue.unit)
        if before is not None and t - before.dispatched < self.system.link_slot:
            self._hazard("link-busy", f"link {queue.unit}", t, (queue.unit,), before, issue)
        self.sent[queue.unit] = issue
        arrival = t + self.spec.latency_send + self.system.link_latency
        self.outbox.append((queue.unit, arrival, vectors[0], issue))

    @EXECUTES.executes(ReceiveOp)
    def _receive(self, t: int, issue: Issue, queue: Queue) -> None:
        found = self.arriving.pop((queue.unit, t), None)
        if found is None:
            self._hazard("link-empty", f"link {queue.unit}", t, (queue.unit,), issue)
            return
        self._post(issue, queue, found[0][None])

    # -- what it shows -----------------------------------------------------------------------------------------

    def state(self, t: int) -> ChipState:
        """The state at the end of cycle t, since when nothing has happened."""

        def seen(data: Array, cycle: int, issue: Issue) -> Seen:
            return Seen(data, cycle, issue.actor(self.queues), issue.record.instruction, issue.values)

        lanes = self.spec.lanes
        streams: dict[tuple[StreamCode, int], Seen] = {}
        for (code, diagonal), (driven_at, vector, issue) in self.streams.items():
            position = position_of(code, diagonal, t)
            if abs(position) <= self.spec.mxm_distance:
                streams[code, position] = seen(vector[:lanes], t - abs(position - driven_at), issue)
        return ChipState(
            self.sram[..., :lanes],
            {word: seen(self.sram[word][:lanes], cycle, issue) for word, (cycle, issue) in self.writers.items()},
            streams,
            {(n, e): seen(*entry) for n, plane in enumerate(self.planes) for e, entry in plane.accumulators.items()},
            {alu: seen(word, t, issue) for (alu, cycle), (word, issue) in self.chains.items() if cycle == t},
        )

    # -- hazards -----------------------------------------------------------------------------------------------

    def _look_for_losses(self, t: int) -> None:
        for n, plane in enumerate(self.planes):
            if t in plane.arrivals:
                self._hazard("result-lost", f"plane {n}", t, (n,), plane.arrivals[t][1])
        for link in range(self.spec.links):
            if (lost := self.arriving.get((link, t))) is not None:
                _, sender, queue = lost
                first = actor(sender.record, sender.dispatched, queue, sender.values)
                self.hazards.append(Hazard("link-lost", self.program.chip, f"link {link}", t, (link,), first))


class ReferenceSession(HostSession):
    """A program loaded into the reference engine."""

    mode = "cycle"

    def __init__(self, program: Program, secded: bool = False, flips: Sequence[Flip] = ()):
        self.program = program
        self._flips = flips_by_chip(flips, secded, program)
        chip = program.system.chip
        self._code = Secded(chip) if secded else None
        size = chip.lanes + (2 * self._code.words if self._code else 0)
        self._sram = [np.zeros((2 * chip.slices, chip.words, size), np.uint8) for _ in program.chips]
        super().__init__(program, self._sram, self._code, chip.lanes)

    def _run(self) -> RunStats:
        chips = self._begin()
        self._advance(chips, None)
        cycles = tuple(program_length(c.last, self.program.system) for c in chips)
        corrected = None if self._code is None else tuple(c.corrected for c in chips)
        return RunStats(cycles, np.stack([c.issues for c in chips]), corrected)

    def run_to(self, cycle: int) -> Snapshot:
        """Runs from cycle 0 to the end of `cycle`, and shows the state there. SRAM keeps what was written.

        Raises HazardError or FlipError as a run does, InputError for a cycle that the program does not have.
        """
        if not 0 <= cycle < self.program.cycles:
            raise InputError(f"cycle {cycle}: the program has the cycles 0..{self.program.cycles - 1}")
        with self.lock:
            self.seal()
            chips = self._begin()
            self._advance(chips, cycle)
            return Snapshot(cycle, self.program.system, {c.program.chip: c.state(cycle) for c in chips})

    def _begin(self) -> list[_Chip]:
        """The chips before cycle 0."""
        system = self.program.system
        pairs = zip(self.program.chips, self._sram, strict=True)
        return [_Chip(p, system, sram, self._code, self._flips[p.chip]) for p, sram in pairs]

    def _advance(self, chips: list[_Chip], last: int | None) -> None:
        """All cycles up to `last` in which anything happens, or all without it. Raises HazardError or FlipError."""
        t = -1
        while events := [e for c in chips if (e := c.agenda.after(t)) is not None]:
            t = min(events)
            if last is not None and t > last:
                return
            self._step(chips, t)

    def _step(self, chips: list[_Chip], t: int) -> None:
        """One cycle of all chips. Raises HazardError or FlipError."""
        for chip in chips:
            chip.step(t)
        if hazards := [h for c in chips for h in c.hazards]:
            raise earliest_in_run(hazards)
        by_number = {c.program.chip: c for c in chips}
        for chip in chips:
            self._deliver(chip, by_number)

    def _deliver(self, chip: _Chip, by_number: dict[int, _Chip]) -> None:
        for link, arrival, vector, issue in chip.outbox:
            peer = self.program.peers[Port(chip.program.chip, link)]
            sender = chip.queues[issue.record.queue].name
            if peer.chip in by_number:
                by_number[peer.chip].arriving[peer.link, arrival] = (vector, issue, sender)
                by_number[peer.chip].agenda.wake(arrival)
        chip.outbox.clear()


class ReferenceEngine:
    """The reference engine."""

    def __init__(self, secded: bool = False, flips: Sequence[Flip] = ()):
        """With `secded` memory and streams have check bits; `flips` are made in every run."""
        self.secded, self.flips = secded, flips

    def load(self, program: Program) -> ReferenceSession:
        """A session with all SRAM zero. Raises InputError or LinkError for flips that cannot be, TargetError for a
        machine that SECDED does not fit."""
        return ReferenceSession(program, self.secded, self.flips)
