"""Fused and quantised ops of the domain com.microsoft, as ONNX Runtime's optimizer and quantiser write them, by the ops
that they join. Their definitions: ONNX Runtime, docs/ContribOperators.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from .. import functions as fn
from ..emit import Emitter
from ..products import F32
from ..registry import MICROSOFT, Node, lowers
from ..scalars import Function, Scalar, where
from ..values import Refused, Value, known
from .indexing import rows
from .normalisation import normalised, scaled
from .products import matmul
from .quantised import U8, dynamic_quantize, product, requantised, rounded
from .reductions import normalised as softmax_over
from .windows import biased, convolved, mean, pooled, windows_of

_BETA = 0.044715


def _gelu(x: Scalar) -> Scalar:
    return x * 0.5 * (fn.erf(x * sqrt(0.5)) + 1.0)


def _fast_gelu(x: Scalar) -> Scalar:
    return x * 0.5 * (((x * x * x * _BETA + x) * sqrt(2 / np.pi)).tanh() + 1.0)


@lowers("Gelu", "BiasGelu", "FastGelu", "QuickGelu", domain=MICROSOFT)
def gelu(node: Node) -> Value:
    """With a bias before, where there is one."""
    x, bias = node.value(0), node.optional(1)
    alpha = node.float("alpha", 1.702)
    functions: dict[str, Function] = {"FastGelu": _fast_gelu, "QuickGelu": lambda v: v * fn.sigmoid(v * alpha)}
    function = functions.get(node.op, _gelu)
    if bias is None:
        return node.emit.map(function, x, to=x.dtype)
    return node.emit.map(lambda v, b: function(v + b), x, bias, to=x.dtype)


def _activated(node: Node, x: Value) -> Value:
    """What the attribute `activation` makes of a result."""
    name = node.text("activation")
    params = [float(p) for p in node.attributes.get("activation_params", [])]
    alpha = params[0] if params else node.float("activation_alpha", 0.01)
    if name in ("", "Relu", "Sigmoid", "Tanh", "LeakyRelu"):
        functions: dict[str, Function] = {
            "": lambda v: v,
            "Relu": lambda v: v.max(0),
            "Sigmoid": fn.sigmoid,
            "Tanh": lambda v: v.tanh(),
            "LeakyRelu": lambda v: where(v < 0, v * alpha, v),
        }
        return node.emit.map(functions[name], x, to=x.dtype) if name else x
    if name == "Clip" and len(params) == 2:
        return node.emit.map(lambda v: v.max(params[0]).min(params[1]), x, to=x.dtype)
    node.refuse_attribute("activation", "use Relu, Sigmoid, Tanh, LeakyRelu or Clip")


@lowers("FusedConv", domain=MICROSOFT)
def fused_conv(node: Node) -> Value:
    """A convolution, another tensor that is added, and a function."""
    x, weights, bias, other = node.value(0), node.value(1), node.optional(2), node.optional(3)
    windows = windows_of(node, x.shape[2:], node.ints("kernel_shape", weights.shape[2:]))
    result = biased(node.emit, convolved(node.emit, x, weights, windows, node.int("group", 1)), bias, x.dtype)
    if other is not None:
        result = node.emit.map(lambda a, b: a + b, result, other, to=x.dtype)
    return _activated(node, result)


@lowers("FusedMatMul", "TransposeMatMul", domain=MICROSOFT)
def fused_matmul(node: Node) -> Value:
    emit, a, b, alpha = node.emit, node.value(0), node.value(1), node.float("alpha", 1.0)
    if node.int("transBatchA") or node.int("transBatchB"):
        raise Refused("transBatchA and transBatchB have no lowering", "transpose before")
    a, b = (
        emit.transpose(v, [*range(v.rank - 2), v.rank - 1, v.rank - 2]) if node.int(name) and v.rank > 1 else v
        for v, name in ((a, "transA"), (b, "transB"))
    )
    result = matmul(emit, a, b)
    return result if alpha == 1 else emit.map(lambda v: v * alpha, result, to=result.dtype)


@lowers("FusedGemm", domain=MICROSOFT)
def fused_gemm(node: Node) -> Value:
    from .products import gemm

    return _activated(node, gemm(node))


@lowers("SimplifiedLayerNormalization")
@lowers("SimplifiedLayerNormalization", domain=MICROSOFT)
def simplified(node: Node) -> Value:
    return _rms(node, node.value(0), node.value(1))


def _rms(node: Node, x: Value, scale: Value) -> Value:
    emit, epsilon = node.emit, node.float("epsilon", 1e-5)
    squares = mean(emit, emit.map(lambda v: v * v, x, to=F32), [x.rank - 1])
    return emit.map(lambda v, m, s: v * (m + epsilon).rsqrt() * s, x, squares, scale, to=x.dtype)


@lowers("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_normalization(node: Node) -> tuple[Value | None, ...]:
    """Of the sum of two tensors, and a bias; the sum is the fourth result."""
    emit, x, skip, gamma = node.emit, node.value(0), node.value(1), node.value(2)
    plain = node.op == "SkipSimplifiedLayerNormalization"
    beta, bias = (None, node.optional(3)) if plain else (node.optional(3), node.optional(4))
    total = emit.map(lambda a, b: a + b, x, skip, to=x.dtype)
    if bias is not None:
        total = emit.map(lambda a, b: a + b, total, bias, to=x.dtype)
    if plain:
        return (_rms(node, total, gamma), None, None, total)
    even = normalised(emit, total, [x.rank - 1], node.float("epsilon", 1e-12))
    return (scaled(emit, even, gamma, beta, x.dtype), None, None, total)


@lowers("EmbedLayerNormalization", domain=MICROSOFT)
def embed(node: Node) -> tuple[Value | None, ...]:
    """Words, places and segments by number, added and normalised."""
    emit, words, segments = node.emit, node.value(0), node.optional(1)
    length = words.shape[-1]
    total = rows(emit, node.value(2), words)
    places = emit.slice(node.value(3), 0, 0, length)
    total = emit.map(lambda a, b: a + b, total, places, to=total.dtype)
    if segments is not None and node.has(4):
        total = emit.map(lambda a, b: a + b, total, rows(emit, node.value(4), segments), to=total.dtype)
    even = normalised(emit, total, [total.rank - 1], node.float("epsilon", 1e-12))
    return (scaled(emit, even, node.value(5), node.value(6), total.dtype), None, total)


# -- attention -----------------------------------------------------------------------------------------------------


def _heads(emit: Emitter, x: Value, count: int) -> Value:
    """[batch, length, count * size] as [batch, count, length, size]."""
    b, s, h = x.shape
    return emit.transpose(emit.reshape(x, (b, s, count, h // count)), (0, 2, 1, 3))


def _attended(node: Node, q: Value, k: Value, v: Value, biases: Sequence[Value]) -> Value:
    """softmax(q k^T scale + biases) v of heads, joined again."""
    emit, heads = node.emit, node.int("num_heads")
    query, key, value = (_heads(emit, t, heads) for t in (q, k, v))
    scale = node.float("scale") or 1 / sqrt(query.shape[-1])
    scores = matmul(emit, query, emit.transpose(key, (0, 1, 3, 2)), F32)
    scores = emit.map(lambda s: s * scale, scores, to=F32)
    for bias in biases:
        scores = emit.map(lambda s, b: s + b, scores, bias, to=F32)
    weights = softmax_over(emit, emit.cast(scores, q.dtype), [3])
    result = emit.transpose(matmul(emit, weights, value), (0, 2, 1, 3))
    return emit.reshape(result, (q.shape[0], q.shape[1], v.shape[2]))


def _mask(node: Node, i: int) -> list[Value]:
    """The mask [batch, length] of an input, 1 for what is seen, as numbers that are added; nothing where there is
    none."""
    mask = node.optional(i)
    if mask is None:
        return []
    if mask.rank != 2:
        raise Refused(f"a mask of shape {[*mask.shape]} has no lowering", "give one of [batch, length]")
    column = node.emit.reshape(mask, (mask.shape[0], 1, 1, mask.shape[1]))
    return [node.emit.map(lambda m: where(m.i32().differs(0), 0.0, m.f32() * 0.0 - 10000.0), column, to=F32)]


@lowers("Attention", domain=MICROSOFT)
def attention(node: Node) -> Value:
    """Query, key and value by one matrix."""
    emit, x, bias = node.emit, node.value(0), node.optional(2)
    if node.int("unidirectional") or node.has(4):
        raise Refused("attention to what came before has no lowering", "export without the fusion of attention")
    joined = matmul(emit, x, node.value(1))
    if bias is not None:
        joined = emit.map(lambda v, b: v + b, joined, bias, to=x.dtype)
    sizes = node.ints("qkv_hidden_sizes", [joined.shape[-1] // 3] * 3)
    starts = np.cumsum([0, *sizes])
    q, k, v = (emit.slice(joined, 2, int(start), size) for start, size in zip(starts, sizes, strict=False))
    return _attended(node, q, k, v, [*_mask(node, 3), *([node.value(5)] if node.has(5) else [])])


@lowers("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(node: Node) -> Value:
    emit, parts = node.emit, [node.value(i) for i in range(3)]
    if node.int("unidirectional") or node.has(6) or any(p.rank != 3 for p in parts):
        raise Refused("attention to what came before, or to packed tensors, has no lowering", "export without fusions")
    if node.has(3):
        starts = np.cumsum([0, *(p.shape[2] for p in parts)])
        biases = [emit.slice(node.value(3), 0, int(s), p.shape[2]) for s, p in zip(starts, parts, strict=False)]
        parts = [emit.map(lambda v, b: v + b, p, b, to=p.dtype) for p, b in zip(parts, biases, strict=True)]
    return _attended(node, *parts, [*_mask(node, 4), *([node.value(5)] if node.has(5) else [])])  # pyright: ignore


# -- quantised -----------------------------------------------------------------------------------------------------


def _real(emit: Emitter, x: Value, scale: Value, zero: Value | None) -> Value:
    """What quantised numbers stand for, of one scale."""
    one = [emit.reshape(scale, ())] + ([emit.reshape(zero, ())] if zero is not None else [])

    def function(v: Scalar, s: Scalar, *z: Scalar) -> Scalar:
        return (v - z[0] if z else v).f32() * s

    return emit.map(function, x, *one, to=F32)


def _back(node: Node, x: Value, scale: int, zero: int, like: Value) -> Value:
    """Quantised again, by the scale and zero point of two inputs."""
    emit, point = node.emit, node.optional(zero)
    dtype = point.dtype if point is not None else like.dtype
    scale_ = emit.reshape(node.value(scale), ())
    return rounded(emit, x, scale_, emit.reshape(point, ()) if point is not None else None, dtype)


@lowers("QLinearAdd", "QLinearMul", domain=MICROSOFT)
def qlinear_pair(node: Node) -> Value:
    emit = node.emit
    a, b = (_real(emit, node.value(i), node.value(i + 1), node.optional(i + 2)) for i in (0, 3))
    adds = node.op == "QLinearAdd"
    joined = emit.map(lambda x, y: x + y if adds else x * y, a, b, to=F32)
    return _back(node, joined, 6, 7, node.value(0))


@lowers("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", domain=MICROSOFT)
def qlinear_function(node: Node) -> Value:
    emit, alpha = node.emit, node.float("alpha", 0.01)
    x = _real(emit, node.value(0), node.value(1), node.optional(2))
    match node.op:
        case "QLinearSigmoid":
            y = emit.map(fn.sigmoid, x, to=F32)
        case "QLinearLeakyRelu":
            y = emit.map(lambda v: where(v < 0, v * alpha, v), x, to=F32)
        case _:
            axis = node.axis(-1, x.rank)
            y = softmax_over(emit, x, [axis] if node.int("opset", 13) >= 13 else range(axis, x.rank))
    return _back(node, y, 3, 4, node.value(0))


@lowers("QLinearGlobalAveragePool", "QLinearAveragePool", domain=MICROSOFT)
def qlinear_pool(node: Node) -> Value:
    emit, x = node.emit, node.value(0)
    if node.int("channels_last"):
        node.refuse_attribute("channels_last", "quantise a model whose channels come first")
    if node.op == "QLinearGlobalAveragePool":
        y = mean(emit, _real(emit, x, node.value(1), node.optional(2)), range(2, x.rank))
        return _back(node, y, 3, 4, x)
    windows = windows_of(node, x.shape[2:], node.ints("kernel_shape"))
    real = _real(emit, x, node.value(1), node.optional(2))
    sums = pooled(emit, "sum", real, windows)
    counts = np.ones((), np.float32)
    for along in windows.along(x.shape[2:]):
        taps = np.full(along.places, along.taps) if node.int("count_include_pad") else along.counts()
        counts = np.multiply.outer(counts, taps.astype(np.float32))
    share = known((1 / counts).astype(np.float32)[None, None])
    return _back(node, emit.map(lambda v, s: v * s, sums, share, to=F32), 3, 4, x)


@lowers("QLinearConcat", domain=MICROSOFT)
def qlinear_concat(node: Node) -> Value:
    """Each tensor is brought to the scale of the result."""
    parts: list[Value] = []
    for i in range(2, len(node.inputs), 3):
        real = _real(node.emit, node.value(i), node.value(i + 1), node.optional(i + 2))
        parts.append(_back(node, real, 0, 1, node.value(i)))
    return node.emit.concat(parts, node.axis(1, parts[0].rank))


@lowers("QGemm", domain=MICROSOFT)
def qgemm(node: Node) -> Value:
    emit, a, b = node.emit, node.value(0), node.value(3)
    a = emit.transpose(a, (1, 0)) if node.int("transA") else a
    b = emit.transpose(b, (1, 0)) if node.int("transB") else b
    if node.float("alpha", 1.0) != 1:
        node.refuse_attribute("alpha", "multiply a scale by it")
    sums = product(node, a, b, node.optional(2), node.optional(5))
    if node.has(6):
        sums = emit.map(lambda s, c: s + c, sums, node.value(6), to=np.int32)
    if node.has(7):
        zero = node.optional(8)
        return requantised(emit, sums, node.value(1), node.value(4), node.value(7), zero or known(np.uint8(0)))
    return emit.map(lambda s, p, q: s.f32() * (p * q), sums, node.value(1), node.value(4), to=F32)


@lowers("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(node: Node) -> Value:
    sums = product(node, node.value(0), node.value(1), node.optional(4), node.optional(5))
    return _as_float(node, sums, node.value(2), node.value(3), node.optional(6))


def _as_float(node: Node, sums: Value, a: Value, b: Value, bias: Value | None) -> Value:
    result = node.emit.map(lambda s, p, q: s.f32() * (p * q), sums, a, b, to=F32)
    return result if bias is None else node.emit.map(lambda v, c: v + c, result, bias, to=F32)


@lowers("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(node: Node) -> Value:
    """The first operand is rounded to u8 by its own extremes."""
    rounded_, scale, zero = dynamic_quantize(replace(node, inputs=[node.value(0)]))
    assert rounded_.dtype == U8
    sums = product(node, rounded_, node.value(1), zero, node.optional(3))
    return _as_float(node, sums, scale, node.value(2), node.optional(4))
