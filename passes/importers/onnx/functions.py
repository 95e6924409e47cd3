"""Functions of scalars that no ALU has, as expressions of those that one has.

All are of f32. What each is off by, at most and measured, stands in docs/onnx.md. Polynomials are of the Handbook of
Mathematical Functions, M. Abramowitz and I. A. Stegun (1964), by their number, or Taylor series.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, pi, sqrt

from .scalars import Number, Scalar, where

TWO_OVER_PI = 2 / pi
HALF_PI_PARTS = (1.5703125, 4.837512969970703125e-4, 7.54978995489188e-8)
"""pi / 2 in three parts, the first two of few bits, so that their products with whole numbers below 2^13 are exact: the
way of W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980)."""

SINE = [(-1) ** n / factorial(2 * n + 1) for n in range(6)]
COSINE = [(-1) ** n / factorial(2 * n) for n in range(7)]
SINH = [1 / factorial(2 * n + 1) for n in range(6)]
ERF = [2 / sqrt(pi) * (-1) ** n / (factorial(n) * (2 * n + 1)) for n in range(12)]
"""erf(x) / x in powers of x^2, for |x| <= 1."""
ERFC = (0.0, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERFC_SCALE = 0.3275911
"""Formula 7.1.26."""
ATAN = (
    1.0, -0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393, -0.0752896400, 0.0429096138, -0.0161657367,
    0.0028662257,
)  # fmt: skip
"""atan(x) / x in powers of x^2, for |x| <= 1: formula 4.4.49."""
ACOS = (
    1.5707963050, -0.2145988016, 0.0889789874, -0.0501743046, 0.0308918810, -0.0170881256, 0.0066700901, -0.0012624911,
)  # fmt: skip
"""acos(x) / sqrt(1 - x), for 0 <= x <= 1: formula 4.4.46."""
ASIN = [factorial(2 * n) / (4**n * factorial(n) ** 2 * (2 * n + 1)) for n in range(10)]
"""asin(x) / x in powers of x^2."""
ATANH = [1 / (2 * n + 1) for n in range(8)]


def polynomial(x: Scalar, coefficients: Sequence[float]) -> Scalar:
    """Horner's rule, the constant coefficient first."""
    *others, last = coefficients
    total = x.like(last)
    for c in reversed(others):
        total = total * x + c
    return total


def absolute(x: Scalar) -> Scalar:
    return x.max(-x)


def sign(x: Scalar) -> Scalar:
    """1, 0 or -1; NaN of NaN."""
    return where(x > 0, 1, where(x < 0, -1, x))


def reciprocal(x: Scalar) -> Scalar:
    """1 / x as the square of a reciprocal root; +inf of both zeros."""
    root = absolute(x).rsqrt()
    square = root * root
    return where(x < 0, -square, square)


def divided(a: Scalar, b: Scalar) -> Scalar:
    """a / b, off by less than 5 times 2^-24 of it."""
    return a * reciprocal(b)


def square_root(x: Scalar) -> Scalar:
    """x rsqrt(x); of 0 and infinity themselves."""
    root = x * x.rsqrt()
    return where(x.equals(0.0), x, where(x.equals(float("inf")), x, root))


def _halves(x: Scalar) -> tuple[Scalar, Scalar]:
    """Two numbers of 12 bits whose sum is x (G. W. Veltkamp, 1968)."""
    c = x * 4097.0
    high = c - (c - x)
    return high, x - high


def quotient(a: Scalar, b: Scalar) -> Scalar:
    """a / b corrected by its exact remainder (T. J. Dekker, Numerische Mathematik 18, 1971): a quotient that is an f32
    is that one. For quotients below 2^100."""
    r = reciprocal(b)
    q = a * r
    (qh, ql), (bh, bl) = _halves(q), _halves(b)
    p = q * b
    e = (((qh * bh - p) + qh * bl) + ql * bh) + ql * bl
    return q + ((a - p) - e) * r


def floor(x: Scalar) -> Scalar:
    whole = x.trunc()
    return where(whole > x, whole - 1.0, whole)


def ceil(x: Scalar) -> Scalar:
    whole = x.trunc()
    return where(whole < x, whole + 1.0, whole)


def remainder(a: Scalar, b: Scalar) -> Scalar:
    """What a truncating division leaves of floats, with the sign of a: C's fmod, for quotients below 2^22."""
    size = absolute(b)
    towards = where(a < 0, -size, size)
    rest = a - divided(a, b).trunc() * b
    wrong = rest * towards < 0
    rest = where(wrong, rest + towards, rest)
    rest = where(absolute(rest) >= size, rest - towards, rest)
    return where(absolute(a) < size, a, rest)


def _positive_quotient(a: Scalar, b: Scalar, wide: bool) -> Scalar:
    """The quotient of integers of which neither is negative: by floats, and then made right by what is left. Those that
    are not `wide` have less than 24 bits."""
    r = reciprocal(b.f32())
    q = (a.f32() * r).i32()
    if wide:  # the first is off by some hundreds, so what the second adds is off by one
        q = q + ((a - q * b).f32() * r).i32()
    q = where(a - q * b < 0, q - 1, q)
    return where(a - q * b >= b, q + 1, q)


def unsigned_quotient(a: Scalar, b: Scalar) -> Scalar:
    """The quotient of unsigned integers of 32 bits: twice that of half the dividend, and what is left. By 0 it is no
    number in particular."""
    q = _positive_quotient(a.right(1, unsigned=True), b, True).left(1)
    q = where((a - q * b).is_("ge", b, unsigned=True), q + 1, q)
    return where(b < 0, a.is_("ge", b, unsigned=True).i32(), q)


