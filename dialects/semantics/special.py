"""exp, log, tanh and rsqrt, defined once so that every engine gives the same bits.

A function is straight-line code over a `Backend` of exactly rounded binary64 operations; its result is rounded once
more, to the type of the operand. Nothing depends on a host's mathematical library, on fused multiply-add or on the
width of its vectors. Every f32 and f16 result is the correctly rounded one, which docs/numerics.md says how we know.

Polynomials are Taylor series, their coefficients the nearest f64 of exact fractions. Sources are named where used.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import factorial, inf, nan
from struct import pack
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
V = TypeVar("V")


class Backend(Protocol[V]):
    """Operations on all lanes. The lanes of a value are f64, 64-bit integers, or truths; f64 results are rounded to
    nearest even, and integers wrap."""

    def add(self, a: V, b: V | float) -> V: ...
    def sub(self, a: V, b: V | float) -> V: ...
    def mul(self, a: V, b: V | float) -> V: ...
    def div(self, a: V | float, b: V) -> V: ...
    def sqrt(self, a: V) -> V: ...

    def less(self, a: V | float, b: V | float) -> V:
        """Whether a < b: no if either is NaN."""
        ...

    def equal(self, a: V, b: V | float) -> V:
        """Whether a = b: no if either is NaN; the zeros are equal."""
        ...

    def select(self, condition: V, a: V | float, b: V | float) -> V:
        """a where the condition holds, b where not."""
        ...

    def bits(self, a: V) -> V:
        """The integers that f64 lanes are in memory."""
        ...

    def real(self, a: V) -> V:
        """The f64 that integer lanes are in memory."""
        ...

    def plus(self, a: V, b: V | int) -> V:
        """Sums of integers."""
        ...

    def minus(self, a: V, b: V | int) -> V:
        """Differences of integers."""
        ...

    def left(self, a: V, count: int) -> V:
        """Integers shifted left."""
        ...

    def right(self, a: V, count: int) -> V:
        """Integers shifted right, filled with zeros."""
        ...


class Special(Protocol):
    """From operands, as f64, to results, as f64 yet to be rounded."""

    def __call__(self, b: Backend[V], x: V, /) -> V: ...


# -- the functions -----------------------------------------------------------------------------------------------------

LOG2_E = float.fromhex("0x1.71547652b82fep+0")
LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")
"""The first 42 bits of ln 2: its product with an integer of up to 11 bits is exact."""
LN2_LOW = float.fromhex("0x1.ef35793c7673p-45")
"""The next 53 bits."""
SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")

FRACTION = 52
"""Bits of an f64 below its exponent."""
BIAS = 1023
"""The exponent field of 1."""
UNIT = 2.0**FRACTION
"""The f64 whose lowest bit counts 1: added to an integer below it, holds that integer in its lowest bits."""
ROUNDER = 1.5 * UNIT
"""The same for integers of either sign; adding it rounds to the nearest one."""

EXPM1 = [float(Fraction(1, factorial(n))) for n in range(2, 15)]
"""(expm1(r) - r) / r^2 in powers of r: 1/2!, 1/3!, ... Less than 2^-61 of r is omitted for |r| <= ln(2) / 2."""
ATANH = [float(Fraction(2, n)) for n in range(3, 23, 2)]
"""(2 atanh(s) - 2 s) / s^3 in powers of s^2: 2/3, 2/5, ... Less than 2^-59 of s is omitted for |s| <= 3 - sqrt(8)."""


def polynomial(b: Backend[V], x: V, coefficients: Sequence[float]) -> V:
    """Horner's rule, the constant coefficient first."""
    *others, before, last = coefficients
    total = b.add(b.mul(x, last), before)
    for c in reversed(others):
        total = b.add(b.mul(total, x), c)
    return total


def bits_of(x: float) -> int:
    """The integer that an f64 is in memory."""
    return int.from_bytes(pack(">d", x))


def _reduced_expm1(b: Backend[V], x: V) -> tuple[V, V]:
    """2^k and e^r - 1 for x = k ln 2 + r with |r| <= ln(2) / 2. |k| is below 2^10.

    The reduction with ln 2 in two parts, the first of few bits, is that of W. J. Cody and W. Waite, Software Manual for
    the Elementary Functions (1980), chapter 6.
    """
    rounded = b.add(b.mul(x, LOG2_E), ROUNDER)
    k = b.sub(rounded, ROUNDER)
    r = b.sub(b.sub(x, b.mul(k, LN2_HIGH)), b.mul(k, LN2_LOW))
    power = b.real(b.plus(b.left(b.bits(rounded), FRACTION), bits_of(1.0)))
    return power, b.add(r, b.mul(b.mul(r, r), polynomial(b, r, EXPM1)))


def exp(b: Backend[V], x: V) -> V:
    """2^k e^r. Beyond 200 every result type is long infinite or zero."""
    x = b.select(b.less(200.0, x), 200.0, b.select(b.less(x, -200.0), -200.0, x))
    power, p = _reduced_expm1(b, x)
    return b.mul(b.add(p, 1.0), power)


