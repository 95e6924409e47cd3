"""`import tspc`: a model becomes a program, which runs, is saved and loaded, and says what it is."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tspc
from harness import DIGITS, DIGITS_TIMED
from safetensors.numpy import load_file, save_file
from tspc.dialects.errors import CapacityError, InputError, MalformedProgram, TargetError, UnsupportedModel
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.passes.pipelines import parse
from tspc.runtime.executable import Loaded
from tspc.runtime.interface import load_inputs
from tspc.runtime.jit import JitEngine
from tspc.tools.profile import profile
from xdsl.dialects.builtin import ModuleOp

ROOT = Path(__file__).resolve().parents[2]
MODEL = DIGITS / "digits.mlir"
WEIGHTS = DIGITS / "digits.safetensors"
INPUTS = load_inputs(DIGITS / "held_out.npz")
SUM = """func.func @main(%x: tensor<4x8xi32>) -> tensor<4x8xi32> {
  %y = tsp_tensor.map %x, %x : (tensor<4x8xi32>, tensor<4x8xi32>) -> tensor<4x8xi32> {
  ^bb0(%a: i32, %b: i32):
    %c = arith.addi %a, %b : i32
    tsp_tensor.yield %c : i32
  }
  func.return %y : tensor<4x8xi32>
}"""
X = np.arange(32, dtype=np.int32).reshape(4, 8)


@pytest.fixture(scope="module")
def digits() -> tspc.Program:
    return tspc.compile(MODEL)


def logits(program: tspc.Program) -> np.ndarray:
    return program.run({"images": INPUTS["images"]})["logits"]


def test_a_text_becomes_a_program_that_runs() -> None:
    program = tspc.compile(SUM)
    assert np.array_equal(program.run({"arg0": X})["result0"], X + X)
    assert np.array_equal(program.run({"arg0": -X})["result0"], -X - X)
    assert repr(program) == (
        f"<program of {program.cycles} cycles on 1 chip: (arg0: 4x8 of int32) -> (result0: 4x8 of int32)>"
    )


def test_a_file_finds_its_weights_beside_it(digits: tspc.Program) -> None:
    w = load_file(WEIGHTS)
    sums = INPUTS["images"].reshape(360, 64).astype(np.int32) @ w["fc1.weight"].astype(np.int32) + w["fc1.bias"]
    hidden = np.rint(np.clip(sums.astype(np.float32) * np.float32(3.08494829e-03), 0, 127)).astype(np.int32)
    assert np.array_equal(logits(digits), hidden @ w["fc2.weight"].astype(np.int32) + w["fc2.bias"])
    assert [*digits.inputs] == ["images"]
    assert digits.outputs["logits"].shape == (360, 10)


@pytest.mark.parametrize("weights", [WEIGHTS, str(WEIGHTS), load_file(WEIGHTS)], ids=["path", "string", "arrays"])
def test_weights_come_from_where_they_are_said_to_be(digits: tspc.Program, weights: object) -> None:
    assert np.array_equal(logits(tspc.compile(MODEL.read_text(), weights=weights)), logits(digits))


def test_other_weights_take_the_place_of_the_file(digits: tspc.Program, tmp_path: Path) -> None:
    none = {name: np.zeros_like(value) for name, value in load_file(WEIGHTS).items()}
    save_file(none, tmp_path / "none.safetensors")
    assert not logits(tspc.compile(str(MODEL), weights=tmp_path / "none.safetensors")).any()
    assert logits(digits).any()


def test_a_module_stays_as_it_was() -> None:
    module = parse(MODEL.read_text())
    before = str(module)
    program = tspc.compile(module, target=ChipSpec(slices=64), weights=WEIGHTS)
    assert program.executable.program.system == SystemSpec(ChipSpec(slices=64))
    assert str(module) == before
    with pytest.raises(CapacityError):
        tspc.compile(module, target=ChipSpec(slices=8, words=16), weights=WEIGHTS)
    assert str(module) == before


def test_a_module_within_another_has_its_machine() -> None:
    text = f"builtin.module attributes {{tsp_isa.target = #tsp_isa.target<chip.slices = 64>}} {{ module {{ {SUM} }} }}"
    inner = parse(text).body.block.first_op
    assert isinstance(inner, ModuleOp)
    assert tspc.compile(inner).executable.program.system.chip.slices == 64


def test_the_machine_is_a_description_or_a_file(tmp_path: Path) -> None:
    system = SystemSpec(ChipSpec(slices=64))
    file = tmp_path / "chip.toml"
    file.write_text("[chip]\nslices = 64\n")
    for target in (system, system.chip, file, str(file)):
        assert tspc.compile(SUM, target=target).executable.program.system == system
    with pytest.raises(TargetError, match=r"none\.toml cannot be read"):
        tspc.compile(SUM, target=tmp_path / "none.toml")


def test_a_finished_program_is_taken_too() -> None:
    program = tspc.compile(DIGITS_TIMED, weights=WEIGHTS)
    assert logits(program).shape == (360, 10)


def test_what_is_compiled_is_saved_and_loaded(digits: tspc.Program, tmp_path: Path) -> None:
    digits.save(tmp_path / "digits.tspx")
    digits.save(str(tmp_path / "again.tspx"))
    assert (tmp_path / "digits.tspx").read_bytes() == (tmp_path / "again.tspx").read_bytes()
    again = tspc.load(str(tmp_path / "digits.tspx"))
    assert again.cycles == digits.cycles
    assert np.array_equal(logits(again), logits(digits))
    with pytest.raises(MalformedProgram, match=r"is a compiled program; give it to tspc\.load"):
        tspc.compile(str(tmp_path / "digits.tspx"))
    with pytest.raises(MalformedProgram, match=r"none\.tspx cannot be read"):
        tspc.load(tmp_path / "none.tspx")


def test_a_program_is_pickled_with_its_weights(digits: tspc.Program) -> None:
    again = pickle.loads(pickle.dumps(digits))
    assert isinstance(again, tspc.Program)
    assert np.array_equal(logits(again), logits(digits))


def test_a_program_says_what_bounds_it(digits: tspc.Program) -> None:
    assert digits.cycles == digits.executable.program.cycles == digits.profile.cycles
    assert digits.profile == profile(digits.executable.program)
    assert digits.profile is digits.profile


def test_another_engine_loads_the_executable(digits: tspc.Program) -> None:
    loaded = Loaded(digits.executable, JitEngine(mode="bulk"))
    assert loaded.session.mode == "bulk"
    outputs, stats = loaded.run(INPUTS)
    assert np.array_equal(outputs["logits"], logits(digits))
    assert stats.cycles == (digits.cycles,)


def test_threads_share_a_program() -> None:
    """Also where none of them has run it yet, and each has inputs of its own."""
    program = tspc.compile(SUM)

    def works(thread: int) -> bool:
        return np.array_equal(program.run({"arg0": X * thread})["result0"], 2 * thread * X)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(works, range(40)))


def test_what_misfits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"parameters \(fc1\.bias, .*\) but comes from no file .*; give `weights`"):
        tspc.compile(MODEL.read_text())
    unnamed = tmp_path / "unnamed.mlir"
    unnamed.write_text(MODEL.read_text().replace('tsp_tensor.weights = "digits.safetensors"', ""))
    with pytest.raises(InputError, match=r"parameters \(fc1\.bias, .*\) but names no weights file; give `weights`"):
        tspc.compile(unnamed)
    with pytest.raises(InputError, match=r"parameter `fc1\.weight` .* is missing; did you mean `fc1\.weigth`"):
        tspc.compile(MODEL, weights={"fc1.weigth": X})
    with pytest.raises(UnsupportedModel):
        tspc.compile("func.func @main(%x: tensor<4x8xi64>) -> tensor<4x8xi64> { func.return %x : tensor<4x8xi64> }")
    program = tspc.compile(SUM)
    with pytest.raises(InputError, match="input `arg0` must be 4x8 of int32, not 2x3 of int64"):
        program.run({"arg0": [[1, 2, 3], [4, 5, 6]]})


# -- the package ---------------------------------------------------------------------------------------------------


def test_importing_tspc_imports_nothing_else() -> None:
    """Nothing that is not Python's own."""
    code = (
        "import sys; before = {*sys.modules}; import tspc; dir(tspc); from tspc import __all__;"
        "print(*{m.partition('.')[0] for m in {*sys.modules} - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tspc"]


def test_all_that_is_public_is_there() -> None:
    assert dir(tspc) == sorted(tspc.__all__)
    assert all(getattr(tspc, name) is not None for name in tspc.__all__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tspc.__version__ == version("tspc") == project["version"]
    assert tspc.__file__ is not None
    assert Path(tspc.__file__).with_name("py.typed").exists()
    with pytest.raises(AttributeError, match="'tspc' has no attribute 'complie'"):
        _ = tspc.complie


def test_python_m_tspc_says_what_there_is() -> None:
    done = subprocess.run([sys.executable, "-m", "tspc"], capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert done.stdout.startswith(f"tspc {project['version']}: {project['description']}\n")
    assert all(f"  {tool}: " in done.stdout for tool in project["scripts"])
    pages = [line.split()[0] for line in done.stdout.splitlines() if ".md " in line]
    assert pages
    assert all((ROOT / page).exists() for page in pages)