def integer_quotient(a: Scalar, b: Scalar, wide: bool) -> Scalar:
    """The quotient of signed integers, towards zero; those that are not `wide` have 16 bits at most."""
    sizes = [where(v < 0, -v, v) for v in (a, b)]
    q = unsigned_quotient(sizes[0], sizes[1]) if wide else _positive_quotient(sizes[0], sizes[1], False)
    return where((a ^ b) < 0, -q, q)


def sine(x: Scalar, quarter: int = 0) -> Scalar:
    """sin(x + quarter pi / 2), of numbers below 2^12."""
    k = (x * TWO_OVER_PI).round()
    r = x
    for part in HALF_PI_PARTS:
        r = r - k * part
    square = r * r
    turns = k.i32() + quarter
    value = where((turns & 1).differs(0), polynomial(square, COSINE), r * polynomial(square, SINE))
    return where((turns & 2).differs(0), -value, value)


def erf(x: Scalar) -> Scalar:
    size = absolute(x)
    square = x * x
    t = reciprocal(size * ERFC_SCALE + 1.0)
    far = 1.0 - polynomial(t, ERFC) * (-square).exp()
    return where(size < 1.0, x * polynomial(square, ERF), where(x < 0, -far, far))


def atan(x: Scalar) -> Scalar:
    size = absolute(x)
    near = where(size > 1.0, reciprocal(size), size)
    value = near * polynomial(near * near, ATAN)
    value = where(size > 1.0, pi / 2 - value, value)
    return where(x < 0, -value, value)


def _outer_acos(size: Scalar) -> Scalar:
    return square_root(1.0 - size) * polynomial(size, ACOS)


def asin(x: Scalar) -> Scalar:
    size = absolute(x)
    outer = pi / 2 - _outer_acos(size)
    return where(size < 0.5, x * polynomial(x * x, ASIN), where(x < 0, -outer, outer))


def acos(x: Scalar) -> Scalar:
    size = absolute(x)
    outer = _outer_acos(size)
    inner = pi / 2 - x * polynomial(x * x, ASIN)
    return where(size < 0.5, inner, where(x < 0, pi - outer, outer))


def sinh(x: Scalar) -> Scalar:
    outer = (x.exp() - (-x).exp()) * 0.5
    return where(absolute(x) < 1.0, x * polynomial(x * x, SINH), outer)


def cosh(x: Scalar) -> Scalar:
    return (x.exp() + (-x).exp()) * 0.5


def asinh(x: Scalar) -> Scalar:
    size = absolute(x)
    outer = (size + square_root(size * size + 1.0)).log()
    inner = x * polynomial(-(x * x), ASIN)
    return where(size < 0.5, inner, where(x < 0, -outer, outer))


def acosh(x: Scalar) -> Scalar:
    return (x + square_root(x * x - 1.0)).log()


def atanh(x: Scalar) -> Scalar:
    outer = divided(x + 1.0, 1.0 - x).log() * 0.5
    return where(absolute(x) < 0.3, x * polynomial(x * x, ATANH), outer)


def tan(x: Scalar) -> Scalar:
    return divided(sine(x), sine(x, 1))


def log1p_exp(x: Scalar) -> Scalar:
    """log(1 + exp(x))."""
    return x.max(0.0) + ((-absolute(x)).exp() + 1.0).log()


def sigmoid(x: Scalar) -> Scalar:
    """1 / (1 + exp(-x))."""
    root = ((-x).exp() + 1.0).rsqrt()
    return root * root


def power(x: Scalar, y: Scalar) -> Scalar:
    """x to the power of y, by logarithms: of a negative x where y is whole."""
    result = (y * absolute(x).log()).exp()
    whole = y.trunc()
    half = y * 0.5
    odd = half.trunc().differs(half)
    signed = where((x < 0).i32().differs(0), where(odd, -result, result), result)
    fits = where(x < 0, where(whole.equals(y), signed, float("nan")), result)
    return where(y.equals(0.0), 1.0, fits)


def whole_power(x: Scalar, exponent: int) -> Scalar:
    """x multiplied by itself, by squaring; of a negative exponent its reciprocal."""
    if exponent < 0:
        return reciprocal(whole_power(x, -exponent))
    result: Scalar | None = None
    square = x
    while exponent:
        if exponent & 1:
            result = square if result is None else result * square
        exponent >>= 1
        if exponent:
            square = square * square
    return x.like(1) if result is None else result


def integer_power(x: Scalar, y: Scalar) -> Scalar:
    """An integer to the power of one that is not negative, in 32 bits, which wrap."""
    result, square, rest = x.like(1), x, y
    for bit in range(31):
        result = where((rest & (1 << bit)).differs(0), result * square, result)
        square = square * square
    return result


def is_infinite(x: Scalar, positive: bool, negative: bool) -> Scalar:
    limits = [v for v, wanted in ((float("inf"), positive), (float("-inf"), negative)) if wanted]
    found = [x.equals(v) for v in limits]
    return found[0] if len(found) == 1 else found[0] | found[1] if found else x.differs(x) & False


def clipped(x: Scalar, low: Number | None, high: Number | None) -> Scalar:
    x = x if low is None else x.max(low)
    return x if high is None else x.min(high)
