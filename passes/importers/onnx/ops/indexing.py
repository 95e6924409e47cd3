"""Ops that take elements by number. Known numbers make slices; computed ones `gather` and `scatter`."""

from __future__ import annotations

from ..registry import Node, lowers
from ..values import Value
from .movement import chosen


@lowers("Gather")
def gather(node: Node) -> Value:
    x, numbers = node.value(0), node.value(1)
    axis = node.axis(0, x.rank)
    if numbers.array is not None:
        flat = numbers.array.reshape(-1) % x.shape[axis]
        taken = chosen(node, x, axis, flat)
        return node.emit.reshape(taken, (*x.shape[:axis], *numbers.shape, *x.shape[axis + 1 :]))
    raise NotImplementedError
