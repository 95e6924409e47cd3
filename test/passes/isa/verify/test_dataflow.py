"""A program that the compiler made says what it is meant to do: no edit passes isa-verify and does something else.

python test/passes/isa/verify/test_dataflow.py [--edits N] [--seed S]     # a sweep: N edits of every program
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tensors import Array, module_of, random_array, tensor_type
from tspc.dialects.errors import DataflowError, MalformedProgram, ScheduleError, TspError
from tspc.dialects.machine.instruction import CHAIN, FieldKind, Loop, Record, SourceKind, source_kind
from tspc.dialects.machine.target import ChipSpec
from tspc.dialects.programs.records import ChipProgram, Program, check_program, program_from_module, program_length
from tspc.dialects.tsp_stream.base import TimedOp
from tspc.passes.isa.emit import convert_stream_to_isa
from tspc.passes.isa.verify.isa_verify import prove
from tspc.passes.isa.verify.proof import first_hazard
from tspc.passes.pipelines import compile, make_context, parse
from tspc.runtime.container import _dataflow_from_words, _dataflow_to_words, from_bytes, to_bytes
from tspc.runtime.executable import Executable, Loaded, executable_from_module
from tspc.runtime.interface import Tensors
from tspc.runtime.reference import ReferenceEngine
from xdsl.dialects.builtin import IntegerAttr, i64

LANES = 48
SPEC = ChipSpec(tiles=LANES // 16)
EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


def array(*shape: int, of: str = "i8", seed: int = 1) -> Array:
    return random_array(np.random.default_rng(seed), shape, of, wild=False)


def doubled(name: str, value: str, like: Array) -> str:
    """%name, twice a value: it lies where the program puts it."""
    type_, element = tensor_type(like), {"i": "arith.addi", "f": "arith.addf"}[like.dtype.kind]
    scalar = type_.rpartition("x")[2][:-1]
    return f"""%{name} = tsp_tensor.map %{value} : ({type_}) -> {type_} {{
    ^bb0(%q: {scalar}):
      %r = {element} %q, %q : {scalar}
      tsp_tensor.yield %r : {scalar}
    }}
    """


MODELS: dict[str, tuple[str, list[Array], str]] = {
    "product": (
        "%y = tsp_tensor.matmul %a, %b : tensor<5x100xi8>, tensor<100x60xi8> -> tensor<5x60xi32>",
        [array(5, 100), array(100, 60)],
        "tensor<5x60xi32>",
    ),
    "f16 product": (
        "%y = tsp_tensor.matmul %a, %b : tensor<4x60xf16>, tensor<60x50xf16> -> tensor<4x50xf32>",
        [array(4, 60, of="f16"), array(60, 50, of="f16")],
        "tensor<4x50xf32>",
    ),
    "two products": (
        doubled("c", "a", array(6, 48))
        + """%p = tsp_tensor.matmul %c, %b : tensor<6x48xi8>, tensor<48x48xi8> -> tensor<6x48xi32>
        %h = tsp_tensor.map %p : (tensor<6x48xi32>) -> tensor<6x48xi8> {
        ^bb0(%q: i32):
          %r = arith.trunci %q : i32 to i8
          tsp_tensor.yield %r : i8
        }
        %y = tsp_tensor.matmul %h, %b : tensor<6x48xi8>, tensor<48x48xi8> -> tensor<6x48xi32>""",
        [array(6, 48), array(48, 48)],
        "tensor<6x48xi32>",
    ),
    "maps": (
        doubled("c", "a", array(3, 100, of="f32"))
        + doubled("d", "c", array(3, 100, of="f32"))
        + """%y = tsp_tensor.map %c, %d, %b
            : (tensor<3x100xf32>, tensor<3x100xf32>, tensor<100xf32>) -> tensor<3x100xf32> {
        ^bb0(%q: f32, %r: f32, %s: f32):
          %t = arith.mulf %q, %s : f32
          %u = arith.subf %t, %r : f32
          tsp_tensor.yield %u : f32
        }""",
        [array(3, 100, of="f32"), array(100, of="f32")],
        "tensor<3x100xf32>",
    ),
    "reduction": (
        '%y = tsp_tensor.reduce "max" %a axes [1] : tensor<3x100xi8> -> tensor<3xi8>',
        [array(3, 100)],
        "tensor<3xi8>",
    ),
    "transposition": (
        doubled("c", "a", array(40, 60))
        + "%y = tsp_tensor.transpose %c permutation [1, 0] : tensor<40x60xi8> -> tensor<60x40xi8>",
        [array(40, 60)],
        "tensor<60x40xi8>",
    ),
    "gather": (
        doubled("c", "a", array(20, 48))
        + "%y = tsp_tensor.gather %c, %b : tensor<20x48xi8>, tensor<9xi32> -> tensor<9x48xi8>",
        [array(20, 48), np.arange(9, dtype=np.int32) * 2],
        "tensor<9x48xi8>",
    ),
}


@dataclass(frozen=True)
class Subject:
    """A program with data, and its outputs in two runs of one session."""

    executable: Executable
    inputs: Tensors
    outputs: list[dict[str, Array]]


def outputs_of(executable: Executable, inputs: Tensors) -> list[dict[str, Array]]:
    """The outputs of two runs: what the first leaves in memory may be seen in the second."""
    loaded = Loaded(executable, ReferenceEngine())
    return [loaded.run(inputs)[0] for _ in range(2)]


@cache
def subject(name: str, packed: bool) -> Subject:
    until = "isa-assemble" if packed else "convert-stream-to-isa"
    weights: dict[str, Array] = {}
    if name in MODELS:
        text, arrays, result = MODELS[name]
        source, inputs = module_of(text, arrays, result, LANES), dict(zip("abcdefgh", arrays, strict=False))
    else:
        from safetensors.numpy import load_file

        digits = EXAMPLES / "digits"
        source = (digits / "digits_two_chips.mlir").read_text().replace("360x", "4x")
        weights = load_file(digits / "digits.safetensors")
        inputs = {"images": np.load(digits / "held_out.npz")["images"][:4]}
    executable = executable_from_module(compile(parse(source), until=until), weights)
    prove(executable.program)
    return Subject(executable, inputs, outputs_of(executable, inputs))


NAMES = [*MODELS, "two chips"]


# -- edits ---------------------------------------------------------------------------------------------------------


def moved(rng: random.Random, records: list[Record]) -> None:
    """One record some cycles earlier or later, mostly one."""
    i = rng.randrange(len(records))
    records[i] = records[i]._replace(at=max(0, records[i].at + rng.choice([-1, 1, -1, 1, -2, 2, -16, 16])))


def swapped(rng: random.Random, records: list[Record]) -> None:
    """Two records of a queue change their times."""
    i = rng.randrange(len(records))
    others = [j for j, r in enumerate(records) if r.queue == records[i].queue and j != i]
    if others:
        j = rng.choice(others)
        a, b = records[i], records[j]
        records[i], records[j] = a._replace(at=b.at), b._replace(at=a.at)


def on_another_stream(rng: random.Random, records: list[Record]) -> None:
    """A record samples or drives another stream that the program uses."""
    fields = [
        (i, n)
        for i, r in enumerate(records)
        for n, (f, v) in enumerate(zip(r.instruction.fields, r.values, strict=True))
        if f.role and v <= 0xFF
    ]
    (i, n), (j, m) = rng.choice(fields), rng.choice(fields)
    changed(records, i, n, records[j].values[m])


def with_another_number(rng: random.Random, records: list[Record]) -> None:
    """A record with another address, entry, row, mode or operand."""
    i = rng.randrange(len(records))
    r = records[i]
    fields = [n for n, f in enumerate(r.instruction.fields) if not f.role or r.values[n] > 0xFF]
    fields = [n for n in fields if r.values[n] != CHAIN or r.instruction.fields[n].kind is not FieldKind.TARGET]
    if fields:
        n = rng.choice(fields)
        step = rng.choice([-1, 1, 2])
        is_stream = r.instruction.fields[n].kind is FieldKind.SOURCE and source_kind(r.values[n]) is SourceKind.STREAM
        changed(records, i, n, max(0, r.values[n] + step) if not is_stream else r.values[n])


def looped_otherwise(rng: random.Random, records: list[Record]) -> None:
    """A record whose repetition is another one."""
    looped = [i for i, r in enumerate(records) if r.loops]
    if looped:
        i = rng.choice(looped)
        loops = list(records[i].loops)
        n = rng.randrange(len(loops))
        count, every, step = loops[n]
        loops[n] = rng.choice(
            [Loop(max(1, count - 1), every, step), Loop(count, every, step + 1), Loop(count, every + 1, step)]
        )
        records[i] = records[i]._replace(loops=tuple(loops))


def without(rng: random.Random, records: list[Record]) -> None:
    """A record less."""
    records.pop(rng.randrange(len(records)))


def changed(records: list[Record], i: int, n: int, value: int) -> None:
    values = records[i].values
    records[i] = records[i]._replace(values=(*values[:n], value, *values[n + 1 :]))


EDITS: Sequence[Callable[[random.Random, list[Record]], None]] = (
    *(moved, moved, moved, swapped, swapped),
    *(on_another_stream, with_another_number, looped_otherwise, without),
)


def edited(program: Program, rng: random.Random) -> tuple[str, Program] | None:
    """A program with one edit, unless that makes it one that `check_program` refuses."""
    edit, number = rng.choice(EDITS), rng.randrange(len(program.chips))
    chip = program.chips[number]
    records = list(chip.records)
    edit(rng, records)
    try:
        return edit.__name__, with_records(program, number, records)
    except TspError:
        return None


def with_records(program: Program, number: int, records: Sequence[Record]) -> Program:
    """A program with other records on one of its chips, of the length that they have. Raises as check_program does."""
    length = program_length(max((r.last for r in records), default=-1), program.system)
    ordered = tuple(sorted(records, key=lambda r: r[:2]))
    chips: list[ChipProgram] = list(program.chips)
    chips[number] = replace(chips[number], records=ordered, cycles=length)
    return check_program(replace(program, chips=tuple(chips)))


def hole(of: Subject, program: Program) -> str:
    """What isa-verify says of an edited program. Raises AssertionError where it accepts one that gives other bits."""
    try:
        prove(program)
    except TspError as e:
        return type(e).__name__
    got = outputs_of(replace(of.executable, program=program), of.inputs)
    for mine, theirs in zip(of.outputs, got, strict=True):
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine), "it passes, and gives other bits"
    return "same bits"


def sweep(name: str, packed: bool, edits: int, seed: int) -> Counter[str]:
    """How many edits of a program were refused, with which error, and how many pass because they change nothing."""
    of, found = subject(name, packed), Counter[str]()
    for number in range(edits):
        rng = random.Random(f"{name} {packed} {seed} {number}")
        case = edited(of.executable.program, rng)
        if case is None:
            found["no program"] += 1
            continue
        kind, program = case
        try:
            found[hole(of, program)] += 1
        except AssertionError as e:
            raise AssertionError(f"{name}, packed {packed}, seed {seed}, edit {number}, {kind}: {e}") from e
    return found


@pytest.mark.parametrize("packed", [False, True], ids=["timed", "packed"])
@pytest.mark.parametrize("name", NAMES)
def test_no_edit_passes_and_does_something_else(name: str, packed: bool) -> None:
    found = sweep(name, packed, 12, 0)
    assert found["DataflowError"] + found["HazardError"], found


# -- single edits --------------------------------------------------------------------------------------------------


def refusal(name: str, edit: Callable[[list[Record], dict[str, int]], None], chip: int = 0) -> str:
    """What isa-verify says of a timed program after an edit of a chip's records; "" where it accepts it."""
    program = subject(name, False).executable.program
    records = list(program.chips[chip].records)
    edit(records, program.system.chip.queue_numbers)
    try:
        prove(with_records(program, chip, records))
    except DataflowError as e:
        return str(e)
    return ""


