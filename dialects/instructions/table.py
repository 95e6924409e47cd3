"""The instruction table: one op class per instruction, whose declared fields give everything else.

Assembly text, encoding, decoder, what it reads and drives and when, and its entry in the manual all follow from the
declaration. To add an instruction, see docs/adding-an-instruction.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, TypeVar, cast

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, StringAttr, i64
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ..machine.effects import Effect
from ..machine.instruction import (
    CHAIN,
    MAX_COUNT,
    MAX_EVERY,
    MAX_STEP,
    ElementType,
    Field,
    FieldKind,
    Instruction,
    Loop,
    Record,
    Table,
    source_alu,
    source_immediate,
    stream_code,
)
from ..machine.limits import MOST_CYCLES
from ..machine.stream_code import DIRECTIONS, MOST_STREAMS, STREAM_BITS
from ..machine.target import SystemSpec
from ..target_attr import target_of

NumberAttr = IntegerAttr[I64]
DenseI64 = DenseArrayBase[I64]

TABLE = Table()
"""Every instruction, by opcode and by name."""

QUEUE = "tsp_isa.queue"
"""The op that holds a queue's instructions in timed form."""

OP_CLASSES: dict[str, type[InstructionOp]] = {}
"""The op class of each mnemonic."""


@dataclass(frozen=True)
class _FieldDecl:
    field: Field


def _declare(kind: FieldKind, bits: int, doc: str, **more: Any) -> IntegerAttr[I64]:
    return cast("IntegerAttr[I64]", _FieldDecl(Field("", kind, bits, doc, **more)))


def number(bits: int, doc: str, *, steps: bool = False, low: int = 0) -> IntegerAttr[I64]:
    """A field that holds a number; `repeat` moves it where it `steps`."""
    return _declare(FieldKind.NUMBER, bits, doc, steps=steps, low=low)


def reads(doc: str, group: int | str = 1) -> IntegerAttr[I64]:
    """A field that names the first of a group of streams that the instruction samples."""
    return _declare(FieldKind.STREAM, STREAM_BITS, doc, role="read", group=group)


def drives(doc: str, group: int | str = 1) -> IntegerAttr[I64]:
    """A field that names the first of a group of streams that the instruction drives."""
    return _declare(FieldKind.STREAM, STREAM_BITS, doc, role="drive", group=group)


def element_type(*types: ElementType, doc: str = "element type of the operation") -> IntegerAttr[I64]:
    """A field that holds one of these element types."""
    return _declare(FieldKind.TYPE, 4, doc, types=types)


def source(doc: str, group: int | str = "type") -> IntegerAttr[I64]:
    """An ALU operand: a stream group of the element type in the field `group`, another ALU's chain, or 32 bits."""
    return _declare(FieldKind.SOURCE, 34, doc, role="read", group=group)


def result(doc: str, group: int | str = "type") -> IntegerAttr[I64]:
    """Where an ALU's result goes: a stream group of the element type in the field `group`, or its chain."""
    return _declare(FieldKind.TARGET, STREAM_BITS + 1, doc, role="drive", group=group)


def flag(words: tuple[str, str], doc: str) -> IntegerAttr[I64]:
    """A field of one bit, written as one of two words."""
    return _declare(FieldKind.FLAG, 1, doc, words=words)


@lru_cache(1 << 16)
def _number(value: int) -> NumberAttr:
    """A number as a property. Properties never change, so instructions share those that are alike."""
    return IntegerAttr(value, i64)


@lru_cache(1 << 14)
def _loops_attr(loops: tuple[Loop, ...]) -> DenseI64:
    return DenseArrayBase.from_list(i64, [n for loop in loops for n in loop])


@lru_cache(1 << 14)
def _loops_of(attr: DenseI64) -> tuple[Loop, ...]:
    flat = attr.get_values()
    return tuple(Loop(*flat[i : i + 3]) for i in range(0, len(flat), 3))


