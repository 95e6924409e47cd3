"""tsp-run as a person meets it: what it prints and writes, and what it says of files that are wrong."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import DIGITS, ENGINES, call, opt, refusal, run
from safetensors.numpy import load_file, save_file
from tspc.passes.pipelines import STAGES
from tspc.tools import tsp_run

Array = npt.NDArray[Any]

MODEL = DIGITS / "digits.mlir"
HELD_OUT = DIGITS / "held_out.npz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the digits model and its weights."""
    for name in ("digits.mlir", "digits_two_chips.mlir", "digits.safetensors"):
        shutil.copy(DIGITS / name, tmp_path)
    return tmp_path


def refused(*args: str | Path) -> str:
    return refusal(tsp_run.main, *args)


def outputs(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


# -- what it does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_the_report_says_cycles_time_and_who_was_busy(engine: str, folder: Path) -> None:
    text = run(folder / "digits_two_chips.mlir", "--inputs", HELD_OUT, "--engine", engine)
    rows = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in text.splitlines())
    cycles, chips = int(rows["cycles"]), re.findall(r"(\d): (\d+)", rows["cycles per chip"])
    assert cycles == max(int(n) for _, n in chips)
    assert rows["time at the clock"] == f"{cycles / 900:.2f} us at 900 MHz (model cycles)"
    assert {"MEM", "VXM", "C2C", "MXM.activations"} <= {*re.findall(r"([A-Z][\w.]+) ", rows["busy"])}
    assert rows["host time"].endswith(f"s ({engine}, cycle mode)")


def test_bulk_mode_gives_the_same_outputs(folder: Path) -> None:
    for mode in ("cycle", "bulk"):
        text = run(MODEL, "--inputs", HELD_OUT, "--output", folder / f"{mode}.npz", "--mode", mode)
        assert f"(jit, {mode} mode)" in text
    assert np.array_equal(outputs(folder / "cycle.npz")["logits"], outputs(folder / "bulk.npz")["logits"])


@pytest.mark.parametrize("level", tsp_run.LEVELS)
def test_every_level_gives_the_same_outputs(level: str, folder: Path) -> None:
    for name in ("digits.mlir", "digits_two_chips.mlir"):
        run(folder / name, "--inputs", HELD_OUT, "--output", folder / f"{name}.npz", "--level", level)
    one, two = (outputs(folder / f"{name}.npz") for name in ("digits.mlir", "digits_two_chips.mlir"))
    assert one.keys() == two.keys() == {"logits"}
    assert one["logits"].dtype == np.int32 and np.array_equal(one["logits"], two["logits"])


def test_a_program_file_runs_without_module_and_weights(folder: Path, tmp_path: Path) -> None:
    said = run(folder / "digits.mlir", "-o", folder / "p.tspx")
    assert re.fullmatch(r".*/p\.tspx: \d+ cycles, compiled in [\d.]+ s; not run: no --inputs\n", said)
    for name in ("digits.mlir", "digits.safetensors"):
        (folder / name).unlink()
    for engine in ENGINES:
        run(folder / "p.tspx", "--inputs", HELD_OUT, "--output", folder / f"{engine}.npz", "--engine", engine)
    run(MODEL, "--inputs", HELD_OUT, "--output", folder / "module.npz")
    for engine in ENGINES:
        assert np.array_equal(outputs(folder / f"{engine}.npz")["logits"], outputs(folder / "module.npz")["logits"])


def test_outputs_may_have_any_name(folder: Path) -> None:
    """Also those that numpy's own `savez` takes for its arguments."""
    for name in ("file", "allow_pickle", "a b", "args", "arr_0", "größe"):
        text = MODEL.read_text().replace('"logits"', f'"{name}"')
        (folder / "m.mlir").write_text(text, encoding="utf-8")
        run(folder / "m.mlir", "--inputs", HELD_OUT, "--output", folder / "y.npz")
        assert outputs(folder / "y.npz").keys() == {name}


