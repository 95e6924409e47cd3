"""Source locations: where an op was written, kept by our passes and shown in diagnostics."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from math import prod
from typing import Any, TypeVar, cast

from xdsl.context import Context
from xdsl.dialects.builtin import (
    AnyFloat,
    ComplexType,
    FileLineColLoc,
    IndexType,
    IntAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    UnknownLoc,
)
from xdsl.ir import Operation
from xdsl.parser import AttrParser, Parser, ParserState
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRTokenKind

from .limits import MOST_ELEMENTS

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


class _LiteralElement(Parser._TensorLiteralElement):  # pyright: ignore[reportPrivateUsage]
    """An element of a dense literal. A hexadecimal number in place of a float is its bits, as MLIR has it and as
    infinities and NaNs are printed; xDSL 0.74 takes it for an integer."""

    def to_type(self, parser: AttrParser, type: AnyFloat | IntegerType | IndexType | ComplexType) -> Any:
        if isinstance(type, AnyFloat) and self.span.text[:2].lower() == "0x":
            return type.unpack(cast(int, self.value).to_bytes(type.compile_time_size, "little"), 1)[0]
        return super().to_type(parser, type)


class _Lexer(MLIRLexer):
    """The lexer, with strings matched without going back: in xDSL 0.74 one that does not end takes time exponential in
    its length."""

    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')


class LocatedParser(Parser):
    """An MLIR parser that gives every op the place where it was written, unless the text itself says a location."""

    _TensorLiteralElement = _LiteralElement

    def __init__(self, ctx: Context, text: str, name: str = "<unknown>"):
        super().__init__(ctx, "", name)
        self._parser_state = ParserState(_Lexer(Input(text, name)))

    def parse_module(self, allow_implicit_module: bool = True) -> ModuleOp:
        """The module of the text. Raises ParseError, whatever the parsers of ops and attributes trip over."""
        if self._current_token.kind is MLIRTokenKind.EOF:
            self.raise_error("there is no module in the text")
        try:
            return super().parse_module(allow_implicit_module)
        except (ParseError, MemoryError):
            raise
        except RecursionError:
            self.raise_error("nested too deeply")
        except VerifyException as e:
            self.raise_error(str(e))
        except Exception as e:
            self.raise_error(f"cannot be read ({type(e).__name__}: {e})")

    def _parse_dense_literal_type(self) -> Any:
        type_ = super()._parse_dense_literal_type()
        if (size := prod(type_.get_shape())) > MOST_ELEMENTS:
            self.raise_error(
                f"a literal of {size} elements, of which one may have {MOST_ELEMENTS}; make it a parameter"
            )
        return type_

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
