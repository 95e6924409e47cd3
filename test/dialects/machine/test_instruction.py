"""The instruction table: encoding, text, what a chip accepts, and the times of repeated instructions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.errors import MalformedProgram
from tspc.dialects.instructions import OP_CLASSES, TABLE, check_record
from tspc.dialects.machine.effects import Effect
from tspc.dialects.machine.instruction import (
    CHAIN,
    INSTRUCTION_BYTES,
    MAX_EVERY,
    MAX_STEP,
    ElementType,
    Field,
    FieldKind,
    Instruction,
    Loop,
    Record,
    source_alu,
    source_immediate,
    source_stream,
    span,
    stream_code,
    stream_text,
)
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.tsp_isa import ProgramOp
from tspc.passes.pipelines import parse

CHIP = ChipSpec()
TABLE_ROWS = list(TABLE.by_name.values())
each_instruction = pytest.mark.parametrize("instruction", TABLE_ROWS, ids=lambda i: i.name)

F32, I32, I8 = ElementType.F32, ElementType.I32, ElementType.I8


def field_values(field: Field) -> st.SearchStrategy[int]:
    """Every value that the encoding of a field can hold and that means something."""
    streams = st.builds(stream_code, st.sampled_from("EW"), st.integers(0, 127))
    match field.kind:
        case FieldKind.NUMBER | FieldKind.FLAG:
            return st.integers(field.low, field.high)
        case FieldKind.STREAM:
            return streams
        case FieldKind.TYPE:
            return st.sampled_from(field.types)
        case FieldKind.TARGET:
            return streams | st.just(CHAIN)
        case FieldKind.SOURCE:
            alus = st.integers(0, CHIP.alus - 1).map(source_alu)
            return streams.map(source_stream) | alus | st.integers(0, 2**32 - 1).map(source_immediate)


@st.composite
def instructions(draw: st.DrawFn) -> tuple[Instruction, tuple[int, ...]]:
    instruction = draw(st.sampled_from(TABLE_ROWS))
    return instruction, tuple(draw(field_values(f)) for f in instruction.fields)


# -- encoding ------------------------------------------------------------------------------------------------------


@each_instruction
def test_a_row_of_the_table(instruction: Instruction) -> None:
    assert TABLE.by_opcode[instruction.opcode] is instruction
    assert OP_CLASSES[instruction.name].INSTRUCTION is instruction
    assert instruction.doc
    assert all(f.doc for f in instruction.fields)
    assert sum(f.steps for f in instruction.fields) <= 1


@given(instructions())
def test_decode_is_the_inverse_of_encode(case: tuple[Instruction, tuple[int, ...]]) -> None:
    instruction, values = case
    data = instruction.encode(values)
    assert len(data) == INSTRUCTION_BYTES
    assert data[0] == instruction.opcode
    assert TABLE.decode(data) == (instruction, values)


@given(
    st.binary(min_size=16, max_size=16) | st.sampled_from(sorted(TABLE.by_opcode)).map(lambda o: bytes([o, *[0] * 15]))
)
def test_bytes_are_one_instruction_or_none(data: bytes) -> None:
    """What decodes at all encodes to the same bytes again: no two words say the same."""
    try:
        instruction, values = TABLE.decode(data)
    except MalformedProgram:
        return
    assert instruction.encode(values) == data


def test_the_bytes_of_an_instruction() -> None:
    """The opcode, then the fields from the lowest bit on: here 16 bits of address, then direction << 7 | stream."""
    assert TABLE.by_name["write"].encode([0x1234, stream_code("W", 5)]) == bytes([0x11, 0x34, 0x12, 0x85, *[0] * 12])


@pytest.mark.parametrize("opcode", [0x00, 0x99, 0xFF])
def test_an_unknown_opcode(opcode: int) -> None:
    with pytest.raises(MalformedProgram, match=f"^unknown opcode {opcode:#04x}$"):
        TABLE.decode(bytes([opcode, *[0] * 15]))


@each_instruction
def test_a_bit_outside_the_fields(instruction: Instruction) -> None:
    used = 8 + sum(f.bits for f in instruction.fields)
    for bit in (used, 127):
        word = instruction.opcode | 1 << bit
        with pytest.raises(MalformedProgram, match=f"^`{instruction.name}` has bits set outside its fields$"):
            TABLE.decode(word.to_bytes(16, "little"))


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("read", Effect.WRITE),  # samples nothing
        ("iw", Effect.LOAD),  # has no row
        ("shift", Effect.COMPUTE),  # has no type
        ("lw", Effect.READ),  # its field that steps is no address
        ("receive", Effect.ACCUMULATE),
    ],
)
def test_an_effect_asks_for_fields(name: str, effect: Effect) -> None:
    """Engines rely on them: the JIT, for one, that the chip bounds addresses."""
    other = replace(TABLE.by_name[name], name="other", opcode=0x90, effect=effect)
    with pytest.raises(AssertionError, match=f"other: what has the effect {effect.name} declares"):
        TABLE.add(other)
    assert 0x90 not in TABLE.by_opcode


# -- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("read", [12, stream_code("E", 4)], "read address 12 stream E4"),
        ("acc", [3, 1], "acc entry 3 mode add"),
        ("acc_emit", [0, 0, stream_code("W", 28)], "acc_emit entry 0 mode set stream W28"),
        ("add", [F32, stream_code("W", 8), source_alu(3), CHAIN], "add type f32 a W8 b alu3 to chain"),
        ("mul", [I32, source_alu(0), source_immediate(-1), 0], "mul type i32 a alu0 b 0xffffffff to E0"),
        ("convert", [F32, source_alu(15), I8, 0x9F], "convert type f32 a alu15 result_type i8 to W31"),
        ("iw", [], "iw"),
    ],
)
def test_the_text_of_an_instruction(name: str, values: list[int], text: str) -> None:
    assert TABLE.by_name[name].text(values) == text


@given(st.data())
def test_text_parses_back(data: st.DataObject) -> None:
    """The timed form of every instruction, on a queue that executes it and with values that the chip accepts."""
    cases = instructions().filter(lambda c: c[0].check(c[1], CHIP) is None and not OP_CLASSES[c[0].name].PACKED_ONLY)
    instruction, values = data.draw(cases)
    queue = next(q.name for q in CHIP.queues if not instruction.kinds or q.kind in instruction.kinds)
    timed = f"tsp_isa.{instruction.name} at 40{instruction.text(values).removeprefix(instruction.name)}"
    module = parse(f'tsp_isa.program @p chip 0 cycles 61 {{ tsp_isa.queue "{queue}" {{ {timed} }} }}')
    program = module.body.block.first_op
    assert isinstance(program, ProgramOp)
    ((record, _),) = program.records()
    assert record == Record(CHIP.queue_numbers[queue], 40, instruction, values)


@given(st.sampled_from("EW"), st.integers(0, 127))
def test_the_text_of_a_stream(direction: str, number: int) -> None:
    assert stream_text(stream_code(direction, number)) == f"{direction}{number}"


# -- what a chip accepts -------------------------------------------------------------------------------------------

E, W = (lambda n: stream_code("E", n)), (lambda n: stream_code("W", n))


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        # Groups start at a multiple of their width.
        ("acc_emit", [0, 0, E(28)], None),
        ("acc_emit", [0, 0, E(30)], "stream E30 is not aligned to its group of 4 streams"),
        ("acc_emit", [0, 0, W(32)], "stream W32 needs 4 streams, but the chip has 0..31"),
        ("lw", [0, E(16)], None),
        ("lw", [0, E(8)], "stream E8 is not aligned to its group of 16 streams"),
        ("add", [I32, E(4), W(8), E(12)], None),
        ("add", [I32, E(4), W(9), E(12)], "b W9 is not aligned to its group of 4 streams"),
        ("add", [I32, source_alu(0), source_immediate(9), E(2)], "to E2 is not aligned to its group of 4 streams"),
        # The groups of a conversion follow the element types on either side.
        ("convert", [I8, E(7), I32, E(8)], None),
        ("convert", [I8, E(7), I32, E(9)], "to E9 is not aligned to its group of 4 streams"),
        ("convert", [F32, E(7), I8, E(9)], "a E7 is not aligned to its group of 4 streams"),
        ("convert", [F32, E(8), I8, CHAIN], None),
        ("wrap", [I32, E(8), ElementType.I16, E(9)], "to E9 is not aligned to its group of 2 streams"),
        # Numbers that the chip bounds.
        ("read", [8191, E(31)], None),
        ("read", [8192, E(31)], "address 8192 is outside 0..8191"),
        ("read", [0, E(32)], "stream E32 needs 1 streams, but the chip has 0..31"),
        ("lw", [19, E(0)], None),
        ("lw", [20, E(0)], "row 20 is outside 0..19"),
        ("acc", [255, 0], None),
        ("acc", [256, 0], "entry 256 is outside 0..255"),
        ("abc", [0, E(0)], "count 0 is outside 1..65535"),
        ("add", [I32, source_alu(16), E(0), E(0)], "a alu16: the chip has ALUs 0..15"),
        # Codes that mean nothing.
        ("and", [F32, E(0), E(0), E(0)], "type is f32, not i8 or i16 or i32"),
        ("round", [9, E(0), E(0)], "type is 9, not f16 or f32"),
        ("copy", [I8, 0x100, E(0)], "a has the unknown stream code 0x100"),
        ("copy", [I8, 3 << 32, E(0)], "a has the unknown operand kind 3"),
        ("copy", [I8, E(0), 0x101], "to has the unknown code 0x101"),
    ],
)
def test_the_values_that_a_chip_accepts(name: str, values: list[int], reason: str | None) -> None:
    assert TABLE.by_name[name].check(values, CHIP) == reason


@given(instructions(), st.sampled_from([CHIP, ChipSpec(streams=16, weight_streams=8, alus=4, words=1024)]))
def test_values_are_accepted_if_every_field_is(case: tuple[Instruction, tuple[int, ...]], chip: ChipSpec) -> None:
    """What is known of the other fields is looked up; that must agree with looking at every field anew."""
    instruction, values = case
    reasons = [
        reason
        for f, value in zip(instruction.fields, values, strict=True)
        if (reason := f.check(value) or instruction.check_on_chip(f, value, values, chip))
    ]
    assert instruction.check(values, chip) == next(iter(reasons), None)
    assert instruction.is_sound(values, 0, 0, chip) == (not reasons)


def test_a_smaller_chip_accepts_less() -> None:
    chip = ChipSpec(words=4096, streams=16, weight_streams=8, accumulators=10, alus=2)
    read, load, acc, copy = (TABLE.by_name[n] for n in ("read", "lw", "acc", "copy"))
    assert read.check([4096, E(0)], chip) == "address 4096 is outside 0..4095"
    assert read.check([0, E(16)], chip) == "stream E16 needs 1 streams, but the chip has 0..15"
    assert load.check([39, E(8)], chip) is None
    assert acc.check([10, 0], chip) == "entry 10 is outside 0..9"
    assert copy.check([I8, source_alu(2), E(0)], chip) == "a alu2: the chip has ALUs 0..1"


def test_the_times_of_an_instruction_follow_the_target() -> None:
    chip = ChipSpec(latency_alu=5, latency_vxm_entry=2, latency_write=4, latency_egress=7)
    assert TABLE.by_name["add"].d_func(chip) == 7
    assert TABLE.by_name["write"].d_skew(chip) == 4
    assert TABLE.by_name["acc_emit"].d_func(chip) == 7


def test_the_streams_of_an_instruction() -> None:
    """An addition of the groups E4 and W8 to E12 reads two groups at once and drives one 4 cycles later."""
    add, values = TABLE.by_name["add"], [I32, E(4), W(8), E(12)]
    assert list(add.stream_uses("read", values, CHIP)) == [(E(4), 4, 0), (W(8), 4, 0)]
    assert list(add.stream_uses("drive", values, CHIP)) == [(E(12), 4, 4)]
    chained = [I32, source_alu(0), source_immediate(1), CHAIN]
    assert not [*add.stream_uses("read", chained, CHIP), *add.stream_uses("drive", chained, CHIP)]


# -- repeat --------------------------------------------------------------------------------------------------------

LOOPS = st.lists(st.builds(Loop, st.integers(2, 4), st.integers(1, 20), st.integers(-3, 3)), max_size=3).map(tuple)


def test_nested_repeats() -> None:
    """Two words in a row, three times, the second word two below the first, each round 10 further on."""
    record = Record(0, 100, TABLE.by_name["read"], (50, E(4)), (Loop(2, 1, -2), Loop(3, 5, 10)))
    assert [(cycle, values[0]) for cycle, values in record.issues()] == [
        (100, 50), (101, 48), (105, 60), (106, 58), (110, 70), (111, 68),
    ]  # fmt: skip
    assert record.last == 111


def test_the_cycles_of_a_repeated_burst() -> None:
    """An `abc` of 4 vectors takes its queue for 4 cycles, and so do its repetitions."""
    record = Record(0, 10, TABLE.by_name["abc"], (4, E(0)), (Loop(3, 6, 0),))
    assert [cycle for cycle, _ in record.issues()] == [10, 16, 22]
    assert record.last == 25
    assert span(4, record.loops) == 16


@given(st.integers(0, 8191), LOOPS)
def test_a_repeat_is_accepted_if_its_issues_are(address: int, loops: tuple[Loop, ...]) -> None:
    """The check looks at the ends of the levels only; it must agree with looking at every single issue."""
    record = Record(0, 40, TABLE.by_name["read"], (address, E(4)), loops)
    issues = list(record.issues())
    cycles = [cycle for cycle, _ in issues]
    in_order = all(a < b for a, b in pairwise(cycles))
    on_chip = all(record.instruction.check(values, CHIP) is None for _, values in issues)
    assert len(issues) == prod(loop.count for loop in loops)
    assert (check_record(record, SystemSpec()) is None) == (in_order and on_chip)
    if in_order:
        assert record.last == cycles[-1]


@pytest.mark.parametrize(
    ("loops", "reason"),
    [
        ([Loop(1)], "repeat 1 is outside 2..65536"),
        ([Loop(65536)], None),
        ([Loop(65537)], "repeat 65537 is outside 2..65536"),
        ([Loop(2, 0)], "every 0 is outside 1..65535"),
        ([Loop(2, MAX_EVERY + 1)], "every 65536 is outside 1..65535"),
        ([Loop(4), Loop(2, 3)], "every 3 is outside 4..65535"),
        ([Loop(2, 1, MAX_STEP + 1)], "step 32768 is outside -32767..32767"),
        ([Loop(2, 1, -1)], "address -1 is outside 0..65535"),
        ([Loop(2, 1, 1), Loop(2, 2, 8191)], "address 8192 is outside 0..8191"),
        ([Loop(2, 2**i) for i in range(4)], "4 levels of repeat; the chip has 3"),
    ],
)
def test_what_a_repeat_can_say(loops: list[Loop], reason: str | None) -> None:
    record = Record(0, 40, TABLE.by_name["read"], (0, E(4)), tuple(loops))
    said = check_record(record, SystemSpec())
    assert said == reason or said.startswith(f"{reason}, ")


def test_a_step_needs_a_field_to_move() -> None:
    record = Record(0, 40, TABLE.by_name["send"], (E(4),), (Loop(2, 24, 1),))
    assert check_record(record, SystemSpec()) == "`send` has no field that a step could move"
    assert check_record(record._replace(loops=(Loop(2, 24),)), SystemSpec()) is None


def test_a_cycle_is_not_negative() -> None:
    record = Record(0, -1, TABLE.by_name["read"], (0, E(4)))
    assert check_record(record, SystemSpec()) == "`at` -1 is outside 0..1073741823, the cycles that a program may have"
