"""What the isa level refuses to say, each with its reason: instructions, queues, bindings, packed bytes."""

from __future__ import annotations

import pytest
from tspc.dialects.c2c import topology_of
from tspc.dialects.errors import HazardError, LinkError, MalformedProgram
from tspc.dialects.instructions import ReadOp
from tspc.dialects.programs.records import program_from_module
from tspc.dialects.target_attr import target_of
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import parse
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, i32, i64
from xdsl.ir import Attribute
from xdsl.utils.exceptions import ParseError, VerifyException

PLACE = "<[E0], address 0>"
LAYOUT = "<words [], side [], lanes [4 of d0]>"
READ = "tsp_isa.read at 40 address 0 stream E0"


def program(body: str, cycles: int = 61) -> str:
    return f"tsp_isa.program @main chip 0 cycles {cycles} {{\n  {body}\n}}"


def queue(name: str, instruction: str) -> str:
    return program(f'tsp_isa.queue "{name}" {{\n    {instruction}\n}}')


@pytest.mark.parametrize(
    ("name", "instruction", "reason"),
    [
        ("VXM.0", "tsp_isa.read at 40 address 0 stream E0", "`read` runs on MEM, not on VXM"),
        ("MXM.0.weights", "tsp_isa.abc at 40 count 1 stream E0", "`abc` runs on MXM.activations, not on MXM.weights"),
        ("MEM.E0", "tsp_isa.read at 40 address 8192 stream E0", "address 8192 is outside 0..8191"),
        ("MEM.E0", "tsp_isa.read at 40 address 0 stream E32", "stream E32 needs 1 streams, but the chip has 0..31"),
        ("MEM.E0", "tsp_isa.read at 40 address 8190 stream E0 repeat 4 step 1", "address 8193 is outside 0..8191"),
        ("MEM.E0", "tsp_isa.read at 40 address 0 stream E0 repeat 1", "repeat 1 is outside 2..65536"),
        ("VXM.0", "tsp_isa.add at 40 type i32 a E0 b alu16 to chain", "b alu16: the chip has ALUs 0..15"),
        ("VXM.0", "tsp_isa.and at 40 type f32 a E0 b E4 to E8", "type is f32, not i8 or i16 or i32"),
        ("MEM.E0", "tsp_isa.nop at 40 count 3", "`nop` exists only in packed queues: write times with `at`"),
        ("C2C.0", "tsp_isa.deskew at 40", "`deskew` exists only in packed queues: write times with `at`"),
    ],
)
def test_an_instruction_that_makes_no_sense(name: str, instruction: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(queue(name, instruction))
    assert str(e.value) == f"<text>:3:5: `{instruction.split()[0]}`: {reason}"


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        ("tsp_isa.add at 40 type i64 a E0 b E4 to E8", "unknown element type `i64`; there are i8, i16, i32, f16, f32"),
        ("tsp_isa.add at 40 type i32 a N0 b E4 to E8", "expected a stream such as E4 or W0 for a, got `N0`"),
        ("tsp_isa.add at 40 type i32 a E128 b E4 to E8", "expected a stream such as E4 or W0 for a, got `E128`"),
        ("tsp_isa.add at 40 type i32 a alux b E4 to E8", "expected a stream such as E4 or W0 for a, got `alux`"),
        ("tsp_isa.acc at 40 entry 0 mode subtract", "expected set or add for mode"),
        ("tsp_isa.read at 40 stream E0 address 0", "Expected 'address'"),
        ("tsp_isa.read address 0 stream E0", "Expected 'at'"),
    ],
)
def test_text_that_is_no_instruction(instruction: str, reason: str) -> None:
    with pytest.raises(ParseError) as e:
        parse(queue("VXM.0", instruction))
    assert reason in e.value.msg


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        # Queues.
        (
            f'tsp_isa.queue "MEM.E44" {{ {READ} }}',
            'the chip has no queue "MEM.E44"; its MEM queues are MEM.E0 to MEM.W43',
        ),
        ('tsp_isa.packed "MXM.4.weights" ""', 'the chip has no queue "MXM.4.weights"'),
        ('tsp_isa.queue "MEM.E0" { func.return }', "a queue holds instructions, not `func.return`"),
        ('tsp_isa.packed "MEM.E0" "01xx"', "the payload is not hexadecimal, two digits a byte"),
        ('tsp_isa.packed "MEM.E0" "010"', "the payload is not hexadecimal, two digits a byte"),
        ('tsp_isa.packed "MEM.E0" "0102"', "the payload has 2 bytes, which is no multiple of 16"),
        # Bindings.
        (
            f'tsp_isa.bind "scratch" "x" : tensor<4xi8> in {LAYOUT} at {PLACE}',
            "kind `scratch` is none of input, output, parameter,",
        ),
        (
            f'tsp_isa.bind "constant" "x" : tensor<4xi8> in {LAYOUT} at {PLACE}',
            "a constant, and nothing else, has a value",
        ),
        (
            f'tsp_isa.bind "constant" "x" : tensor<4xi8> in {LAYOUT} at {PLACE} value dense<1> : tensor<5xi8>',
            "the value of a constant is dense<...> : tensor<4xi8>, not dense<1> : tensor<5xi8>",
        ),
        (
            f'tsp_isa.bind "input" "x" : tensor<4xi8> as tensor<5xi8> in {LAYOUT} at {PLACE}',
            "tensor<5xi8> has not the elements of tensor<4xi8>",
        ),
        (
            f'tsp_isa.bind "input" "x" : tensor<4xi64> in {LAYOUT} at {PLACE}',
            "tensor<4xi64> cannot lie in SRAM: dimensions are",
        ),
        (
            f'tsp_isa.bind "input" "x" : tensor<?xi8> in {LAYOUT} at {PLACE}',
            "tensor<?xi8> cannot lie in SRAM: dimensions are",
        ),
        (
            f'tsp_isa.bind "input" "x" : tensor<4xi32> in {LAYOUT} at {PLACE}',
            "tensor<4xi32> cannot lie so: its axes visit 1 bytes of an element of 4",
        ),
    ],
)
def test_a_part_of_a_program_that_makes_no_sense(body: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(program(body))
    assert str(e.value).startswith(f"<text>:2:3: `{body.split()[0]}`: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            program('tsp_isa.packed "MEM.E0" ""').replace("chip 0", "chip 1"),
            "chip 1: the system has 1 (target field `system.chips`)",
        ),
        (program("func.return"), "a program holds bindings, queues and their dataflow, not `func.return`"),
        (program(2 * f'tsp_isa.queue "MEM.E0" {{ {READ} }} '), 'queue "MEM.E0" stands twice in the program'),
        (
            program('tsp_isa.packed "MEM.E1" "" tsp_isa.queue "MEM.E0" { tsp_isa.read at 40 address 0 stream E0 }'),
            "a program's queues are all timed or all packed",
        ),
    ],
)
def test_a_program_that_makes_no_sense(text: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(text)
    assert str(e.value).splitlines()[0] == f"<text>:1:1: `tsp_isa.program`: {reason}"


def test_an_instruction_stands_in_a_queue() -> None:
    with pytest.raises(VerifyException, match=r"`tsp_isa\.iw`: an instruction stands in a tsp_isa\.queue$"):
        parse("tsp_isa.iw at 40")


@pytest.mark.parametrize(
    ("name", "attr", "reason"),
    [
        ("address", None, "property 'address' expected in operation 'tsp_isa.read'"),
        ("address", IntegerAttr(3, i32), "i64"),
        ("loops", DenseArrayBase.from_list(i32, [2, 1, 0]), "i64"),
        ("pace", IntegerAttr(3, i64), "property 'pace' is not defined by the operation 'tsp_isa.read'"),
    ],
)
def test_an_instruction_has_the_properties_of_its_declaration(name: str, attr: Attribute | None, reason: str) -> None:
    module = parse(queue("MEM.E0", READ))
    read = next(op for op in module.walk() if isinstance(op, ReadOp))
    verify_module(module)
    assert read.is_plain
    if attr is None:
        del read.properties[name]
    else:
        read.properties[name] = attr
    assert not read.is_plain
    with pytest.raises(VerifyException, match=reason):
        verify_module(module)


# -- programs that are well-formed IR but no programs --------------------------------------------------------------

READ_0, NOP_5, REPEAT = "10" + "0" * 30, "0105" + "0" * 28, "020100010001" + "0" * 20
SYNC, NOTIFY = "03" + "0" * 30, "04" + "0" * 30


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("ff" + "0" * 30, "byte 0: unknown opcode 0xff"),
        (READ_0 + "03" + "0" * 29 + "1", "byte 16: `sync` has bits set outside its fields"),
        ("100020" + "0" * 26, "byte 0, `read`: address 8192 is outside 0..8191"),
        ("01" + "0" * 30, "byte 0, `nop`: count 0 is outside 1..65535"),
        (REPEAT, "byte 0: repeat follows no instruction that can repeat"),
        (READ_0 + NOP_5 + REPEAT, "byte 32: repeat follows no instruction that can repeat"),
        (SYNC, "byte 0: no notify releases this sync"),
        (NOTIFY + SYNC + SYNC, "byte 32: no notify releases this sync"),
        (NOTIFY + NOP_5 * 7 + SYNC, "byte 128: parks in cycle 36, after its release in 35"),
    ],
)
def test_bytes_that_are_no_queue(payload: str, reason: str) -> None:
    with pytest.raises(MalformedProgram) as e:
        program_from_module(parse(program(f'tsp_isa.packed "MEM.E0" "{payload}"')))
    assert str(e.value).startswith(f"queue MEM.E0, {reason}")


