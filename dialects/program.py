"""A program as engines and verifier see it: timed records and SRAM bindings per chip, read from timed or packed IR.

Decoding a packed queue walks its bytes once and resolves `nop`, `repeat`, `sync`, `notify` and `deskew` into absolute
cycles, so that every engine and the verifier work on the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.utils.hints import isa

from .c2c import topology_of
from .elements import builtin_of, element_of, numpy_of
from .errors import Actor, HazardError, LinkError, MalformedProgram
from .instruction import INSTRUCTION_BYTES, ElementType, Instruction, Loop, Record
from .instructions import TABLE, check_record
from .placement import Place
from .target import SystemSpec
from .target_attr import target_of
from .topology import Port, Topology
from .tsp_isa import BindOp, ProgramOp

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Binding:
    """A named tensor and the words of SRAM that hold it."""

    kind: str
    """`input`, `output`, `parameter` or `constant`."""
    name: str
    place: Place
    shape: tuple[int, ...]
    """The shape in which it lies in SRAM."""
    host_shape: tuple[int, ...]
    """The shape by which the host knows it: the same elements in row-major order."""
    element: ElementType
    value: Array | None = None
    """The value of a constant."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return np.dtype(numpy_of(builtin_of(self.element)))


@dataclass(frozen=True)
class ChipProgram:
    """What one chip does."""

    chip: int
    cycles: int
    """Its exact length, as the schedule says."""
    records: tuple[Record, ...]
    """Every dispatch, by queue and then by cycle."""
    bindings: tuple[Binding, ...]
    packed: Mapping[str, bytes]
    """The queues' bytes; empty for a program in timed form."""


@dataclass(frozen=True)
class Program:
    """What every chip of a system does."""

    system: SystemSpec
    topology: Topology
    chips: tuple[ChipProgram, ...]

    @property
    def cycles(self) -> int:
        """The length of the longest chip's program."""
        return max(c.cycles for c in self.chips)

    def bindings(self, kind: str) -> Iterator[tuple[int, Binding]]:
        """The bindings of a kind, each with the index of its chip program."""
        for i, chip in enumerate(self.chips):
            for binding in chip.bindings:
                if binding.kind == kind:
                    yield i, binding

    @cached_property
    def peers(self) -> dict[Port, Port]:
        return self.topology.peers


def check_program(program: Program) -> Program:
    """The program, after the checks that need no execution.

    Raises HazardError where a queue would dispatch two instructions at once, MalformedProgram for a record that the
    machine does not have or a length that is not the one declared, LinkError for a link without a cable.
    """
    system = program.system
    queues = system.chip.queues
    numbers = {c.chip for c in program.chips}
    for chip in program.chips:
        last = -1
        for record in chip.records:
            if reason := check_record(record, system):
                raise MalformedProgram(_where(chip, record, system) + reason)
            queue = queues[record.queue]
            if record.instruction.kinds and queue.kind not in record.instruction.kinds:
                raise MalformedProgram(_where(chip, record, system) + f"a {queue.kind} queue does not execute it")
            if queue.kind == "C2C":
                peer = program.peers.get(Port(chip.chip, queue.unit))
                if peer is None:
                    raise LinkError(_where(chip, record, system) + "no cable is in this link")
                if peer.chip not in numbers:
                    raise LinkError(_where(chip, record, system) + f"chip {peer.chip} at its other end has no program")
            if record.instruction.name == "abc_f16" and system.chip.paired_plane(queue.unit) is None:
                raise MalformedProgram(_where(chip, record, system) + f"plane {queue.unit} is not the first of a pair")
            last = max(last, record.last)
        _check_queues(chip, system)
        if chip.cycles != (length := program_length(last, system)):
            raise MalformedProgram(
                f"chip {chip.chip}: the program declares {chip.cycles} cycles, but its last dispatch ends in cycle "
                f"{last}, which makes {length}"
            )
    return program


def program_length(last: int, system: SystemSpec) -> int:
    """Cycles of a chip's program whose last dispatch is in cycle `last`: that cycle included, and the tiles once."""
    return last + 1 + system.chip.tiles