class InstructionOp(IRDLOperation):
    """An instruction in timed form: `tsp_isa.read at 35 address 0 stream E4 repeat 360 step 1`."""

    INSTRUCTION: ClassVar[Instruction]
    """Its row in the table."""
    PACKED_ONLY: ClassVar[bool] = False
    """Whether it exists in packed queues only, timed form saying the same with `at` and `repeat`."""

    at = prop_def(IntegerAttr[I64])
    """The cycle of the first dispatch."""
    loops = opt_prop_def(DenseArrayBase[I64])
    """Levels of `repeat`, innermost first: count, every, step of each."""

    @classmethod
    def make(cls, at: int, values: Sequence[int], loops: Sequence[Loop] = ()) -> InstructionOp:
        """The op of these field values, dispatched at cycle `at`."""
        properties: dict[str, Attribute] = {"at": _number(at)}
        for f, value in zip(cls.INSTRUCTION.fields, values, strict=True):
            properties[f.name] = _number(value)
        if loops:
            properties["loops"] = _loops_attr(tuple(loops))
        return cls.create(properties=properties)

    @property
    def values(self) -> tuple[int, ...]:
        """The field values in the order of the table."""
        properties = cast("dict[str, NumberAttr]", self.properties)
        return tuple([properties[name].value.data for name in self.INSTRUCTION.names])

    @property
    def loop_levels(self) -> tuple[Loop, ...]:
        """The levels of `repeat`, innermost first."""
        loops = self.properties.get("loops")
        return () if loops is None else _loops_of(cast(DenseI64, loops))

    def record(self, queue: int) -> Record:
        """The dispatch record for queue number `queue`."""
        at = cast(NumberAttr, self.properties["at"]).value.data
        return Record(queue, at, self.INSTRUCTION, self.values, self.loop_levels)

    @property
    def is_plain(self) -> bool:
        """Whether it has the properties of its class, each of its kind, and nothing else but attributes, as `make`
        gives it: then there is nothing in its declaration that it could violate."""
        names = self.INSTRUCTION.names
        if self._operands or self.results or self.regions or self._successors:
            return False
        loops, numbers = self.properties.get("loops"), [self.properties.get(name) for name in ("at", *names)]
        if len(self.properties) != len(numbers) + (loops is not None):
            return False
        if loops is not None and not (isinstance(loops, DenseArrayBase) and cast(DenseI64, loops).elt_type == i64):
            return False
        return all(isinstance(n, IntegerAttr) and cast(NumberAttr, n).type == i64 for n in numbers)

    @classmethod
    def parse(cls, parser: Parser) -> InstructionOp:
        parser.parse_keyword("at")
        at = parser.parse_integer()
        values: list[int] = []
        for f in cls.INSTRUCTION.fields:
            parser.parse_keyword(f.name)
            values.append(_parse_value(parser, f))
        loops: list[Loop] = []
        while parser.parse_optional_keyword("repeat"):
            count = parser.parse_integer()
            every = parser.parse_integer() if parser.parse_optional_keyword("every") else 1
            step = parser.parse_integer(allow_negative=True) if parser.parse_optional_keyword("step") else 0
            loops.append(Loop(count, every, step))
        op = cls.make(at, values, loops)
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(f" at {self.at.value.data}")
        for f, value in zip(self.INSTRUCTION.fields, self.values, strict=True):
            printer.print_string(f" {f.name} {f.text(value)}")
        for loop in self.loop_levels:
            printer.print_string(f" {loop.text}")
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        if self.PACKED_ONLY:
            raise VerifyException(f"`{self.INSTRUCTION.name}` exists only in packed queues: write times with `at`")
        if (parent := self.parent_op()) is None or parent.name != QUEUE:
            raise VerifyException("an instruction stands in a tsp_isa.queue")
        queue = cast(StringAttr, parent.properties["queue"]).data
        system = target_of(self)
        number = system.chip.queue_numbers.get(queue)
        kind = None if number is None else system.chip.queues[number].kind
        if self.INSTRUCTION.kinds and kind not in self.INSTRUCTION.kinds:
            raise VerifyException(
                f"`{self.INSTRUCTION.name}` runs on {' or '.join(self.INSTRUCTION.kinds)}, not on {kind}"
            )
        if self.loops is not None and len(self.loops) % 3:
            raise VerifyException("`loops` holds count, every and step of each level")
        if reason := check_record(self.record(0), system):
            raise VerifyException(reason)


