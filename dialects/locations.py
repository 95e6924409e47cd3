"""Source locations: where an op was written, kept by our passes and shown in diagnostics."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TypeVar

from xdsl.dialects.builtin import FileLineColLoc, IntAttr, StringAttr, UnknownLoc
from xdsl.ir import Operation
from xdsl.parser import Parser

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


class LocatedParser(Parser):
    """An MLIR parser that gives every op the place where it was written, unless the text itself says a location."""

    def parse_operation(self) -> Operation:
        start = self.pos
        op = super().parse_operation()
        if isinstance(op.location, UnknownLoc):
            line = bisect_right(self._line_starts, start)
            column = start - self._line_starts[line - 1] + 1
            op.location = FileLineColLoc(StringAttr(self.lexer.input.name), IntAttr(line), IntAttr(column))
        return op

    @cached_property
    def _line_starts(self) -> list[int]:
        text = self.lexer.input.content
        return [0, *(m.end() for m in re.finditer("\n", text))]
