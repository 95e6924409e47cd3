"""The arithmetic of an ALU, on numpy arrays: the one definition that all numpy levels and engines share.

Integers wrap. Every f32 result that is NaN is the canonical quiet NaN 0x7fc00000, so that results do not depend on the
host's choice of payload. Conversions to an integer go to the nearest, ties to even, saturate, and send NaN to 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dialects.elements import builtin_of, numpy_of
from ..dialects.instruction import ElementType

Array = npt.NDArray[Any]
CANONICAL_NAN = np.uint32(0x7FC00000).view(np.float32)


def dtype_of(element: ElementType) -> np.dtype[Any]:
    """The numpy type of an element type."""
    return np.dtype(numpy_of(builtin_of(element)))


def _canonical(a: Array) -> Array:
    return np.where(np.isnan(a), CANONICAL_NAN.astype(a.dtype), a) if a.dtype.kind == "f" else a


def _quietly(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function with canonical NaNs, and without numpy's warnings of overflow and of signalling NaNs."""

    def apply(*operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return _canonical(function(*operands))

    return apply


def _maximum(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.maximum(a, b)
    greater = np.where((a > b) | ((a == b) & ~np.signbit(a)), a, b)
    return np.where(np.isnan(a), a, greater)


def _minimum(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f":
        return np.minimum(a, b)
    lesser = np.where((a < b) | ((a == b) & np.signbit(a)), a, b)
    return np.where(np.isnan(a), a, lesser)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": _quietly(operator.add),
    "sub": _quietly(operator.sub),
    "mul": _quietly(operator.mul),
    "max": _quietly(_maximum),
    "min": _quietly(_minimum),
}
"""Binary ALU operations by mnemonic, on two arrays of one type."""

UNARY: dict[str, Callable[[Array], Array]] = {
    "copy": lambda a: a,
    "round": _quietly(np.rint),
    "trunc": _quietly(np.trunc),
}
"""Unary ALU operations by mnemonic that keep the type."""


def convert(a: Array, to: ElementType) -> Array:
    """`a` as element type `to`: rounded to nearest even, saturated, NaN to 0; any NaN that stays one is canonical."""
    dtype = dtype_of(to)
    if dtype.kind == "f":
        with np.errstate(all="ignore"):
            return _canonical(a.astype(dtype))
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if a.dtype.kind == "f":
        with np.errstate(all="ignore"):
            wide = np.rint(np.nan_to_num(a.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
        return np.clip(wide, low, high).astype(dtype)
    return np.clip(a.astype(np.int64), low, high).astype(dtype)


def wrap(a: Array, to: ElementType) -> Array:
    """The low bits of the integers `a` as element type `to`."""
    return a.astype(dtype_of(to))
