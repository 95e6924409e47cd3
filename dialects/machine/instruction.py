"""The machinery of the instruction table: fields, encodings, timing, and timed records. Knows no IR.

An instruction is declared once, as an op class in `tsp_isa.py`. From the fields declared there this module derives
its assembly text, its 16-byte encoding and decoder, the streams that it reads and drives and when, and its row in
the manual.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import NamedTuple

from ..errors import MalformedProgram
from .effects import CLOCKED, NEEDS, Effect, Needs
from .stream_code import STREAM_BITS, StreamCode, group_of, is_stream, number_of, stream_text
from .stream_code import register_text as register_text
from .stream_code import stream_code as stream_code
from .target import ChipSpec

INSTRUCTION_BYTES = 16
"""Size of an encoded instruction: the format of the table, not a choice of the machine."""


MOST_OPERANDS = 3
"""Operands of an instruction."""

MAX_COUNT, MAX_EVERY, MAX_STEP = 65536, 65535, 32767
"""What one level of `repeat` can say: issues in all, cycles apart, movement of the field either way."""


class ElementType(IntEnum):
    """Element types of stream groups; the value is the code in an instruction."""

    I8 = 0
    I16 = 1
    I32 = 2
    F16 = 3
    F32 = 4

    @property
    def bytes(self) -> int:
        """Bytes of an element, which is the number of streams of its group."""
        return (1, 2, 4, 2, 4)[self]

    @property
    def text(self) -> str:
        return self.name.lower()


class FieldKind(IntEnum):
    """How a field is written and encoded."""

    NUMBER = 0
    """An integer: `address 12`."""
    STREAM = 1
    """A stream and its direction: `E4`. Encoded as direction << 7 | id, west being 1."""
    TYPE = 2
    """An element type: `i32`."""
    SOURCE = 3
    """An ALU operand: a stream `E4`, the chain of an ALU `alu3`, or 32 bits `0x3f800000`."""
    TARGET = 4
    """Where an ALU's result goes: a stream `E4` or `chain`."""
    FLAG = 5
    """One of two words, the first being 0: `set` or `add`."""


class SourceKind(IntEnum):
    STREAM = 0
    ALU = 1
    IMMEDIATE = 2


_SOURCE_BITS = 34
CHAIN = 1 << STREAM_BITS
"""The value of a TARGET field that keeps the result in the ALU's chain; below it is a stream."""


def source_stream(code: StreamCode) -> int:
    return code


def source_alu(alu: int) -> int:
    return SourceKind.ALU << 32 | alu


def source_immediate(bits: int) -> int:
    """An immediate operand of 32 raw bits."""
    return SourceKind.IMMEDIATE << 32 | bits & 0xFFFFFFFF


def source_kind(value: int) -> SourceKind:
    return SourceKind(value >> 32)


def source_payload(value: int) -> int:
    return value & 0xFFFFFFFF


@dataclass(frozen=True)
class Field:
    """One field of an instruction."""

    name: str
    kind: FieldKind
    bits: int
    doc: str
    role: str = ""
    """`read` or `drive` for fields that name streams; empty for the others."""
    group: int | str = 1
    """Streams of the group that it names: a number, the name of a TYPE field, or of a chip field (`weight_streams`)."""
    steps: bool = False
    """Whether `repeat` moves it by its step."""
    low: int = 0
    """Least value of a NUMBER."""
    words: tuple[str, str] = ("", "")
    """The two words of a FLAG."""
    types: tuple[ElementType, ...] = ()
    """What a TYPE may be."""

    @property
    def high(self) -> int:
        """Greatest value that the encoding holds."""
        return (1 << self.bits) - 1

    def text(self, value: int) -> str:
        """The value as written in assembly, without the field's name."""
        match self.kind:
            case FieldKind.NUMBER:
                return str(value)
            case FieldKind.STREAM:
                return stream_text(StreamCode(value))
            case FieldKind.TYPE:
                return ElementType(value).text
            case FieldKind.FLAG:
                return self.words[value]
            case FieldKind.TARGET:
                return "chain" if value == CHAIN else stream_text(StreamCode(value))
            case FieldKind.SOURCE:
                payload = source_payload(value)
                match source_kind(value):
                    case SourceKind.STREAM:
                        return stream_text(StreamCode(payload))
                    case SourceKind.ALU:
                        return f"alu{payload}"
                    case SourceKind.IMMEDIATE:
                        return f"0x{payload:08x}"

    def check(self, value: int) -> str | None:
        """Why `value` cannot stand in this field on any chip, or None."""
        if not self.low <= value <= self.high:
            return f"{self.name} {value} is outside {self.low}..{self.high}"
        match self.kind:
            case FieldKind.TYPE if value not in self.types:
                names = " or ".join(t.text for t in self.types)
                return f"{self.name} is {ElementType(value).text if value < len(ElementType) else value}, not {names}"
            case FieldKind.TARGET if value > CHAIN:
                return f"{self.name} has the unknown code {value:#x}"
            case FieldKind.SOURCE:
                if value >> 32 >= len(SourceKind):
                    return f"{self.name} has the unknown operand kind {value >> 32}"
                if value >> 32 == SourceKind.STREAM and not is_stream(value):
                    return f"{self.name} has the unknown stream code {value:#x}"
            case _:
                pass
        return None


