"""Places in SRAM: which slices of which hemisphere hold a tensor, and from which address on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerType, TensorType
from xdsl.ir import Attribute, Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from .elements import element_bytes, element_of
from .layout import Layout
from .target import ChipSpec

_MOST_SLICES = 1 << 16
"""More than any hemisphere has; keeps a mistyped run from filling the host's memory."""


@dataclass(frozen=True)
class Place:
    """Words `address ...` of `slices` in one hemisphere. Knows no element type: see Layout."""

    layout: Layout
    hemisphere: str
    """`E` or `W`."""
    slices: tuple[int, ...]
    """The slices side by side, the first holding the lowest byte or weight row."""
    address: int | None = None
    """The first word in every slice; absent until allocated."""

    def allocated(self, address: int) -> Place:
        return replace(self, address=address)

    def queues(self) -> tuple[str, ...]:
        """The names of the slices' instruction queues."""
        return tuple(f"MEM.{self.hemisphere}{s}" for s in self.slices)

    def check(self, tensor: TensorType[Attribute], chip: ChipSpec) -> None:
        """Raises VerifyException when a tensor of this type cannot lie here."""
        if any(d < 1 for d in tensor.get_shape()) or element_of(tensor.element_type) is None:
            raise VerifyException(
                f"{tensor} cannot lie in SRAM: dimensions are static and at least 1, elements i8, i16, i32, f16 or f32"
            )
        if self.layout is Layout.WEIGHTS and (len(tensor.get_shape()) != 2 or tensor.element_type != IntegerType(8)):
            raise VerifyException(f"the weights layout holds an int8 matrix, not {tensor}")
        wanted = self.layout.slices(element_bytes(tensor.element_type), chip)
        if len(self.slices) != wanted or len(set(self.slices)) != wanted:
            raise VerifyException(
                f"{tensor} in layout {self.layout.value} needs {wanted} different slices, got {list(self.slices)}"
            )
        if max(self.slices) >= chip.slices:
            raise VerifyException(f"slice {max(self.slices)} is outside the hemisphere's 0..{chip.slices - 1}")
        end = (self.address or 0) + self.layout.depth(tensor.get_shape(), chip)
        if end > chip.words:
            raise VerifyException(f"the place ends at word {end}, but a slice has {chip.words}")


@irdl_attr_definition
class PlaceAttr(Data[Place]):
    """`#tsp_stream.place<rows, E, slices = [4 to 7], address = 0>`"""

    name = "tsp_stream.place"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Place:
        with parser.in_angle_brackets():
            layout = parse_layout(parser)
            parser.parse_punctuation(",")
            position = parser.pos
            hemisphere = parser.parse_identifier()
            if hemisphere not in ("E", "W"):
                parser.raise_error("expected hemisphere E or W", position)
            parser.parse_punctuation(",")
            parser.parse_keyword("slices")
            parser.parse_punctuation("=")
            runs = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_run(parser))
            address = None
            if parser.parse_optional_punctuation(","):
                parser.parse_keyword("address")
                parser.parse_punctuation("=")
                address = parser.parse_integer(allow_negative=False)
        return Place(layout, hemisphere, tuple(s for run in runs for s in run), address)

    def print_parameter(self, printer: Printer) -> None:
        place = self.data
        address = "" if place.address is None else f", address = {place.address}"
        printer.print_string(
            f"<{place.layout.value}, {place.hemisphere}, slices = [{slices_text(place.slices)}]{address}>"
        )


def check_host_tensor(
    kind: str, tensor: TensorType[Attribute], host: TensorType[Attribute], value: Attribute | None
) -> None:
    """Raises VerifyException unless the host's tensor has the elements of the one in SRAM, and a constant its value."""
    if (kind == "constant") != (value is not None):
        raise VerifyException("a constant, and nothing else, has a value")
    if prod(host.get_shape()) != prod(tensor.get_shape()) or host.element_type != tensor.element_type:
        raise VerifyException(f"{host} has not the elements of {tensor}")
    if value is not None and not (isa(value, DenseIntOrFPElementsAttr) and value.type == host):
        raise VerifyException(f"the value of a constant is dense<...> : {host}, not {value}")


def parse_layout(parser: AttrParser) -> Layout:
    position = parser.pos
    word = parser.parse_identifier()
    if word not in [layout.value for layout in Layout]:
        parser.raise_error(f"expected a layout: {', '.join(layout.value for layout in Layout)}", position)
    return Layout(word)


def _parse_run(parser: AttrParser) -> range:
    position = parser.pos
    first = parser.parse_integer(allow_negative=False)
    last = parser.parse_integer(allow_negative=False) if parser.parse_optional_keyword("to") else first
    if not first <= last < _MOST_SLICES:
        parser.raise_error(f"slices {first} to {last} are no run below {_MOST_SLICES}", position)
    return range(first, last + 1)


def slices_text(slices: tuple[int, ...]) -> str:
    """`4 to 7, 9`: consecutive numbers as runs."""
    runs: list[list[int]] = []
    for s in slices:
        if runs and s == runs[-1][1] + 1:
            runs[-1][1] = s
        else:
            runs.append([s, s])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)
