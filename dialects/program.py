"""A program as engines and verifier see it: timed records and SRAM bindings per chip, read from timed or packed IR.

Decoding a packed queue walks its bytes once and resolves `nop`, `repeat`, `sync`, `notify` and `deskew` into absolute
cycles, so that every engine and the verifier work on the same records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.utils.hints import isa

from .c2c import topology_of
from .elements import builtin_of, element_of, numpy_of
from .errors import Actor, HazardError, LinkError, MalformedProgram
from .instruction import INSTRUCTION_BYTES, ElementType, Loop, Record
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
            if record.instruction.name == "ifetch":
                raise MalformedProgram(_where(chip, record, system) + "no engine executes it yet")
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


UNTIMED = ("nop", "sync", "notify", "deskew", "runtime_deskew", "transmit")
"""Instructions that only move a queue's clock: they leave no record, and cannot be repeated."""


@dataclass
class _Clock:
    """The state of a queue that is being walked."""

    time: int = 0
    syncs: int = 0


def decode_queues(packed: Mapping[str, bytes], system: SystemSpec) -> list[Record]:
    """The timed records of packed queues, by queue and then by cycle.

    Raises MalformedProgram for unknown opcodes, stray bits, a repeat of nothing, or a sync that nothing releases.
    """
    numbers = system.chip.queue_numbers
    for name in packed:
        if name not in numbers:
            raise MalformedProgram(f'the chip has no queue "{name}"')
    notifies = _notify_times(packed, system)
    records: list[Record] = []
    for name, data in sorted(packed.items(), key=lambda item: numbers[item[0]]):
        records += _walk(name, data, system, notifies)[0]
    return records


def _notify_times(packed: Mapping[str, bytes], system: SystemSpec) -> list[int]:
    """The cycles of all notifies. A queue's notifies may follow its syncs, so walks repeat until nothing is new."""
    times: list[int] = []
    while True:
        found: list[int] = []
        for name, data in packed.items():
            found += _walk(name, data, system, times, stop=True)[1]
        if len(found) <= len(times):
            return sorted(found)
        times = sorted(found)


def _walk(
    name: str, data: bytes, system: SystemSpec, notifies: Sequence[int], stop: bool = False
) -> tuple[list[Record], list[int]]:
    """The records and notify times of one queue, given the known notify times; at an unknown one it stops or raises."""
    queue = system.chip.queue_numbers[name]
    records: list[Record] = []
    notified: list[int] = []
    clock = _Clock()
    if len(data) % INSTRUCTION_BYTES:
        raise MalformedProgram(f"queue {name}: {len(data)} bytes are no multiple of {INSTRUCTION_BYTES}")
    repeatable = False
    for at in range(0, len(data), INSTRUCTION_BYTES):
        try:
            instruction, values = TABLE.decode(data[at : at + INSTRUCTION_BYTES])
        except MalformedProgram as e:
            raise MalformedProgram(f"queue {name}, byte {at}: {e}") from e
        if reason := instruction.check(values, system.chip):
            raise MalformedProgram(f"queue {name}, byte {at}, `{instruction.name}`: {reason}")
        match instruction.name:
            case "nop":
                clock.time += values[0]
            case "repeat":
                if not repeatable:
                    raise MalformedProgram(f"queue {name}, byte {at}: repeat follows no instruction that can repeat")
                records[-1] = _repeated(records[-1], values)
                clock.time = records[-1].last + 1
                continue
            case "sync":
                if clock.syncs >= len(notifies):
                    if stop:
                        break
                    raise MalformedProgram(f"queue {name}, byte {at}: no notify releases this sync")
                release = notifies[clock.syncs] + system.chip.barrier
                if release <= clock.time:
                    raise MalformedProgram(
                        f"queue {name}, byte {at}: parks in cycle {clock.time}, after its release in {release}"
                    )
                clock.time, clock.syncs = release, clock.syncs + 1
            case "notify":
                notified.append(clock.time)
                clock.time += 1
            case "deskew":
                clock.time = (clock.time // system.hac_period + 1) * system.hac_period
            case "runtime_deskew":
                clock.time += values[0]
            case "transmit":
                clock.time += 1
            case _:
                records.append(Record(queue, clock.time, instruction, values))
                clock.time = records[-1].last + 1
        repeatable = instruction.name not in UNTIMED
    return records, notified


def _repeated(record: Record, values: Sequence[int]) -> Record:
    count, every, step = values
    signed = step - 65536 if step > 32767 else step
    return record._replace(loops=(*record.loops, Loop(count + 1, every, signed)))