def _where(chip: ChipProgram, record: Record, system: SystemSpec) -> str:
    text = (
        record.instruction.name
        if any(f.check(v) for f, v in zip(record.instruction.fields, record.values, strict=True))
        else record.instruction.text(record.values)
    )
    return f"chip {chip.chip}, {system.chip.queues[record.queue].name}, cycle {record.at}, `{text}`: "


def _check_queues(chip: ChipProgram, system: SystemSpec) -> None:
    clashes: list[tuple[int, int, Record, Record]] = []
    for first, second in zip(chip.records, chip.records[1:], strict=False):
        if first.queue == second.queue and second.at <= first.last:
            clashes.append((second.at, second.queue, first, second))
    if not clashes:
        return
    cycle, queue, first, second = min(clashes, key=lambda c: c[:2])
    name = system.chip.queues[queue].name
    raise HazardError(
        "queue", chip.chip, f"queue {name}", cycle, actor(first, first.at, name), actor(second, second.at, name)
    )


def actor(record: Record, cycle: int, queue: str, values: Sequence[int] | None = None) -> Actor:
    """An issue of a record as a party of a hazard: `cycle` is that of its dispatch, `values` as moved by the steps."""
    return Actor(record.instruction.text(record.values if values is None else values), queue, cycle)


# -- from IR -------------------------------------------------------------------------------------------------------


def program_from_module(module: ModuleOp) -> Program:
    """The program of a module that holds `tsp_isa.program` ops, timed or packed. Raises as check_program does."""
    system = target_of(module)
    ops = [op for op in module.body.block.ops if isinstance(op, ProgramOp)]
    if not ops:
        raise MalformedProgram("the module holds no tsp_isa.program; lower it first, with tsp-compile")
    chips = tuple(sorted((_chip_program(op, system) for op in ops), key=lambda c: c.chip))
    if len({c.chip for c in chips}) != len(chips):
        raise MalformedProgram("two programs are for the same chip")
    return check_program(Program(system, topology_of(module) if system.chips > 1 else Topology(()), chips))


def _chip_program(op: ProgramOp, system: SystemSpec) -> ChipProgram:
    packed = {q.queue.data: q.bytes for q in op.packed}
    records = decode_queues(packed, system) if packed else sorted((r for r, _ in op.records()), key=lambda r: r[:2])
    bindings = tuple(_binding(b) for b in op.bindings)
    return ChipProgram(op.chip.value.data, op.cycles.value.data, configured(records), bindings, packed)


def configured(records: Iterable[Record]) -> tuple[Record, ...]:
    """Records, by queue and then by cycle, each with the superlanes that the `config` before it leaves on."""
    result: list[Record] = []
    queue, tiles = -1, 0
    for record in records:
        if record.queue != queue:
            queue, tiles = record.queue, 0
        result.append(record._replace(tiles=tiles))
        if record.instruction.name == "config":
            tiles = record.values[0]
    return tuple(result)


def _binding(op: BindOp) -> Binding:
    element = element_of(op.tensor.element_type)
    assert element is not None  # verified by the op
    host = (op.external or op.tensor).get_shape()
    value = None
    if isa(op.value, DenseIntOrFPElementsAttr):
        value = np.array(op.value.get_values(), numpy_of(op.tensor.element_type)).reshape(-1)
        shape = op.tensor.get_shape()
        value = np.broadcast_to(value, shape) if value.size == 1 else value.reshape(shape)
    return Binding(op.kind.data, op.tensor_name.data, op.place.data, op.tensor.get_shape(), host, element, value)


# -- packed queues -------------------------------------------------------------------------------------------------


UNTIMED = ("nop", "repeat", "sync", "notify", "deskew", "runtime_deskew", "transmit")
"""Instructions that only move a queue's clock: they leave no record."""


def decode_queues(packed: Mapping[str, bytes], system: SystemSpec) -> list[Record]:
    """The timed records of packed queues, by queue and then by cycle.

    Raises MalformedProgram for unknown opcodes, stray bits, a repeat of nothing, or a sync that nothing releases.
    """
    numbers = system.chip.queue_numbers
    for name in packed:
        if name not in numbers:
            raise MalformedProgram(f'the chip has no queue "{name}"')
    walks = [_Walk(name, packed[name], system) for name in sorted(packed, key=numbers.__getitem__)]
    _walk_together(walks)
    return [record for walk in walks for record in walk.records]