def test_a_module_without_a_program() -> None:
    with pytest.raises(MalformedProgram, match=r"holds no tsp_isa\.program; lower it first, with tsp-compile$"):
        program_from_module(parse("func.func @f() { func.return }"))


def test_two_programs_for_a_chip() -> None:
    empty = 'tsp_isa.program @{} chip 0 cycles 20 {{ tsp_isa.packed "MEM.E0" "" }}\n'
    with pytest.raises(MalformedProgram, match=r"^two programs are for the same chip$"):
        program_from_module(parse(empty.format("a") + empty.format("b")))


def test_the_length_of_a_program_is_exact() -> None:
    """The last dispatch, its own cycle, and the 20 tiles once."""
    text = queue("MEM.E0", "tsp_isa.read at 40 address 0 stream E0 repeat 3 step 1")
    with pytest.raises(
        MalformedProgram, match="declares 61 cycles, but its last dispatch ends in cycle 42, which makes 63"
    ):
        program_from_module(parse(text))
    assert program_from_module(parse(text.replace("cycles 61", "cycles 63"))).cycles == 63


def test_a_queue_dispatches_one_instruction_at_a_time() -> None:
    instructions = "tsp_isa.read at 40 address 0 stream E0 repeat 3\n    tsp_isa.read at 42 address 0 stream E1"
    with pytest.raises(HazardError, match=r"hazard \[queue\] chip 0, cycle 42, queue MEM\.E0"):
        program_from_module(parse(queue("MEM.E0", instructions)))