def test_all_moved_together_is_the_same_program() -> None:
    """What counts is who takes what from whom, not when."""

    def later(records: list[Record], _: dict[str, int]) -> None:
        records[:] = [r._replace(at=r.at + 7) for r in records]

    assert refusal("product", later) == ""


def test_a_loop_written_out_is_the_same_program() -> None:
    def written_out(records: list[Record], _: dict[str, int]) -> None:
        records[:] = [r._replace(at=at, values=values, loops=()) for r in records for at, values in r.issues()]

    assert refusal("maps", written_out) == ""


BUFFER = "!tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>"
STREAM = "!tsp_stream.stream<10x320xi8>"
TWO_WRITES = f"""func.func @main() {{
  %a = tsp_stream.buffer "input" "a" place <[E0], address 0> : {BUFFER}
  %b = tsp_stream.buffer "input" "b" place <[E4], address 0> : {BUFFER}
  %y = tsp_stream.buffer "output" "y" place <[E9], address 0> : {BUFFER}
  %0 = tsp_stream.read %a words <0, 10 step 1> : {BUFFER} -> {STREAM}
  tsp_stream.write %0 to %y words <0, 10 step 1> : {STREAM}, {BUFFER}
  %1 = tsp_stream.read %b words <0, 10 step 1> : {BUFFER} -> {STREAM}
  tsp_stream.write %1 to %y words <0, 10 step 1> : {STREAM}, {BUFFER}
  func.return
}}"""
"""The output is what is written last: %b."""