def _walk_together(walks: Sequence[_Walk]) -> None:
    """Walks all queues to their ends.

    A notify that is still to come is later than the earliest known one, since its queue is parked until that at least:
    so the earliest known one is the next.
    """
    notifies: list[int] = []
    known: list[int] = []
    parked = list(walks)
    while parked:
        for walk in parked:
            for time in walk.go_on(notifies):
                heappush(known, time)
        parked = [walk for walk in parked if walk.parked]
        if parked and not known:
            raise MalformedProgram(f"{parked[0].place}: no notify releases this sync")
        if known:
            notifies.append(heappop(known))


class _Walk:
    """One packed queue, and how far it has been walked."""

    def __init__(self, name: str, data: bytes, system: SystemSpec):
        if len(data) % INSTRUCTION_BYTES:
            raise MalformedProgram(f"queue {name}: {len(data)} bytes are no multiple of {INSTRUCTION_BYTES}")
        self.name, self.data, self.system = name, data, system
        self.queue = system.chip.queue_numbers[name]
        self.records: list[Record] = []
        self.parked = False
        """Whether it stands at a sync whose notify is not known."""
        self._at = self._time = self._syncs = 0
        self._repeatable = False

    @property
    def place(self) -> str:
        """The instruction at which it stands, for messages."""
        return f"queue {self.name}, byte {self._at}"

    def go_on(self, notifies: Sequence[int]) -> list[int]:
        """Walks to the end, or to a sync beyond the known notifies; gives the cycles of notifies on the way."""
        found: list[int] = []
        self.parked = False
        while self._at < len(self.data) and not self.parked:
            instruction, values = self._decode()
            match instruction.name:
                case "nop":
                    self._time += values[0]
                case "repeat":
                    self._repeat(values)
                case "sync":
                    self._sync(notifies)
                case "notify":
                    found.append(self._time)
                    self._time += 1
                case "deskew":
                    self._time = (self._time // self.system.hac_period + 1) * self.system.hac_period
                case "runtime_deskew":
                    self._time += values[0]
                case "transmit":
                    self._time += 1
                case _:
                    self.records.append(Record(self.queue, self._time, instruction, values))
                    self._time = self.records[-1].last + 1
            if not self.parked:
                self._repeatable = instruction.name == "repeat" or instruction.name not in UNTIMED
                self._at += INSTRUCTION_BYTES
        return found

    def _decode(self) -> tuple[Instruction, tuple[int, ...]]:
        try:
            instruction, values = TABLE.decode(self.data[self._at : self._at + INSTRUCTION_BYTES])
        except MalformedProgram as e:
            raise MalformedProgram(f"{self.place}: {e}") from e
        if reason := instruction.check(values, self.system.chip):
            raise MalformedProgram(f"{self.place}, `{instruction.name}`: {reason}")
        return instruction, values

    def _repeat(self, values: Sequence[int]) -> None:
        if not self._repeatable:
            raise MalformedProgram(f"{self.place}: repeat follows no instruction that can repeat")
        if len(self.records[-1].loops) == self.system.chip.loop_levels:
            raise MalformedProgram(
                f"{self.place}: the chip nests {self.system.chip.loop_levels} levels of repeat, no more"
            )
        self.records[-1] = _repeated(self.records[-1], values)
        self._time = self.records[-1].last + 1

    def _sync(self, notifies: Sequence[int]) -> None:
        if self._syncs == len(notifies):
            self.parked = True
            return
        release = notifies[self._syncs] + self.system.chip.barrier
        if release <= self._time:
            raise MalformedProgram(f"{self.place}: parks in cycle {self._time}, after its release in {release}")
        self._time, self._syncs = release, self._syncs + 1


def _repeated(record: Record, values: Sequence[int]) -> Record:
    count, every, step = values
    signed = step - 65536 if step > 32767 else step
    return record._replace(loops=(*record.loops, Loop(count + 1, every, signed)))
