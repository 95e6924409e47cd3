"""`tsp-translate`: every way there and back is the identity, and the disassembly says when what happens."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, opt, refusal, run, same_bits, succeeds
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.placement import Place, Slice, check_place
from tspc.runtime.executable import Image
from tspc.runtime.interface import load_inputs
from tspc.tools import tsp_translate
from xdsl.dialects.builtin import TensorType, i8

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


@given(st.integers(1, 9), st.integers(1, 50))
def test_every_block_is_a_tensor_of_bytes_that_lies_in_the_same_way(width: int, depth: int) -> None:
    block = np.random.default_rng(depth).integers(0, 256, (width, depth, CHIP.lanes), np.uint8)
    image = Image(0, tuple(Slice("W", n) for n in range(width)), 3, block)
    check_place(
        TensorType(i8, block.shape), image.layout, Place(image.slices, addresses=(3,) * len(image.slices)), CHIP
    )
    assert np.array_equal(image.layout.pack(block.view(np.int8), CHIP.lanes), block)
