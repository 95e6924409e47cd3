"""One function for each op of ONNX, found by its name, and the node that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import numpy as np

from .elements import Array
from .emit import Emitter
from .values import Item, Refused, Value

if TYPE_CHECKING:
    from .importer import Importer, Scope

Attributes: TypeAlias = dict[str, Any]
"""By name: int, float, bytes, lists of them, arrays, graphs."""


@dataclass
class Node:
    """A node of the graph: its inputs, None where one is left out, and its attributes."""

    op: str
    domain: str
    version: int
    """Of the operator set."""
    inputs: list[Item]
    attributes: Attributes
    outputs: int
    """How many outputs are named; trailing ones that are not used may be missing."""
    emit: Emitter
    importer: Importer
    scope: Scope | None = None
    """The names that the graphs of its attributes see."""

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] is not None

    def value(self, i: int) -> Value:
        """Input i, which the op needs. Raises Refused where it is none."""
        item = self.inputs[i] if i < len(self.inputs) else None
        if not isinstance(item, Value):
            raise Refused(f"input {i} is no tensor")
        return item

    def optional(self, i: int) -> Value | None:
        return self.value(i) if self.has(i) else None

    def tensors(self) -> list[Value]:
        return [self.value(i) for i in range(len(self.inputs))]

    def array(self, i: int, what: str) -> Array:
        """The value of input i, which must be known when the model is compiled. Raises Refused."""
        value = self.value(i)
        if value.array is None:
            raise Refused(
                f"{what} is computed from {', '.join(sorted(value.inputs)) or 'inputs'}, and decides about shapes or "
                "addresses",
                "give its value when the model is compiled",
                [*value.inputs],
            )
        return value.array

    def numbers(self, i: int, what: str) -> list[int]:
        return [int(n) for n in self.array(i, what).reshape(-1)]

    def int(self, name: str, default: int = 0) -> int:
        return int(self.attributes.get(name, default))

    def float(self, name: str, default: float = 0.0) -> float:
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        value = self.attributes.get(name, default)
        return [int(n) for n in value] if value is not None else []

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """An attribute that names a dimension, counted from 0."""
        return axis_of(self.int(name, default), rank)

    def body(self, name: str, arguments: Sequence[Item] = ()) -> list[Item]:
        """The outputs of the graph that is an attribute."""
        assert self.scope is not None
        return self.importer.graph(self.attributes[name], arguments, self.scope)

    def refuse_attribute(self, name: str, remedy: str) -> NoReturn:
        raise Refused(f"attribute {name} = {self.attributes.get(name)!r} has no lowering", remedy)


def axis_of(axis: int, rank: int) -> int:
    """A dimension counted from 0. Raises Refused for one that there is not."""
    if not -rank <= axis < max(rank, 1):
        raise Refused(f"there is no axis {axis} in a tensor of rank {rank}")
    return axis % max(rank, 1)


Lowering: TypeAlias = Callable[[Node], "Item | Sequence[Item]"]
LOWERINGS: dict[tuple[str, str], Lowering] = {}
"""By domain and name of the op."""

F = TypeVar("F", bound=Lowering)

MICROSOFT = "com.microsoft"


def lowers(*names: str, domain: str = "") -> Callable[[F], F]:
    """Says of which ops a function is the lowering. It gives the outputs, in order."""

    def register(function: F) -> F:
        for name in names:
            LOWERINGS[domain, name] = function
        return function

    return register


def dtype_of_code(code: int) -> np.dtype[Any]:
    """The numpy type of an ONNX data type."""
    import onnx

    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code))
