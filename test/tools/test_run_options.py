"""tsp-run for scripts and for people: JSON, inputs that are made, machines that are printed and changed, progress."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import DIGITS, call, opt, refusal, run
from tspc.dialects.machine.target import load_file
from tspc.passes.pipelines import parse
from tspc.tools import tsp_run
from tspc.tools.progress import progress

MODEL = DIGITS / "digits.mlir"
TWO_CHIPS = DIGITS / "digits_two_chips.mlir"
HELD_OUT = DIGITS / "held_out.npz"

SMALL = """func.func @main(%x: tensor<4x64xi8> {tsp_tensor.name = "x"}, %s: tensor<4xf32> {tsp_tensor.name = "s"}) ->
    (tensor<4x64xi8> {tsp_tensor.name = "y"}, tensor<4xf32> {tsp_tensor.name = "t"}) {
  func.return %x, %s : tensor<4x64xi8>, tensor<4xf32>
}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.mlir"
    path.write_text(SMALL)
    return path


def as_json(*args: str | Path) -> dict[str, Any]:
    return json.loads(run(*args, "--json"))


# -- results -------------------------------------------------------------------------------------------------------


def test_json_says_what_the_table_does() -> None:
    result = as_json(TWO_CHIPS, "--inputs", HELD_OUT)
    assert result["cycles"] == max(result["cycles_per_chip"].values())
    assert sorted(result["cycles_per_chip"]) == ["0", "1"]
    assert result["time_us"] == result["cycles"] / result["clock_mhz"]
    assert 0 < result["busy"]["C2C"] < 1
    assert (result["run"], result["engine"], result["mode"]) == (True, "jit", "cycle")
    assert result["compile_seconds"] > 0 < result["simulate_seconds"]
    assert result["outputs"] == {"logits": {"shape": [360, 10], "type": "int32"}}
    assert f"cycles             {result['cycles']}" in " ".join(run(TWO_CHIPS, "--inputs", HELD_OUT).split(" "))


def test_json_of_a_program_that_is_not_run_and_of_values(small: Path) -> None:
    result = as_json(small, "-o", small.with_suffix(".tspx"))
    assert (result["run"], "busy" in result) == (False, False)
    assert result["outputs"]["t"] == {"shape": [4], "type": "float32"}
    values = as_json(small, "--random-inputs", "--level", "tensor")
    assert values == {"level": "tensor", "outputs": result["outputs"]}


@pytest.mark.parametrize("option", [["--profile"], ["--account"], ["--stop-at", "9"]])
def test_json_is_of_runs(option: list[str], small: Path) -> None:
    assert refusal(tsp_run.main, small, "--json", *option).startswith("--json prints the result of a run; leave it out")


# -- inputs --------------------------------------------------------------------------------------------------------


def made(small: Path, *args: str) -> dict[str, Any]:
    run(small, "--output", small.with_name("y.npz"), "--level", "tensor", *args)
    with np.load(small.with_name("y.npz")) as file:
        return dict(file)


def test_inputs_are_made_on_request_and_are_the_same_for_a_seed(small: Path) -> None:
    first, again, other = (
        made(small, *args) for args in (["--random-inputs"], ["--random-inputs=0"], ["--random-inputs", "1"])
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)
    assert first["y"].min() < -100
    assert first["y"].max() > 100
    assert 0 < np.std(first["t"]) < 3


def test_inputs_that_are_made_or_given_but_not_both(small: Path) -> None:
    args = (small, "--inputs", HELD_OUT, "--random-inputs")
    assert refusal(tsp_run.main, *args) == "argument --random-inputs: not allowed with argument --inputs"
    assert "is no seed, a number of 0 and more" in refusal(tsp_run.main, "--random-inputs", small)
    assert "is no seed" in refusal(tsp_run.main, small, "--random-inputs=-1")


def test_inputs_that_misfit_are_refused_before_a_model_is_compiled(small: Path) -> None:
    small.with_name("bad.toml").write_text("[chip]\nstreams = 16\nweight_streams = 16\nslices = 1\n")
    args = (small, "--inputs", HELD_OUT, "--target", small.with_name("bad.toml"))
    assert refusal(tsp_run.main, *args).startswith("input `x` (4x64 of int8) is missing")


def test_a_model_may_come_from_the_standard_input(small: Path) -> None:
    tool = Path(sys.executable).with_name("tsp-run")
    for text, code in ((SMALL, 0), (SMALL.replace("%x, %s :", "%x, %z :"), 1)):
        args = [tool, "-", "--random-inputs", "--json"]
        done = subprocess.run(args, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stderr.startswith("error: stdin:") if code else json.loads(done.stdout)["run"]


# -- machines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, MODEL, TWO_CHIPS], ids=["default", "one chip", "two chips"])
def test_the_printed_machine_is_read_back(model: Path | None, tmp_path: Path) -> None:
    (tmp_path / "change.toml").write_text("[chip]\nlatency_array = 40\n[system]\nclock_ppm = 1e-05\n")
    args = ([model] if model else []) + ["--print-target"]
    text = run(*args, "--target", tmp_path / "change.toml")
    (tmp_path / "whole.toml").write_text(text)
    system = load_file(tmp_path / "whole.toml")
    assert (system.chip.latency_array, system.clock_ppm, system.chips) == (40, 1e-05, 2 if model is TWO_CHIPS else 1)
    assert run(*args, "--target", tmp_path / "whole.toml") == text
    assert {*tomllib.loads(text)} == {"chip", "system"}


def test_printing_a_machine_runs_nothing(small: Path) -> None:
    assert refusal(tsp_run.main, small, "--print-target", "--profile").startswith("--print-target runs nothing; give")


def test_a_program_file_says_its_machine(small: Path) -> None:
    (small.with_name("chip.toml")).write_text("[chip]\nlatency_read = 2\n")
    program = small.with_suffix(".tspx")
    run(small, "--target", small.with_name("chip.toml"), "-o", program)
    assert run(program, "--print-target") == run("--print-target", "--target", small.with_name("chip.toml"))


def test_a_target_changes_only_the_numbers_that_it_gives(tmp_path: Path) -> None:
    for name in ("digits_two_chips.mlir", "digits.safetensors"):
        shutil.copy(DIGITS / name, tmp_path)
    (tmp_path / "chip.toml").write_text("[chip]\nlatency_send = 50\n")
    model = tmp_path / "digits_two_chips.mlir"
    args = ("--inputs", HELD_OUT, "--target", tmp_path / "chip.toml")
    quicker = as_json(model, *args)
    assert quicker["cycles"] <= as_json(model, "--inputs", HELD_OUT)["cycles"] - (215 - 50)
    assert len(quicker["cycles_per_chip"]) == 2
    module = parse(opt(model, "-p", f'set-target{{file="{tmp_path}/chip.toml"}}'))
    assert str(module.attributes["tsp_isa.target"]) == "#tsp_isa.target<chip.latency_send = 50, system.chips = 2>"


# -- progress ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_never_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("compiling", 2) as done:
            done("fuse-maps")
        assert bool(stream.getvalue()) == ("after fuse-maps" in stream.getvalue()) == shown


def test_progress_leaves_the_result_alone(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.io.StringIO", Terminal)  # what `call` catches stderr with
    outcome = call(tsp_run.main, small, "--random-inputs", "--json")
    assert json.loads(outcome.out)["run"]
    assert "compiling" in outcome.err
