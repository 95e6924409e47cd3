"""Tensors of a graph while it is imported, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from xdsl.ir import SSAValue

from .elements import Array, Shape, element


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: known when the model is compiled (`array`), or computed (`ssa`), as ONNX sees it.

    The dimensions of a computed one may lie in another order, as those of images do: dimension i of `ssa` is dimension
    `order[i]` of the tensor. So a transpose moves nothing until something asks for the order.
    """

    shape: Shape
    dtype: np.dtype[Any]
    """The element type of ONNX."""
    ssa: SSAValue | None = None
    order: tuple[int, ...] = ()
    array: Array | None = None
    bound: float | None = None
    """What no magnitude exceeds, where that is known."""
    packed: tuple[SSAValue, Array] | None = None
    """Of rows that were flattened where they lay: those as they lie, and of each of their columns its number."""
    inputs: frozenset[str] = field(default=frozenset())
    """The inputs of the graph on which it depends."""

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def kind(self) -> str:
        """`f` float, `i` signed, `u` unsigned, `b` truth value; another letter for what no program holds."""
        held = element(self.dtype)
        return held.kind if held else "O"

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def bounded(self, bound: float | None) -> Value:
        """The same, known to lie within a bound."""
        return replace(self, bound=bound)

    def depending(self, inputs: frozenset[str]) -> Value:
        """The same, known to depend on inputs."""
        return replace(self, inputs=self.inputs | inputs)


Item: TypeAlias = "Value | list[Value] | None"
"""What a name of the graph stands for: a tensor, a sequence of them, or an optional that is empty."""


def known(array: Any) -> Value:
    """A tensor that is known when the model is compiled."""
    array = np.asarray(array)
    return Value(array.shape, array.dtype, array=array)


class Refused(Exception):
    """Something that cannot be imported: why, what to do, and the inputs whose values would have to be known."""

    def __init__(self, reason: str, remedy: str = "", unknown: Sequence[str] = ()):
        super().__init__(reason)
        self.reason, self.remedy, self.unknown = reason, remedy, tuple(sorted(unknown))