def test_unused_inputs_are_asked_for_at_every_level(tmp_path: Path) -> None:
    """A function's inputs are the program's, whether it uses them or not."""
    (tmp_path / "m.mlir").write_text("""
func.func @main(%x: tensor<2x3xi8> {tsp_tensor.name = "x"}, %y: tensor<4xf32> {tsp_tensor.name = "y"})
    -> (tensor<2x3xi8> {tsp_tensor.name = "z"}) {
  func.return %x : tensor<2x3xi8>
}""")
    x = np.arange(6, dtype=np.int8).reshape(2, 3)
    np.savez(tmp_path / "both.npz", x=x, y=np.zeros(4, np.float32))
    np.savez(tmp_path / "one.npz", x=x)
    for level in tsp_run.LEVELS:
        run(tmp_path / "m.mlir", "--inputs", tmp_path / "both.npz", "--output", tmp_path / "z.npz", "--level", level)
        assert np.array_equal(outputs(tmp_path / "z.npz")["z"], x)
        assert refused(tmp_path / "m.mlir", "--inputs", tmp_path / "one.npz", "--level", level) == (
            "input `y` (4 of float32) is missing"
        )


def test_a_target_changes_the_machine_and_not_the_outputs(folder: Path) -> None:
    (folder / "chip.toml").write_text("[chip]\nlatency_array = 40\nclock_mhz = 450\n")
    plain = run(folder / "digits.mlir", "--inputs", HELD_OUT, "--output", folder / "a.npz")
    other = run(
        *(folder / "digits.mlir", "--inputs", HELD_OUT, "--output", folder / "b.npz"),
        *("--target", folder / "chip.toml"),
    )
    assert np.array_equal(outputs(folder / "a.npz")["logits"], outputs(folder / "b.npz")["logits"])
    slow, fast = (int(re.search(r"cycles +(\d+)", text)[1]) for text in (other, plain))  # type: ignore[index]
    assert slow >= fast + (40 - 13)
    assert f"{slow / 450:.2f} us at 450 MHz" in other


# -- command lines -------------------------------------------------------------------------------------------------

USAGE = {
    "nothing": ([], "the following arguments are required: file"),
    "engine": (["--engine", "jitt", MODEL], "argument --engine: invalid choice: 'jitt' (choose from"),
    "mode": (["--mode", "fast", MODEL], "argument --mode: invalid choice: 'fast' (choose from"),
    "mode of another engine": (
        [MODEL, "--inputs", HELD_OUT, "--engine", "reference", "--mode", "bulk"],
        "--mode bulk is for the jit engine; omit --engine or --mode",
    ),
    "mode of a part": ([MODEL, "--stop-at", "9", "--mode", "bulk"], "--stop-at runs cycle by cycle, in the reference"),
    "level": (["--level", "streams", MODEL], "argument --level: invalid choice: 'streams' (choose from"),
    "option": (["m.mlir", "--inptus", "x"], "unrecognized arguments: --inptus x; did you mean `--inputs`?"),
    "two files": ([MODEL, MODEL], "unrecognized arguments: "),
    "values to a file": ([MODEL, "--level", "tensor", "-o", "x.tspx"], "--level tensor runs values without a program"),
    "values of a program": (["x.tspx", "--level", "stream"], "--level stream runs values without a program"),
    "target of a program": (["x.tspx", "--target", "x"], "a .tspx program contains its machine and weights"),
    "weights of a program": (["x.tspx", "--weights", "x"], "a .tspx program contains its machine and weights"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_command_lines(case: str) -> None:
    args, message = USAGE[case]
    assert refused(*args).startswith(message)


def test_a_level_that_lies_behind(folder: Path) -> None:
    (folder / "isa.mlir").write_text(opt(folder / "digits.mlir", "-p", "tsp-compile"))
    assert refused(folder / "isa.mlir", "--inputs", HELD_OUT, "--level", "stream") == (
        f"{folder}/isa.mlir is at the isa level already; it cannot be run at the stream level"
    )


def test_files_that_cannot_be_written_are_refused_before_anything_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option, suffix in (("--output", ".npz"), ("-o", ".tspx")):
        args = ("no such model.mlir", option)
        assert refused(*args, folder) == f"{folder}: Is a directory; name a file in it"
        assert refused(*args, folder / "no" / "x") == f"{folder}/no/x: there is no folder {folder}/no; make it first"
        assert refused(*args, folder / "x") == (
            f"{folder}/x: what is written there is a {suffix} file; call it x{suffix}"
        )
    run(folder / "digits.mlir", "--inputs", HELD_OUT, "--output", os.devnull)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # nothing is forbidden to root
    assert refused("m.mlir", "--output", folder / "x.npz").startswith(f"{folder}/x.npz: Permission denied; name")


# -- modules -------------------------------------------------------------------------------------------------------

MODULES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "m.mlir:1:1: there is no module in the text"),
    "garbage": (bytes(range(256)), "m.mlir is not UTF-8 text: byte 0x80 in line 2; save text"),
    "program by another name": (struct.pack("<Q", 240) + b"{}", "m.mlir is not UTF-8 text: byte 0xf0 in line 1"),
    "wrong shape": (
        MODEL.read_bytes().replace(b"128x10xi8", b"127x10xi8"),
        "m.mlir:25:5: `tsp_tensor.matmul`: shapes do not multiply: tensor<360x128xi8> by tensor<127x10xi8>",
    ),
    "unknown op": (
        MODEL.read_bytes().replace(b"tensor.matmul", b"tensor.matmil"),
        "m.mlir:8:13: there is no op `tsp_tensor.matmil`; did you mean `tsp_tensor.matmul`?",
    ),
    "no function": (b"builtin.module {}", "the module has no function; write one as func.func @main"),
    "returns nothing": (
        b"func.func @main(%x: tensor<4xi8>) {\n  func.return\n}",
        "m.mlir:1:1: `func.func`: the function returns nothing; return what it computes",
    ),
    "no tensor": (
        b"func.func @main(%x: i32) -> i32 {\n  func.return %x : i32\n}",
        "m.mlir:1:1: `func.func`: argument `arg0`: is i32, not a tensor",
    ),
    "too large": (
        b"func.func @main(%x: tensor<400000x1xi8>) -> tensor<400000x1xi8> {\n  func.return %x : tensor<400000x1xi8>\n}",
        "m.mlir:2:3: `tsp_stream.read`: 256000000 bytes of SRAM are needed at once here, 25313280 more than the "
        "230686720 of chip 0: 0 by parameters and constants, 256000000 by other tensors (output `result0`",
    ),
}


