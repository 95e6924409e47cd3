"""The arithmetic of an ALU, on numpy arrays: the one definition that all numpy levels and engines share.

Integers wrap in the width of their type, unless an operation says that it saturates. fp16 operations are done in fp32
and rounded once, which gives the correctly rounded result of one operation. Every result that is NaN is the canonical
quiet NaN, so that bits do not depend on the host's choice of payload; `copy` and `select` keep bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..elements import dtype_of
from ..machine.instruction import ElementType
from .special import special

Array = npt.NDArray[Any]
_CANONICAL_NAN = {2: np.uint16(0x7E00).view(np.float16), 4: np.uint32(0x7FC00000).view(np.float32)}


def canonical(a: Array) -> Array:
    """`a` with every NaN replaced by the canonical one of its type."""
    return np.where(np.isnan(a), _CANONICAL_NAN[a.dtype.itemsize], a) if a.dtype.kind == "f" else a


def _quiet(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of one operand whose NaNs are canonical and which warns of nothing."""

    def apply(a: Array) -> Array:
        with np.errstate(all="ignore"):
            return canonical(function(a))

    return apply


def _quiet_pair(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """As _quiet, for two operands."""

    def apply(a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return canonical(function(a, b))

    return apply


def _maximum(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.maximum(a, b)
    return np.where(np.isnan(a) | (a > b) | ((a == b) & ~np.signbit(a)), a, b)


def _minimum(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.minimum(a, b)
    return np.where(np.isnan(a) | (a < b) | ((a == b) & np.signbit(a)), a, b)


def _saturated(wide: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    return np.clip(wide, limits.min, limits.max).astype(dtype)


def _saturating(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda a, b: _saturated(function(a.astype(np.int64), b.astype(np.int64)), a.dtype)


def _shift(function: Callable[[Array, Array], Array], unsigned: bool) -> Callable[[Array, Array], Array]:
    """A shift by an unsigned number of bits, done in 64 bits so that no amount is out of range."""

    def apply(a: Array, b: Array) -> Array:
        bits = a.dtype.itemsize * 8
        amount = np.minimum(b.astype(np.int64) & ((1 << bits) - 1), bits)
        wide = a.astype(np.int64) & ((1 << bits) - 1) if unsigned else a.astype(np.int64)
        return function(wide, amount).astype(a.dtype)

    return apply


def _compare(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda a, b: function(a, b).astype(np.int8)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": _quiet_pair(lambda a, b: a + b),
    "sub": _quiet_pair(lambda a, b: a - b),
    "mul": _quiet_pair(lambda a, b: a * b),
    "max": _quiet_pair(_maximum),
    "min": _quiet_pair(_minimum),
    "add_sat": _saturating(lambda a, b: a + b),
    "sub_sat": _saturating(lambda a, b: a - b),
    "mul_sat": _saturating(lambda a, b: a * b),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": _shift(lambda a, n: a << n, unsigned=True),
    "shr": _shift(lambda a, n: a >> n, unsigned=False),
    "shr_u": _shift(lambda a, n: a >> n, unsigned=True),
    "eq": _compare(lambda a, b: a == b),
    "ne": _compare(lambda a, b: a != b),
    "lt": _compare(lambda a, b: a < b),
    "le": _compare(lambda a, b: a <= b),
    "gt": _compare(lambda a, b: a > b),
    "ge": _compare(lambda a, b: a >= b),
}
"""Binary ALU operations by mnemonic, on two arrays of one type; comparisons give int8."""

UNARY: dict[str, Callable[[Array], Array]] = {
    "copy": lambda a: a,
    "round": _quiet(np.rint),
    "trunc": _quiet(np.trunc),
    "relu": _quiet(lambda a: _maximum(a, np.zeros_like(a))),
    "exp": lambda a: special("exp", a),
    "log": lambda a: special("log", a),
    "tanh": lambda a: special("tanh", a),
    "rsqrt": lambda a: special("rsqrt", a),
}
"""Unary ALU operations by mnemonic that keep the type."""


def convert(a: Array, to: ElementType) -> Array:
    """`a` as element type `to`: rounded to nearest even, saturated, NaN to 0; any NaN that stays one is canonical."""
    dtype = dtype_of(to)
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            return canonical(a.astype(dtype))
    if a.dtype.kind == "f":
        with np.errstate(all="ignore"):
            wide = np.rint(np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
        return _saturated(wide, dtype)
    return _saturated(a.astype(np.int64), dtype)


def wrap(a: Array, to: ElementType) -> Array:
    """The low bits of the integers `a` as element type `to`."""
    return a.astype(dtype_of(to))


def select(condition: Array, a: Array, b: Array) -> Array:
    """`a` where the condition is not 0, else `b`."""
    return np.where(condition != 0, a, b)


def to_bytes(value: Array) -> npt.NDArray[np.uint8]:
    """The byte planes [bytes, lanes] of a vector, lowest byte first."""
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(value), value.dtype.itemsize).T


def from_bytes(planes: npt.NDArray[np.uint8], element: ElementType) -> Array:
    """The vector whose byte planes [bytes, lanes] are given."""
    dtype = dtype_of(element)
    return np.ascontiguousarray(planes.T).view(dtype.newbyteorder("<")).astype(dtype)[:, 0]


def to_word(value: Array) -> npt.NDArray[np.uint32]:
    """A vector as the 32-bit patterns of a chain: integers sign-extended, fp16 zero-extended."""
    match value.dtype.kind, value.dtype.itemsize:
        case "f", 4:
            return value.view(np.uint32)
        case "f", _:
            return value.view(np.uint16).astype(np.uint32)
        case _:
            return value.astype(np.int32).view(np.uint32)


def from_word(word: npt.NDArray[np.uint32], element: ElementType) -> Array:
    """32-bit patterns as a vector of an element type, which takes their low bits."""
    dtype = dtype_of(element)
    if dtype.kind == "f":
        return word.astype(f"u{dtype.itemsize}").view(dtype)
    return word.astype(dtype)
