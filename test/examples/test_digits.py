"""The digits example from end to end: every level, engine and pass gives the bits of the independent numpy model."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from harness import DIGITS, ENGINES, Array, call, on_every_engine, opt, run, same_bits
from safetensors.numpy import load_file
from tspc.dialects.errors import HAZARDS, TspError
from tspc.dialects.machine.target import ChipSpec, SystemSpec, load_toml
from tspc.dialects.programs.records import program_from_module
from tspc.dialects.target_attr import TargetAttr
from tspc.passes.pipelines import PASSES, STAGES, compile, parse
from tspc.runtime.engine import Engine
from tspc.runtime.levels import Result, run_module
from tspc.tools import tsp_opt
from xdsl.universe import Universe

FORMS = ("digits.mlir", "digits_two_chips.mlir")


def load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_reference", DIGITS / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = load_reference()
IMAGES = REFERENCE.load().images
LOGITS = REFERENCE.logits(IMAGES)
WEIGHTS = load_file(DIGITS / "digits.safetensors")


def text(form: str, batch: int) -> str:
    """An example's module for another batch."""
    return (DIGITS / form).read_text(encoding="utf-8").replace("360", str(batch))


def compute(source: str, until: str | None = None, engine: Engine | None = None, batch: int | None = None) -> Result:
    """Compiles a module up to and including a stage and runs it on the first `batch` images."""
    module = parse(source)
    if until is not None:
        compile(module, until)
    return run_module(module, {"images": IMAGES[:batch]}, WEIGHTS, engine)


def is_right(result: Result, batch: int | None = None) -> bool:
    logits = result.outputs["logits"]
    return logits.dtype == np.int32 and np.array_equal(logits, LOGITS[:batch])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example's files, for tools that write beside them."""
    for name in (*FORMS, "digits.safetensors", "held_out.npz"):
        shutil.copy(DIGITS / name, tmp_path)
    return tmp_path


# -- all images, at every level, on every engine -------------------------------------------------------------------


def test_the_reference_is_as_accurate_as_documented() -> None:
    digits = REFERENCE.load()
    assert len(digits.images) == 1797
    assert REFERENCE.correct(digits, digits.held_out) == 352


@pytest.mark.parametrize("until", [None, "convert-tensor-to-stream", "stream-schedule"])
@pytest.mark.parametrize("form", FORMS)
def test_values_of_all_images(form: str, until: str | None) -> None:
    assert is_right(compute(text(form, 1797), until))


@on_every_engine
@pytest.mark.parametrize("until", ["convert-stream-to-isa", "isa-verify"])
@pytest.mark.parametrize("form", FORMS)
def test_programs_for_all_images(form: str, until: str, engine: type[Engine]) -> None:
    """Timed and packed. The run takes the cycles that the schedule says: the last column of the program ops."""
    module = compile(parse(text(form, 1797)), until)
    result = run_module(module, {"images": IMAGES}, WEIGHTS, engine())
    assert is_right(result)
    assert result.stats is not None
    assert [*map(int, re.findall(r"chip \d+ cycles (\d+)", str(module)))] == list(result.stats.cycles)


def test_labels_from_the_command_line(folder: Path) -> None:
    for form in FORMS:
        run(folder / form, "--inputs", folder / "held_out.npz", "--output", folder / "out.npz")
        with np.load(folder / "out.npz") as outputs:
            digits = REFERENCE.load()
            hits = outputs["logits"].argmax(axis=1) == digits.labels[digits.held_out]
        assert np.sum(hits) == 352


# -- each pass in turn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_pass_prints_what_parses_back(form: str, folder: Path) -> None:
    """And a program handed on by file from pass to pass is the program that one call makes, byte for byte."""
    before = folder / form
    for stage in STAGES:
        printed = opt(before, "-p", stage, "--check-by-running", folder / "held_out.npz")
        after, generic = folder / f"{stage}.mlir", folder / f"{stage}.generic.mlir"
        after.write_text(printed)
        assert opt(after) == printed
        generic.write_text(opt(after, "--print-op-generic"))
        assert '"builtin.module"() ({' in generic.read_text()
        assert opt(generic) == printed
        before = after
    run(folder / form, "-o", folder / "one.tspx")
    run(before, "-o", folder / "many.tspx")
    assert (folder / "one.tspx").read_bytes() == (folder / "many.tspx").read_bytes()
    assert before.read_text() == opt(folder / form, "-p", "tsp-compile")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stage", STAGES)
