"""Normalisations. Those over the last dimension are ops of tsp_tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import FloatAttr, f32

from .....dialects import tsp_tensor as tt
from ..emit import Emitter
from ..functions import power, square_root
from ..products import F32
from ..registry import Node, lowers
from ..scalars import Scalar
from ..values import Refused, Value, known
from .windows import Windows, convolved, mean


@lowers("BatchNormalization")
def batch_normalization(node: Node) -> Value:
    """Of inference: a factor and a number more for every channel, which are worked out before where they are known."""
    if node.int("training_mode") or node.outputs > 1:
        raise Refused("it is that of training", "export the model for inference")
    emit, x, (scale, bias, mean_, variance) = node.emit, node.value(0), (node.value(i) for i in range(1, 5))
    epsilon = node.float("epsilon", 1e-5)
    parameters = [scale, bias, mean_, variance]
    column = (-1, *[1] * (x.rank - 2))
    if all(p.array is not None for p in parameters):
        s, b, m, v = (p.array.astype(np.float64) for p in parameters if p.array is not None)
        factor = s / np.sqrt(v + epsilon)
        first, second = (known(a.astype(np.float32).reshape(column)) for a in (factor, b - m * factor))
        return emit.map(lambda p, f, t: p * f + t, x, first, second, to=x.dtype)
    shaped = [emit.reshape(p, (p.size, *column[1:])) for p in parameters]

    def normalised(p: Scalar, s: Scalar, b: Scalar, m: Scalar, v: Scalar) -> Scalar:
        return (p - m) * ((v + epsilon).rsqrt() * s) + b

    return emit.map(normalised, x, *shaped, to=x.dtype)


def normalised(emit: Emitter, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over axes, as f32."""
    centred = emit.map(lambda v, m: v - m, x, mean(emit, emit.cast(x, F32), axes), to=F32)
    variance = mean(emit, emit.map(lambda v: v * v, centred, to=F32), axes)
    return emit.map(lambda v, s: v * (s + epsilon).rsqrt(), centred, variance, to=F32)


def scaled(emit: Emitter, x: Value, scale: Value | None, bias: Value | None, to: np.dtype[np.generic]) -> Value:
    """Times a scale and with a bias, of those that there are."""
    others = [v for v in (scale, bias) if v is not None]

    def function(v: Scalar, *rest: Scalar) -> Scalar:
        v = v if scale is None else v * rest[0]
        return v if bias is None else v + rest[-1]

    return emit.map(function, x, *others, to=to)


@lowers("InstanceNormalization")
def instance_normalization(node: Node) -> Value:
    emit, x = node.emit, node.value(0)
    rows = [emit.reshape(node.value(i), (node.value(i).size, *[1] * (x.rank - 2))) for i in (1, 2)]
    return scaled(emit, normalised(emit, x, range(2, x.rank), node.float("epsilon", 1e-5)), rows[0], rows[1], x.dtype)


@lowers("GroupNormalization")
def group_normalization(node: Node) -> Value:
    """Scale and bias are of channels, before version 21 of groups."""
    emit, x, groups = node.emit, node.value(0), node.int("num_groups")
    split = emit.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    even = normalised(emit, split, range(2, split.rank), node.float("epsilon", 1e-5))
    by_channel = node.value(1).size == x.shape[1]
    row = (groups, x.shape[1] // groups if by_channel else 1, *[1] * (x.rank - 2))
    scale, bias = (emit.reshape(node.value(i), row) for i in (1, 2))
    return emit.reshape(scaled(emit, even, scale, bias, x.dtype), x.shape)


@lowers("LayerNormalization")
def layer_normalization(node: Node) -> tuple[Value, ...]:
    emit, x, scale, bias = node.emit, node.value(0), node.value(1), node.optional(2)
    axis, epsilon = node.axis(-1, x.rank), node.float("epsilon", 1e-5)
    axes = [*range(axis, x.rank)]
    if node.outputs == 1 and axis == x.rank - 1 and scale.shape == x.shape[-1:]:
        row = bias if bias is not None else known(np.zeros(x.shape[-1:], scale.dtype))
        op = tt.LayerNormOp.build(
            operands=[emit.operand(x), emit.operand(scale), emit.operand(emit.expand(row, scale.shape))],
            properties={"epsilon": FloatAttr(epsilon, f32)},
            result_types=[emit.operand(x).type],
        )
        return (emit.computed(emit.add(op), x.dtype),)
    average = mean(emit, emit.cast(x, F32), axes)
    centred = emit.map(lambda v, m: v - m, x, average, to=F32)
    variance = mean(emit, emit.map(lambda v: v * v, centred, to=F32), axes)
    deviation = emit.map(lambda v: (v + epsilon).rsqrt(), variance, to=F32)
    even = emit.map(lambda v, d: v * d, centred, deviation, to=F32)
    return (scaled(emit, even, scale, bias, x.dtype), average, deviation)


@lowers("RMSNormalization")
def rms_normalization(node: Node) -> Value:
    emit, x, scale = node.emit, node.value(0), node.value(1)
    axis, epsilon = node.axis(-1, x.rank), node.float("epsilon", 1e-5)
    squares = mean(emit, emit.map(lambda v: v * v, x, to=F32), range(axis, x.rank))
    return emit.map(lambda v, m, s: v * (m + epsilon).rsqrt() * s, x, squares, scale, to=x.dtype)


@lowers("MeanVarianceNormalization")
def mean_variance_normalization(node: Node) -> Value:
    axes = [a % node.value(0).rank for a in node.ints("axes", [0, 2, 3])]
    return node.emit.cast(normalised(node.emit, node.value(0), axes, 1e-9), node.value(0).dtype)


PART = 2.0**-4
"""Of values that are squared to be multiplied, so that squares of those up to 4095 are f16."""


@lowers("LRN")
def lrn(node: Node) -> Value:
    """x / (bias + alpha / size times the squares of the channels around) ^ beta. The sums are products with a band."""
    emit, x, size = node.emit, node.value(0), node.int("size")
    alpha, beta, bias = node.float("alpha", 1e-4), node.float("beta", 0.75), node.float("bias", 1.0)
    channels, low = x.shape[1], (size - 1) // 2
    apart = np.arange(channels)[:, None] - np.arange(channels)  # of a sum's channel and one that it may take
    band = ((-(size - 1 - low) <= apart) & (apart <= low)).astype(np.float32)
    squares = emit.map(lambda v: (v * PART) * (v * PART), x, to=F32)
    one = [1] * (x.rank - 2)
    windows = Windows(one, one, [0 for _ in one], [0 for _ in one], one)
    sums = convolved(emit, squares, known(band.reshape(channels, channels, *one)), windows, 1)

    def divided(v: Scalar, total: Scalar) -> Scalar:
        base = total * (alpha / (size * PART**2)) + bias
        if beta == 0.75:
            root = base.rsqrt()
            return v * (root * square_root(root))
        if beta == 0.5:
            return v * base.rsqrt()
        return v * power(base, base.like(-beta))

    return emit.map(divided, x, sums, to=x.dtype)
