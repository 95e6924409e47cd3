"""Sums of products as the MXM forms them: matrices and convolutions.

i8 products are summed in i32, which wraps. f16 products are summed in passes of at most `lanes` of them: exactly
multiplied, added in f64 in ascending order, rounded once to f32; passes are added in f32 in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import product

import numpy as np

from ..tsp_tensor.window import Window
from .arithmetic import BINARY, Array, canonical
from .reductions import met

INTEGER_PASS = 1 << 24
"""i8 products, each at most 2^14, that are summed at once: less than 2^53 / 2^14."""

CHUNK = 1 << 22
"""Products that are held at once where sums are formed one by one."""


def matmul(a: Array, b: Array, lanes: int) -> Array:
    """The products [..., M, N] of matrices [..., M, K] and [..., K, N], of i8 or f16; what comes before broadcasts."""
    return accumulated(passes(a, b, lanes))


def conv(images: Array, weights: Array, window: Window, groups: int, lanes: int) -> Array:
    """Convolution of images [N, H, W, C] with weights [KH, KW, C / groups, O], of i8 or f16: [N, H', W', O].

    Passes go through the rows of the kernel, then its columns, then the channels of a group.
    """
    n, height, width, channels = images.shape
    each, outputs = channels // groups, weights.shape[3] // groups
    rows, columns = window.along((height, width))
    shape = (n, rows.places, columns.places, channels)
    # zeros give zeros, but for those that meet an infinity or NaN
    needed = images.dtype != np.int8

    def taps() -> Iterator[Array]:
        for r, c in product(range(rows.taps), range(columns.taps)):
            (down, its_rows), (along, its_columns) = met(rows, r), met(columns, c)
            pixels = np.zeros(shape, images.dtype)
            pixels[:, down, along] = images[:, its_rows, its_columns]
            if needed or (r, c) == (0, 0) or pixels[:, down, along].size:
                a = pixels.reshape(-1, groups, each).transpose(1, 0, 2)
                yield from passes(a, weights[r, c].reshape(each, groups, outputs).transpose(1, 0, 2), lanes)

    sums = accumulated(taps())
    return np.ascontiguousarray(sums.transpose(1, 0, 2)).reshape(*shape[:3], groups * outputs)


def passes(a: Array, b: Array, lanes: int) -> Iterator[Array]:
    """The sums of each pass over `lanes` of K: i32 of i8, f32 of f16. As those of i8 wrap, their passes are longer."""
    one, step = (_integer_sums, INTEGER_PASS) if a.dtype == np.int8 else (half_sums, lanes)
    for k in range(0, a.shape[-1], step):
        yield one(a[..., k : k + step], b[..., k : k + step, :])


def accumulated(sums: Iterable[Array]) -> Array:
    """Passes added in order, as accumulators do: i32 wraps, f32 rounds each time."""
    return reduce(BINARY["add"], sums)


def _integer_sums(a: Array, b: Array) -> Array:
    """By BLAS, in a type in which all sums are exact."""
    wide = np.float32 if a.shape[-1] <= 1 << 10 else np.float64
    return (a.astype(wide) @ b.astype(wide)).astype(np.int64).astype(np.int32)


def half_sums(a: Array, b: Array) -> Array:
    """The f32 sums of one pass of f16 products, by the definition above.

    BLAS adds in an order of its own. Both its sum and the one in ascending order are within (K - 1) u of the exact sum,
    relative to that of the magnitudes (u = 2^-53; N. J. Higham, Accuracy and Stability of Numerical Algorithms, section
    3.1). Where all f64 as near round to one f32, that is the result; the few others are added one by one.
    """
    with np.errstate(all="ignore"):
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        total = wide_a @ wide_b
        error = (np.abs(wide_a) @ np.abs(wide_b)) * ((a.shape[-1] + 4) * 2.0**-52)
        result = (total + 0.0).astype(np.float32)
        unsure = ~((total - error).astype(np.float32) == (total + error).astype(np.float32))
        if unsure.any():
            result[unsure] = _in_order(wide_a, wide_b, np.nonzero(unsure), result.shape[:-2])
    return canonical(result)


def _in_order(a: Array, b: Array, at: tuple[Array, ...], batch: tuple[int, ...]) -> Array:
    """The sums at some places, each formed in f64 in ascending order from zero, rounded to f32."""
    *outer, row, column = at
    a = np.broadcast_to(a, batch + a.shape[-2:])
    b = np.broadcast_to(b, batch + b.shape[-2:]).swapaxes(-1, -2)
    result = np.empty(len(row), np.float32)
    step = max(1, CHUNK // a.shape[-1])
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        where = tuple(o[part] for o in outer)
        products = a[(*where, row[part])] * b[(*where, column[part])]
        products[:, 0] += 0.0
        result[part] = np.add.accumulate(products, axis=1)[:, -1]
    return result
