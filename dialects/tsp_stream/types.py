"""The types of the `tsp_stream` dialect: buffers in SRAM, streams and what becomes of them, and patterns of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Data, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from ..elements import element_bytes, element_of
from ..machine.layout import AccessPattern, Layout
from ..placement import LayoutAttr, check_tensor, layout_text, parse_layout


@irdl_attr_definition
class BufferType(ParametrizedAttribute, TypeAttribute):
    """A place in SRAM that holds a tensor in a layout:
    `!tsp_stream.buffer<360x64xi8, words [360 of d0], side [1 of b], lanes [64 of d1]>`."""

    name = "tsp_stream.buffer"
    tensor: TensorType[Attribute]
    layout_attr: LayoutAttr

    @staticmethod
    def of(tensor: TensorType[Attribute], layout: Layout) -> BufferType:
        return BufferType(tensor, LayoutAttr(layout))

    @property
    def layout(self) -> Layout:
        return self.layout_attr.data

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.get_shape()

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            shape, element = parser.parse_ranked_shape()
            parser.parse_punctuation(",")
            layout = parse_layout(parser)
        return [TensorType(element, shape), LayoutAttr(layout)]

    def print_parameters(self, printer: Printer) -> None:
        dims = "".join(f"{d}x" for d in self.shape)
        printer.print_string(f"<{dims}{self.tensor.element_type}, {layout_text(self.layout)}>")

    def verify(self) -> None:
        check_tensor(self.tensor)


@dataclass(frozen=True, init=False)  # without it subclasses would compare equal whatever their tensors
class _VectorsType(ParametrizedAttribute, TypeAttribute):
    """A shape and an element type in angle brackets."""

    tensor: TensorType[Attribute]

    @classmethod
    def of(cls, shape: Sequence[int], element: Attribute) -> Self:
        return cls.new([TensorType(element, shape)])

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.get_shape()

    @property
    def element_type(self) -> Attribute:
        return self.tensor.element_type

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            shape, element = parser.parse_ranked_shape()
        return [TensorType(element, shape)]

    def print_parameters(self, printer: Printer) -> None:
        dims = "".join(f"{d}x" for d in self.shape)
        printer.print_string(f"<{dims}{self.element_type}>")

    def verify(self) -> None:
        if element_of(self.element_type) is None:
            raise VerifyException(f"element type {self.element_type} is none of i8, i16, i32, f16, f32")
        if any(d < 1 for d in self.shape):
            raise VerifyException("dimensions are static and at least 1")


@irdl_attr_definition
class StreamType(_VectorsType):
    """A run of vectors on the move: `!tsp_stream.stream<196x320xi8>` is 196 vectors of 320 lanes, one after the other;
    `<20x16x320xi8>` is 20 times 16 vectors side by side. A vector of a wider element takes one stream per byte."""

    name = "tsp_stream.stream"

    @property
    def vectors(self) -> int:
        """Vectors that follow each other."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Streams side by side: the vectors of one step, times the bytes of the element."""
        side_by_side = self.shape[1] if len(self.shape) == 3 else 1
        return side_by_side * element_bytes(self.element_type)

    def verify(self) -> None:
        super().verify()
        if len(self.shape) not in (2, 3):
            raise VerifyException("a stream is vectors x lanes, or vectors x side by side x lanes")


@irdl_attr_definition
class WeightsType(_VectorsType):
    """Weights that are installed in a plane one after the other: `!tsp_stream.weights<13x320x320xi8>` is 13 times
    K x N. fp16 weights take a pair of planes."""

    name = "tsp_stream.weights"

    def verify(self) -> None:
        super().verify()
        if len(self.shape) != 3:
            raise VerifyException("weights are passes x rows x lanes")


@irdl_attr_definition
class FlightType(_VectorsType):
    """Vectors on a link between two chips: `!tsp_stream.flight<360x320xi8>`."""

    name = "tsp_stream.flight"


@irdl_attr_definition
class PatternAttr(Data[AccessPattern]):
    """The words of a buffer that a run visits: `<0, 360 step 1, 4 step 0>`, the innermost level first."""

    name = "tsp_stream.pattern"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> AccessPattern:
        levels: list[tuple[int, int]] = []
        with parser.in_angle_brackets():
            offset = parser.parse_integer(allow_negative=False)
            while parser.parse_optional_punctuation(","):
                count = parser.parse_integer(allow_negative=False)
                parser.parse_keyword("step")
                levels.append((count, parser.parse_integer(allow_negative=True)))
        return AccessPattern(offset, tuple(levels))

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(str(self.data))