def test_tsp_run_takes_up_a_module_after_any_pass(form: str, stage: str, folder: Path) -> None:
    (folder / "later.mlir").write_text(opt(folder / form, "-p", ",".join([*STAGES][: [*STAGES].index(stage) + 1])))
    run(folder / "later.mlir", "-o", folder / "later.tspx")
    run(folder / form, "-o", folder / "whole.tspx")
    assert (folder / "later.tspx").read_bytes() == (folder / "whole.tspx").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_all_passes_checked_by_running_in_one_call(form: str, folder: Path) -> None:
    opt(folder / form, "-p", "tsp-compile", "--check-by-running", folder / "held_out.npz")


def test_disassembling_is_the_inverse_of_assembling(folder: Path) -> None:
    timed = opt(folder / FORMS[1], "-p", ",".join([*STAGES][: [*STAGES].index("isa-assemble")]))
    (folder / "timed.mlir").write_text(timed)
    back = opt(folder / "timed.mlir", "-p", "isa-assemble,isa-disassemble")
    (folder / "back.mlir").write_text(back)
    assert opt(folder / "back.mlir", "-p", "isa-assemble") == opt(folder / "timed.mlir", "-p", "isa-assemble")
    # The assembler folds what it can say with fewer instructions; else it is the same text.
    assert len(back.splitlines()) <= len(timed.splitlines())
    assert opt(folder / "back.mlir", "-p", "isa-assemble,isa-disassemble") == back


# -- plain xDSL tools ----------------------------------------------------------------------------------------------


@cache
def xdsl_opt(*args: str) -> str:
    """What plain `xdsl-opt` of this environment prints."""
    tool = Path(sys.executable).with_name("xdsl-opt")
    return subprocess.run([tool, *args], capture_output=True, text=True, check=True).stdout


def test_plain_xdsl_opt_runs_our_pipeline_by_name() -> None:
    path = DIGITS / "digits_two_chips.mlir"
    assert xdsl_opt(str(path), "-p", "tsp-compile") == opt(path, "-p", "tsp-compile")


def test_plain_xdsl_opt_lists_our_passes_and_knows_our_dialects() -> None:
    listed = "".join(xdsl_opt("--help").split())
    assert all(name in listed for name in PASSES)
    assert {"tsp_tensor", "tsp_stream", "tsp_isa", "c2c"} <= Universe.get_multiverse().all_dialects.keys()


# -- two chips -----------------------------------------------------------------------------------------------------


def on_machine(form: str, batch: int, toml: str, engine: Engine) -> Result:
    """Compiles and runs the first images on another machine; the form's number of chips stays."""
    module = parse(text(form, batch))
    chips = 2 if form == "digits_two_chips.mlir" else 1
    module.attributes["tsp_isa.target"] = TargetAttr(load_toml(toml if chips == 1 else f"{toml}\n[system]\nchips = 2"))
    return run_module(compile(module), {"images": IMAGES[:batch]}, WEIGHTS, engine)


def cycles_of(result: Result) -> tuple[int, ...]:
    assert result.stats is not None
    return result.stats.cycles


@on_every_engine
@pytest.mark.parametrize("later", [-7, 1, 100])
def test_the_link_latency_moves_the_second_chip_and_nothing_else(later: int, engine: type[Engine]) -> None:
    def result(link_latency: int) -> Result:
        module = parse(text("digits_two_chips.mlir", 8))
        module.attributes["tsp_isa.target"] = TargetAttr(SystemSpec(chips=2, link_latency=link_latency))
        return run_module(compile(module), {"images": IMAGES[:8]}, WEIGHTS, engine())

    latency = SystemSpec().link_latency
    before, after = result(latency), result(latency + later)
    assert is_right(before, 8) and is_right(after, 8)
    assert cycles_of(after) == (cycles_of(before)[0], cycles_of(before)[1] + later)


