"""The instruction table: one op class per instruction, whose declared fields give everything else.

Assembly text, encoding, decoder, what it reads and drives and when, and its entry in the manual all follow from the
declaration. To add an instruction, see docs/adding-an-instruction.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar, cast

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, StringAttr, i64
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation, irdl_op_definition, opt_prop_def, prop_def
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from .instruction import (
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
from .target import SystemSpec
from .target_attr import target_of

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


def stream(role: str, doc: str, group: int | str = 1) -> IntegerAttr[I64]:
    """A field that names the first of a group of streams that the instruction reads or drives."""
    return _declare(FieldKind.STREAM, 8, doc, role=role, group=group)


_I8, _I16, _I32, _F32 = ElementType.I8, ElementType.I16, ElementType.I32, ElementType.F32


def element_type(*types: ElementType, doc: str = "element type of the operation") -> IntegerAttr[I64]:
    """A field that holds one of these element types."""
    return _declare(FieldKind.TYPE, 4, doc, types=types)


def source(doc: str, group: str = "type") -> IntegerAttr[I64]:
    """An ALU operand: a stream group of the element type in the field `group`, another ALU's chain, or 32 bits."""
    return _declare(FieldKind.SOURCE, 34, doc, role="read", group=group)


def result(doc: str, group: str = "type") -> IntegerAttr[I64]:
    """Where an ALU's result goes: a stream group of the element type in the field `group`, or its chain."""
    return _declare(FieldKind.TARGET, 9, doc, role="drive", group=group)


def flag(words: tuple[str, str], doc: str) -> IntegerAttr[I64]:
    """A field of one bit, written as one of two words."""
    return _declare(FieldKind.FLAG, 1, doc, words=words)


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
        properties: dict[str, Attribute] = {"at": IntegerAttr(at, i64)}
        for f, value in zip(cls.INSTRUCTION.fields, values, strict=True):
            properties[f.name] = IntegerAttr(value, i64)
        if loops:
            properties["loops"] = DenseArrayBase.from_list(i64, [n for loop in loops for n in loop])
        return cls.create(properties=properties)

    @property
    def values(self) -> tuple[int, ...]:
        """The field values in the order of the table."""
        return tuple(cast("IntegerAttr[I64]", self.properties[f.name]).value.data for f in self.INSTRUCTION.fields)

    @property
    def loop_levels(self) -> tuple[Loop, ...]:
        """The levels of `repeat`, innermost first."""
        if self.loops is None:
            return ()
        flat = self.loops.get_values()
        return tuple(Loop(*flat[i : i + 3]) for i in range(0, len(flat), 3))

    def record(self, queue: int) -> Record:
        """The dispatch record for queue number `queue`."""
        return Record(queue, self.at.value.data, self.INSTRUCTION, self.values, self.loop_levels)

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
            printer.print_string(f" repeat {loop.count}")
            if loop.every != 1:
                printer.print_string(f" every {loop.every}")
            if loop.step:
                printer.print_string(f" step {loop.step}")
        printer.print_op_attributes(self.attributes)

    def verify_(self) -> None:
        if self.PACKED_ONLY:
            raise VerifyException(f"`{self.INSTRUCTION.name}` exists only in packed queues: write times with `at`")
        if (parent := self.parent_op()) is None or parent.name != QUEUE:
            raise VerifyException("an instruction stands in a tsp_isa.queue")
        queue = cast(StringAttr, parent.properties["queue"]).data
        system = target_of(self)
        kind = next((q.kind for q in system.chip.queues if q.name == queue), None)
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
    if not 0 <= record.at < 1 << 48:
        return f"`at` {record.at} is outside 0..2^48"
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
    if word[0] in "EW" and word[1:].isdecimal() and int(word[1:]) < 128:
        return stream_code(word[0], int(word[1:]))
    parser.raise_error(f"expected a stream such as E4 or W0 for {f.name}, got `{word}`", position)


