"""Literals with all their bits, which xDSL 0.74 reads and prints by way of Python's floats, and resources in the file.

xDSL keeps a dense literal as bytes, but reads and prints its elements as floats, in which NaNs of f16 lose their
payload and those of f32 the signalling bit. So hexadecimal elements are read as bytes here, and literals that are not
all finite are printed as the hexadecimal string of their bytes, which plain xDSL reads too. The attribute of a scalar
is one float: a NaN that does not survive that is refused.
"""

from __future__ import annotations

import re
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from xdsl.dialects.builtin import (
    AnyFloat,
    BytesAttr,
    ComplexType,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
)
from xdsl.ir import Attribute, Operation
from xdsl.irdl import IRDLOperation
from xdsl.irdl.declarative_assembly_format import (
    AttributeVariable,
    CustomDirective,
    ParsingState,
    PrintingState,
    irdl_custom_directive,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.lexer import Position
from xdsl.utils.mlir_lexer import MLIRLexer, MLIRToken, MLIRTokenKind, StringLiteral

from .elements import element_of, numpy_of
from .machine.limits import MOST_ELEMENTS

_Dense: TypeAlias = "DenseIntOrFPElementsAttr[Any]"
_Metadata: TypeAlias = "dict[str, _Metadata] | str"

# -- printing ------------------------------------------------------------------------------------------------------


@irdl_custom_directive
class Literal(CustomDirective):
    """`custom<Literal>($value)`: an attribute that is printed with all its bits if it is a dense literal."""

    value: AttributeVariable

    def is_anchorable(self) -> bool:
        return True

    def is_present(self, op: IRDLOperation) -> bool:
        return self.value.get(op) is not None

    def parse(self, parser: Parser, state: ParsingState) -> None:
        self.value.set(state, parser.parse_attribute())

    def print(self, printer: Printer, state: PrintingState, op: IRDLOperation) -> None:
        attr = self.value.get(op)
        assert attr is not None
        state.print_whitespace(printer)
        if not isinstance(attr, DenseIntOrFPElementsAttr) or _finite(dense := cast(_Dense, attr)):
            printer.print_attribute(cast(Attribute, attr))
            return
        data = dense.data.data
        first = data[: dense.type.element_type.compile_time_size]
        bits = first if data == first * len(dense) else data
        printer.print_string(f'dense<"0x{bits.hex().upper()}"> : ')
        printer.print_attribute(dense.type)


def _finite(attr: _Dense) -> bool:
    """Whether no element is a NaN or an infinity."""
    element = attr.get_element_type()
    if not isinstance(element, AnyFloat) or element_of(element) is None:
        return True
    return bool(np.isfinite(np.frombuffer(attr.data.data, np.dtype(numpy_of(element)).newbyteorder("<"))).all())


def lossy_in_generic_form(module: Operation) -> Operation | None:
    """The first op with a literal of which xDSL's generic form, printed by way of floats, would lose bits; or None."""
    for op in module.walk():
        for attr in (*op.properties.values(), *op.attributes.values()):
            if not isinstance(attr, DenseIntOrFPElementsAttr) or _finite(dense := cast(_Dense, attr)):
                continue
            if dense.get_element_type().pack(dense.get_values()) != dense.data.data:
                return op
    return None


def check_size(attr: _Dense) -> None:
    """Raises VerifyException unless a literal has the bytes of its type, which code that builds one can miss."""
    size = prod(attr.type.get_shape()) * attr.type.element_type.compile_time_size
    if len(attr.data.data) != size:
        raise VerifyException(f"a literal of {len(attr.data.data)} bytes; {attr.type} has {size}")


# -- reading -------------------------------------------------------------------------------------------------------


class LiteralLexer(MLIRLexer):
    """The lexer, with two differences to that of xDSL 0.74: strings are matched without going back, where one that
    does not end takes time exponential in its length; and escaped bytes that are UTF-8 make a string."""

    _unescaped_characters_regex = re.compile(r'"(?:[^"\\\n\v\f]++|\\(?:["nt\\]|[0-9A-Fa-f]{2}))*+"')

    def _lex_string_literal(self, start_pos: Position) -> MLIRToken:
        token = super()._lex_string_literal(start_pos)
        if token.kind is MLIRTokenKind.BYTES_LIT:
            try:
                cast(StringLiteral, token.span).bytes_contents.decode()
            except UnicodeDecodeError:
                return token
            return MLIRToken(MLIRTokenKind.STRING_LIT, token.span)
        return token


class _Element(Parser._TensorLiteralElement):  # pyright: ignore[reportPrivateUsage]
    """An element of a dense literal. A hexadecimal number in place of a float is its bits, as MLIR has it and as
    infinities and NaNs are printed; xDSL 0.74 takes it for an integer."""

    def to_type(self, parser: AttrParser, type: AnyFloat | IntegerType | IndexType | ComplexType) -> Any:
        value = cast(Any, super().to_type(parser, type))
        if isinstance(type, IntegerType):
            try:
                type.verify_value(value)
            except VerifyException:
                parser.raise_error(f"{self.span.text} is outside {type}", at_position=self.span)
        if isinstance(type, AnyFloat):
            assert isinstance(parser, LiteralParser)
            return parser.float_of(self.span.text, value, type, self.span)
        return value


class LiteralParser(Parser):
    """A parser that reads literals with all their bits, and resources that the file itself holds."""

    _TensorLiteralElement = _Element

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._floats: int = 0
        """How many elements of floats the literal has so far."""
        self._bits: dict[int, bytes] = {}
        """The bytes of those that are written as bits."""
        self._resources: dict[str, str] = {}

    # -- dense literals ----------------------------------------------------------------------------------------

    def float_of(self, text: str, value: float, type_: AnyFloat, span: Any) -> float:
        """An element of a literal; 0 for bits, which are put there when the literal is complete.

        Raises ParseError for one that the type does not have.
        """
        self._floats += 1
        size = type_.compile_time_size
        if text[:2].lower() == "0x":
            bits = int(text, 16)
            if bits >> 8 * size:
                self.raise_error(f"{text} has more bits than {type_}", at_position=span)
            self._bits[self._floats - 1] = bits.to_bytes(size, "little")
            return 0.0
        if abs(value) > _LARGE:
            self._check_range(text, value, type_, span)
        return value

    def _forget(self) -> None:
        self._floats, self._bits = 0, {}

    def _check_range(self, text: str, value: float, type_: AnyFloat, span: Any) -> None:
        try:
            type_.pack((value,))
        except OverflowError:
            self.raise_error(f"{text} is outside {type_}; infinities are written as their bits", at_position=span)
        except NotImplementedError:  # of a type that xDSL cannot pack at all
            self.raise_error(f"there are no literals of {type_}", at_position=span)

    def parse_dense_int_or_fp_elements_attr(self, type: Any) -> _Dense:
        self._forget()
        if _NO_PREFIX.match(self.lexer.input.content, self.pos):
            self.raise_error('the hexadecimal string of a dense literal begins with "0x"')
        attr = super().parse_dense_int_or_fp_elements_attr(type)
        if not self._bits:
            return attr
        size = attr.get_element_type().compile_time_size
        data = bytearray(attr.data.data)
        if self._floats == 1:  # of one element, or of one value
            data[:] = self._bits[0] * len(attr)
        for i, bits in self._bits.items():
            data[size * i : size * (i + 1)] = bits
        return DenseIntOrFPElementsAttr(attr.type, BytesAttr(bytes(data)))

    def _parse_dense_literal_type(self) -> Any:
        type_ = super()._parse_dense_literal_type()
        if (size := prod(type_.get_shape())) > MOST_ELEMENTS:
            self.raise_error(
                f"a literal of {size} elements, of which one may have {MOST_ELEMENTS}; make it a parameter"
            )
        return type_

    # -- scalars -----------------------------------------------------------------------------------------------

    def parse_optional_builtin_int_or_float_attr(self) -> IntegerAttr | FloatAttr | None:
        token = self._current_token
        try:
            attr = super().parse_optional_builtin_int_or_float_attr()
        except (VerifyException, ValueError, OverflowError):
            literal = " ".join(self.lexer.input.content[token.span.start : self.pos].split())
            self.raise_error(f"`{literal}` is out of range; write a number that the type has", token.span)
        if isinstance(attr, FloatAttr) and token.text[:2].lower() == "0x":
            raw, kept = int(token.text, 16).to_bytes(attr.type.compile_time_size, "little"), _packed(attr)
            if raw != kept:
                self.raise_error(
                    f"a scalar of {attr.type} does not keep the payload of NaN {token.text}, which would become "
                    f"0x{kept[::-1].hex()}; write that, or make it a tensor: tsp_tensor.constant dense<{token.text}>",
                    token.span,
                )
        return attr

    # -- resources ---------------------------------------------------------------------------------------------

    def resource(self, key: str) -> str | None:
        """The blob of a resource in hexadecimal: four bytes of alignment and the data; None if the file has none."""
        return self._resources.get(key)

    def _parse_builtin_dense_resource_attr(self) -> Any:
        """A literal whose bytes are a resource of the file is read as any other literal."""
        self.parse_punctuation("<", " in dense_resource attribute")
        start = self.pos
        key = self._parse_key()
        self.parse_punctuation(">", " in dense_resource attribute")
        self.parse_punctuation(":", " in dense_resource attribute")
        type_ = self._parse_dense_literal_type()
        if (blob := self.resource(key)) is None:
            self.raise_error(
                f"the file has no resource `{key}`; print it with the section dialect_resources and without elision, "
                "or make the tensor a tsp_tensor.parameter",
                start,
            )
        try:
            data = bytes.fromhex(blob.removeprefix("0x"))[4:]
        except ValueError:
            data = b""
        size = prod(type_.get_shape()) * type_.element_type.compile_time_size
        if not blob.startswith("0x") or len(data) != size:
            self.raise_error(
                f'resource `{key}` is no string "0x...", in hexadecimal, of 4 bytes of alignment and the {size} bytes '
                f"of {type_}",
                start,
            )
        return DenseIntOrFPElementsAttr(type_, BytesAttr(data))

    def _parse_key(self) -> str:
        text = self.parse_optional_str_literal()
        return self.parse_identifier(" of a resource") if text is None else text

    def _parse_file_metadata_dictionary(self) -> None:
        """Reads the section `{-# ... #-}`. Of it only the resources of builtin attributes mean anything here."""
        tree = dict(self.parse_comma_separated_list(self.Delimiter.METADATA_TOKEN, self._parse_entry))
        for name in ("dialect_resources", "builtin"):
            tree = tree.get(name, {})
            if isinstance(tree, str):
                return
        self._resources.update((key, blob) for key, blob in tree.items() if isinstance(blob, str))

    def _parse_entry(self) -> tuple[str, _Metadata]:
        key = self._parse_key()
        self.parse_punctuation(":", " in the file's metadata")
        entries = self.parse_optional_comma_separated_list(self.Delimiter.BRACES, self._parse_entry)
        if entries is not None:
            return key, dict(entries)
        text = self.parse_optional_str_literal()
        if text is None:
            self.parse_attribute()
        return key, text or ""


_NO_PREFIX = re.compile(r'<\s*"(?!0x)', re.IGNORECASE)

_LARGE = 65504.0
"""The largest number of f16: one that is no larger is in range of every type."""


def _packed(attr: FloatAttr[Any]) -> bytes:
    return cast(AnyFloat, attr.type).pack((attr.value.data,))


def dense_value(attr: _Dense) -> np.ndarray[Any, np.dtype[Any]]:
    """A dense attribute as an array of its shape, with its bits."""
    dtype = np.dtype(numpy_of(cast(Attribute, attr.type.element_type)))
    return np.frombuffer(attr.data.data, dtype.newbyteorder("<")).astype(dtype).reshape(attr.type.get_shape())