def test_a_link_without_a_cable() -> None:
    with pytest.raises(LinkError, match=r"^chip 0, C2C\.3, cycle 40, `send stream E0`: no cable is in this link$"):
        program_from_module(parse(queue("C2C.3", "tsp_isa.send at 40 stream E0")))


# -- module attributes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("chip.tils = 3", "target field `chip.tils` is unknown; did you mean `chip.tiles`?"),
        ("chip.tiles = 0", "target field `tiles`: 0 is outside 1..64 (tiles)"),
        ("chip.tiles = 2.5", "target field `tiles`: expected int, got 2.5"),
        ("chip.tiles = 10, chip.words = 64, chip.tiles = 12", "target field `chip.tiles` stands twice"),
        ("chip.tiles", "Expected '='"),
    ],
)
def test_a_target_that_makes_no_sense(target: str, reason: str) -> None:
    with pytest.raises(ParseError) as e:
        parse(f"builtin.module attributes {{tsp_isa.target = #tsp_isa.target<{target}>}} {{}}")
    assert reason in e.value.msg


def test_an_attribute_that_is_no_target() -> None:
    with pytest.raises(VerifyException, match=r"module attribute `tsp_isa\.target` must be a #tsp_isa\.target<\.\.\.>"):
        parse(f"builtin.module attributes {{tsp_isa.target = 3 : i64}} {{ {queue('MEM.E0', READ)} }}")


