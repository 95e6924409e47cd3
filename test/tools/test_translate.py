"""`tsp-translate`: every way there and back is the identity, and the disassembly says when what happens."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, opt, refusal, run, same_bits, succeeds
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.elements import builtin_of
from tspc.dialects.layout import Layout
from tspc.dialects.placement import Place
from tspc.dialects.target import DEFAULT_SYSTEM
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.executable import Executable, Image
from tspc.runtime.interface import load_inputs
from tspc.tools import tsp_translate
from xdsl.dialects.builtin import TensorType

CHIP = DEFAULT_SYSTEM.chip
MODELS = ("digits.mlir", "digits_two_chips.mlir")

both_models = pytest.mark.parametrize("model", MODELS)


def translate(*args: str | Path) -> str:
    return succeeds(tsp_translate.main, *args)


def refused(*args: str | Path) -> str:
    return refusal(tsp_translate.main, *args)


@pytest.fixture(scope="module", params=MODELS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled example."""
    path = tmp_path_factory.mktemp("programs") / f"{request.param}.tspx"
    run(DIGITS / request.param, "-o", path)
    return path


# -- there and back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["timed", "packed"])
def test_a_program_file_becomes_text_and_the_same_file_again(program: Path, form: str, tmp_path: Path) -> None:
    text, again = tmp_path / "text.mlir", tmp_path / "again.tspx"
    translate(program, text, "--to", form)
    assert ("tsp_isa.queue" in text.read_text()) == (form == "timed")
    assert ("tsp_isa.packed" in text.read_text()) == (form == "packed")
    translate(text, again)
    assert again.read_bytes() == program.read_bytes()


def test_timed_and_packed_text_become_each_other(program: Path, tmp_path: Path) -> None:
    timed, packed, again = (tmp_path / f"{name}.mlir" for name in ("timed", "packed", "again"))
    translate(program, timed)  # .mlir is timed when nothing is said
    translate(timed, packed, "--to", "packed")
    translate(packed, again)
    assert again.read_text() == timed.read_text()
    translate(again, tmp_path / "packed_again.mlir", "--to", "packed")
    assert (tmp_path / "packed_again.mlir").read_text() == packed.read_text()


@both_models
def test_compiled_text_becomes_the_file_that_tsp_run_writes(model: str, tmp_path: Path) -> None:
    shutil.copy(DIGITS / "digits.safetensors", tmp_path)
    (tmp_path / "compiled.mlir").write_text(opt(DIGITS / model, "-p", "tsp-compile"))
    translate(tmp_path / "compiled.mlir", tmp_path / "translated.tspx")
    run(DIGITS / model, "-o", tmp_path / "written.tspx")
    assert (tmp_path / "translated.tspx").read_bytes() == (tmp_path / "written.tspx").read_bytes()


def test_text_runs_as_the_file_does(program: Path, tmp_path: Path) -> None:
    translate(program, tmp_path / "text.mlir")
    outputs = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path, output in zip((program, tmp_path / "text.mlir"), outputs, strict=True):
        run(path, "--inputs", DIGITS / "held_out.npz", "--engine", "reference", "--output", output)
    assert same_bits(load_inputs(outputs[0]), load_inputs(outputs[1]))


def test_text_takes_its_weights_along_to_another_folder(tmp_path: Path) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.mkdir()
    other.mkdir()
    shutil.copy(DIGITS / "digits.safetensors", source)
    (source / "compiled.mlir").write_text(opt(DIGITS / "digits.mlir", "-p", "tsp-compile"))
    translate(source / "compiled.mlir", source / "timed.mlir")
    assert not (source / "timed.sram.safetensors").exists()
    translate(source / "compiled.mlir", other / "timed.mlir")
    assert 'tsp_tensor.weights = "timed.sram.safetensors"' in (other / "timed.mlir").read_text()
    for folder in (source, other):
        translate(folder / "timed.mlir", folder / "digits.tspx")
    assert (source / "digits.tspx").read_bytes() == (other / "digits.tspx").read_bytes()


