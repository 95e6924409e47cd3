"""The special functions as IR, on vectors of 32-bit lanes: dialects/semantics/special.py on LLVM's f64 vectors.

No instruction carries a fast-math flag, so LLVM neither contracts nor reorders any. Half precision is converted by
integer operations: not every CPU converts it, and none from f64 without rounding twice.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dialects.machine.instruction import ElementType
from ...dialects.semantics.special import BIAS, FRACTION, SPECIAL, UNIT, bits_of
from .build import F64, I64, V16F32, V16I32, Function, Value, splat, vector

LANES = 16
V16F64 = vector(F64, LANES)
V16I64 = vector(I64, LANES)


class LlvmBackend:
    """Lanes are the elements of vectors of `LANES`."""

    def __init__(self, f: Function):
        self._f = f

    def add(self, a: Value, b: Value | float) -> Value:
        return self._f.b.fadd(a, _real(b))

    def sub(self, a: Value, b: Value | float) -> Value:
        return self._f.b.fsub(a, _real(b))

    def mul(self, a: Value, b: Value | float) -> Value:
        return self._f.b.fmul(a, _real(b))

    def div(self, a: Value | float, b: Value) -> Value:
        return self._f.b.fdiv(_real(a), b)

    def sqrt(self, a: Value) -> Value:
        return self._f.call(self._f.module.intrinsic("llvm.sqrt.v16f64", V16F64, [V16F64]), a)

    def less(self, a: Value | float, b: Value | float) -> Value:
        return self._f.b.fcmp_ordered("<", _real(a), _real(b))

    def equal(self, a: Value, b: Value | float) -> Value:
        return self._f.b.fcmp_ordered("==", a, _real(b))

    def select(self, condition: Value, a: Value | float, b: Value | float) -> Value:
        return self._f.b.select(condition, _real(a), _real(b))

    def bits(self, a: Value) -> Value:
        return self._f.as_type(a, V16I64)

    def real(self, a: Value) -> Value:
        return self._f.as_type(a, V16F64)

    def plus(self, a: Value, b: Value | int) -> Value:
        return self._f.b.add(a, _integer(b))

    def minus(self, a: Value, b: Value | int) -> Value:
        return self._f.b.sub(a, _integer(b))

    def left(self, a: Value, count: int) -> Value:
        return self._f.b.shl(a, _integer(count))

    def right(self, a: Value, count: int) -> Value:
        return self._f.b.lshr(a, _integer(count))


def _real(x: Value | float) -> Value:
    return splat(x, V16F64) if isinstance(x, float) else x


def _integer(x: Value | int) -> Value:
    return splat(x, V16I64) if isinstance(x, int) else x


def special_operation(name: str, element: ElementType) -> Callable[[Function, Value, Value], Value]:
    """The function with this mnemonic as an operation on 32-bit lanes that hold f32, or f16 in their lower halves."""
    widen, narrow = (from_half, to_half) if element is ElementType.F16 else (from_single, to_single)
    return lambda f, a, _: narrow(f, SPECIAL[name](LlvmBackend(f), widen(f, a)))


def from_single(f: Function, a: Value) -> Value:
    """f32, exactly."""
    return f.b.fpext(f.as_type(a, V16F32), V16F64)


def to_single(f: Function, y: Value) -> Value:
    """Rounded once, to nearest even."""
    return _or_nan(f, y, f.as_type(f.b.fptrunc(y, V16F32), V16I32), 0x7FC00000)


def _or_nan(f: Function, y: Value, result: Value, pattern: int) -> Value:
    return f.b.select(f.b.fcmp_unordered("uno", y, y), splat(pattern, V16I32), result)


HALF_FRACTION = 10
HALF_BIAS = 15
HALF_INFINITY = 0x7C00
SHIFT = FRACTION - HALF_FRACTION
HALF_UNIT = UNIT * 2.0 ** (1 - HALF_BIAS - HALF_FRACTION)
"""The f64 whose lowest bit counts one f16 subnormal."""
HALF_NORMAL = 2.0 ** (1 - HALF_BIAS)


def from_half(f: Function, a: Value) -> Value:
    """f16, exactly. Normal numbers and infinity move up to the f64's fields; subnormals are counts of the least."""
    b = LlvmBackend(f)
    half = f.b.zext(f.b.and_(a, splat(0xFFFF, V16I32)), V16I64)
    magnitude = f.b.and_(half, splat(0x7FFF, V16I64))
    bias = splat(BIAS - HALF_BIAS << FRACTION, V16I64)
    infinite = f.b.icmp_signed(">=", magnitude, splat(HALF_INFINITY, V16I64))
    bias = f.b.select(infinite, b.plus(bias, bias), bias)
    normal = b.plus(b.left(magnitude, SHIFT), bias)
    subnormal = b.bits(b.sub(b.real(b.plus(magnitude, bits_of(HALF_UNIT))), HALF_UNIT))
    small = f.b.icmp_signed("<", magnitude, splat(1 << HALF_FRACTION, V16I64))
    return b.real(b.plus(f.b.select(small, subnormal, normal), b.left(b.right(half, 15), 63)))


def to_half(f: Function, y: Value) -> Value:
    """Rounded once, to nearest even."""
    b = LlvmBackend(f)
    magnitude = b.right(b.left(b.bits(y), 1), 1)
    odd = f.b.and_(b.right(magnitude, SHIFT), splat(1, V16I64))
    rounded = b.right(b.plus(b.plus(magnitude, (1 << SHIFT - 1) - 1), odd), SHIFT)
    normal = b.minus(rounded, BIAS - HALF_BIAS << HALF_FRACTION)
    finite = f.b.icmp_signed("<", normal, splat(HALF_INFINITY, V16I64))
    normal = f.b.select(finite, normal, splat(HALF_INFINITY, V16I64))
    subnormal = b.minus(b.bits(b.add(b.real(magnitude), HALF_UNIT)), bits_of(HALF_UNIT))
    half = f.b.select(b.less(b.real(magnitude), HALF_NORMAL), subnormal, normal)
    half = b.plus(half, b.left(b.right(b.bits(y), 63), 15))
    return _or_nan(f, y, f.b.trunc(half, V16I32), 0x7E00)
