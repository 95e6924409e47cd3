"""A network computed by numpy, bit for bit as docs/numerics.md defines it, and without any of the compiler's code.

Convolutions are products of patches (of one tap, for f16) with the matrix of weights. BLAS forms them in f64, which is
exact: i8 products stay below 2^53 in sum, and those of f16 are multiples of 2^-36, since weights are multiples of
2^-12, and mostly stay below 2^17 (`EXACT`); where they might not, they are added one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from .layers import Affine, Concat, Conv, Dense, Flatten, Image, Layer, Lrn, Mean, Network, Pool, Shuffle, Window

Array = np.ndarray

LANES = 320
"""f16 products that are summed before the sum is rounded to f32."""

EXACT = 2.0**17
"""Below this, f64 holds every multiple of 2^-36."""


def run(net: Network, precision: str, weights: Mapping[str, Array], image: Array) -> Array:
    """The result of the network: i32 or f32 sums, or i8 or f16 where a pool ends it. [batch, classes]"""
    numbers = Bytes(weights) if precision == "i8" else Halves(weights)
    values: dict[str, Array] = {}
    uses = {s.name: i for i, layer in enumerate(net.layers) for s in sources(layer)}
    for i, layer in enumerate(net.layers):
        values[layer.name] = image if isinstance(layer, Image) else numbers.layer(layer, values)
        for name in [n for n in values if uses.get(n, i) <= i and n != net.layers[-1].name]:
            del values[name]
    return values[net.layers[-1].name]


def sources(layer: Layer) -> list[Layer]:
    """What a layer takes."""
    match layer:
        case Image():
            return []
        case Concat():
            return [*layer.sources]
        case Conv():
            return [layer.source, *([layer.other] if layer.other is not None else [])]
        case _:
            return [layer.source]  # type: ignore[attr-defined]


def taps(x: Array, window: Window, fill: float = 0) -> list[Array]:
    """What each tap of a window meets, in row-major order, each [batch, rows, columns, channels]."""
    top, left, bottom, right = window.pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    rows, columns = ((d - k) // s + 1 for d, k, s in zip(x.shape[1:3], window.kernel, window.strides, strict=True))
    down, right_ = window.strides
    return [
        x[:, r : r + (rows - 1) * down + 1 : down, c : c + (columns - 1) * right_ + 1 : right_]
        for r in range(window.kernel[0])
        for c in range(window.kernel[1])
    ]


class Numbers(ABC):
    """What both precisions have in common."""

    def __init__(self, weights: Mapping[str, Array]):
        self.weights = weights

    def layer(self, layer: Layer, values: Mapping[str, Array]) -> Array:
        match layer:
            case Conv():
                x = values[layer.source.name]
                other = values[layer.other.name] if layer.other is not None else None
                sums = self.convolved(x, self.weights[f"{layer.name}_weights"], layer.window, layer.groups)
                return self.finished(layer, sums, other)
            case Dense():
                x, w = values[layer.source.name], self.weights[f"{layer.name}_weights"]
                one = Window((1, 1), (1, 1), (0, 0, 0, 0))
                sums = self.convolved(x[:, None, None], w[None, None], one, 1)[:, 0, 0]
                return sums if layer.last else self.finished(layer, sums, None)
            case Affine():
                scale, bias = (self.weights[f"{layer.name}_{part}"] for part in ("scale", "bias"))
                wide = values[layer.source.name].astype(np.float32) * scale + bias
                return self.rounded(clamped(wide, "relu", self.six))
            case Pool(kind="max"):
                x = values[layer.source.name]
                lowest = -np.inf if x.dtype == np.float16 else -128
                return np.max(taps(x, layer.window, lowest), axis=0)
            case Pool():
                return self.average(taps(values[layer.source.name], layer.window))
            case Mean():
                x = values[layer.source.name]
                return self.average([*x.reshape(x.shape[0], -1, x.shape[3]).swapaxes(0, 1)])
            case Concat():
                return np.concatenate([values[s.name] for s in layer.sources], axis=-1)
            case Shuffle():
                x = values[layer.source.name]
                return x.reshape(*x.shape[:3], layer.groups, -1).swapaxes(3, 4).reshape(x.shape)
            case Flatten():
                return values[layer.source.name].reshape(layer.shape)
            case Lrn():
                return self.normalised(layer, values[layer.source.name])
            case _:
                raise TypeError(layer)

    six: float | None

    @abstractmethod
    def convolved(self, x: Array, weights: Array, window: Window, groups: int) -> Array:
        """Sums of products, [batch, rows, columns, outputs]."""

    @abstractmethod
    def finished(self, layer: Conv | Dense, sums: Array, other: Array | None) -> Array:
        """Activations from sums."""

    @abstractmethod
    def rounded(self, x: Array) -> Array:
        """f32 as activations."""

    @abstractmethod
    def average(self, parts: list[Array]) -> Array:
        """The average of arrays."""

    @abstractmethod
    def squares(self, x: Array) -> tuple[Array, int]:
        """Squares, and two to which power they have been divided by."""

    def normalised(self, layer: Lrn, x: Array) -> Array:
        small, bits = self.squares(x)
        reach, channels = layer.size // 2, x.shape[-1]
        padded = np.pad(small.astype(np.float64), ((0, 0), (0, 0), (0, 0), (reach, reach)))
        sums = sum((padded[..., i : i + channels] for i in range(layer.size)), np.float64(0)).astype(np.float32)
        total = sums * np.float32(layer.alpha / layer.size * 2.0**bits) + np.float32(layer.bias)
        root = rsqrt(total)
        return self.rounded(x.astype(np.float32) * (rsqrt(total * root) * root))


class Bytes(Numbers):
    """i8 activations and weights, i32 sums."""

    six = None

    def convolved(self, x: Array, weights: Array, window: Window, groups: int) -> Array:
        outputs, depth = weights.shape[3] // groups, weights.shape[2]
        sums = []
        for g in range(groups):
            part = x[..., g * depth : (g + 1) * depth]
            matrix = weights[..., g * outputs : (g + 1) * outputs].reshape(-1, outputs)
            sums.append(np.concatenate(taps(part, window), axis=-1).astype(np.float64) @ matrix.astype(np.float64))
        return np.concatenate(sums, axis=-1).astype(np.int64).astype(np.int32)

    def finished(self, layer: Conv | Dense, sums: Array, other: Array | None) -> Array:
        bias, scale = (self.weights[f"{layer.name}_{part}"] for part in ("bias", "scale"))
        x = (sums + bias).astype(np.float32) * scale
        if other is not None:
            x = x + other.astype(np.float32)
        return self.rounded(clamped(x, layer.activation, self.six))

    def rounded(self, x: Array) -> Array:
        return np.clip(np.rint(x), -128, 127).astype(np.int8)

    def average(self, parts: list[Array]) -> Array:
        sums = np.sum(parts, axis=0, dtype=np.int32)
        return self.rounded(sums.astype(np.float32) * np.float32(1 / len(parts)))

    def squares(self, x: Array) -> tuple[Array, int]:
        return x.astype(np.int32) ** 2 // 128, 7


class Halves(Numbers):
    """f16 activations and weights, f32 sums."""

    six = 6.0

    def convolved(self, x: Array, weights: Array, window: Window, groups: int) -> Array:
        kernel = weights.astype(np.float64).reshape(-1, *weights.shape[2:])
        outputs, depth = weights.shape[3] // groups, weights.shape[2]
        total: Array | None = None
        for pixels, matrix in zip(taps(x, window), kernel, strict=True):
            for start in range(0, depth, LANES):
                sums = []
                for g in range(groups):
                    part = slice(g * depth + start, g * depth + min(start + LANES, depth))
                    rows = pixels[..., part].astype(np.float64)
                    columns = matrix[start : start + LANES, g * outputs : (g + 1) * outputs]
                    sums.append(multiplied(rows, columns))
                one = np.concatenate(sums, axis=-1).astype(np.float32)
                total = one if total is None else total + one
        assert total is not None
        return total

    def finished(self, layer: Conv | Dense, sums: Array, other: Array | None) -> Array:
        x = sums + self.weights[f"{layer.name}_bias"]
        if other is not None:
            x = x + other.astype(np.float32)
        return self.rounded(clamped(x, layer.activation, self.six))

    def rounded(self, x: Array) -> Array:
        return x.astype(np.float16)

    def average(self, parts: list[Array]) -> Array:
        total = parts[0].astype(np.float32)
        for part in parts[1:]:
            total = total + part.astype(np.float32)
        return self.rounded(total * np.float32(1 / len(parts)))

    def squares(self, x: Array) -> tuple[Array, int]:
        small = x.astype(np.float32) / 16
        return (small * small).astype(np.float16), 8


def multiplied(rows: Array, columns: Array) -> Array:
    """Sums of products in f64: in any order where it is exact, and else, as is defined, in that of the columns."""
    if np.abs(rows).sum(axis=-1).max() * np.abs(columns).max() < EXACT:
        return rows @ columns + 0.0
    total = np.zeros((*rows.shape[:-1], columns.shape[1]))
    for k in range(len(columns)):
        total += rows[..., k, None] * columns[k]
    return total


def clamped(x: Array, activation: str | None, six: float | None) -> Array:
    """An activation of f32; a negative zero becomes a positive one."""
    if activation is None:
        return x
    x = np.maximum(x, np.float32(0)) + np.float32(0)
    return np.minimum(x, np.float32(six)) if activation == "relu6" and six is not None else x


def rsqrt(x: Array) -> Array:
    """1 / sqrt(x) of f32, rounded once."""
    return (1 / np.sqrt(x.astype(np.float64))).astype(np.float32)