def check_record(record: Record, system: SystemSpec) -> str | None:
    """Why a record is no instruction of this machine, or None: times, loops, and every value that a step reaches."""
    chip, instruction = system.chip, record.instruction
    if not 0 <= record.at < MOST_CYCLES:
        return f"`at` {record.at} is outside 0..{MOST_CYCLES - 1}, the cycles that a program may have"
    if len(record.loops) > chip.loop_levels:
        return f"{len(record.loops)} levels of repeat; the chip has {chip.loop_levels}"
    inner = instruction.occupancy(record.values)
    low = high = 0
    for loop in record.loops:
        if not 2 <= loop.count <= MAX_COUNT:
            return f"repeat {loop.count} is outside 2..{MAX_COUNT}"
        if not inner <= loop.every <= MAX_EVERY:
            return f"every {loop.every} is outside {inner}..{MAX_EVERY}, the time of one round and the encoding's limit"
        if abs(loop.step) > MAX_STEP:
            return f"step {loop.step} is outside -{MAX_STEP}..{MAX_STEP}"
        if loop.step and instruction.stepping is None:
            return f"`{instruction.name}` has no field that a step could move"
        inner += (loop.count - 1) * loop.every
        reach = (loop.count - 1) * loop.step
        low, high = low + min(reach, 0), high + max(reach, 0)
    if instruction.is_sound(record.values, low, high, chip):
        return None
    for moved in {0, low, high}:
        values = record.values
        if moved and (i := instruction.stepping) is not None:
            values = (*values[:i], values[i] + moved, *values[i + 1 :])
        if reason := instruction.check(values, chip):
            return reason
    return None


def _parse_value(parser: Parser, f: Field) -> int:
    if f.kind == FieldKind.NUMBER:
        return parser.parse_integer()
    position = parser.pos
    if (
        f.kind == FieldKind.SOURCE
        and (bits := parser.parse_optional_integer(allow_boolean=False, allow_negative=False)) is not None
    ):
        return source_immediate(bits)
    word = parser.parse_identifier(f" for {f.name}")
    if f.kind == FieldKind.TYPE:
        if word.upper() in ElementType.__members__:
            return ElementType[word.upper()]
        parser.raise_error(
            f"unknown element type `{word}`; there are {', '.join(t.text for t in ElementType)}", position
        )
    if f.kind == FieldKind.FLAG:
        if word in f.words:
            return f.words.index(word)
        parser.raise_error(f"expected {' or '.join(f.words)} for {f.name}", position)
    if f.kind == FieldKind.TARGET and word == "chain":
        return CHAIN
    if f.kind == FieldKind.SOURCE and word.startswith("alu") and word[3:].isdecimal():
        return source_alu(int(word[3:]))
    if word[0] in DIRECTIONS and word[1:].isdecimal() and int(word[1:]) < MOST_STREAMS:
        return stream_code(word[0], int(word[1:]))
    parser.raise_error(f"expected a stream such as E4 or W0 for {f.name}, got `{word}`", position)


_OpT = TypeVar("_OpT", bound=InstructionOp)


def _unless_plain(verify: Callable[[Any], None]) -> Any:
    """The verifier that xDSL makes of a declaration, left out for an op that is plain."""

    def verify_(self: InstructionOp) -> None:
        InstructionOp.verify_(self) if self.is_plain else verify(self)

    return verify_


def instruction(
    opcode: int,
    *kinds: str,
    skew: tuple[str, ...] = (),
    func: tuple[str, ...] = (),
    duration: str = "",
    pace: int = 1,
    effect: Effect = Effect.COMPUTE,
) -> Callable[[type[_OpT]], type[_OpT]]:
    """Makes an op class an instruction: its declared fields become properties of the op and a row of the table."""

    def define(cls: type[_OpT]) -> type[_OpT]:
        fields: list[Field] = []
        for name, declared in list(vars(cls).items()):
            if isinstance(declared, _FieldDecl):
                fields.append(replace(declared.field, name=name))
                setattr(cls, name, prop_def(IntegerAttr[I64]))
        defined = irdl_op_definition(cls)
        doc = " ".join((cls.__doc__ or "").split())
        defined.INSTRUCTION = Instruction(
            cls.name.removeprefix("tsp_isa."), opcode, kinds, tuple(fields), doc, skew, func, duration, pace, effect
        )
        defined.verify_ = _unless_plain(defined.verify_)
        TABLE.add(defined.INSTRUCTION)
        OP_CLASSES[defined.INSTRUCTION.name] = defined
        return defined

    return define