def tanh(b: Backend[V], x: V) -> V:
    """With E = e^(2|x|) - 1 = 2^k (e^r - 1) + (2^k - 1), the magnitude is E / (E + 2). From 20 on it is 1."""
    magnitude = b.real(b.right(b.left(b.bits(x), 1), 1))
    magnitude = b.select(b.less(20.0, magnitude), 20.0, magnitude)
    power, p = _reduced_expm1(b, b.add(magnitude, magnitude))
    e = b.add(b.mul(power, p), b.sub(power, 1.0))
    sign = b.left(b.right(b.bits(x), 63), 63)
    return b.real(b.plus(b.bits(b.div(e, b.add(e, 2.0))), sign))


def _odd_sum(b: Backend[V], large: V, small: V) -> V:
    """The sum rounded to odd: if inexact, to the one of its two neighbours whose last bit is 1. A further rounding to
    fewer bits is then that of the exact sum (S. Boldo and G. Melquiond, IEEE Trans. Computers 57, 2008).

    `large` is 0 or of the greater magnitude, so that `rest` is the exact error of the sum (T. J. Dekker, Numerische
    Mathematik 18, 1971).
    """
    total = b.add(large, small)
    rest = b.sub(small, b.sub(total, large))
    beyond = b.less(b.mul(total, rest), 0.0)
    inner = b.select(beyond, b.real(b.minus(b.bits(total), 1)), total)
    odd = b.real(b.plus(b.left(b.right(b.bits(inner), 1), 1), 1))
    return b.select(b.equal(rest, 0.0), total, odd)


def log(b: Backend[V], x: V) -> V:
    """k ln 2 + log(1 + f) for x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2).

    With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - (f^2 / 2 - s (f^2 / 2 + ...)), in which f and its square are
    exact: the way of fdlibm's `e_log.c` (Sun Microsystems, 1993). Some sums lie so close to the
    middle of two f32 that the nearest f64 is that middle; the last sum keeps the side.
    """
    bits = b.bits(x)
    k = b.right(b.plus(bits, bits_of(1.0) - bits_of(SQRT_HALF)), FRACTION)
    f = b.sub(b.real(b.minus(b.plus(bits, bits_of(1.0)), b.left(k, FRACTION))), 1.0)
    exponent = b.sub(b.real(b.plus(k, bits_of(UNIT))), UNIT + BIAS)
    s = b.div(f, b.add(f, 2.0))
    z = b.mul(s, s)
    half = b.mul(b.mul(f, f), 0.5)
    tail = b.mul(s, b.add(half, b.mul(z, polynomial(b, z, ATANH))))
    tail = b.sub(half, b.add(tail, b.mul(exponent, LN2_LOW)))
    result = _odd_sum(b, b.mul(exponent, LN2_HIGH), b.sub(f, tail))
    result = b.select(b.less(x, inf), result, x)
    return b.select(b.less(0.0, x), result, b.select(b.equal(x, 0.0), -inf, nan))


def rsqrt(b: Backend[V], x: V) -> V:
    """Two operations, each exactly rounded, which know all the special values: 1 / sqrt(-0) = 1 / -0 = -inf."""
    return b.div(1.0, b.sqrt(x))


SPECIAL: dict[str, Special] = {"exp": exp, "log": log, "tanh": tanh, "rsqrt": rsqrt}
"""The functions by mnemonic."""


# -- on numpy arrays ---------------------------------------------------------------------------------------------------


class NumpyBackend:
    """Lanes are the elements of float64, uint64 and bool arrays."""

    def add(self, a: Array, b: Array | float) -> Array:
        return a + b

    def sub(self, a: Array, b: Array | float) -> Array:
        return a - b

    def mul(self, a: Array, b: Array | float) -> Array:
        return a * b

    def div(self, a: Array | float, b: Array) -> Array:
        return a / b

    def sqrt(self, a: Array) -> Array:
        return np.sqrt(a)

    def less(self, a: Array | float, b: Array | float) -> Array:
        return np.less(a, b)

    def equal(self, a: Array, b: Array | float) -> Array:
        return np.equal(a, b)

    def select(self, condition: Array, a: Array | float, b: Array | float) -> Array:
        return np.where(condition, a, b)

    def bits(self, a: Array) -> Array:
        return a.view(np.uint64)

    def real(self, a: Array) -> Array:
        return a.view(np.float64)

    def plus(self, a: Array, b: Array | int) -> Array:
        return a + b

    def minus(self, a: Array, b: Array | int) -> Array:
        return a - b

    def left(self, a: Array, count: int) -> Array:
        return a << count

    def right(self, a: Array, count: int) -> Array:
        return a >> count


NUMPY: Backend[Array] = NumpyBackend()


def special(name: str, a: Array) -> Array:
    """The function with this mnemonic of every element of an f32 or f16 array, in the array's type. NaN is canonical.

    At most 1 ulp from the correctly rounded result; docs/numerics.md has the measured error.
    """
    with np.errstate(all="ignore"):
        result = SPECIAL[name](NUMPY, a.reshape(-1).astype(np.float64)).astype(a.dtype)
    result[np.isnan(result)] = nan
    return result.reshape(a.shape)
