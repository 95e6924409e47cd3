"""Half precision as IR, by operations on integers and f32: not every CPU converts it, and a compiler would call a
library there."""

from __future__ import annotations

from .build import V16F32, V16I32, Function, Value, splat

CANONICAL_NAN = 0x7E00

_FRACTION = 23 - 10
"""Bits that the fraction of an f32 has more."""
_BIAS = 127 - 15 << 23
"""What the exponent of an f32 is greater by."""
_INFINITY = 0x7C00
_NORMAL = 1 << 10
"""The least normal number's bits."""
_HALF = 0x3F000000
"""0.5 as f32, whose last bit counts one subnormal fp16."""


def widen(f: Function, a: Value) -> Value:
    """f32, exactly, of 32-bit lanes with fp16 in their lower halves and zeros above.

    Normal numbers and infinities get the exponent of f32. A subnormal is the excess over the least normal number of one
    that has its fraction.
    """
    magnitude = f.b.and_(a, splat(0x7FFF, V16I32))
    fraction = f.b.shl(magnitude, splat(_FRACTION, V16I32))
    infinite = f.b.icmp_signed(">=", magnitude, splat(_INFINITY, V16I32))
    normal = f.b.add(fraction, f.b.select(infinite, splat(2 * _BIAS, V16I32), splat(_BIAS, V16I32)))
    least = splat(_BIAS + (1 << 23), V16I32)
    excess = f.b.fsub(f.as_type(f.b.add(fraction, least), V16F32), f.as_type(least, V16F32))
    small = f.b.icmp_signed("<", magnitude, splat(_NORMAL, V16I32))
    result = f.b.select(small, f.as_type(excess, V16I32), normal)
    sign = f.b.shl(f.b.xor(a, magnitude), splat(16, V16I32))
    return f.as_type(f.b.or_(result, sign), V16F32)


def narrow(f: Function, x: Value) -> Value:
    """f32 rounded once, to nearest even, as 32-bit lanes with fp16 in their lower halves; NaN is the canonical one."""
    bits = f.as_type(x, V16I32)
    magnitude = f.b.and_(bits, splat(0x7FFFFFFF, V16I32))
    odd = f.b.and_(f.b.lshr(magnitude, splat(_FRACTION, V16I32)), splat(1, V16I32))
    nearest = f.b.add(f.b.add(magnitude, splat((1 << _FRACTION - 1) - 1, V16I32)), odd)
    normal = f.b.lshr(f.b.sub(nearest, splat(_BIAS, V16I32)), splat(_FRACTION, V16I32))
    normal = f.apply("llvm.smin.v16i32", V16I32, normal, splat(_INFINITY, V16I32))
    half = splat(_HALF, V16I32)
    sum_ = f.b.fadd(f.as_type(magnitude, V16F32), f.as_type(half, V16F32))
    subnormal = f.b.sub(f.as_type(sum_, V16I32), half)
    small = f.b.icmp_signed("<", magnitude, splat(_BIAS + (1 << 23), V16I32))
    result = f.b.select(small, subnormal, normal)
    result = f.b.or_(result, f.b.lshr(f.b.xor(bits, magnitude), splat(16, V16I32)))
    return f.b.select(f.b.fcmp_unordered("uno", x, x), splat(CANONICAL_NAN, V16I32), result)
