"""The fused and quantised ops of com.microsoft against their definitions in numpy."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_graphs import at_tensor_level

RNG = np.random.default_rng(11)
F = np.float32


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(F)


def run(op: str, inputs: list[np.ndarray | None], outputs: int = 1, **attributes: Any) -> list[np.ndarray]:
    """What the op gives; all but the first input are constants."""
    names = [f"i{k}" if v is not None else "" for k, v in enumerate(inputs)]
    made = helper.make_node(op, names, [f"o{k}" for k in range(outputs)], domain="com.microsoft", **attributes)
    first = inputs[0]
    assert first is not None
    port = helper.make_tensor_value_info("i0", helper.np_dtype_to_tensor_dtype(first.dtype), first.shape)
    constants = [
        onnx.numpy_helper.from_array(v, n) for n, v in zip(names[1:], inputs[1:], strict=True) if v is not None
    ]
    results = [onnx.ValueInfoProto(name=f"o{k}") for k in (0, outputs - 1)[: min(outputs, 2)]]
    graph = helper.make_graph([made], "g", [port], results, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    got = at_tensor_level(helper.make_model(graph, opset_imports=opsets), {"i0": first})
    return [got[r.name] for r in results]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2)))


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * gamma + beta


def test_activations_with_a_bias() -> None:
    x, b = normal(3, 8), normal(8)
    np.testing.assert_allclose(run("BiasGelu", [x, b])[0], gelu(x + b), atol=1e-6)
    np.testing.assert_allclose(run("Gelu", [x])[0], gelu(x), atol=1e-6)
    np.testing.assert_allclose(run("FastGelu", [x, b])[0], gelu(x + b), atol=2e-3)
    np.testing.assert_allclose(run("QuickGelu", [x], alpha=1.702)[0], x / (1 + np.exp(-1.702 * x)), atol=1e-6)


def test_fused_products() -> None:
    a, b = normal(2, 5, 3), normal(2, 5, 4)
    np.testing.assert_allclose(
        run("FusedMatMul", [a, b], transA=1, alpha=0.5)[0], 0.5 * a.swapaxes(1, 2) @ b, rtol=1e-5, atol=1e-5
    )
    x, w, c = normal(4, 3), normal(3, 6), normal(6)
    got = run("FusedGemm", [x, w, c], activation="LeakyRelu", activation_alpha=0.1)[0]
    want = x @ w + c
    np.testing.assert_allclose(got, np.where(want < 0, 0.1 * want, want), rtol=1e-5, atol=1e-5)
    images, kernel, other = normal(1, 3, 4, 4), normal(5, 3, 1, 1), normal(1, 5, 4, 4)
    want = np.maximum(np.einsum("nchw,ocij->nohw", images, kernel) + other, 0)
    got = run("FusedConv", [images, kernel, None, other], activation="Relu")[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_normalisations_of_a_sum() -> None:
    x, skip, gamma, beta, bias = normal(2, 3, 8), normal(2, 3, 8), normal(8), normal(8), normal(8)
    got, total = run("SkipLayerNormalization", [x, skip, gamma, beta, bias], 4)
    np.testing.assert_allclose(total, x + skip + bias, atol=1e-6)
    np.testing.assert_allclose(got, layer_norm(x + skip + bias, gamma, beta), atol=1e-5)
    got, total = run("SkipSimplifiedLayerNormalization", [x, skip, gamma], 4, epsilon=1e-6)
    want = total / np.sqrt((total**2).mean(-1, keepdims=True) + 1e-6) * gamma
    np.testing.assert_allclose(got, want, atol=1e-5)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_attention_of_heads() -> None:
    heads, size = 2, 4
    q, k, v = normal(1, 3, 8), normal(1, 5, 8), normal(1, 5, 8)
    split = [t.reshape(1, -1, heads, size).swapaxes(1, 2) for t in (q, k, v)]
    scores = softmax(split[0] @ split[1].swapaxes(2, 3) / sqrt(size)) @ split[2]
    want = scores.swapaxes(1, 2).reshape(1, 3, 8)
    np.testing.assert_allclose(run("MultiHeadAttention", [q, k, v], num_heads=heads)[0], want, atol=1e-5)


def test_embeddings() -> None:
    words = np.array([[1, 3, 0]], np.int32)
    table, places, gamma, beta = normal(5, 8), normal(6, 8), normal(8), normal(8)
    got = run("EmbedLayerNormalization", [words, None, table, places, None, gamma, beta])[0]
    np.testing.assert_allclose(got, layer_norm(table[words] + places[:3], gamma, beta), atol=1e-5)


# -- quantised -----------------------------------------------------------------------------------------------------


def real(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    return (x.astype(np.int64) - zero) * np.float64(F(scale))


def back(x: np.ndarray, scale: float, zero: int) -> np.ndarray:
    return np.clip(np.rint(x / F(scale)) + zero, 0, 255).astype(np.uint8)


def u8(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def near(got: np.ndarray, want: np.ndarray) -> None:
    """The same, but where a value lies within an error of f32 from a tie."""
    assert got.dtype == want.dtype and got.shape == want.shape
    off = np.abs(got.astype(int) - want.astype(int))
    assert off.max() <= 1 and (off > 0).mean() <= 0.01


A, B, C = (0.021337, 120), (0.051771, 7), (0.097213, 100)
"""Scales and zero points, of which no ratio makes ties."""


def points(*of: tuple[float, int]) -> list[np.ndarray]:
    return [p for scale, zero in of for p in (np.array(scale, F), np.array(zero, np.uint8))]


@pytest.mark.parametrize(("op", "join"), [("QLinearAdd", np.add), ("QLinearMul", np.multiply)])
def test_quantised_pairs(op: str, join: Any) -> None:
    a, b = u8(6, 50), u8(6, 50)
    got = run(op, [a, *points(A), b, *points(B), *points(C)])[0]
    near(got, back(join(real(a, *A), real(b, *B)), *C))


def test_quantised_functions_and_pools() -> None:
    x = u8(1, 3, 8, 8)
    y = (1 / 256, 0)
    near(run("QLinearSigmoid", [x, *points(A), *points(y)])[0], back(1 / (1 + np.exp(-real(x, *A))), *y))
    want = back(real(x, *A).mean((2, 3), keepdims=True), *B)
    near(run("QLinearGlobalAveragePool", [x, *points(A), *points(B)])[0], want)
    want = back(real(x, *A).reshape(1, 3, 4, 2, 4, 2).mean((3, 5)), *B)
    near(run("QLinearAveragePool", [x, *points(A), *points(B)], kernel_shape=[2, 2], strides=[2, 2])[0], want)


def test_quantised_products() -> None:
    a, b = u8(4, 30), RNG.integers(-128, 128, (30, 5), dtype=np.int8)
    bias = RNG.integers(-1000, 1000, 5, dtype=np.int32)
    scale, zero = np.array(0.01, F), np.array(3, np.int8)
    sums = (a.astype(int) - A[1]) @ (b.astype(int) - 3) + bias
    got = run("QGemm", [a, *points(A), b, scale, zero, bias, *points(C)])[0]
    near(got, back(sums * np.float64(F(A[0])) * np.float64(scale), *C))
    got = run("MatMulIntegerToFloat", [a, b, np.array(A[0], F), scale, np.array(A[1], np.uint8), zero])[0]
    np.testing.assert_allclose(got, (sums - bias) * A[0] * 0.01, rtol=1e-6)


def test_products_of_what_is_quantised_on_the_chip() -> None:
    """Rounded to u8 by the extremes of all: off by half a step for each term."""
    a, b, scale = normal(4, 30), RNG.integers(-128, 128, (30, 5), dtype=np.int8), np.array(0.01, F)
    got = run("DynamicQuantizeMatMul", [a, b, scale])[0]
    step = (max(a.max(), 0) - min(a.min(), 0)) / 255
    bound = 0.5001 * step * (np.abs(b.astype(int)).sum(0) * 0.01)
    assert (np.abs(got - a @ (b.astype(F) * scale)) <= bound).all()