@pytest.mark.parametrize("case", MODULES)
def test_modules_that_cannot_be_run(case: str, folder: Path) -> None:
    data, message = MODULES[case]
    (folder / "m.mlir").write_bytes(data)
    assert refused(folder / "m.mlir", "--random-inputs").replace(f"{folder}/", "").startswith(message)


VALUES: dict[str, tuple[str, str]] = {
    "i32": (
        "%x: i32) -> i32 {\n  func.return %x : i32\n}",
        "m.mlir:1:1: `func.func`: input `arg0` is i32; the host gives and takes tensors",
    ),
    "unranked": (
        "%x: tensor<*xi8>) -> tensor<*xi8> {\n  func.return %x : tensor<*xi8>\n}",
        "m.mlir:1:1: `func.func`: input `arg0` is tensor<*xi8>; the host gives and takes tensors of static shape",
    ),
    "f64": (
        "%x: tensor<4xf64>) -> tensor<4xf64> {\n  func.return %x : tensor<4xf64>\n}",
        "m.mlir:1:1: `func.func`: input `arg0` is tensor<4xf64>: element type f64 is not supported; use f32",
    ),
    "dynamic": (
        "%x: tensor<?xi8>) -> tensor<?xi8> {\n  func.return %x : tensor<?xi8>\n}",
        "m.mlir:1:1: `func.func`: input `arg0` is tensor<?xi8>; give it a static shape",
    ),
    "two functions": (
        ") {\n  func.return\n}\nfunc.func @b() {\n  func.return\n}",
        "m.mlir:4:1: `func.func`: a program is one function; inline or remove the others, or mark those that run "
        "on chips with tsp_tensor.program",
    ),
    "branches": (
        "%x: tensor<4xi8>) -> tensor<4xi8> {\n  cf.br ^b\n^b:\n  func.return %x : tensor<4xi8>\n}",
        "m.mlir:1:1: `func.func`: has 2 blocks; use a single one",
    ),
}


@pytest.mark.parametrize("level", ["tensor", "stream"])
@pytest.mark.parametrize("case", VALUES)
def test_modules_whose_values_cannot_be_run(case: str, level: str, folder: Path) -> None:
    text, message = VALUES[case]
    (folder / "m.mlir").write_text(f"func.func @main({text}")
    assert refused(folder / "m.mlir", "--level", level).replace(f"{folder}/", "").startswith(message)