def test_a_schedule_that_reorders_two_writes_to_a_word_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value is where it is taken and no hazard is there, but the program would return %a. Here the scheduler's
    own check is switched off: isa-verify does not rely on it."""
    module = compile(parse(TWO_WRITES), until="stream-schedule")
    ops = [op for op in module.walk() if isinstance(op, TimedOp)]
    first, second = ops[:2], ops[2:]
    later = max(op.start or 0 for op in second) + 100
    for op in first:
        op.at = IntegerAttr((op.start or 0) + later, i64)
    with pytest.raises(ScheduleError):
        compile(module.clone())
    monkeypatch.setattr(convert_stream_to_isa, "check_schedule", lambda module: None)
    convert_stream_to_isa.ConvertStreamToIsaPass().apply(make_context(), module)
    program = program_from_module(module)
    assert first_hazard(program) is None
    with pytest.raises(DataflowError, match="words of this slice hold something else at the end"):
        prove(program)


def test_a_schedule_that_reads_a_word_before_it_is_written_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TWO_WRITES.replace('"input" "b" place <[E4]', '"scratch" place <[E4]').replace("%0 to %y", "%0 to %b")
    module = compile(parse(text), until="stream-schedule")
    for op in [op for op in module.walk() if isinstance(op, TimedOp)][:2]:
        op.at = IntegerAttr((op.start or 0) + 100, i64)
    monkeypatch.setattr(convert_stream_to_isa, "check_schedule", lambda module: None)
    convert_stream_to_isa.ConvertStreamToIsaPass().apply(make_context(), module)
    program = program_from_module(module)
    assert first_hazard(program) is None
    with pytest.raises(DataflowError, match=r"MEM\.E4"):
        prove(program)


def test_the_instruction_and_both_sources_are_named() -> None:
    """A read of another word: the difference of the digests says which word it should be."""
    found: list[Record] = []

    def of_another_word(records: list[Record], queues: dict[str, int]) -> None:
        i = next(i for i, r in enumerate(records) if r.instruction.name == "read" and not r.loops)
        found.append(records[i])
        changed(records, i, 0, records[i].values[0] + 1)

    message = refusal("transposition", of_another_word)
    at, address = found[0].at, found[0].values[0]
    assert message.startswith(f"chip 0, `read address {address + 1} stream ")
    assert f"cycle {at}): takes a word from " in message
    assert ", but was compiled to take that from " in message


def test_a_queue_without_its_dataflow_is_refused() -> None:
    program = subject("maps", False).executable.program
    chip = program.chips[0]
    some = dict(chip.dataflow)
    del some["VXM.0"]
    with pytest.raises(DataflowError, match=r"says nothing of what the [0-9]+ issues of this queue are meant to take"):
        prove(replace(program, chips=(replace(chip, dataflow=some),)))


def test_a_program_that_says_nothing_is_only_free_of_hazards() -> None:
    """As those written by hand."""
    of = subject("maps", False)
    plain = replace(of.executable.program, chips=tuple(replace(c, dataflow={}) for c in of.executable.program.chips))
    prove(plain)


def test_dataflow_goes_into_the_file_and_back() -> None:
    executable = subject("gather", True).executable
    again = from_bytes(to_bytes(executable))
    assert again.program.chips[0].dataflow == executable.program.chips[0].dataflow
    assert any(flow.reaches for flow in again.program.chips[0].dataflow.values())


@pytest.mark.parametrize(
    ("word", "number", "message"),
    [
        (0, 2**20, "the chip has no such queue"),
        (2, 3, "their number is a power of two"),
        (1, 2**40, "have .* digests"),
        (5, 2**40, "numbers, but .* are announced"),
    ],
)
def test_a_file_with_wrong_dataflow_is_refused(word: int, number: int, message: str) -> None:
    words = _dataflow_to_words(subject("maps", True).executable.program.chips[0].dataflow, SPEC).copy()
    words.view("<u8")[word] = number
    with pytest.raises(MalformedProgram, match=message):
        _dataflow_from_words(words, SPEC)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in NAMES:
        for packed in (False, True):
            print(name, packed, dict(sweep(name, packed, options.edits, options.seed)), flush=True)
