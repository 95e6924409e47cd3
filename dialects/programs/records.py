"""A program as engines and verifier see it: timed records and SRAM bindings per chip, read from timed or packed IR.

Decoding a packed queue walks its bytes once and resolves `nop`, `repeat`, `sync`, `notify` and `deskew` into absolute
cycles, so that every engine and the verifier work on the same records. An `ifetch` is taken out of them: see instruction_fetch.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.utils.hints import isa

from ..c2c import topology_of
from ..elements import dtype_of, element_of
from ..errors import Actor, CapacityError, Hazard, HazardError, LinkError, MalformedProgram, earliest
from ..instructions import TABLE, check_record
from ..literals import dense_value
from ..machine.effects import Effect
from ..machine.instruction import INSTRUCTION_BYTES, ElementType, Record
from ..machine.instruction_fetch import (
    Chunk,
    Fetch,
    Word,
    check_chunks,
    chunk_count,
    chunk_text,
    first_fault,
    text_words,
)
from ..machine.layout import Layout
from ..machine.limits import MOST_CYCLES, MOST_ISSUES
from ..machine.target import ChipSpec, SystemSpec
from ..machine.topology import Port, Topology
from ..placement import Place, Slice
from ..target_attr import target_of
from ..tsp_isa import BindOp, ProgramOp
from .dataflow import QueueDataflow
from .packed import IFETCH, cycles_of, decode_queues

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Binding:
    """A named tensor and the words of SRAM that hold it."""

    kind: str
    """`input`, `output`, `parameter` or `constant`."""
    name: str
    layout: Layout
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
        return dtype_of(self.element)

    @property
    def words(self) -> Iterator[tuple[Slice, range]]:
        """Its slices, and the addresses that it takes in each."""
        depth = self.place.depth_of(self.layout.depth)
        for s, first in zip(self.place.slices, self.place.addresses, strict=True):
            yield s, range(first, first + depth)


@dataclass(frozen=True)
class ChipProgram:
    """What one chip does."""

    chip: int
    cycles: int
    """Its exact length, as the schedule says."""
    records: tuple[Record, ...]
    """Every dispatch but those of `ifetch`, by queue and then by cycle."""
    bindings: tuple[Binding, ...]
    packed: Mapping[str, bytes]
    """The queues' bytes; empty for a program in timed form."""
    text: Mapping[str, tuple[Chunk, ...]] = field(default_factory=dict[str, tuple[Chunk, ...]])
    """By queue, where the text lies that does not fit into it."""
    fetches: tuple[Fetch, ...] = ()
    """Every `ifetch`, by queue and then by cycle. What it brings comes after it, so a program's length is that of the
    other dispatches."""
    dataflow: Mapping[str, QueueDataflow] = field(default_factory=dict[str, QueueDataflow])
    """By queue, what its issues are meant to take; empty for a program that does not say it. Engines do not ask."""

    @cached_property
    def dispatches(self) -> tuple[Record, ...]:
        """Every dispatch, those of `ifetch` among them, by queue and then by cycle."""
        if not self.fetches:
            return self.records
        return tuple(sorted((*self.records, *(f.record for f in self.fetches)), key=lambda r: r[:2]))

    def text_image(self, chip: ChipSpec) -> dict[Word, bytes]:
        """The words of SRAM that hold program text before the start, each with its `lanes` bytes."""
        return dict(text_words(self.packed, self.text, chip))


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

    Raises HazardError where a queue would dispatch two instructions at once or is not supplied with text,
    MalformedProgram for a record that the machine does not have or a length that is not the one declared, LinkError for
    a link without a cable, CapacityError for a program beyond limits.py.
    """
    system = program.system
    queues = system.chip.queues
    numbers = {c.chip for c in program.chips}
    for chip in program.chips:
        for record in chip.dispatches:
            if reason := check_record(record, system):
                raise MalformedProgram(_where(chip, record, system) + reason)
            if record.instruction.is_clocked:
                raise MalformedProgram(_where(chip, record, system) + "exists only in packed queues")
            queue = queues[record.queue]
            kinds = record.instruction.kinds
            if kinds and queue.kind not in kinds:
                raise MalformedProgram(_where(chip, record, system) + f"a {queue.kind} queue does not execute it")
            if "C2C" in kinds:
                peer = program.peers.get(Port(chip.chip, queue.unit))
                if peer is None:
                    raise LinkError(_where(chip, record, system) + "no cable is in this link")
                if peer.chip not in numbers:
                    raise LinkError(_where(chip, record, system) + f"chip {peer.chip} at its other end has no program")
            if record.instruction.effect is Effect.ENTER_PAIR and system.chip.paired_plane(queue.unit) is None:
                raise MalformedProgram(_where(chip, record, system) + f"plane {queue.unit} is not the first of a pair")
        _check_size(chip)
        if reason := overlap((s, words, f'{b.kind} "{b.name}"') for b in chip.bindings for s, words in b.words):
            raise MalformedProgram(f"chip {chip.chip}: {reason}")
        _check_queues(chip, system)
        _check_text(chip, system.chip)
        last = max((record.last for record in chip.records), default=-1)
        if chip.cycles != (length := program_length(last, system)):
            raise MalformedProgram(
                f"chip {chip.chip}: the program declares {chip.cycles} cycles, but its last dispatch ends in cycle "
                f"{last}, which makes {length}"
            )
    if hazards := [h for chip in program.chips for h in _supply_hazards(chip, program)]:
        raise earliest(hazards)
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


def _check_size(chip: ChipProgram) -> None:
    """Raises CapacityError for more than engines and verifier expand; the records are right, each for itself."""
    issues = sum(record.vectors for record in chip.dispatches)
    end = max((record.last for record in chip.dispatches), default=0)
    for number, most, what in ((issues, MOST_ISSUES, "instruction issues"), (end, MOST_CYCLES, "cycles")):
        if number > most:
            raise CapacityError(
                f"chip {chip.chip}: the program has {number} {what}; one program may have {most}: split it into several"
            )


def overlap(claims: Iterable[tuple[Slice, range, str]]) -> str | None:
    """Which two tensors lie in one word of SRAM, or None: of each a slice, its words there, kind and name. An output
    may lie where an input has been: the host puts inputs there before a run, and takes outputs after it."""
    taken: dict[tuple[Slice, bool], list[tuple[range, str]]] = defaultdict(list)
    for slice_, words, name in claims:
        for outputs in (False, True):
            if not name.startswith("input " if outputs else "output "):
                taken[slice_, outputs].append((words, name))
    for (slice_, _), of_slice in taken.items():
        of_slice.sort(key=lambda claim: (claim[0].start, claim[1]))
        widest = of_slice[0]
        for claim in of_slice[1:]:
            if claim[0].start < widest[0].stop:
                word = Word(*slice_, claim[0].start)
                return f"{widest[1]} and {claim[1]} both lie in word {word}; put one of them elsewhere"
            widest = max(widest, claim, key=lambda c: c[0].stop)
    return None


def _check_queues(chip: ChipProgram, system: SystemSpec) -> None:
    clashes: list[tuple[int, int, Record, Record]] = []
    for first, second in pairwise(chip.dispatches):
        if first.queue == second.queue and second.at <= first.last:
            clashes.append((second.at, second.queue, first, second))
    if not clashes:
        return
    cycle, queue, first, second = min(clashes, key=lambda c: c[:2])
    name = system.chip.queues[queue].name
    raise HazardError(
        "queue", chip.chip, f"queue {name}", cycle, actor(first, first.at, name), actor(second, second.at, name)
    )


def _check_text(chip: ChipProgram, spec: ChipSpec) -> None:
    """Raises MalformedProgram where text cannot lie as the program says, or an ifetch brings none."""
    if unknown := chip.text.keys() - chip.packed.keys():
        raise MalformedProgram(f"chip {chip.chip}: there is text for {min(unknown)}, but no such queue")
    fetched: dict[int, int] = defaultdict(int)
    for fetch in chip.fetches:
        fetched[fetch.record.queue] += 1
    for name, data in chip.packed.items():
        place = f"chip {chip.chip}, {name}: "
        if (number := fetched[spec.queue_numbers[name]]) > (chunks := chunk_count(data, spec)):
            raise MalformedProgram(f"{place}{number} times ifetch, but its text has {chunks} chunks to fetch")
        if reason := check_chunks(data, chip.text.get(name, ()), spec) if number or name in chip.text else None:
            raise MalformedProgram(place + reason)
    words = [word for chunks in chip.text.values() for chunk in chunks for word in chunk]
    bound_in: dict[Slice, list[tuple[range, Binding]]] = defaultdict(list)
    for binding in chip.bindings:
        for slice_, taken in binding.words:
            bound_in[slice_].append((taken, binding))
    for word in words:
        if bound := next((b for taken, b in bound_in[Slice(*word[:2])] if word.address in taken), None):
            raise MalformedProgram(f'chip {chip.chip}: program text and {bound.kind} "{bound.name}" lie in {word}')
    if len({*words}) != len(words):
        raise MalformedProgram(f"chip {chip.chip}: two pieces of program text lie in one word")


def _supply_hazards(chip: ChipProgram, program: Program) -> Iterator[Hazard]:
    """For every queue the first place at which its text is not supplied as it must be."""
    spec = program.system.chip
    for name, data in chip.packed.items():
        slots = range(len(data) // INSTRUCTION_BYTES)
        opcodes = data[::INSTRUCTION_BYTES]
        fault = first_fault(data, [i for i in slots if opcodes[i] == IFETCH], spec)
        if fault is not None:
            cycle = cycles_of(name, chip.packed, program.system)[fault.slot]
            instruction, values = TABLE.decode(data[fault.slot * INSTRUCTION_BYTES :][:INSTRUCTION_BYTES])
            party = Actor(instruction.text(values), name, cycle)
            yield Hazard(fault.kind, chip.chip, f"queue {name}", cycle, (spec.queue_numbers[name],), party)


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
    text = {q.queue.data: q.text.data for q in op.packed if q.text is not None}
    bindings = tuple(_binding(b) for b in op.bindings)
    dataflow = {flow.queue.data: flow.dataflow.data for flow in op.dataflow}
    return chip_program(
        op.chip.value.data, op.cycles.value.data, records, bindings, packed, text, system.chip, dataflow
    )


def chip_program(
    chip: int,
    cycles: int,
    records: Iterable[Record],
    bindings: tuple[Binding, ...],
    packed: Mapping[str, bytes],
    text: Mapping[str, tuple[Chunk, ...]],
    spec: ChipSpec,
    dataflow: Mapping[str, QueueDataflow],
) -> ChipProgram:
    """What a chip does, from its records as `decode_queues` gives them: by queue and then by cycle, with ifetch."""
    fetches: list[Fetch] = []
    others: list[Record] = []
    before: dict[int, int] = defaultdict(int)
    for record in configured(records):
        if record.instruction.effect is not Effect.FETCH:
            others.append(record)
            continue
        data = packed.get(spec.queues[record.queue].name, b"")
        fetches.append(Fetch(record._replace(tiles=0), chunk_text(data, before[record.queue], spec)))
        before[record.queue] += 1
    return ChipProgram(chip, cycles, tuple(others), bindings, packed, text, tuple(fetches), dataflow)


def configured(records: Iterable[Record]) -> tuple[Record, ...]:
    """Records, by queue and then by cycle, each with the superlanes that the `config` before it leaves on."""
    result: list[Record] = []
    queue, tiles = -1, 0
    for record in records:
        if record.queue != queue:
            queue, tiles = record.queue, 0
        result.append(record._replace(tiles=tiles))
        if record.instruction.effect is Effect.CONFIGURE:
            tiles = record.values[record.instruction.index("tiles")]
    return tuple(result)


def _binding(op: BindOp) -> Binding:
    element = element_of(op.tensor.element_type)
    assert element is not None  # verified by the op
    host = (op.external or op.tensor).get_shape()
    value = None
    if isa(op.value, DenseIntOrFPElementsAttr):
        value = dense_value(op.value).reshape(op.tensor.get_shape())
    return Binding(
        op.kind.data, op.tensor_name.data, op.layout.data, op.place.data, op.tensor.get_shape(), host, element, value
    )
