"""A decoder block: it has the tensor level's bits, those are near what the formulas give, and the cache is kept."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

Array = npt.NDArray[np.float64]

BUILD = Path(__file__).resolve().parents[2] / "examples" / "decoder" / "build.py"


def load_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("decoder_build", BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


build = load_builder()

SMALL = build.Shape(width=64, heads=4, key_heads=2, head=16, inner=96, entries=40)
TRUE = build.Shape()


def formulas(shape: build.Shape, inputs: dict[str, np.ndarray], seed: int) -> tuple[Array, Array, Array]:
    """The block in f64, from the weights as a model has them: the result, and the token's key and value."""
    weights, at = build.Weights.random(shape, seed), int(inputs["position"][0])
    x = inputs["token"][0].astype(np.float64)

    def times(activations: Array, name: str) -> Array:
        return activations @ (getattr(weights, name).astype(np.float64) * weights.scales[name])

    def norm(values: Array, which: int) -> Array:
        return values / np.sqrt(np.mean(values**2) + shape.epsilon) * weights.norms[which]

    def rope(heads: Array) -> Array:
        half = shape.head // 2
        angle = at * shape.theta ** (-np.arange(half) / half)
        a, b = heads[:, :half], heads[:, half:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=1)

    h = norm(x, 0)
    q = rope(times(h, "q").reshape(shape.heads, shape.head))
    k = rope(times(h, "k").reshape(shape.key_heads, shape.head))
    v = times(h, "v")
    keys = inputs["keys"].astype(np.float64).T.reshape(shape.entries, shape.key_heads, shape.head) * build.HEAD
    values = inputs["values"].astype(np.float64).reshape(shape.entries, shape.key_heads, shape.head)
    keys[at], values[at] = k, v.reshape(shape.key_heads, shape.head)
    heads = np.zeros((shape.heads, shape.head))
    for head in range(shape.heads):
        scores = keys[: at + 1, head // shape.group] @ q[head] / np.sqrt(shape.head)
        powers = np.exp(scores - scores.max())
        heads[head] = powers @ values[: at + 1, head // shape.group] / powers.sum()
    x = x + times(heads.reshape(-1), "o")
    h = norm(x, 1)
    gate = times(h, "gate")
    return x + times(gate / (1 + np.exp(-gate)) * times(h, "up"), "down"), k.reshape(-1), v


def check_near(got: np.ndarray, result: Array, token: np.ndarray) -> None:
    """Raises AssertionError unless the error that activations of 8 bits make is small beside what the block adds."""
    assert (got - result).std() < 0.06 * (result - token).std()
    assert np.corrcoef(got - token, result - token)[0, 1] > 0.998


@pytest.mark.parametrize(
    ("shape", "position", "cycles"),
    [(SMALL, 0, 1192), (SMALL, 20, 1192), (SMALL, 39, 1192), (TRUE, 700, 2481)],
    ids=["first", "middle", "last", "true size"],
)
def test_a_decoder_block(shape: build.Shape, position: int, cycles: int) -> None:
    text, weights = build.build(shape)
    inputs = build.inputs_of(shape, position)
    expected = run_tensor(parse(text), inputs, weights)
    result, key, value = formulas(shape, inputs, 0)
    check_near(expected["result"][0], result, inputs["token"][0])
    others = np.arange(shape.entries) != position
    assert np.array_equal(expected["keys"][:, others], inputs["keys"][:, others])
    assert np.array_equal(expected["values"][others], inputs["values"][others])
    assert np.abs(expected["keys"][:, position] - key / build.HEAD).max() < 1.5
    assert (expected["values"][position] - value).std() < 0.03 * value.std()
    executable = executable_from_module(compile(parse(text)), weights)
    assert executable.program.cycles == cycles
    for mode in ("bulk", "cycle"):
        session = Loaded(executable, JitEngine(mode=mode))
        for _ in range(2):
            got, stats = session.run(inputs)
            assert stats.cycles == (cycles,)
            for name, array in expected.items():
                assert got[name].tobytes() == array.tobytes(), name


def test_tokens_follow_each_other() -> None:
    """What a token leaves in the cache is there for the next, as `formulas` has it for all of them."""
    text, weights = build.build(SMALL)
    session = Loaded(executable_from_module(compile(parse(text)), weights), JitEngine())
    inputs = build.inputs_of(SMALL, 0)
    for position in range(5):
        inputs["token"] = np.random.default_rng(position).normal(size=(1, SMALL.width)).astype(np.float32)
        inputs["position"] = np.array([position], np.int32)
        result = formulas(SMALL, inputs, 0)[0]
        got, _ = session.run(inputs)
        check_near(got["result"][0], result, inputs["token"][0])
        inputs = inputs | {name: got[name] for name in ("keys", "values")}
    assert np.count_nonzero(inputs["keys"].any(axis=0)) == np.count_nonzero(inputs["values"].any(axis=1)) == 5
