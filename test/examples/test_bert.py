"""The BERT encoder, with random f16 weights: it compiles, has the tensor level's bits, and is near its formulas."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

BUILD = Path(__file__).resolve().parents[2] / "examples" / "bert" / "build.py"

Array = npt.NDArray[Any]


def load_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bert_build", BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bert = load_builder()


def normalised(x: Array, scale: Array, offset: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12) * scale + offset


def encoder(shape: Any, states: Array, weights: dict[str, Array]) -> Array:
    """The encoder by its formulas, in f64 [tokens, width]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    x = states.astype(np.float64)
    for n in range(shape.layers):
        name = f"layer{n}"

        def dense(part: str, x: Array, name: str = name) -> Array:
            return x @ w[f"{name}_{part}_weights"] + w[f"{name}_{part}_bias"]

        inputs = dense("attention_inputs", x)
        key, value, query = (
            inputs[:, at : at + shape.width].reshape(shape.tokens, shape.heads, shape.head).transpose(1, 0, 2)
            for at in (0, inputs.shape[1] - 2 * shape.width, inputs.shape[1] - shape.width)
        )
        powers = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(shape.head))
        taken = powers / powers.sum(axis=-1, keepdims=True) @ value
        mixed = dense("mixed", taken.transpose(1, 0, 2).reshape(x.shape)) + x
        middle = normalised(mixed, w[f"{name}_middle_scale"], w[f"{name}_middle_offset"])
        inner = dense("inner", middle)
        gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
        x = normalised(dense("outer", gelu) + middle, w[f"{name}_end_scale"], w[f"{name}_end_offset"])
    return x


CASES = {
    "two small layers": (bert.Shape(2, 40, 64, 2, 64), 1, (6_001,)),
    "small layers on two chips": (bert.Shape(2, 32, 64, 4, 96), 2, (4_770, 8_375)),
    "a layer of BERT-base": (bert.Shape(layers=1), 1, (28_339,)),
}
"""Shape, chips, and the exact length of each chip's program."""


@pytest.mark.parametrize("case", CASES)
def test_bert(case: str) -> None:
    shape, chips, cycles = CASES[case]
    text, weights = bert.build(shape, chips=chips)
    states = bert.states(shape)
    expected = run_tensor(parse(text), {"states": states}, weights)["encoded"]
    exact = encoder(shape, states, weights)
    assert np.abs(expected - exact).max() < 0.03  # of numbers around 1, with an f16 rounding after every step
    executable = executable_from_module(compile(parse(text)), weights)
    for mode in ("bulk", "cycle"):
        session = Loaded(executable, JitEngine(mode=mode))
        for _ in range(2):
            got, stats = session.run({"states": states})
            assert np.array_equal(got["encoded"].view(np.uint16), expected.view(np.uint16))
            assert stats.cycles == cycles