def test_a_missing_module() -> None:
    assert refused("none.mlir") == "none.mlir: No such file or directory"


# -- inputs --------------------------------------------------------------------------------------------------------


def archive(**members: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name, data in members.items():
                file.writestr(name.replace("_npy", ".npy"), data)

    return write


def claiming(*shape: int) -> bytes:
    """The head of an array that claims a shape, and no data."""
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|i1", "fortran_order": False, "shape": shape})
    return data.getvalue()


def bytes_of(change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = bytearray(HELD_OUT.read_bytes())
        change(data)
        path.write_bytes(data)

    return write


RIGHT = np.zeros((360, 8, 8), np.int8)

INPUTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (lambda p: None, "the inputs {} cannot be read: [Errno 2] No such file or directory"),
    "folder": (lambda p: p.mkdir(), "the inputs {} cannot be read: [Errno 21] Is a directory"),
    "empty file": (lambda p: p.write_bytes(b""), "{} is not an .npz file; give one with the inputs by name"),
    "text": (lambda p: p.write_text("1, 2, 3"), "{} is not an .npz file; give one with the inputs by name"),
    "unnamed array": (lambda p: p.write_bytes(claiming(3)), "{} is not an .npz file; give one with the inputs by name"),
    "pickle": (
        lambda p: np.save(p, np.array([{}], object)) or (p.parent / "x.npz.npy").rename(p),
        "{} is not an .npz file",
    ),
    "truncated": (bytes_of(lambda data: data.__delitem__(slice(2000, None))), "{} is not an .npz file"),
    "damaged": (bytes_of(lambda data: data.__setitem__(3000, data[3000] ^ 1)), "the inputs {} cannot be read: "),
    "nothing in it": (lambda p: np.savez(p), "input `images` (360x8x8 of int8) is missing"),
    "shape": (
        lambda p: np.savez(p, images=RIGHT[:1]),
        "input `images` must be 360x8x8 of int8, not 1x8x8 of int8",
    ),
    "type": (
        lambda p: np.savez(p, images=RIGHT.astype(np.float64)),
        "input `images` must be 360x8x8 of int8, not 360x8x8 of float64",
    ),
    "sign": (
        lambda p: np.savez(p, images=RIGHT.view(np.uint8)),
        "input `images` must be 360x8x8 of int8, not 360x8x8 of u",
    ),
    "order of bytes": (
        lambda p: np.savez(p, images=RIGHT.astype(">i2")),
        "input `images` must be 360x8x8 of int8, not 360x8x8 of >i2",
    ),
    "text in it": (lambda p: np.savez(p, images=np.array("a")), "input `images` must be 360x8x8 of int8, not  of <U1"),
    "records": (
        lambda p: np.savez(p, images=np.zeros(3, "i4,f8")),
        "input `images` must be 360x8x8 of int8, not 3 of [(",
    ),
    "name": (
        lambda p: np.savez(p, image=RIGHT),
        "input `images` (360x8x8 of int8) is missing; did you mean `image`?; input `image` is unknown; did you mean "
        "`images`?",
    ),
    "one too many": (lambda p: np.savez(p, images=RIGHT, more=RIGHT), "input `more` is unknown"),
    "objects": (
        lambda p: np.savez(p, images=np.array([{}, 1], object)),
        "the inputs {} cannot be read: Object arrays cannot be loaded when allow_pickle=False",
    ),
    "no array": (archive(images_npy=b"", images=b"text"), "{}: `images` is not an array"),
    "broken head": (archive(images_npy=b"\x93NUMPYjunk"), "the inputs {} cannot be read: "),
    "huge": (archive(images_npy=claiming(1 << 50)), "the inputs {} cannot be read: Unable to allocate"),
    "beyond": (archive(images_npy=claiming(1 << 62, 1 << 62)), "the inputs {} cannot be read: "),
    "negative": (archive(images_npy=claiming(-1)), "the inputs {} cannot be read: "),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs_that_misfit(case: str, tmp_path: Path) -> None:
    write, message = INPUTS[case]
    path = tmp_path / "x.npz"
    write(path)
    assert refused(MODEL, "--inputs", path).startswith(message.format(path))


def test_inputs_that_are_not_given() -> None:
    for level in tsp_run.LEVELS:
        assert refused(MODEL, "--level", level) == (
            "input `images` (360x8x8 of int8) is missing; give --inputs X.npz, or --random-inputs"
        )


# -- weights -------------------------------------------------------------------------------------------------------


def changed_weights(**changes: Array | None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tensors = load_file(DIGITS / "digits.safetensors")
        for name, value in changes.items():
            del tensors[name.replace("_", ".")]
            if value is not None:
                tensors[name.replace("_", ".")] = value
        save_file(tensors, path)

    return write


def alien(dtype: str, size: int) -> Callable[[Path], None]:
    """A file with a tensor of a type that numpy lacks."""

    def write(path: Path) -> None:
        entry = {"fc1.weight": {"dtype": dtype, "shape": [64, 128], "data_offsets": [0, size]}}
        header = json.dumps(entry).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))

    return write


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing file": (lambda p: None, "the weights file {} cannot be read: No such file or directory"),
    "folder": (lambda p: p.mkdir(), "the weights file {} cannot be read: "),
    "garbage": (lambda p: p.write_bytes(b"garbage garbage"), "the weights file {} cannot be read: "),
    "missing": (
        changed_weights(fc1_bias=None),
        "the weights file w.safetensors lacks `fc1.bias`; did you mean `fc2.bias`?",
    ),
    "type": (
        changed_weights(fc1_bias=np.zeros(128, np.int64)),
        "parameter `fc1.bias` must be 128 of int32, not 128 of int64",
    ),
    "two of them": (
        changed_weights(fc1_bias=np.zeros(127, np.int32), fc2_bias=np.zeros(10, np.float32)),
        "parameter `fc1.bias` must be 128 of int32, not 127 of int32; parameter `fc2.bias` must be 10 of int32, not 10 "
        "of float32",
    ),
    "bf16": (alien("BF16", 16384), "parameter `fc1.weight` is BF16, which numpy does not have"),
    "fp8": (alien("F8_E4M3", 8192), "parameter `fc1.weight` is F8_E4M3, which numpy does not have"),
    "fp4": (alien("F4", 4096), "parameter `fc1.weight` is F4, which numpy does not have"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_misfit(case: str, tmp_path: Path) -> None:
    write, message = WEIGHTS[case]
    path = tmp_path / "w.safetensors"
    write(path)
    assert refused(MODEL, "--inputs", HELD_OUT, "--weights", path).startswith(message.format(path))


def naming(folder: Path, weights: str) -> Path:
    """The model with another name for its weights file."""
    path = folder / "m.mlir"
    path.write_text(MODEL.read_text().replace('"digits.safetensors"', json.dumps(weights)))
    return path


@pytest.mark.parametrize("way", ["up", "absolute", "link", "link to a folder"])
@pytest.mark.parametrize("level", tsp_run.LEVELS)
def test_a_module_cannot_name_weights_outside_its_folder(way: str, level: str, tmp_path: Path) -> None:
    folder, outside = tmp_path / "model", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    shutil.copy(DIGITS / "digits.safetensors", outside / "w.safetensors")
    (folder / "link.safetensors").symlink_to(outside / "w.safetensors")
    (folder / "inside").symlink_to(outside)
    name = {
        "up": "../outside/w.safetensors",
        "absolute": str(outside / "w.safetensors"),
        "link": "link.safetensors",
        "link to a folder": "inside/w.safetensors",
    }[way]
    module = naming(folder, name)
    args = (module, "--inputs", HELD_OUT, "--level", level)
    assert refused(*args) == (
        f"the weights file `{name}` lies outside the module's folder; move it there, or allow it with "
        "--allow-outside-weights"
    )
    run(*args, "--allow-outside-weights")
    run(*args, "--weights", outside / "w.safetensors")


def test_a_module_in_the_working_folder_finds_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run("digits.mlir", "--inputs", HELD_OUT)
    (folder / "sub").mkdir()
    os.replace("digits.safetensors", "sub/w.safetensors")
    run(naming(folder, "sub/../sub/./w.safetensors").name, "--inputs", HELD_OUT)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the weights file {} cannot be read: "),
        (".", "the weights file {} cannot be read: "),
        ("none.safetensors", "the weights file {}/none.safetensors cannot be read: No such file or directory"),
        ("x" * 5000, "the weights file {}/xxx"),
    ],
    ids=["empty", "folder", "missing", "long"],
)
def test_names_that_are_no_file(name: str, message: str, tmp_path: Path) -> None:
    assert refused(naming(tmp_path, name), "--inputs", HELD_OUT).startswith(message.format(tmp_path))