def test_the_target_of_the_module_around_it() -> None:
    target = "#tsp_isa.target<chip.tiles = 3>"
    module = parse(f"builtin.module attributes {{tsp_isa.target = {target}}} {{ func.func @f() {{ func.return }} }}")
    assert target_of(next(iter(module.walk(reverse=True)))).chip.lanes == 48
    assert target_of(parse("func.func @f() { func.return }")).chip.lanes == 320
    assert not topology_of(module).cables


# -- tensors that overlap, and dataflow ----------------------------------------------------------------------------


def binding(kind: str, name: str, place: str, words: int = 4) -> str:
    value = f" value dense<0> : tensor<{words}x4xi8>" if kind == "constant" else ""
    layout = f"<words [{words} of d0], side [1 of b], lanes [4 of d1]>"
    return f'tsp_isa.bind "{kind}" "{name}" : tensor<{words}x4xi8> in {layout} at {place}{value}'


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (binding("input", "x", "<[E0], address 0>"), binding("parameter", "w", "<[E0], address 3>"), "E0[3]"),
        (binding("input", "x", "<[E1], address 9>"), binding("input", "z", "<[E1], address 9>"), "E1[9]"),
        (binding("output", "y", "<[W0], address 2>"), binding("constant", "c", "<[W0], address 0>"), "W0[2]"),
        (binding("output", "y", "<[E0], address 0>", 9), binding("output", "z", "<[E0], address 0>", 3), "E0[0]"),
    ],
)
def test_two_tensors_in_one_word_are_refused(first: str, second: str, word: str) -> None:
    module = parse(program(f'{first}\n  {second}\n  tsp_isa.queue "MEM.E0" {{\n    {READ}\n  }}'))
    with pytest.raises(MalformedProgram) as e:
        program_from_module(module)
    assert f" both lie in word {word}; put one of them elsewhere" in str(e.value)


def test_an_input_that_is_returned_lies_where_its_output_lies() -> None:
    both = binding("input", "x", "<[E0], address 0>") + "\n  " + binding("output", "y", "<[E0], address 0>")
    program_from_module(parse(program(f'{both}\n  tsp_isa.queue "MEM.E0" {{\n    {READ}\n  }}')))


@pytest.mark.parametrize(
    ("dataflow", "reason"),
    [
        ('"MEM.X0" <issues 0 each 1 digests "">', 'the chip has no queue "MEM.X0"'),
        (
            '"MEM.E0" <issues 1 each 3 digests "0123456789abcdef">',
            "their number is a power of two",
        ),
        ('"MEM.E0" <issues 2 each 1 digests "0123456789abcdef">', "2 issues in blocks of 1 have 2 digests, not 1"),
        ('"MEM.E0" <issues 0 each 1 digests "0">', "expected digests of 16 hexadecimal digits each"),
        ('"MEM.E0" <issues 0 each 1 digests "" reach [0 words 4 to 4]>', "are a first and one past the last"),
        (
            '"MEM.E0" <issues 0 each 1 digests "" reach [3 words 0 to 4, 3 words 0 to 5]>',
            "the issues from which on words may be touched ascend",
        ),
        (
            '"MEM.E0" <issues 0 each 1 digests "">\n  tsp_isa.dataflow "MEM.E0" <issues 0 each 1 digests "">',
            'the dataflow of queue "MEM.E0" stands twice in the program',
        ),
    ],
)
def test_dataflow_that_makes_no_sense(dataflow: str, reason: str) -> None:
    with pytest.raises((ParseError, VerifyException)) as e:
        parse(program(f"tsp_isa.dataflow {dataflow}"))
    assert reason in str(e.value)