class Loop(NamedTuple):
    """One level of `repeat`: `count` issues in all, `every` cycles apart, the stepping field moving by `step`."""

    count: int  # pyright: ignore[reportIncompatibleMethodOverride] (hides tuple.count)
    every: int = 1
    step: int = 0

    @property
    def text(self) -> str:
        """As written in timed form: `repeat 4 every 24 step 1`."""
        every = f" every {self.every}" if self.every != 1 else ""
        step = f" step {self.step}" if self.step else ""
        return f"repeat {self.count}{every}{step}"


class StreamUse(NamedTuple):
    """A group of streams that one issue reads or drives, `offset` cycles after its dispatch."""

    code: StreamCode
    """The first of them."""
    width: int
    offset: int

    @property
    def codes(self) -> Iterator[StreamCode]:
        """All streams of the group."""
        return group_of(self.code, self.width)


@dataclass(frozen=True)
class Instruction:
    """A row of the instruction table."""

    name: str
    """The mnemonic, such as `read`."""
    opcode: int
    kinds: tuple[str, ...]
    """The kinds of queue that execute it; empty for every queue."""
    fields: tuple[Field, ...]
    doc: str
    skew: tuple[str, ...] = ()
    """Chip fields that sum to `d_skew`: cycles from dispatch to the sampling of stream operands."""
    func: tuple[str, ...] = ()
    """Chip fields that sum to `d_func`: cycles from dispatch to the result at the unit's stream register."""
    duration: str = ""
    """The field that counts the vectors of one dispatch; empty for one vector."""
    pace: int = 1
    """Cycles from one vector of a dispatch to the next."""
    effect: Effect = Effect.COMPUTE
    """What it does beside sampling and driving streams."""

    def d_skew(self, chip: ChipSpec) -> int:
        """Cycles from dispatch to the sampling of stream operands."""
        return sum(getattr(chip, f) for f in self.skew)

    def d_func(self, chip: ChipSpec) -> int:
        """Cycles from dispatch to the presence of the result at the unit's own position."""
        return sum(getattr(chip, f) for f in self.func)

    @property
    def is_clocked(self) -> bool:
        """Whether it only moves the clock of a queue, in packed form."""
        return self.effect in CLOCKED

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(f.name for f in self.fields)

    def index(self, field: str) -> int:
        """The place of a field in an instruction's values."""
        return self.names.index(field)

    @cached_property
    def stepping(self) -> int | None:
        """The place of the field that `repeat` moves, or None."""
        return next((i for i, f in enumerate(self.fields) if f.steps), None)

    def moved(self, values: Sequence[int]) -> int:
        """The value of the field that `repeat` moves, 0 without one."""
        return 0 if self.stepping is None else values[self.stepping]

    def text(self, values: Sequence[int]) -> str:
        """The instruction in assembly, such as `read address 12 stream E4`."""
        return " ".join([self.name, *(f"{f.name} {f.text(v)}" for f, v in zip(self.fields, values, strict=True))])

    def occupancy(self, values: Sequence[int]) -> int:
        """Cycles for which one dispatch occupies the queue."""
        return self.vectors(values) * self.pace if self.duration else self.pace

    def vectors(self, values: Sequence[int]) -> int:
        """Vectors that one dispatch takes, `pace` cycles apart."""
        return values[self.index(self.duration)] if self.duration else 1

    def stream_uses(self, role: str, values: Sequence[int], chip: ChipSpec) -> Iterator[StreamUse]:
        """The stream groups that one issue reads (`role` "read") or drives ("drive"), with offsets from dispatch."""
        offset = self.d_skew(chip) if role == "read" else self.d_func(chip)
        for f, value in zip(self.fields, values, strict=True):
            if f.role != role or not is_stream(value):  # an ALU operand or target that is no stream
                continue
            yield StreamUse(value, self.group_width(f, values, chip), offset)

    def group_width(self, field: Field, values: Sequence[int], chip: ChipSpec) -> int:
        """Streams of the group that a field names."""
        if isinstance(field.group, int):
            return field.group
        if any(f.name == field.group for f in self.fields):
            return ElementType(values[self.index(field.group)]).bytes
        return getattr(chip, field.group)

    def check(self, values: Sequence[int], chip: ChipSpec) -> str | None:
        """Why these values are no instruction of this chip, or None."""
        if self.is_sound(values, 0, 0, chip):
            return None
        for f, value in zip(self.fields, values, strict=True):
            if reason := f.check(value) or self.check_on_chip(f, value, values, chip):
                return reason
        return None

    def is_sound(self, values: Sequence[int], low: int, high: int, chip: ChipSpec) -> bool:
        """Whether these values are an instruction of this chip, also with the field that `repeat` moves as far as `low`
        <= 0 and `high` >= 0 from its value."""
        i = self.stepping
        if i is None:
            return 0 in _reach(self, tuple(values), chip)
        reach = _reach(self, (*values[:i], self.fields[i].low, *values[i + 1 :]), chip)
        return values[i] + low in reach and values[i] + high in reach

    def check_on_chip(self, f: Field, value: int, values: Sequence[int], chip: ChipSpec) -> str | None:
        """Why `value` of these values cannot stand in field `f` on this chip, or None."""
        if f.role and is_stream(value):
            width = self.group_width(f, values, chip)
            base = number_of(value)
            if base % width:
                return f"{f.name} {stream_text(value)} is not aligned to its group of {width} streams"
            if base + width > chip.streams:
                return f"{f.name} {stream_text(value)} needs {width} streams, but the chip has 0..{chip.streams - 1}"
        if f.kind == FieldKind.SOURCE and source_kind(value) == SourceKind.ALU and source_payload(value) >= chip.alus:
            return f"{f.name} alu{source_payload(value)}: the chip has ALUs 0..{chip.alus - 1}"
        if f.name in _CHIP_LIMITS and value >= (limit := _CHIP_LIMITS[f.name](chip)):
            return f"{f.name} {value} is outside 0..{limit - 1}"
        return None

    def encode(self, values: Sequence[int]) -> bytes:
        """The 16 bytes: the opcode in the first, then the fields from the least significant bit on, the rest zero."""
        word, shift = self.opcode, 8
        for f, value in zip(self.fields, values, strict=True):
            word |= (value & f.high) << shift
            shift += f.bits
        return word.to_bytes(INSTRUCTION_BYTES, "little")

    def decode(self, word: int) -> tuple[int, ...]:
        """The field values of an encoded word. Raises MalformedProgram for set bits outside the fields."""
        word >>= 8
        values: list[int] = []
        for f in self.fields:
            values.append(word & f.high)
            word >>= f.bits
        if word:
            raise MalformedProgram(f"`{self.name}` has bits set outside its fields")
        return tuple(values)


