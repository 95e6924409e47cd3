"""The `tsp_isa` dialect: when.

A program holds, per chip, the bindings of named tensors to SRAM and one op per instruction queue: in timed form with
a region of instructions at absolute cycles, in packed form with the queue's bytes. The instructions themselves are in
instructions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, SymbolNameConstraint, TensorType, i64
from xdsl.ir import Attribute, Data, Dialect, Operation, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, NoTerminator, SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from .instructions import OP_CLASSES, QUEUE, InstructionOp
from .literals import Literal
from .machine.instruction import Record
from .machine.instruction_fetch import Chunk, Word, check_chunks
from .placement import LayoutAttr, PlaceAttr, check_host_tensor, check_place
from .programs.dataflow import QueueDataflow, Reach
from .target_attr import TargetAttr, target_of


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """The program of one chip: `tsp_isa.program @main chip 0 cycles 2310 { bindings and queues }`.

    `cycles` is its exact length in cycles: the last dispatch, the cycle itself, and the tiles once.
    """

    name = "tsp_isa.program"
    sym_name = prop_def(SymbolNameConstraint())
    chip = prop_def(IntegerAttr[I64])
    cycles = prop_def(IntegerAttr[I64])
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove(), NoTerminator(), SymbolOpInterface())
    assembly_format = "$sym_name `chip` $chip `cycles` $cycles $body attr-dict"

    def __init__(self, sym_name: str, chip: int, cycles: int, body: Region):
        super().__init__(
            properties={
                "sym_name": StringAttr(sym_name),
                "chip": IntegerAttr(chip, i64),
                "cycles": IntegerAttr(cycles, i64),
            },
            regions=[body],
        )

    @property
    def bindings(self) -> list[BindOp]:
        return [op for op in self.body.block.ops if isinstance(op, BindOp)]

    @property
    def queues(self) -> list[QueueOp]:
        """Its queues in timed form."""
        return [op for op in self.body.block.ops if isinstance(op, QueueOp)]

    @property
    def packed(self) -> list[PackedOp]:
        """Its queues in packed form."""
        return [op for op in self.body.block.ops if isinstance(op, PackedOp)]

    @property
    def dataflow(self) -> list[DataflowOp]:
        """What its queues are meant to do, if it says so."""
        return [op for op in self.body.block.ops if isinstance(op, DataflowOp)]

    def records(self) -> Iterator[tuple[Record, InstructionOp]]:
        """Every instruction of the timed form, with its op."""
        numbers = target_of(self).chip.queue_numbers
        for queue in self.queues:
            for op in queue.instructions:
                yield op.record(numbers[queue.queue.data]), op

    def verify_(self) -> None:
        system = target_of(self)
        if not 0 <= self.chip.value.data < system.chips:
            raise VerifyException(
                f"chip {self.chip.value.data}: the system has {system.chips} (target field `system.chips`)"
            )
        seen: set[tuple[bool, str]] = set()
        for op in self.body.block.ops:
            if not isinstance(op, BindOp | QueueOp | PackedOp | DataflowOp):
                raise VerifyException(f"a program holds bindings, queues and their dataflow, not `{op.name}`")
            if not isinstance(op, BindOp):
                key = isinstance(op, DataflowOp), op.queue.data
                if key in seen:
                    what = "the dataflow of " if key[0] else ""
                    raise VerifyException(f'{what}queue "{op.queue.data}" stands twice in the program')
                seen.add(key)
        if self.queues and self.packed:
            raise VerifyException("a program's queues are all timed or all packed")


BIND_KINDS = ("input", "output", "parameter", "constant")
"""What a buffer in SRAM can be to the world outside."""


@irdl_op_definition
class BindOp(IRDLOperation):
    """Binds a named tensor to words of SRAM: `tsp_isa.bind input "x" : tensor<360x64xi8> in #tsp_stream.layout<...> at
    #tsp_stream.place<...>`.

    Inputs and outputs are filled and read by the host for every run; parameters come from the weights file and
    constants from `value`, both before the first run.
    """

    name = "tsp_isa.bind"
    kind = prop_def(StringAttr)
    tensor_name = prop_def(StringAttr)
    tensor = prop_def(TensorType)
    layout = prop_def(LayoutAttr)
    place = prop_def(PlaceAttr)
    value = opt_prop_def(Attribute)
    external = opt_prop_def(TensorType)
    """The type by which the host knows the tensor, where a reshape makes it another one."""
    assembly_format = (
        "$kind $tensor_name `:` $tensor (`as` $external^)? `in` $layout `at` $place "
        "(`value` custom<Literal>($value)^)? attr-dict"
    )
    custom_directives = (Literal,)

    def verify_(self) -> None:
        if self.kind.data not in BIND_KINDS:
            raise VerifyException(f"kind `{self.kind.data}` is none of {', '.join(BIND_KINDS)}")
        check_host_tensor(self.kind.data, self.tensor, self.external or self.tensor, self.value)
        check_place(self.tensor, self.layout.data, self.place.data, target_of(self).chip)


def _check_queue(op: Operation, name: str) -> None:
    chip = target_of(op).chip
    if name not in chip.queue_numbers:
        raise VerifyException(f'the chip has no queue "{name}"; its MEM queues are MEM.E0 to MEM.W{chip.slices - 1}')


@irdl_op_definition
class QueueOp(IRDLOperation):
    """One instruction queue in timed form: instructions in the order of their cycles."""

    name = QUEUE
    queue = prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(NoTerminator())
    assembly_format = "$queue $body attr-dict"

    def __init__(self, queue: str, instructions: Sequence[Operation]):
        super().__init__(properties={"queue": StringAttr(queue)}, regions=[list(instructions)])

    @property
    def instructions(self) -> list[InstructionOp]:
        return [op for op in self.body.block.ops if isinstance(op, InstructionOp)]

    def verify_(self) -> None:
        _check_queue(self, self.queue.data)
        for op in self.body.block.ops:
            if not isinstance(op, InstructionOp):
                raise VerifyException(f"a queue holds instructions, not `{op.name}`")


@irdl_attr_definition
class TextAttr(Data[tuple[Chunk, ...]]):
    """`#tsp_isa.text<E40[8191] E41[8191], W3[17] W9[17]>`: the two words of each chunk of a queue's text in SRAM, in
    the order in which the chunks are fetched: slices E40 and E41 hold the first in word 8191."""

    name = "tsp_isa.text"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[Chunk, ...]:
        def chunk() -> Chunk:
            return _parse_word(parser), _parse_word(parser)

        return tuple(parser.parse_comma_separated_list(parser.Delimiter.ANGLE, chunk))

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{', '.join(f'{first} {second}' for first, second in self.data)}>")


def _parse_word(parser: AttrParser) -> Word:
    position = parser.pos
    found = re.fullmatch("([EW])([0-9]{1,4})", parser.parse_identifier(" of a slice, such as E40"))
    if found is None:
        parser.raise_error("expected a word of a slice, such as E40[8191]", position)
    parser.parse_punctuation("[")
    address = parser.parse_integer(allow_negative=False)
    parser.parse_punctuation("]")
    return Word(found[1], int(found[2]), address)


@irdl_op_definition
class PackedOp(IRDLOperation):
    """One instruction queue in packed form: its bytes in hexadecimal, 16 an instruction, all of them.

    Those that do not fit into the queue lie in SRAM at `text`: `tsp_isa.packed "VXM.3" "0300..." text <E40[9] E41[9]>`.
    """

    name = "tsp_isa.packed"
    queue = prop_def(StringAttr)
    payload = prop_def(StringAttr)
    text = opt_prop_def(TextAttr)
    assembly_format = "$queue $payload (`text` $text^)? attr-dict"

    def __init__(self, queue: str, payload: bytes, text: Sequence[Chunk] = ()):
        properties: dict[str, Attribute] = {"queue": StringAttr(queue), "payload": StringAttr(payload.hex())}
        if text:
            properties["text"] = TextAttr(tuple(text))
        super().__init__(properties=properties)

    @property
    def bytes(self) -> bytes:
        return bytes.fromhex(self.payload.data)

    def verify_(self) -> None:
        _check_queue(self, self.queue.data)
        try:
            data = bytes.fromhex(self.payload.data)
        except ValueError as e:
            raise VerifyException("the payload is not hexadecimal, two digits a byte") from e
        if len(data) % 16:
            raise VerifyException(f"the payload has {len(data)} bytes, which is no multiple of 16")
        if self.text is not None and (reason := check_chunks(data, self.text.data, target_of(self).chip)):
            raise VerifyException(f'queue "{self.queue.data}": {reason}')


@irdl_attr_definition
class DataflowAttr(Data[QueueDataflow]):
    """`#tsp_isa.dataflow<issues 360 each 64 digests "0123456789abcdef..." final "0123456789abcdef">`: 16 digits a
    digest. Where a queue has gathers or scatters `reach [0 words 16 to 528]` says which words they may touch."""

    name = "tsp_isa.dataflow"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> QueueDataflow:
        final, reaches = 0, list[Reach]()
        with parser.in_angle_brackets():
            parser.parse_keyword("issues")
            issues = parser.parse_integer(allow_negative=False)
            parser.parse_keyword("each")
            block = parser.parse_integer(allow_negative=False)
            parser.parse_keyword("digests")
            digests = _parse_digests(parser)
            if parser.parse_optional_keyword("final"):
                (final,) = _parse_digests(parser) or (0,)
            if parser.parse_optional_keyword("reach"):
                reaches = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_reach(parser))
        return QueueDataflow(issues, block, digests, final, tuple(reaches))

    def print_parameter(self, printer: Printer) -> None:
        flow = self.data
        text = f'issues {flow.issues} each {flow.block} digests "{"".join(f"{d:016x}" for d in flow.digests)}"'
        if flow.final:
            text += f' final "{flow.final:016x}"'
        if flow.reaches:
            text += f" reach [{', '.join(f'{r.issue} words {r.low} to {r.high}' for r in flow.reaches)}]"
        printer.print_string(f"<{text}>")


def _parse_digests(parser: AttrParser) -> tuple[int, ...]:
    position = parser.pos
    text = parser.parse_str_literal()
    if not re.fullmatch("([0-9a-f]{16})*", text):
        parser.raise_error("expected digests of 16 hexadecimal digits each", position)
    return tuple(int(text[i : i + 16], 16) for i in range(0, len(text), 16))


def _parse_reach(parser: AttrParser) -> Reach:
    issue = parser.parse_integer(allow_negative=False)
    parser.parse_keyword("words")
    low = parser.parse_integer(allow_negative=False)
    parser.parse_keyword("to")
    return Reach(issue, low, parser.parse_integer(allow_negative=False))


@irdl_op_definition
class DataflowOp(IRDLOperation):
    """What the issues of a queue are meant to be and to take, as digests: `tsp_isa.dataflow "VXM.3" <issues 360 each 64
    digests "...">`. convert-stream-to-isa writes it, isa-verify compares it with what they take; a program without it
    is only proven to be free of hazards."""

    name = "tsp_isa.dataflow"
    queue = prop_def(StringAttr)
    dataflow = prop_def(DataflowAttr)
    assembly_format = "$queue $dataflow attr-dict"

    def __init__(self, queue: str, dataflow: QueueDataflow):
        super().__init__(properties={"queue": StringAttr(queue), "dataflow": DataflowAttr(dataflow)})

    def verify_(self) -> None:
        _check_queue(self, self.queue.data)
        if reason := self.dataflow.data.fault():
            raise VerifyException(f'the dataflow of queue "{self.queue.data}": {reason}')


TSP_ISA = Dialect(
    "tsp_isa",
    [ProgramOp, BindOp, QueueOp, PackedOp, DataflowOp, *OP_CLASSES.values()],
    [TargetAttr, TextAttr, DataflowAttr],
)