def test_the_second_chip_ends_when_the_link_says() -> None:
    """The last vector is received when it has flown, and a program is as long as its last dispatch and the tiles."""
    system = SystemSpec(chips=2)
    program = program_from_module(compile(parse(text("digits_two_chips.mlir", 8))))
    last = [{record.instruction.name: record.last for record in chip.records} for chip in program.chips]
    assert last[1]["receive"] == last[0]["send"] + system.chip.latency_send + system.link_latency
    assert [chip.cycles for chip in program.chips] == [
        last[0]["send"] + 1 + system.chip.tiles,
        max(record.last for record in program.chips[1].records) + 1 + system.chip.tiles,
    ]


LATENCIES = sorted(name for name in vars(ChipSpec()) if name.startswith("latency_") or name == "barrier")
USED = {f"latency_{unit}" for unit in ("read", "write", "vxm_entry", "alu", "array", "egress", "install")}


@on_every_engine
@pytest.mark.parametrize("field", LATENCIES)
@pytest.mark.parametrize("form", FORMS)
def test_latencies_move_cycles_and_never_values(form: str, field: str, engine: type[Engine]) -> None:
    value = getattr(ChipSpec(), field)
    before, after = (on_machine(form, 5, f"[chip]\n{field} = {value + later}", engine()) for later in (0, 3))
    assert is_right(before, 5) and is_right(after, 5)
    growth = [b - a for a, b in zip(cycles_of(before), cycles_of(after), strict=True)]
    match field:
        case "barrier":
            assert growth == [3] * len(growth)
        case "latency_send" | "latency_receive":
            assert growth == ([0, 3] if len(growth) > 1 else [0])
        case "latency_array" | "latency_egress" | "latency_alu":
            assert min(growth) >= 3
        case _:
            assert field in USED or set(growth) == {0}


@pytest.mark.parametrize("toml", ["streams = 16", "planes = 2", "slices_per_hop = 1", "tiles = 10", "words = 1024"])
@pytest.mark.parametrize("form", FORMS)
def test_other_machines_give_the_same_bits(form: str, toml: str) -> None:
    for engine in ENGINES.values():
        assert is_right(on_machine(form, 40, f"[chip]\n{toml}", engine()), 40)


# -- one instruction, one cycle ------------------------------------------------------------------------------------


@cache
def timed(batch: int) -> str:
    return compile(text("digits_two_chips.mlir", batch), until="convert-stream-to-isa")


def moved(source: str, mnemonic: str, later: int, occurrence: int = 0) -> tuple[str, str]:
    """A timed program with one of its instructions moved, and that instruction. The lengths of programs follow."""
    found = [*re.finditer(rf"tsp_isa\.{mnemonic} at (\d+).*", source)][occurrence]
    start, end = found.span(1)
    result = source[:start] + str(int(found[1]) + later) + source[end:]
    if mnemonic == "send":  # the last instruction of its chip
        result = re.sub(r"chip 0 cycles (\d+)", lambda m: f"chip 0 cycles {int(m[1]) + later}", result)
    return result, found[0]


HAZARD = re.compile(
    r"hazard \[(?P<kind>[a-z-]+)\] chip (?P<chip>\d), cycle (?P<cycle>\d+), (?P<resource>[^:]+): (?P<meaning>[^`]+): "
    r"`(?P<first>.+?)` \((?P<queue>[A-Z.0-9a-z]+), cycle \d+\)( and `(?P<second>.+?)` \([A-Z.0-9a-z]+, cycle \d+\))?"
)

