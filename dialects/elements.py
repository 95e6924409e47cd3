"""Element types: builtin IR types, their numpy types, and the element types of the instruction set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    AnyFloat,
    BFloat16Type,
    ComplexType,
    Float16Type,
    Float32Type,
    IndexType,
    IntegerType,
    f16,
    f32,
    i8,
    i16,
    i32,
)
from xdsl.ir import Attribute

from .machine.instruction import ElementType

_TYPES: dict[ElementType, tuple[IntegerType | Float16Type | Float32Type, type[np.generic]]] = {
    ElementType.I8: (i8, np.int8),
    ElementType.I16: (i16, np.int16),
    ElementType.I32: (i32, np.int32),
    ElementType.F16: (f16, np.float16),
    ElementType.F32: (f32, np.float32),
}


def element_of(type_: Attribute) -> ElementType | None:
    """The instruction set's element type for a builtin scalar type, or None."""
    return next((e for e, (t, _) in _TYPES.items() if t == type_), None)


def builtin_of(element: ElementType) -> IntegerType | Float16Type | Float32Type:
    """The builtin scalar type of an element type."""
    return _TYPES[element][0]


def numpy_of(type_: Attribute) -> npt.DTypeLike:
    """The numpy type of a builtin scalar type. Raises ValueError for one that no stream carries."""
    element = element_of(type_)
    if element is None:
        raise ValueError(unsupported(type_))
    return _TYPES[element][1]


def unsupported(type_: Attribute) -> str:
    """The sentence for an element type that no stream carries, with what to use in its place."""
    match type_:
        case BFloat16Type():
            other = "f32, or f16 where its range is enough"
        case _ if isinstance(type_, AnyFloat):
            other = "f16" if type_.bitwidth < 16 else "f32"
        case IntegerType() if type_.bitwidth in (8, 16, 32):
            other = f"i{type_.bitwidth}, whose numbers are signed"
        case IntegerType():
            other = "i8" if type_.bitwidth < 8 else "i16" if type_.bitwidth < 16 else "i32"
        case IndexType():
            other = "i32"
        case ComplexType():
            other = "two tensors, of the real and the imaginary parts"
        case _:
            other = "i8, i16, i32, f16 or f32"
    return f"element type {type_} is not supported; use {other}"


def dtype_of(element: ElementType) -> np.dtype[np.generic]:
    """The numpy type of an element type."""
    return np.dtype(_TYPES[element][1])


def element_bytes(type_: Attribute) -> int:
    """Bytes of a builtin scalar type. Raises ValueError for one that no stream carries."""
    return np.dtype(numpy_of(type_)).itemsize