_OpT = TypeVar("_OpT", bound=InstructionOp)


def instruction(
    opcode: int, *kinds: str, skew: tuple[str, ...] = (), func: tuple[str, ...] = (), duration: str = ""
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
            cls.name.removeprefix("tsp_isa."), opcode, kinds, tuple(fields), doc, skew, func, duration
        )
        TABLE.add(defined.INSTRUCTION)
        OP_CLASSES[defined.INSTRUCTION.name] = defined
        return defined

    return define


# Every queue


@instruction(0x01)
class NopOp(InstructionOp):
    """Waits `count` cycles."""

    name = "tsp_isa.nop"
    PACKED_ONLY: ClassVar[bool] = True
    count = number(16, "cycles to wait", low=1)


@instruction(0x02)
class RepeatOp(InstructionOp):
    """Issues the instruction before it `count` more times, `every` cycles apart, moving its stepping field by `step`
    each time. After another repeat it repeats the whole group: the levels nest."""

    name = "tsp_isa.repeat"
    PACKED_ONLY: ClassVar[bool] = True
    count = number(16, "further rounds", low=1)
    every = number(16, "cycles from one round to the next", low=1)
    step = number(16, "movement of the stepping field, two's complement")


@instruction(0x03)
class SyncOp(InstructionOp):
    """Parks at the head of the queue until a notify releases all queues."""

    name = "tsp_isa.sync"
    PACKED_ONLY: ClassVar[bool] = True


@instruction(0x04)
class NotifyOp(InstructionOp):
    """Releases every parked queue, `barrier` cycles after its dispatch."""

    name = "tsp_isa.notify"
    PACKED_ONLY: ClassVar[bool] = True


@instruction(0x05, "C2C")
class DeskewOp(InstructionOp):
    """Waits for the next epoch: the next multiple of the aligned counter's period."""

    name = "tsp_isa.deskew"
    PACKED_ONLY: ClassVar[bool] = True


# MEM


@instruction(0x10, "MEM", func=("latency_read",))
class ReadOp(InstructionOp):
    """Reads the word at `address` onto a stream."""

    name = "tsp_isa.read"
    address = number(16, "word of the slice", steps=True)
    stream = stream("drive", "the stream that it drives")


@instruction(0x11, "MEM", skew=("latency_write",))
class WriteOp(InstructionOp):
    """Writes the vector on a stream to the word at `address`."""

    name = "tsp_isa.write"
    address = number(16, "word of the slice", steps=True)
    stream = stream("read", "the stream that it samples")


# MXM


@instruction(0x20, "MXM.weights")
class LoadWeightsOp(InstructionOp):
    """Loads one group of rows into the plane's weight buffer, a row of `lanes` weights from each stream of the group.
    Rows that are not loaded between two installs are zero."""

    name = "tsp_isa.lw"
    row = number(8, "group of `weight_streams` rows", steps=True)
    stream = stream("read", "first of the streams", group="weight_streams")


@instruction(0x21, "MXM.weights", func=("latency_install",))
class InstallWeightsOp(InstructionOp):
    """Installs the weight buffer in the array, for activations from `latency_install` cycles later on, and empties the
    buffer."""

    name = "tsp_isa.iw"


@instruction(0x22, "MXM.activations", func=("latency_array",), duration="count")
class ActivationsOp(InstructionOp):
    """Takes one int8 activation vector a cycle for `count` cycles: lane k meets weight row k. The sums reach the
    accumulators `latency_array` cycles after each vector."""

    name = "tsp_isa.abc"
    count = number(16, "vectors, and cycles that it takes", low=1)
    stream = stream("read", "the stream of the activations")


@instruction(0x23, "MXM.accumulators")
class AccumulateOp(InstructionOp):
    """Sets an accumulator entry to the vector of sums that leaves the array in this cycle, or adds it."""

    name = "tsp_isa.acc"
    entry = number(16, "accumulator entry", steps=True)
    mode = flag(("set", "add"), "whether the sums replace the entry or are added to it")