MOVES = [
    *[("read", later, n) for n in (0, 1, 20) for later in (-1, 1)],
    *[("write", later, n) for n in (1, -2, -1) for later in (-1, 1)],
    *[(name, later, 0) for name in ("add", "convert", "mul", "max", "min", "lw", "iw") for later in (-1, 1)],
    *[(name, later, 0) for name in ("write", "send", "receive") for later in (-1, 1)],
    *[(name, later, n) for name in ("abc", "acc_emit") for n in (0, -1) for later in (-1, 1)],
]


@pytest.mark.parametrize(("mnemonic", "later", "occurrence"), MOVES)
def test_an_instruction_one_cycle_off_is_caught(mnemonic: str, later: int, occurrence: int, tmp_path: Path) -> None:
    """By the verifier and by every engine, in the same words: what, where, when and who; or by the verifier alone,
    where a register holds another value a cycle before, which for an engine the program might mean; or it changes
    nothing.

    Weights may be installed later while nothing needs them.
    """
    source, _ = moved(timed(4), mnemonic, later, occurrence)
    path = tmp_path / "moved.mlir"
    path.write_text(source)
    verified = call(tsp_opt.main, path, "-p", "isa-verify")
    results = {name: attempt(source, engine()) for name, engine in ENGINES.items()}
    if not verified.code:
        right = run_module(parse(timed(4)), {"images": IMAGES[:4]}, WEIGHTS).outputs
        assert all(not isinstance(r, str) and same_bits(r, right) for r in results.values()), "other bits, unseen"
        return
    message = verified.err.strip().removeprefix("error: ")
    if (hazard := HAZARD.fullmatch(message)) is None:
        assert re.search("was compiled to take that from|is not the instruction that was compiled|declares", message)
        return
    assert all(result == message for result in results.values())
    assert hazard["meaning"] == HAZARDS[hazard["kind"]]
    assert (hazard["second"] is not None) == (hazard["kind"] in ("queue", "stream-collision", "link-busy"))


def attempt(source: str, engine: Engine) -> str | dict[str, Array]:
    """The outputs of a module, or what the engine says against it."""
    try:
        return run_module(parse(source), {"images": IMAGES[:4]}, WEIGHTS, engine).outputs
    except TspError as e:
        return str(e)


def test_the_error_names_place_time_and_instructions() -> None:
    """A first layer's activations enter plane 0 when their stream is there, and not a cycle before."""
    source, line = moved(timed(4), "abc", -1)
    at = int(line.split()[2])
    with pytest.raises(TspError) as error:
        run_module(parse(source), {"images": IMAGES[:4]}, WEIGHTS)
    stream = line.split()[-1]
    assert str(error.value) == (
        f"hazard [stream-empty] chip 0, cycle {at - 1}, stream {stream} at position +{ChipSpec().mxm_distance}: an "
        f"instruction reads a stream register that nothing drives: `abc {' '.join(line.split()[3:])}` "
        f"(MXM.0.activations, cycle {at - 1})"
    )


def test_two_drivers_of_one_register_are_both_named() -> None:
    """An ALU's results land on a stream that leaves another slice: both drive the same register in one cycle."""
    source = timed(4)
    add = [*re.finditer(r'"VXM\.0" \{\n\s+tsp_isa\.add at (\d+) (type i32 a \S+ b \S+ to ([EW]\d+)) repeat 2', source)][
        -1
    ]
    at, stream = int(add[1]), add[3]
    rival = f'"VXM.9" {{\n      tsp_isa.copy at {at + 1} type i32 a 0x00000007 to {stream}\n    }}\n    tsp_isa.queue '
    source = source[: add.start()] + rival + source[add.start() :]
    due = at + 1 + ChipSpec().latency_vxm_entry + ChipSpec().latency_alu
    with pytest.raises(TspError) as error:
        run_module(parse(source), {"images": IMAGES[:4]}, WEIGHTS)
    assert str(error.value) == (
        f"hazard [stream-collision] chip 1, cycle {due}, stream {stream} at position +0: two instructions drive one "
        f"stream register in one cycle: `add {add[2]}` (VXM.0, cycle {at + 1}) and "
        f"`copy type i32 a 0x00000007 to {stream}` (VXM.9, cycle {at + 1})"
    )