def test_a_machine_of_its_own_stays(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text("[chip]\nstreams = 64\nslices_per_hop = 2\n")
    run(DIGITS / "digits.mlir", "--target", tmp_path / "wide.toml", "-o", tmp_path / "wide.tspx")
    translate(tmp_path / "wide.tspx", tmp_path / "wide.mlir")
    assert "#tsp_isa.target<chip.streams = 64, chip.slices_per_hop = 2>" in (tmp_path / "wide.mlir").read_text()
    translate(tmp_path / "wide.mlir", tmp_path / "again.tspx")
    assert (tmp_path / "again.tspx").read_bytes() == (tmp_path / "wide.tspx").read_bytes()


def test_bytes_that_no_assembler_of_ours_would_write_stay_in_packed_form(tmp_path: Path) -> None:
    # Two nops where one would do, and no sync.
    nop, read = "01050000000000000000000000000000", "10050003000000000000000000000000"
    text = tmp_path / "odd.mlir"
    text.write_text(
        f'tsp_isa.program @main chip 0 cycles 31 {{ tsp_isa.packed "MEM.E0" "{nop}{nop}{read}" }}', encoding="utf-8"
    )
    translate(text, tmp_path / "odd.tspx")
    translate(tmp_path / "odd.tspx", tmp_path / "back.mlir", "--to", "packed")
    assert f"{nop}{nop}{read}" in (tmp_path / "back.mlir").read_text()
    assert "read address 5 stream E3" in translate(tmp_path / "odd.tspx", "--disassemble")


# -- blocks of SRAM as tensors -------------------------------------------------------------------------------------


@given(st.sampled_from([(Layout.ROWS, n) for n in (1, 2, 4)] + [(Layout.WEIGHTS, 16)]), st.integers(1, 50))
def test_every_block_is_a_tensor_that_lies_in_the_same_way(kind: tuple[Layout, int], depth: int) -> None:
    layout, slices = kind
    block = np.random.default_rng(depth).integers(0, 256, (slices, depth, CHIP.lanes), np.uint8)
    place = Place(layout, "W", tuple(range(slices)), 3)
    tensor, element = Image(0, place, block).as_tensor()
    place.check(TensorType(builtin_of(element), tensor.shape), CHIP)
    assert np.array_equal(layout.pack(tensor, CHIP), block)


def test_a_file_whose_block_is_in_no_layout_is_refused(program: Path, tmp_path: Path) -> None:
    executable = from_bytes(program.read_bytes())
    three = Image(0, Place(Layout.ROWS, "E", (1, 2, 3), 0), np.zeros((3, 1, CHIP.lanes), np.uint8))
    (tmp_path / "three.tspx").write_bytes(to_bytes(Executable(executable.program, (three,))))
    assert "a block [3, 1, 320] does not fit" in refused(tmp_path / "three.tspx", tmp_path / "three.mlir")


def test_equal_programs_give_equal_bytes(program: Path) -> None:
    executable = from_bytes(program.read_bytes())
    assert {to_bytes(executable) for _ in range(20)} == {program.read_bytes()}


# -- disassembly ---------------------------------------------------------------------------------------------------


def test_disassembly_by_queue() -> None:
    text = DIGITS.parents[1] / "test" / "filecheck" / "isa" / "isa_disassemble.mlir"
    assert translate(text, "--disassemble").splitlines() == [
        "chip 0: 92 cycles",
        "  MEM.E0",
        "     0  read address 5 stream E3",
        "    11  read address 6 stream E3",
        "  VXM.15",
        "    40  mul type f32 a W8 b 0x3fc00000 to E0 repeat 32",
    ]


def test_disassembly_by_cycle() -> None:
    text = DIGITS.parents[1] / "test" / "filecheck" / "isa" / "isa_verify_two_chips.mlir"
    assert translate(text, "--disassemble", "--by", "cycle").splitlines() == [
        "300  chip 0  MEM.E0  read address 0 stream E4 repeat 2 every 24 step 1",
        "312  chip 0  C2C.0   send stream E4 repeat 2 every 24",
        "744  chip 1  C2C.0   receive stream W4 repeat 2 every 24",
        "969  chip 1  MEM.E4  write address 0 stream W4 repeat 2 every 24 step 1",
    ]


def test_all_forms_have_one_disassembly(program: Path, tmp_path: Path) -> None:
    translate(program, tmp_path / "timed.mlir")
    translate(program, tmp_path / "packed.mlir", "--to", "packed")
    expected = translate(program, "--disassemble", "--by", "cycle")
    assert "iw" in expected
    for text in ("timed.mlir", "packed.mlir"):
        assert translate(tmp_path / text, "--disassemble", "--by", "cycle") == expected


# -- what is refused -----------------------------------------------------------------------------------------------


def test_command_lines_that_make_no_sense(tmp_path: Path) -> None:
    model = DIGITS / "digits.mlir"
    assert refused(model) == "nothing to do; give a file to write, or --disassemble"
    assert refused(model, "--disassemble", "--to", "timed") == (
        "--to timed needs a file to write: tsp-translate IN OUT"
    )
    assert refused(model, tmp_path / "a.mlir", "--by", "cycle") == "--by orders a disassembly; add --disassemble"
    assert "did you mean `--disassemble`?" in refused(model, "--disasemble")


def test_files_that_are_no_programs(program: Path, tmp_path: Path) -> None:
    upper = refused(DIGITS / "digits.mlir", "--disassemble")
    assert upper == "the module holds no tsp_isa.program; lower it first, with tsp-compile"
    assert "unknown extension" in refused(program, tmp_path / "a.txt")
    assert "is not written to a .tspx file" in refused(program, tmp_path / "a.tspx", "--to", "timed")
    assert "is not written to a .mlir file" in refused(program, tmp_path / "a.mlir", "--to", "tspx")
    assert "--weights is for text" in refused(program, tmp_path / "a.mlir", "--weights", program)
    damaged = tmp_path / "damaged.tspx"
    damaged.write_bytes(program.read_bytes()[:-1])
    assert "damaged" in refused(damaged, "--disassemble")
    assert "cannot be read" in refused(tmp_path / "absent.tspx", "--disassemble")
    assert "No such file" in refused(tmp_path / "absent.mlir", "--disassemble")


def test_an_instruction_before_the_release_has_no_packed_form(tmp_path: Path) -> None:
    text = tmp_path / "early.mlir"
    text.write_text(
        'tsp_isa.program @main chip 0 cycles 31 { tsp_isa.queue "MEM.E0" { tsp_isa.read at 10 address 5 stream E3 } }'
    )
    assert "dispatches in cycle 10, but its queue is released in 35" in refused(text, tmp_path / "early.tspx")
    assert "  10  read address 5 stream E3" in translate(text, "--disassemble")
