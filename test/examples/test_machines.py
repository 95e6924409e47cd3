"""The models of the examples, in small, on machines that differ in what the compiler has to divide: the same bits."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from machines import MACHINES
from tspc.dialects.errors import UnsupportedModel
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

Arrays = dict[str, np.ndarray]


def load_builder(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_on_machines", EXAMPLES / name / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def encoder() -> tuple[str, Arrays, Arrays]:
    build = load_builder("bert")
    shape = build.Shape(2, 40, 64, 2, 64)
    return *build.build(shape, chips=1), {"states": build.states(shape)}


def decoder() -> tuple[str, Arrays, Arrays]:
    build = load_builder("decoder")
    shape = build.Shape(width=64, heads=4, key_heads=2, head=16, inner=96, entries=40)
    return *build.build(shape), build.inputs_of(shape, 20)


MODELS = {"encoder": encoder, "decoder": decoder}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", MODELS)
def test_models_on_machines(name: str, machine: str) -> None:
    text, weights, inputs = MODELS[name]()
    module = parse(text)
    module.attributes[TARGET] = TargetAttr(SystemSpec(MACHINES[machine]))
    expected = run_tensor(module, inputs, weights)
    if machine == "two planes":  # f16 takes a pair of planes of one hemisphere
        with pytest.raises(UnsupportedModel, match="takes a pair of planes, and a hemisphere has one; use i8"):
            compile(module)
        return
    got, _ = Loaded(executable_from_module(compile(module), weights), JitEngine(mode="bulk")).run(inputs)
    for key, array in expected.items():
        assert got[key].tobytes() == array.tobytes(), key
