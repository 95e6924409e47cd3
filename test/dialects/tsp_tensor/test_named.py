"""Named ops: near the formulas that their names mean, in f64, and in every bit what their decomposition gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from tensors import Array, assert_bits, canonical, module_of, random_array, tensor_type
from tspc.dialects.tsp_tensor import TSP_TENSOR, NamedOp
from tspc.passes.pipelines import PASSES, make_context, parse
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp

erfc = np.vectorize(math.erfc, otypes=[np.float64])


def decomposed(module: ModuleOp) -> ModuleOp:
    PASSES["decompose-tensor-ops"]()().apply(make_context(), module)
    module.verify()
    assert not any(isinstance(op, NamedOp) for op in module.walk())
    return module


def run(op: str, inputs: list[Array], result: str, lanes: int = 320) -> Array:
    """The value of a named op, which its decomposition gives as well."""
    text = module_of(f"%y = {op}", inputs, result, lanes)
    tensors = dict(zip("abcdefgh", inputs, strict=False))
    value = run_module(parse(text), tensors, {}).outputs["y"]
    assert_bits(run_module(decomposed(parse(text)), tensors, {}).outputs["y"], value)
    return value


# -- functions of one element --------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@dataclass(frozen=True)
class Function:
    """A named function of one element, by its formula in f64."""

    op: str
    exact: Callable[[Array], Array]
    relative: float
    """The greatest error relative to the result, ..."""
    absolute: float
    """... and in addition to it, from -20 to 20."""


FUNCTIONS = [
    Function("tsp_tensor.sigmoid", sigmoid, 2.0**-19, 0),
    Function("tsp_tensor.silu", lambda x: x * sigmoid(x), 2.0**-19, 0),
    Function('tsp_tensor.gelu "erf"', lambda x: 0.5 * x * erfc(-x / math.sqrt(2)), 2.0**-22, 2.5e-7),
    Function('tsp_tensor.gelu "tanh"', gelu_tanh, 2.0**-22, 1.3e-6),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.op)
def test_functions_are_near_their_formulas(function: Function) -> None:
    x = np.linspace(-20, 20, 100_003, dtype=np.float32)
    got = run(f"{function.op} %a : {tensor_type(x)}", [x], tensor_type(x)).astype(np.float64)
    exact = function.exact(x.astype(np.float64))
    excess = np.abs(got - exact) - function.absolute - function.relative * np.abs(exact)
    assert excess.max() <= 0, (x[excess.argmax()], got[excess.argmax()], exact[excess.argmax()])


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.op)
def test_functions_of_f16_are_those_of_f32_rounded(function: Function) -> None:
    x = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    wide = run(f"{function.op} %a : tensor<65536xf32>", [x.astype(np.float32)], "tensor<65536xf32>")
    narrow = run(f"{function.op} %a : tensor<65536xf16>", [x], "tensor<65536xf16>")
    with np.errstate(all="ignore"):
        assert_bits(narrow, canonical(wide.astype(np.float16)))


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("tsp_tensor.sigmoid", [1.0, 0.0, np.nan, 0.5, 1.0, 0.0]),
        ("tsp_tensor.silu", [np.inf, np.nan, np.nan, 0.0, 3e38, 0.0]),
        ('tsp_tensor.gelu "erf"', [np.inf, 0.0, np.nan, 0.0, 3e38, 0.0]),
        ('tsp_tensor.gelu "tanh"', [np.inf, np.nan, np.nan, 0.0, 3e38, 0.0]),
    ],
)
def test_the_edges(op: str, expected: list[float]) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 3e38, -3e38], np.float32)
    got = run(f"{op} %a : tensor<6xf32>", [x], "tensor<6xf32>")
    np.testing.assert_allclose(got, np.array(expected, np.float32), rtol=2.0**-24)


# -- functions of rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "dim"), [((7,), 0), ((3, 401), 1), ((5, 2, 6), 1), ((2, 3, 1), 2), ((641, 3), 0)])
def test_softmax(shape: tuple[int, ...], dim: int) -> None:
    """The difference to the greatest, less than 64, is rounded by up to 2^-19; the rest is less than that."""
    x = random_array(np.random.default_rng(1), shape, "f32", wild=False)
    got = run(f"tsp_tensor.softmax dim({dim}) %a : {tensor_type(x)}", [x], tensor_type(x))
    powers = np.exp(x.astype(np.float64) - x.max(axis=dim, keepdims=True))
    np.testing.assert_allclose(got, powers / powers.sum(axis=dim, keepdims=True), rtol=2.0**-18)


def test_softmax_with_masked_elements() -> None:
    x = np.array([[0.0, -np.inf, 0.0, -1e30], [-np.inf] * 4], np.float32)
    got = run("tsp_tensor.softmax dim(1) %a : tensor<2x4xf32>", [x], "tensor<2x4xf32>")
    assert abs(got[0] - [0.5, 0, 0.5, 0]).max() <= 2.0**-24
    assert np.isnan(got[1]).all()


def normalized(x: Array, epsilon: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)


@pytest.mark.parametrize("size", [1, 5, 384, 700])
@pytest.mark.parametrize("element", ["f16", "f32"])
def test_norms(size: int, element: str) -> None:
    rng = np.random.default_rng(size)
    x = random_array(rng, (3, 2, size), element, wild=False)
    scale, bias = rng.normal(1, 0.2, size).astype(np.float32), rng.normal(0, 1, size).astype(np.float16)
    wide, tolerance = x.astype(np.float64), 2.0**-20 if element == "f32" else 2.0**-10
    types = f"{tensor_type(x)}, {tensor_type(scale)}"
    got = run(f"tsp_tensor.rms_norm %a, %b epsilon 1.0e-05 : {types}", [x, scale], tensor_type(x))
    np.testing.assert_allclose(got, normalized(wide, 1e-5) * scale, rtol=tolerance, atol=tolerance)
    text = f"tsp_tensor.layer_norm %a, %b, %c epsilon 1.0e-05 : {types}, {tensor_type(bias)}"
    got = run(text, [x, scale, bias], tensor_type(x))
    exact = normalized(wide - wide.mean(axis=-1, keepdims=True), 1e-5) * scale + bias
    np.testing.assert_allclose(got, exact, rtol=4 * tolerance, atol=4 * tolerance)


def test_layer_norm_of_f16_reaches_to_4095() -> None:
    """The variance of greater differences is infinite, and leaves the bias."""
    x = np.array([[4094, -4094], [4098, -4098]], np.float16)
    scale, bias = np.ones(2, np.float32), np.array([0.25, 0.5], np.float32)
    text = "tsp_tensor.layer_norm %a, %b, %c epsilon 1.0e-05 : tensor<2x2xf16>, tensor<2xf32>, tensor<2xf32>"
    got = run(text, [x, scale, bias], "tensor<2x2xf16>")
    np.testing.assert_allclose(got, [[1.25, -0.5], [0.25, 0.5]], rtol=2.0**-10)


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 2), (17, 642)])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("element", ["f16", "f32"])
def test_rope(shape: tuple[int, ...], interleaved: bool, element: str) -> None:
    """Rotates pairs, which are complex numbers, by the angle of their place."""
    rng = np.random.default_rng(1)
    x = random_array(rng, shape, element, wild=False)
    half = shape[-1] // 2
    angle = np.multiply.outer(np.arange(shape[-2]), 100.0 ** (-np.arange(half) / half))
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    flag = " {interleaved}" if interleaved else ""
    text = f"tsp_tensor.rope %a, %b, %c{flag} : {tensor_type(x)}, {tensor_type(cos)}, {tensor_type(sin)}"
    got = run(text, [x, cos, sin], tensor_type(x)).astype(np.float64)
    wide = x.astype(np.float64)
    first, second = (np.s_[..., 0::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    turned = (wide[first] + 1j * wide[second]) * np.exp(1j * angle)
    tolerance = 2.0**-20 if element == "f32" else 2.0**-10
    np.testing.assert_allclose(got[first], turned.real, rtol=tolerance, atol=20 * tolerance)
    np.testing.assert_allclose(got[second], turned.imag, rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("result", ["f16", "f32"])
@pytest.mark.parametrize("masked", [False, True])
def test_attention(result: str, masked: bool) -> None:
    """Six heads in pairs that share keys; a causal mask."""
    rng = np.random.default_rng(3)
    query = rng.normal(size=(2, 3, 2, 5, 8)).astype(np.float16)
    key, value = (rng.normal(size=(2, 3, 1, 7, d)).astype(np.float16) for d in (8, 4))
    mask = np.where(np.tri(5, 7, 2) > 0, 0, -1e9).astype(np.float32)
    inputs = [query, key, value, mask] if masked else [query, key, value]
    types = ", ".join(map(tensor_type, inputs[:3]))
    with_mask = f"mask %d : {tensor_type(mask)} " if masked else ""
    shape = f"tensor<2x3x2x5x4x{result}>"
    got = run(f"tsp_tensor.attention %a, %b, %c {with_mask}scale 0.25 : {types} -> {shape}", inputs, shape)
    wide = [a.astype(np.float64) for a in (query, key, value)]
    scores = wide[0] @ wide[1].swapaxes(-1, -2) * 0.25 + (mask if masked else 0)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    exact = powers / powers.sum(axis=-1, keepdims=True) @ wide[2]
    np.testing.assert_allclose(got, exact, rtol=2.0**-10, atol=2.0**-10)


@pytest.mark.parametrize("queries, keys, inner, columns", [(1, 1, 1, 1), (3, 321, 17, 1), (33, 15, 65, 319)])
def test_attention_of_all_sizes(queries: int, keys: int, inner: int, columns: int) -> None:
    rng = np.random.default_rng(keys)
    query, key, value = (
        rng.normal(size=shape).astype(np.float16) for shape in ((queries, inner), (keys, inner), (keys, columns))
    )
    types, shape = ", ".join(map(tensor_type, (query, key, value))), f"tensor<{queries}x{columns}xf32>"
    got = run(f"tsp_tensor.attention %a, %b, %c scale 0.125 : {types} -> {shape}", [query, key, value], shape)
    scores = query.astype(np.float64) @ key.astype(np.float64).T * 0.125
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    exact = powers / powers.sum(axis=-1, keepdims=True) @ value.astype(np.float64)
    np.testing.assert_allclose(got, exact, rtol=2.0**-10, atol=2.0**-10)


@pytest.mark.parametrize("channels", [1, 3, 321])
@pytest.mark.parametrize("element", ["f16", "f32"])
@pytest.mark.parametrize("count_padding", [False, True])
def test_avg_pool(element: str, count_padding: bool, channels: int) -> None:
    rng = np.random.default_rng(1)
    x = random_array(rng, (2, 5, 7, channels), element, wild=False)
    expected = np.empty((2, 3, 4, channels))
    for n, r, c, k in np.ndindex(expected.shape):
        rows, columns = slice(max(0, 2 * r - 1), 2 * r + 2), slice(max(0, 2 * c - 1), 2 * c + 2)
        taps = x[n, rows, columns, k].astype(np.float64)
        expected[n, r, c, k] = taps.sum() / (9 if count_padding else taps.size)
    flag = " count_padding" if count_padding else ""
    shape = f"tensor<2x3x4x{channels}x{element}>"
    text = f"tsp_tensor.avg_pool %a window [3, 3] strides [2, 2] pads [1, 1, 1, 1]{flag} : {tensor_type(x)} -> {shape}"
    tolerance = 2.0**-21 if element == "f32" else 2.0**-10
    np.testing.assert_allclose(run(text, [x], shape), expected, rtol=tolerance, atol=10 * tolerance)


def test_every_named_op_is_here() -> None:
    """A named op without a formula to hold it against would be one that nobody has checked."""
    names = {op.name.removeprefix("tsp_tensor.") for op in TSP_TENSOR.operations if issubclass(op, NamedOp)}
    assert names == {"softmax", "layer_norm", "rms_norm", "gelu", "silu", "sigmoid", "rope", "attention", "avg_pool"}