def test_names_that_are_no_path(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(MODEL.read_text().replace('"digits.safetensors"', '"a\\00b"'))
    assert "has no path: embedded null byte" in refused(tmp_path / "m.mlir", "--inputs", HELD_OUT)
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    assert "the weights file" in refused(naming(tmp_path, "ring"), "--inputs", HELD_OUT)
    (tmp_path / "m.mlir").write_text(MODEL.read_text().replace('"digits.safetensors"', "3 : i32"))
    assert refused(tmp_path / "m.mlir", "--inputs", HELD_OUT) == (
        "module attribute `tsp_tensor.weights` must be a string, not 3 : i32"
    )
    (tmp_path / "m.mlir").write_text(
        MODEL.read_text().replace(' attributes {tsp_tensor.weights = "digits.safetensors"}', "")
    )
    assert refused(tmp_path / "m.mlir", "--inputs", HELD_OUT) == (
        "the module has parameters (fc1.bias, fc1.weight, fc2.bias, fc2.weight) but names no weights file; give the "
        "module attribute `tsp_tensor.weights` or --weights"
    )


# -- targets and programs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[chip]\nstream = 16", "target field `chip.stream` is unknown; did you mean `chip.streams`?"),
        ('[chip]\nstreams = "a"', "target field `streams`: expected int, got 'a'; give a plain number"),
        ("[chip]\nstreams = 129", "target field `streams`: 129 is outside 16..128 (streams)"),
        ("[chip", "target is not valid TOML: "),
    ],
    ids=["name", "type", "range", "syntax"],
)
def test_targets_that_are_wrong(toml: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    path.write_text(toml)
    assert refused(MODEL, "--inputs", HELD_OUT, "--target", path).startswith(f"{path}: {message}")


def test_targets_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    assert refused(MODEL, "--target", path).startswith(f"target file {path} cannot be read: ")
    path.write_bytes(b"\xff\xfe")
    assert refused(MODEL, "--target", path).startswith(f"target file {path} cannot be read: 'utf-8' codec can't decode")
    path.write_text("a = " + "[" * 20_000)
    assert refused(MODEL, "--target", path) == "the input is nested too deeply to be read"


def test_programs_that_cannot_be_read(folder: Path) -> None:
    path = folder / "p.tspx"
    assert refused(path) == f"{path} cannot be read: No such file or directory"
    path.write_bytes(b"")
    assert refused(path).startswith(f"{path}: the file is damaged or not a .tspx file: ")
    run(folder / "digits.mlir", "-o", path)
    data = path.read_bytes()
    for length in (7, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert refused(path, "--inputs", HELD_OUT).startswith(f"{path}: the file is damaged or not a .tspx file: ")
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert refused(path, "--inputs", HELD_OUT) == (
        f"{path}: the file is damaged: its digest does not match; write it again"
    )


def test_a_hazard_is_a_paragraph_too(folder: Path) -> None:
    timed = opt(folder / "digits.mlir", "-p", ",".join([*STAGES][: [*STAGES].index("isa-assemble")]))
    at = re.search(r"tsp_isa\.abc at (\d+)", timed)
    assert at is not None
    (folder / "m.mlir").write_text(timed[: at.start(1)] + str(int(at[1]) - 1) + timed[at.end(1) :])
    assert refused(folder / "m.mlir", "--inputs", HELD_OUT).startswith("hazard [stream-empty] chip 0, cycle ")


# -- console script ------------------------------------------------------------------------------------------------


def test_the_console_script_ends_with_the_code_and_nothing_on_stdout(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("tsp-run")
    done = subprocess.run([tool, tmp_path / "none.mlir"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/none.mlir: No such file or directory\n"
    usage = subprocess.run([tool, "--engine", "x", "y"], capture_output=True, text=True, check=False)
    assert (usage.returncode, usage.stdout) == (1, "")
    assert usage.stderr.startswith("error: argument --engine: invalid choice: 'x'")


def test_help_says_what_there_is() -> None:
    outcome = call(tsp_run.main, "--help")
    assert outcome.code == 0
    assert all(option in outcome.out for option in ("--inputs", "--output", "--engine", "--level", "--target", "-o"))
