"""Which function lowers which op: one table, which the modules `lower_*.py` fill, each with the ops of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from xdsl.ir import Operation

from ..emit.buffers import Unsupported
from .values import Values

OpT = TypeVar("OpT", bound=Operation)

LOWERINGS: dict[type[Operation], Callable[[Any, Values], None]] = {}


def lowers(kind: type[OpT]) -> Callable[[Callable[[OpT, Values], None]], Callable[[OpT, Values], None]]:
    """Makes a function the one that lowers the ops of a class.

    It asks `values` for the operands, emits what computes the results to the buffers `values.to`, and says with
    `values.define` where they are. What it cannot do it refuses with Unsupported."""

    def register(function: Callable[[OpT, Values], None]) -> Callable[[OpT, Values], None]:
        assert kind not in LOWERINGS, f"two functions lower {kind.name}"
        LOWERINGS[kind] = function
        return function

    return register


def lower(op: Operation, values: Values) -> None:
    """Lowers an op, unless an operand has no lowering itself. Raises Unsupported, or UnsupportedRegion."""
    if not values.known(op):
        return
    lowering = LOWERINGS.get(type(op))
    if lowering is None:
        raise Unsupported(
            "has no lowering to streams; express it with tsp_tensor ops, one of scalars in a tsp_tensor.map"
        )
    lowering(op, values)
