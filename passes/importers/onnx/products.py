"""Products of matrices and convolutions in the precision that is asked for.

The MXM multiplies f16 by f16 with f32 sums, and i8 by i8. In `f16` both operands of f32 are rounded to it. In `f16x3`
each is scaled by its greatest magnitude, or by a bound that is known, to at most 2^14, and is then the sum of two f16,
the second what the first rounds off; the product is high by high, high by low and low by high, scaled back. What is
left out, low by low, is 2^-22 of the product; an element smaller than 2^-17 of the greatest has fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .elements import Array
from .emit import Emitter
from .functions import absolute
from .scalars import Scalar, where
from .values import Refused, Value, known

F32 = np.dtype(np.float32)
F16 = np.dtype(np.float16)
GREATEST = float(2**14)
"""To what the greatest magnitude of a scale is brought: sums of products stay far below the end of f32."""

Product = Callable[[Value, Value], Value]
"""The product of two tensors of f16, as f32."""


@dataclass(frozen=True)
class Parts:
    """A tensor as the sum of two of f16, times a scale, over GREATEST. The scale broadcasts to the product's result."""

    high: Value
    low: Value | None
    scale: Value


def multiplied(
    emit: Emitter,
    a: Value,
    b: Value,
    axes_a: Sequence[int],
    axes_b: Sequence[int],
    product: Product,
    scales: tuple[Callable[[Value], Value], Callable[[Value], Value]],
    to: Any,
) -> Value:
    """A product of floats. `axes_a` and `axes_b` are those over which an operand has one scale; `scales` give the
    scale of each the shape with which it meets the result."""
    if a.kind != "f" or b.kind != "f":
        raise Refused(f"it multiplies {a.dtype} by {b.dtype}", "cast both to float32 or float16")
    if a.dtype == F16 and b.dtype == F16:
        return emit.cast(product(a, b), to)
    if emit.precision == "f16":
        return emit.cast(product(emit.cast(a, F16), emit.cast(b, F16)), to)
    x, y = split(emit, a, axes_a), split(emit, b, axes_b)
    terms = [product(x.high, y.high)]
    if y.low is not None:
        terms.append(product(x.high, y.low))
    if x.low is not None:
        terms.append(product(x.low, y.high))

    def joined(scale: Scalar, other: Scalar, high: Scalar, *low: Scalar) -> Scalar:
        total = high
        for term in low:
            total = total + term
        return total * GREATEST**-2 * scale * other

    return emit.map(joined, scales[0](x.scale), scales[1](y.scale), *terms, to=to)


def split(emit: Emitter, value: Value, axes: Sequence[int]) -> Parts:
    """A tensor as two of f16, with a scale for all that lies along `axes`; f16 needs no second, nor a scale."""
    if value.dtype == F16:
        return Parts(value, None, known(np.float32(GREATEST)))
    if value.array is not None:
        return _known_split(value.array.astype(np.float32), axes)
    x = emit.cast(value, F32)
    if value.bound:
        exact = float(np.ldexp(1.0, int(np.ceil(np.log2(value.bound)))))
        constant = GREATEST / exact
        high = emit.map(lambda v: v * constant, x, to=F16)
        low = emit.map(lambda v, h: v * constant - h, x, high, to=F16)
        return Parts(high, low, known(np.float32(exact)))
    sizes = emit.map(absolute, x, to=F32)
    greatest = emit.reduced("max", sizes, axes)
    factor = emit.map(_factor, greatest, to=F32)
    back = emit.map(_back, greatest, to=F32)
    high = emit.map(lambda v, s: v * s, x, factor, to=F16)
    low = emit.map(lambda v, s, h: v * s - h, x, factor, high, to=F16)
    return Parts(high, low, back)


def _usable(greatest: Scalar) -> Scalar:
    """Whether there is a scale: not of zeros alone, and not of an infinity, whose second part is NaN anyway."""
    return ((greatest > 1e-34).i32() & (greatest < float("inf")).i32()).differs(0)


def _factor(greatest: Scalar) -> Scalar:
    root = greatest.rsqrt() * GREATEST**0.5
    return where(_usable(greatest), root * root, 1.0)


def _back(greatest: Scalar) -> Scalar:
    return where(_usable(greatest), greatest, GREATEST)


def _known_split(array: Array, axes: Sequence[int]) -> Parts:
    """The same on the host, by powers of two, which round nothing."""
    with np.errstate(all="ignore"):
        greatest = np.abs(array).max(axis=tuple(axes), keepdims=True)
        usable = np.isfinite(greatest) & (greatest > 0)
        exponent = np.frexp(np.where(usable, greatest, 1.0))[1]
        factor = np.where(usable, np.ldexp(np.float32(1), 14 - exponent), 1).astype(np.float32)
        scaled = array * factor
        high = scaled.astype(np.float16)
        low = (scaled - high.astype(np.float32)).astype(np.float16)
    return Parts(known(high), known(low) if low.any() else None, known((GREATEST / factor).astype(np.float32)))
