"""How the element types of ONNX are held on the chip, and how the host brings them there.

An integer or truth value is held as a signed integer, its *carrier*: the number is the carrier's plus an offset, so u8
0..255 is i8 -128..127, which the MXM multiplies and which has the order of the numbers. Integers of 64 bits are those
of 32; the host refuses inputs that do not fit. f64 and bf16 are held as f32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import f16, f32, i8, i16, i32
from xdsl.ir import Attribute

from ....dialects.elements import numpy_of
from ....dialects.errors import InputError
from ....dialects.names import quoted

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Element:
    """An element type of ONNX."""

    carrier: Attribute
    """What holds it in tensors of the program."""
    kind: str
    """`f` float, `i` signed, `u` unsigned, `b` truth value."""
    offset: int = 0
    """What the number is more than its carrier."""
    bits: int = 32
    """Of the number: those of an integer are cut to so many when it is stored."""


_ELEMENTS: dict[str, Element] = {
    "float32": Element(f32, "f"),
    "float16": Element(f16, "f", bits=16),
    "float64": Element(f32, "f"),
    "bool": Element(i8, "b", bits=8),
    "int8": Element(i8, "i", bits=8),
    "uint8": Element(i8, "u", 1 << 7, 8),
    "int16": Element(i16, "i", bits=16),
    "uint16": Element(i16, "u", 1 << 15, 16),
    "int32": Element(i32, "i"),
    "uint32": Element(i32, "u"),
    "int64": Element(i32, "i"),
    "uint64": Element(i32, "u"),
}
"""By the name of the numpy type."""


def element(dtype: np.dtype[Any]) -> Element | None:
    """How an ONNX element type is held, or None for one that no tensor of the program holds."""
    return _ELEMENTS.get(dtype.name)


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the greatest number of an integer type, as far as 32 bits hold it."""
    bits = 8 * min(dtype.itemsize, 4)
    return (0, (1 << bits) - 1) if dtype.kind == "u" else (-1 << (bits - 1), (1 << (bits - 1)) - 1)


def carried(array: Array, name: str = "") -> Array:
    """An array of an ONNX element type as its carrier. Raises InputError, with the name, for integers that do not fit.

    f64 is rounded to f32.
    """
    known = _ELEMENTS[array.dtype.name]
    carrier = np.dtype(numpy_of(known.carrier))
    if carrier.kind == "f" or known.kind == "b":
        with np.errstate(over="ignore"):
            return array.astype(carrier)
    low, high = limits(array.dtype)
    if array.size and array.dtype.itemsize >= 4 and not low <= int(array.min()) <= int(array.max()) <= high:
        what = f"input {quoted(name)}" if name else "a constant of the model"
        raise InputError(
            f"{what} of {array.dtype} has numbers of more than 32 bits, which is what holds them on the chip"
        )
    if known.kind == "u" and not known.offset:
        return array.astype(np.uint32).view(np.int32)
    return (array.astype(np.int64) - known.offset).astype(carrier)


def uncarried(array: Array, dtype: np.dtype[Any]) -> Array:
    """What an array of carriers holds, as its ONNX element type."""
    known = _ELEMENTS[dtype.name]
    if known.kind == "u" and not known.offset:
        return array.view(np.uint32).astype(dtype)
    return (array.astype(np.int64) + known.offset).astype(dtype) if known.offset else array.astype(dtype)
