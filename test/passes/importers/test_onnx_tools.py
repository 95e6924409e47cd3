"""The tools and `tspc.compile` with ONNX models, good ones and broken ones."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tspc
from harness import refusal, succeeds
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import by_reference, model, node
from tspc.dialects.errors import InputError
from tspc.passes.importers.onnx import PRECISIONS
from tspc.runtime.interface import load_inputs, save_tensors
from tspc.tools import front_ends, tsp_run, tsp_translate

RNG = np.random.default_rng(9)
TABLE = RNG.standard_normal((5, 30)).astype(np.float32)


def small() -> onnx.ModelProto:
    """u8 and i64 come in and go out."""
    return model(
        [node("Add", "x x", "y"), node("Gather", "table n", "rows")],
        {"x": (np.uint8, (4,)), "n": (np.int64, (2,))},
        ["y", "rows"],
        {"table": TABLE},
    )


INPUTS = {"x": np.uint8([0, 1, 127, 200]), "n": np.int64([4, -5])}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    onnx.save(small(), tmp_path / "small.onnx")
    save_tensors(INPUTS, tmp_path / "x.npz")
    return tmp_path / "small.onnx"


def same(got: dict, proto: onnx.ModelProto) -> None:
    for name, want in by_reference(proto, INPUTS).items():
        assert got[name].dtype == want.dtype
        np.testing.assert_array_equal(got[name], want)


@pytest.mark.parametrize("level", ["tensor", "isa"])
def test_tsp_run_takes_and_gives_the_types_of_the_model(saved: Path, level: str) -> None:
    inputs, outputs = saved.with_name("x.npz"), saved.with_name("y.npz")
    succeeds(tsp_run.main, saved, "--inputs", inputs, "--output", outputs, "--level", level)
    same(load_inputs(outputs), small())


def test_tsp_translate_writes_a_module_and_its_weights(saved: Path) -> None:
    target = saved.with_suffix(".mlir")
    succeeds(tsp_translate.main, saved, "-o", target)
    assert 'tsp_tensor.weights = "small.safetensors"' in target.read_text()
    carriers = {"x": np.int8([-128, -127, -1, 72]), "n": np.int32([4, -5])}
    save_tensors(carriers, saved.with_name("c.npz"))
    succeeds(
        tsp_run.main,
        target,
        "--inputs",
        saved.with_name("c.npz"),
        "--output",
        saved.with_name("y.npz"),
        "--level",
        "tensor",
    )
    got = load_inputs(saved.with_name("y.npz"))
    np.testing.assert_array_equal(got["y"].astype(int) + 128, [0, 2, 254, 144])


def test_compile_gives_a_program_of_the_model(saved: Path) -> None:
    program = tspc.compile(saved)
    assert program.inputs["x"].dtype == np.uint8 and program.outputs["rows"].shape == (2, 30)
    same(program.run(INPUTS), small())
    same(pickle.loads(pickle.dumps(program)).run(INPUTS), small())
    with pytest.raises(InputError, match=r"input `x` must be 4 of uint8, not 3 of uint8"):
        program.run({**INPUTS, "x": INPUTS["x"][:3]})


def test_compile_takes_a_model_and_samples() -> None:
    proto = model([node("Relu", "x", "y")], {"x": (np.float32, ("batch", 3))}, ["y"])
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(tspc.compile(proto, inputs={"x": x}).run({"x": x})["y"], np.maximum(x, 0))


# -- broken models ---------------------------------------------------------------------------------------------


def written(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None) -> None:
    """A model from x to y, [2, 3] both, that nothing has checked."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in "xy")
    tensors = [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], tensors)), path)


def _cut(path: Path) -> None:
    whole = small().SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])


def _cycle(path: Path) -> None:
    written(path, [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")])


def _unknown(path: Path) -> None:
    written(path, [node("Relux", "x", "y")])


def _misfit(path: Path) -> None:
    written(path, [node("Add", "x w", "y")], {"w": np.zeros((4, 5), np.float32)})


def _elsewhere(path: Path) -> None:
    written(path, [node("Add", "x w", "y")], {"w": np.zeros((2, 3), np.float32)})
    proto = onnx.load(path)
    onnx.save_model(proto, path, save_as_external_data=True, location="gone.bin", size_threshold=0)
    path.with_name("gone.bin").unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is no ONNX model: it has no graph"),
    "text": (
        lambda path: path.write_text("builtin.module {}"),
        "is no ONNX model: its bytes are no protobuf of that kind",
    ),
    "cut": (_cut, "is no ONNX model: its bytes are no protobuf of that kind"),
    "cycle": (_cycle, "uses `b`, which is made only later, or from itself: the graph has a cycle"),
    "unknown": (_unknown, "is no valid model: No Op registered for Relux"),
    "misfit": (_misfit, "Add of y: Add: shapes [2, 3], [4, 5] do not broadcast"),
    "elsewhere": (_elsewhere, "data of its tensors lies in other files"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_named_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    make, message = BROKEN[name]
    path = tmp_path / f"{name}.onnx"
    make(path)
    before = {*tmp_path.iterdir()}
    text = refusal(tsp_translate.main, path, "-o", tmp_path / "out.mlir")
    assert message in text and "Traceback" not in text
    assert {*tmp_path.iterdir()} == before


def test_not_a_number_among_weights_is_a_weight(tmp_path: Path) -> None:
    written(tmp_path / "m.onnx", [node("Add", "x w", "y")], {"w": np.full((2, 3), np.nan, np.float32)})
    succeeds(tsp_translate.main, tmp_path / "m.onnx", "-o", tmp_path / "out.mlir")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shape", "x=axb"], "`x=axb` is no shape of an input; write NAME=1x3x224x224"),
        (["--shape", "z=2x3"], "input `z` is unknown; the model has `x`, `n`"),
        (["--weights", "w.safetensors"], "an .onnx model has its weights inside; leave out --weights"),
    ],
)
def test_options_that_misfit_are_refused(saved: Path, options: list[str], message: str) -> None:
    assert message in refusal(tsp_run.main, saved, *options)


def test_without_the_package_the_remedy_is_said(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "are read by the package `onnx`; pip install 'tspc[onnx]'" in refusal(tsp_run.main, saved)


def test_the_tools_know_the_precisions() -> None:
    assert front_ends.PRECISIONS == PRECISIONS


def test_options_of_onnx_models_are_for_those(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text("builtin.module {}")
    for options in (["--shape", "x=1"], ["--precision", "f16"], ["--inputs", "x.npz"]):
        text = refusal(tsp_translate.main, tmp_path / "m.mlir", "--disassemble", *options)
        assert "for .onnx models, which" in text
    assert "--shape and --precision are for .onnx models" in refusal(
        tsp_run.main, tmp_path / "m.mlir", "--precision", "f16"
    )