@instruction(0x24, "MXM.accumulators", func=("latency_egress",))
class AccumulateEmitOp(InstructionOp):
    """As acc, and drives the entry's new value as int32 onto a group of four streams."""

    name = "tsp_isa.acc_emit"
    entry = number(16, "accumulator entry", steps=True)
    mode = flag(("set", "add"), "whether the sums replace the entry or are added to it")
    stream = stream("drive", "first of the four streams", group=4)


# VXM

_ALU = ("latency_vxm_entry", "latency_alu")


class BinaryOp(InstructionOp):
    """An ALU operation of two operands of one element type."""


@instruction(0x30, "VXM", func=_ALU)
class AddOp(BinaryOp):
    """a + b; integers wrap."""

    name = "tsp_isa.add"
    type = element_type(_I32, _F32)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x31, "VXM", func=_ALU)
class SubOp(BinaryOp):
    """a - b; integers wrap."""

    name = "tsp_isa.sub"
    type = element_type(_I32, _F32)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x32, "VXM", func=_ALU)
class MulOp(BinaryOp):
    """a * b; integers wrap."""

    name = "tsp_isa.mul"
    type = element_type(_I32, _F32)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x33, "VXM", func=_ALU)
class MaxOp(BinaryOp):
    """The greater of a and b, signed. NaN if either is NaN; +0 is greater than -0."""

    name = "tsp_isa.max"
    type = element_type(_I32, _F32)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x34, "VXM", func=_ALU)
class MinOp(BinaryOp):
    """The lesser of a and b, signed. NaN if either is NaN; -0 is less than +0."""

    name = "tsp_isa.min"
    type = element_type(_I32, _F32)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x40, "VXM", func=_ALU)
class CopyOp(InstructionOp):
    """a, one ALU later."""

    name = "tsp_isa.copy"
    type = element_type(_I8, _I16, _I32, _F32)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x41, "VXM", func=_ALU)
class RoundOp(InstructionOp):
    """a rounded to an integral value, ties to even."""

    name = "tsp_isa.round"
    type = element_type(_F32)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x42, "VXM", func=_ALU)
class TruncOp(InstructionOp):
    """a rounded to an integral value toward zero."""

    name = "tsp_isa.trunc"
    type = element_type(_F32)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x43, "VXM", func=_ALU)
class ConvertOp(InstructionOp):
    """Converts between i8, i16, i32 and f32: to an integer to the nearest, ties to even, saturating, NaN to 0; to f32
    to the nearest, ties to even."""

    name = "tsp_isa.convert"
    type = element_type(_I8, _I16, _I32, _F32, doc="element type of the operand")
    a = source("operand")
    result_type = element_type(_I8, _I16, _I32, _F32, doc="element type of the result")
    to = result("where the result goes", group="result_type")


@instruction(0x44, "VXM", func=_ALU)
class WrapOp(InstructionOp):
    """Converts between integers by keeping the low bits; a wider result is sign-extended."""

    name = "tsp_isa.wrap"
    type = element_type(_I8, _I16, _I32, doc="integer type of the operand")
    a = source("operand")
    result_type = element_type(_I8, _I16, _I32, doc="integer type of the result")
    to = result("where the result goes", group="result_type")


# C2C


@instruction(0x50, "C2C")
class SendOp(InstructionOp):
    """Sends the vector on a stream over the queue's link; it arrives `latency_send` and the link's latency later."""

    name = "tsp_isa.send"
    stream = stream("read", "the stream that it samples")


@instruction(0x51, "C2C", func=("latency_receive",))
class ReceiveOp(InstructionOp):
    """Takes the vector that arrives on the queue's link in this cycle and drives it onto a stream."""

    name = "tsp_isa.receive"
    stream = stream("drive", "the stream that it drives")
