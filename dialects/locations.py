"""Source locations: where an op was written, kept by our passes and shown in diagnostics."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TypeVar, cast

from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    CallSiteLoc,
    FileLineColLoc,
    FusedLoc,
    IntAttr,
    LocationAttr,
    ModuleOp,
    NameLoc,
    NoneAttr,
    StringAttr,
    UnknownLoc,
)
from xdsl.ir import Attribute, Operation
from xdsl.parser import ParserState
from xdsl.utils.exceptions import ParseError, VerifyException
from xdsl.utils.lexer import Input
from xdsl.utils.mlir_lexer import MLIRTokenKind

from .errors import MalformedProgram
from .literals import LiteralLexer, LiteralParser
from .machine.target import nearest

_OpT = TypeVar("_OpT", bound=Operation)


def where(op: Operation) -> str:
    """`file:line:column` of an op, or of the nearest op around it that has one; empty when none has."""
    node: Operation | None = op
    while node is not None:
        if place := _place(node.location):
            return place
        node = node.parent_op()
    return ""


def _place(location: Attribute) -> str:
    """`file:line:column` of a location: of a call the callee's, of several the first; the name, where that is all."""
    match location:
        case FileLineColLoc():
            return f"{location.filename.data}:{location.line.data}:{location.column.data}"
        case NameLoc():
            return _place(location.location) or f'"{location.desc.data}"'
        case CallSiteLoc():
            return _place(location.callee) or _place(location.caller)
        case FusedLoc():
            places = [_place(one) for one in cast("ArrayAttr[Attribute]", location.locations)]
            return next((place for place in places if place), "")
        case _:
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


def decoded(data: bytes, name: str) -> str:
    """The text of a file's bytes, which must be UTF-8. Raises MalformedProgram."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise MalformedProgram(f"{name} is UTF-16 text; save it as UTF-8") from None
        line = data.count(b"\n", 0, e.start) + 1
        raise MalformedProgram(
            f"{name} is no UTF-8 text: byte 0x{data[e.start]:02x} in line {line}; save a text of another encoding "
            "as UTF-8; programs end in .tspx"
        ) from None


_DEFINITIONS = re.compile(
    r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'  # strings and comments define nothing
    r"|//[^\n]*+"
    r"|(?P<alias>[#!][A-Za-z_$][\w$.\-]*+)\s*+=(?!=)"
    r"|(?P<metadata>\{-#)"
)


_DIALECTS = ["tsp_tensor", "tsp_stream", "tsp_isa", "c2c", "func", "arith", "math", "builtin"]
"""The dialects of a program, at all its levels."""


class LocatedParser(LiteralParser):
    """An MLIR parser that gives every op the place where it was written, unless the text itself says a location.

    Aliases may be defined after their use, as mlir-opt prints those of locations, and a byte order mark is skipped.
    """

    def __init__(self, ctx: Context, text: str, name: str = "<unknown>", lines_before: int = 0):
        """A parser of `text`, which stands in the file `name` below `lines_before` lines that are not given."""
        super().__init__(ctx, "", name)
        self._lines_before = lines_before
        self._parser_state = ParserState(LiteralLexer(Input(text.removeprefix("\ufeff"), name)))
        self._ends: dict[int, int] = {}
        """Where definitions that were read before their turn begin and end."""

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
        except Exception as e:  # of xDSL's parsers of ops and attributes, each of which has its own
            self.raise_error(f"cannot be read: {reason}" if (reason := str(e).partition("\n")[0]) else "cannot be read")

    def parse_operation(self) -> Operation:
        start = self.pos
        op = super().parse_operation()
        if isinstance(op.location, UnknownLoc):
            line = bisect_right(self._line_starts, start)
            place = IntAttr(self._lines_before + line), IntAttr(start - self._line_starts[line - 1] + 1)
            op.location = FileLineColLoc(StringAttr(self.lexer.input.name), *place)
        return op

    def _get_op_by_name(self, name: str) -> type[Operation]:
        if op := self.ctx.get_optional_op(name, dialect_stack=self._parser_state.dialect_stack):
            return op
        here = self.lexer.input.content.rfind(name, 0, self.pos)  # in quotes, or not
        prefix, dot, _ = name.partition(".")
        dialect = self.ctx.get_optional_dialect(prefix) if dot else None
        if dialect is not None:
            known = [op.name for op in dialect.operations]
            self.raise_error(f"there is no op `{name}`{nearest(name, known)}", here)
        if dot:
            hint = nearest(prefix, _DIALECTS) or "; write the model in tsp_tensor"
            self.raise_error(f"`{name}`: there is no dialect `{prefix}`{hint}", here)
        self.raise_error(f"`{name}` is no op; ops are written as dialect.name", here)

    @cached_property
    def _line_starts(self) -> list[int]:
        text = self.lexer.input.content
        return [0, *(m.end() for m in re.finditer("\n", text))]

    # -- definitions that come after their use -----------------------------------------------------------------

    @cached_property
    def _definitions(self) -> dict[str, int]:
        """Where each alias, and the file's metadata as `{-#`, is defined first."""
        places: dict[str, int] = {}
        for found in _DEFINITIONS.finditer(self.lexer.input.content):
            if name := found["alias"] or found["metadata"]:
                places.setdefault(name, found.start())
        return places

    def _define(self, name: str) -> None:
        """Reads a definition that has not had its turn, and goes on where the parser is."""
        place = self._definitions.pop(name, None)
        if place is None or place in self._ends:
            return
        here = self.pos
        self._resume_from(place)
        if name == "{-#":
            super()._parse_file_metadata_dictionary()
        else:
            super()._parse_alias_def()
        self._ends[place] = self.pos
        self._resume_from(here)

    def _parse_extended_type_or_attribute(self, attr_or_dialect_name: str, is_type: bool = True) -> Attribute:  # pyright: ignore
        alias = ("!" if is_type else "#") + attr_or_dialect_name
        if alias not in self.attribute_aliases and "." not in attr_or_dialect_name:
            self._define(alias)
        return super()._parse_extended_type_or_attribute(attr_or_dialect_name, is_type)  # pyright: ignore

    def _parse_alias_def(self) -> None:
        if not self._skips():
            super()._parse_alias_def()

    def _parse_file_metadata_dictionary(self) -> None:
        if not self._skips():
            super()._parse_file_metadata_dictionary()

    def _skips(self) -> bool:
        """Whether the definition that begins here was read before; if so, goes on behind it."""
        end = self._ends.get(self.pos)
        if end is not None:
            self._resume_from(end)
        return end is not None

    def resource(self, key: str) -> str | None:
        self._define("{-#")
        return super().resource(key)

    # -- locations ---------------------------------------------------------------------------------------------

    def _parse_location(self) -> LocationAttr:
        """A location, also those that xDSL 0.74 does not know: fused ones with metadata, and ranges, which begin where
        their first character is."""
        if self.parse_optional_keyword("fused") is not None:
            metadata: Attribute = NoneAttr()
            if self.parse_optional_punctuation("<") is not None:
                metadata = self.parse_attribute()
                self.parse_punctuation(">")
            locations = self.parse_comma_separated_list(self.Delimiter.SQUARE, self._parse_location)
            return FusedLoc(tuple(locations), metadata)
        location = super()._parse_location()
        if isinstance(location, FileLineColLoc) and self.parse_optional_keyword("to") is not None:
            self.parse_optional_integer(False, False)
            self.parse_punctuation(":")
            self.parse_integer(False, False)
        return location
