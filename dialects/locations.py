"""Source locations: where an op was written, kept by our passes and shown in diagnostics."""

from __future__ import annotations

from typing import TypeVar

from xdsl.dialects.builtin import FileLineColLoc
from xdsl.ir import Operation

_OpT = TypeVar("_OpT", bound=Operation)


def where(op: Operation) -> str:
    """`file:line:column` of an op, or of the nearest op around it that has one; empty when none has."""
    node: Operation | None = op
    while node is not None:
        if isinstance(loc := node.location, FileLineColLoc):
            return f"{loc.filename.data}:{loc.line.data}:{loc.column.data}"
        node = node.parent_op()
    return ""


def describe(op: Operation) -> str:
    """An op for a message: its location, if it has one, and its name."""
    place = where(op)
    return f"{place}: `{op.name}`" if place else f"`{op.name}`"


def located(op: _OpT, source: Operation) -> _OpT:
    """`op`, and the ops in its regions, at the location of the op that it comes from."""
    for inner in op.walk():
        inner.location = source.location
    return op