@lru_cache(1 << 14)
def _reach(instruction: Instruction, values: tuple[int, ...], chip: ChipSpec) -> range:
    """What the field that `repeat` moves may be beside these values of the others; 0 alone where there is no such
    field, nothing where another is at fault."""
    i = instruction.stepping
    if any(
        f.check(value) or instruction.check_on_chip(f, value, values, chip)
        for n, (f, value) in enumerate(zip(instruction.fields, values, strict=True))
        if n != i
    ):
        return range(0)
    if i is None:
        return range(1)
    f = instruction.fields[i]
    limit = _CHIP_LIMITS[f.name](chip) if f.name in _CHIP_LIMITS else f.high + 1
    return range(f.low, min(f.high + 1, limit))


_CHIP_LIMITS: dict[str, Callable[[ChipSpec], int]] = {
    "address": lambda chip: chip.words,
    "row": lambda chip: chip.load_cycles,
    "entry": lambda chip: chip.accumulators,
    "tiles": lambda chip: chip.tiles + 1,
}
"""Numbers that the chip bounds, by the name of their field."""


class Record(NamedTuple):
    """A dispatched instruction with its absolute time: what the engines and the verifier work on."""

    queue: int
    """The number of its queue on the chip."""
    at: int
    """The cycle of its first dispatch."""
    instruction: Instruction
    values: tuple[int, ...]
    loops: tuple[Loop, ...] = ()
    """Levels of `repeat`, innermost first; the product of the counts is the number of dispatches."""
    tiles: int = 0
    """The superlanes to which a `config` before it has left the queue; 0 for all."""

    def issues(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Every dispatch: its cycle and its values, in order."""
        for cycle, moved in self._offsets(len(self.loops)):
            yield self.at + cycle, self._moved(moved)

    def issue(self, number: int) -> tuple[int, tuple[int, ...]]:
        """The dispatch with this number, from 0 on: its cycle and its values."""
        cycle, moved = self.at, 0
        for loop in self.loops:
            number, i = divmod(number, loop.count)
            cycle, moved = cycle + i * loop.every, moved + i * loop.step
        return cycle, self._moved(moved)

    def _moved(self, by: int) -> tuple[int, ...]:
        """The values with the stepping field moved."""
        step = self.instruction.stepping
        if step is None or not by:
            return self.values
        return (*self.values[:step], self.values[step] + by, *self.values[step + 1 :])

    def _offsets(self, level: int) -> Iterator[tuple[int, int]]:
        if level == 0:
            yield 0, 0
            return
        loop = self.loops[level - 1]
        for i in range(loop.count):
            for cycle, moved in self._offsets(level - 1):
                yield i * loop.every + cycle, i * loop.step + moved

    @property
    def text(self) -> str:
        """The instruction and its repetition: `read address 0 stream E4 repeat 360 step 1`."""
        return " ".join([self.instruction.text(self.values), *(loop.text for loop in self.loops)])

    @property
    def dispatches(self) -> int:
        """The number of its dispatches."""
        return math.prod(loop.count for loop in self.loops)

    @property
    def vectors(self) -> int:
        """The number of its issues, each vector of a dispatch being one."""
        return self.instruction.vectors(self.values) * self.dispatches

    @property
    def busy(self) -> int:
        """Cycles for which its dispatches occupy its queue."""
        return self.instruction.occupancy(self.values) * self.dispatches

    @property
    def last(self) -> int:
        """The last cycle in which it occupies its queue."""
        last = self.at + self.instruction.occupancy(self.values) - 1
        for loop in self.loops:
            last += (loop.count - 1) * loop.every
        return last


def span(occupancy: int, loops: Sequence[Loop]) -> int:
    """Cycles from the first dispatch to the end of the last, for a dispatch of `occupancy` cycles under `loops`."""
    return occupancy + sum((loop.count - 1) * loop.every for loop in loops)


class Table:
    """All instructions, by opcode and by name."""

    def __init__(self) -> None:
        self.by_opcode: dict[int, Instruction] = {}
        self.by_name: dict[str, Instruction] = {}

    def add(self, instruction: Instruction) -> None:
        """Registers a row. Opcode and mnemonic must be free, the fields must fit into the word and be those that the
        effect needs, and no more operands and results than engines have places for."""
        bits = 8 + sum(f.bits for f in instruction.fields)
        assert bits <= INSTRUCTION_BYTES * 8, f"{instruction.name}: {bits} bits"
        assert instruction.opcode not in self.by_opcode, f"opcode {instruction.opcode:#x} is taken"
        assert instruction.name not in self.by_name, f"mnemonic {instruction.name} is taken"
        self._check_effect(instruction)
        self.by_opcode[instruction.opcode] = instruction
        self.by_name[instruction.name] = instruction

    @staticmethod
    def _check_effect(instruction: Instruction) -> None:
        """What those who go by the effect of an instruction rely on."""
        fields, moving = instruction.fields, instruction.stepping
        needs = NEEDS.get(instruction.effect, Needs())
        groups = {role: tuple(f.group for f in fields if f.role == role) for role in ("read", "drive")}
        sound = {*needs.fields} <= {*instruction.names}
        sound &= not needs.steps or (moving is not None and fields[moving].name == needs.steps)
        sound &= groups["read"] == needs.reads if needs.reads is not None else len(groups["read"]) <= MOST_OPERANDS
        driven = groups["drive"]
        if needs.drives is None:
            sound &= len(driven) <= 1
        else:
            sound &= driven == needs.drives or (needs.silent and not driven)
        assert sound, f"{instruction.name}: what has the effect {instruction.effect.name} declares {needs}"

    def with_effect(self, *effects: Effect) -> list[Instruction]:
        """The instructions of some effects, by opcode."""
        return sorted((i for i in self.by_name.values() if i.effect in effects), key=lambda i: i.opcode)

    def remove(self, instruction: Instruction) -> None:
        """Takes a row out again."""
        del self.by_opcode[instruction.opcode], self.by_name[instruction.name]

    def decode(self, data: bytes) -> tuple[Instruction, tuple[int, ...]]:
        """The instruction and the values of 16 bytes. Raises MalformedProgram for an unknown opcode or stray bits."""
        low, high = struct.unpack("<QQ", data)
        instruction = self.by_opcode.get(low & 0xFF)
        if instruction is None:
            raise MalformedProgram(f"unknown opcode {low & 0xFF:#04x}")
        return instruction, instruction.decode(high << 64 | low)
