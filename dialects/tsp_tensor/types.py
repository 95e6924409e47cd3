"""What the ops of the dialect share: which tensors there are, their names, how shapes broadcast, lists of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import (
    I64,
    BytesAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    Float16Type,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from ..elements import element_bytes, element_of, unsupported
from ..errors import MalformedProgram
from ..names import fault_of, name_of

WEIGHTS = "tsp_tensor.weights"
"""The module attribute that names the safetensors file of the parameters, relative to the module's own file."""

NAME = "tsp_tensor.name"
"""The argument and result attribute that names an input or output."""

Tensor: TypeAlias = TensorType[Attribute]
Shape: TypeAlias = tuple[int, ...]


def tensor_names(attrs: Attribute | None, count: int, default: str) -> list[str]:
    """The names that argument or result attributes give, or `<default><number>`. Raises MalformedProgram for one that
    is not a string."""
    names: list[str] = []
    for i, attr in enumerate(name_attrs(attrs, count)):
        name = f"{default}{i}" if attr is None else name_of(attr)
        if name is None:
            raise MalformedProgram(str(fault_of(_KINDS[default], attr)))
        names.append(name)
    return names


_KINDS = {"arg": "input", "result": "output"}


def name_attrs(attrs: Attribute | None, count: int) -> list[Attribute | None]:
    """The attribute with the name of each argument or result, where it has one."""
    entries = list(cast("Sequence[DictionaryAttr]", attrs)) if attrs is not None else []
    return [entries[i].data.get(NAME) if i < len(entries) else None for i in range(count)]


def check_tensor(type_: Attribute) -> Tensor:
    """The tensor type. Raises VerifyException for dynamic shapes and for elements that no stream carries."""
    tensor = cast("Tensor", type_)
    if any(d < 1 for d in tensor.get_shape()):
        raise VerifyException(f"{tensor}: dimensions must be static and at least 1; write the size to compile for")
    if element_of(tensor.element_type) is None:
        raise VerifyException(f"{tensor}: {unsupported(tensor.element_type)}")
    return tensor


def check_result(result: Attribute, expected: Tensor) -> None:
    """Raises VerifyException unless the result type is the one that follows from the operands."""
    if check_tensor(result) != expected:
        raise VerifyException(f"the result is {expected}, not {result}")


def tensor_of(value: SSAValue) -> Tensor:
    """The type of a value that is known to be a tensor."""
    return cast("Tensor", value.type)


def shape_of(value: SSAValue) -> Shape:
    return tensor_of(value).get_shape()


def broadcast(*shapes: Shape) -> Shape | None:
    """The shape to which these broadcast by numpy's rules, or None."""
    rank = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    result = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    fits = all(size in (1, full) for s in padded for size, full in zip(s, result, strict=True))
    return result if fits else None


def numbers(values: Sequence[int]) -> DenseArrayBase[I64]:
    """A list of numbers as a property."""
    return DenseArrayBase.from_list(i64, list(values))


def number(value: int) -> IntegerAttr[I64]:
    return IntegerAttr(value, i64)


MOST_PIXELS = (1 << 31) - 1
"""The largest number that describes a window or padding: with it all places are below 2^63."""


def check_count(name: str, values: Sequence[int], count: int, low: int, high: int | None = None) -> None:
    """Raises VerifyException unless there are `count` numbers, none below `low` or above `high`."""
    if len(values) != count:
        raise VerifyException(f"`{name}` has {len(values)} numbers {list(values)}; give {count}")
    if any(v < low for v in values):
        raise VerifyException(f"`{name}` {list(values)}: numbers must be at least {low}")
    if high is not None and any(v > high for v in values):
        raise VerifyException(f"`{name}` {list(values)}: numbers must be at most {high}")


def dense(type_: Tensor, values: npt.NDArray[Any]) -> DenseIntOrFPElementsAttr:
    """An array of the type's own numpy type as a constant, with its bits."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return DenseIntOrFPElementsAttr(cast("Any", type_), BytesAttr(little.tobytes()))


def is_float(element: Attribute) -> bool:
    return isinstance(element, Float16Type | Float32Type)


def scalar_attr(value: float, type_: Attribute) -> IntegerAttr | FloatAttr:
    """A number as an attribute of a scalar type."""
    if isinstance(type_, IntegerType):
        return IntegerAttr(int(value), cast("IntegerType", type_))
    return FloatAttr(float(value), cast("Float16Type | Float32Type", type_))


def lowest(element: Attribute) -> IntegerAttr | FloatAttr:
    """The least number of an element type: -inf of floats."""
    if is_float(element):
        return scalar_attr(float("-inf"), element)
    return scalar_attr(-1 << (8 * element_bytes(element) - 1), element)
