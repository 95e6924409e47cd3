"""Places in SRAM: which slices hold a block of words, and from which address on.

The words of a block may be cut into parts that lie in different slices, so that several of them can be visited at once,
and the whole may lie there in several copies, which are written together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType
from xdsl.ir import Attribute, Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from .elements import element_bytes, element_of
from .literals import check_size
from .machine.layout import BYTE, Axis, Bytes, Layout
from .machine.target import ChipSpec

_MOST_SLICES = 1 << 16
"""More than any hemisphere has; keeps a mistyped run from filling the host's memory."""

_MOST_ELEMENTS = 1 << 31
"""More than all chips of a system hold; keeps a mistyped shape or step from filling the host's memory."""


class Slice(NamedTuple):
    """A MEM slice: `E4` is number 4 of the east."""

    hemisphere: str
    number: int

    def __str__(self) -> str:
        return f"{self.hemisphere}{self.number}"

    @property
    def queue(self) -> str:
        """The name of its instruction queue."""
        return f"MEM.{self}"

    def unit(self, chip: ChipSpec) -> int:
        """Its number on the chip: the east's come first."""
        return self.number + (chip.slices if self.hemisphere == "W" else 0)


@dataclass(frozen=True)
class Place:
    """The slices of a block of words, and where it begins in each of them."""

    slices: tuple[Slice, ...]
    """Those side by side together (the first holding the lowest byte or weight row), group by group, copy by copy."""
    starts: tuple[int, ...] = (0,)
    """The first word of each part, ascending from 0."""
    owners: tuple[int, ...] = ()
    """The group of slices in which each part lies, those of one group after each other; empty for a group each."""
    copies: int = 1
    addresses: tuple[int, ...] = ()
    """The first word in each of the slices; empty until allocated."""

    def allocated(self, addresses: Sequence[int]) -> Place:
        """The place with the first word of each slice."""
        return replace(self, addresses=tuple(addresses))

    @cached_property
    def address_of(self) -> Mapping[Slice, int]:
        """The first word in each slice, once allocated."""
        return dict(zip(self.slices, self.addresses, strict=False))

    @cached_property
    def groups(self) -> int:
        """Groups of slices that hold different words."""
        return max(self.owners) + 1 if self.owners else len(self.starts)

    @cached_property
    def width(self) -> int:
        """Slices side by side."""
        return len(self.slices) // (self.groups * self.copies)

    def part_of(self, word: int) -> int:
        """The part in which a word of the block lies."""
        return bisect_right(self.starts, word) - 1

    def owner(self, part: int) -> int:
        """The group in which a part lies."""
        return self.owners[part] if self.owners else part

    @cached_property
    def bases(self) -> tuple[int, ...]:
        """The address of each part within its group, after those of the group that come before it."""
        free = [0] * self.groups
        bases: list[int] = []
        for part, first in enumerate(self.starts):
            owner = self.owner(part)
            bases.append(free[owner])
            free[owner] += self.starts[part + 1] - first if part + 1 < len(self.starts) else 0
        return tuple(bases)

    def side_by_side(self, copy: int, part: int) -> tuple[Slice, ...]:
        """The slices of a part of a copy."""
        first = (copy * self.groups + self.owner(part)) * self.width
        return self.slices[first : first + self.width]

    def depth_of(self, depth: int) -> int:
        """Words that the largest group of a block of `depth` words takes."""
        return max(base + end - first for base, (first, end) in zip(self.bases, self._parts(depth), strict=True))

    def cut(self, depth: int, words: int) -> Place:
        """The same parts without slices, cut further so that no group of a block of `depth` words takes more than
        `words` in a slice: each into as few groups of its own as that needs, of nearly equal size."""
        bounds = self._parts(depth)
        total = [0] * self.groups
        for part, (first, end) in enumerate(bounds):
            total[self.owner(part)] += end - first
        most = [-(-count // -(-count // words)) for count in total]
        filled = [0] * self.groups
        starts: list[int] = []
        groups: list[tuple[int, int]] = []
        for part, (first, end) in enumerate(bounds):
            owner = self.owner(part)
            while first < end:
                used = filled[owner]
                count = min(end - first, most[owner] - used % most[owner])
                starts.append(first)
                groups.append((owner, used // most[owner]))
                filled[owner] += count
                first += count
        numbers = {group: i for i, group in enumerate(sorted({*groups}))}
        return Place((), tuple(starts), tuple(numbers[group] for group in groups), self.copies)

    def _parts(self, depth: int) -> list[tuple[int, int]]:
        return list(zip(self.starts, (*self.starts[1:], depth), strict=True))

    def spread(self, block: Bytes) -> Bytes:
        """The words of every slice [slices, depth, lanes] that hold a block [width, depth, lanes]."""
        depth = block.shape[1]
        result = np.zeros((len(self.slices), self.depth_of(depth), block.shape[2]), np.uint8)
        by_place = result.reshape(self.copies, self.groups, self.width, *result.shape[1:])
        for part, (first, end) in enumerate(self._parts(depth)):
            base = self.bases[part]
            by_place[:, self.owner(part), :, base : base + end - first] = block[:, first:end]
        return result

    def gather(self, words: Bytes, depth: int) -> Bytes:
        """The block [width, depth, lanes] whose first copy lies in words [slices, depth, lanes]."""
        by_place = words.reshape(self.copies, self.groups, self.width, *words.shape[1:])
        parts = [
            by_place[0, self.owner(part), :, base : base + end - first]
            for part, (base, (first, end)) in enumerate(zip(self.bases, self._parts(depth), strict=True))
        ]
        return np.concatenate(parts, axis=1)

    def cut_fault(self, layout: Layout) -> str | None:
        """Why a block of a layout cannot be cut and copied so, or None."""
        if self.copies < 1:
            return f"{self.copies} copies; give at least 1"
        if self.starts[:1] != (0,) or list(self.starts) != sorted({*self.starts}) or self.starts[-1] >= layout.depth:
            return f"parts start at 0 and ascend below the block's {layout.depth} words, not {list(self.starts)}"
        owners = sorted({*self.owners})
        if owners and (len(self.owners) != len(self.starts) or owners != [*range(len(owners))]):
            return f"the {len(self.starts)} parts lie in groups numbered from 0 on, not {list(self.owners)}"
        return None

    def fault(self, layout: Layout, chip: ChipSpec) -> str | None:
        """Why a block of a layout cannot lie here, or None."""
        if reason := self.cut_fault(layout):
            return reason
        wanted = layout.width * self.groups * self.copies
        if len(self.slices) != wanted or len({*self.slices}) != wanted:
            return (
                f"{self.copies} copies of {self.groups} groups of {layout.width} slices side by side need {wanted} "
                f"different slices, got [{slices_text(self.slices)}]"
            )
        for s in self.slices:
            if s.hemisphere not in ("E", "W") or not 0 <= s.number < chip.slices:
                return f"slice {s} is none of the hemispheres' E0..{chip.slices - 1} and W0..{chip.slices - 1}"
        if self.addresses and len(self.addresses) != len(self.slices):
            return f"{len(self.slices)} slices have {len(self.addresses)} addresses; give one for all, or one for each"
        end = max(self.addresses, default=0) + self.depth_of(layout.depth)
        if end > chip.words:
            return f"the place ends at word {end}, but a slice has {chip.words}"
        return None


def check_tensor(tensor: TensorType[Attribute]) -> None:
    """Raises VerifyException when no tensor of this type can lie in SRAM."""
    if any(d < 1 for d in tensor.get_shape()) or element_of(tensor.element_type) is None:
        raise VerifyException(
            f"{tensor} cannot lie in SRAM: dimensions are static and at least 1, elements i8, i16, i32, f16 or f32"
        )


def check_place(tensor: TensorType[Attribute], layout: Layout, place: Place | None, chip: ChipSpec) -> None:
    """Raises VerifyException when a tensor of this type cannot lie in this layout, or not in this place."""
    check_tensor(tensor)
    bytes_ = prod(axis.extent for axis in layout.axes for dim, _ in axis.steps if dim == BYTE)
    reason = layout.fault(len(tensor.get_shape()), chip.lanes)
    if reason is None and element_bytes(tensor.element_type) > 1 and bytes_ != element_bytes(tensor.element_type):
        reason = f"its axes visit {bytes_} bytes of an element of {element_bytes(tensor.element_type)}"
    if reason is None and place is not None:
        reason = place.fault(layout, chip)
    if reason is None and (reach := layout.reach(tensor.get_shape())) > _MOST_ELEMENTS:
        reason = f"its axes and those of the tensor reach over {reach} elements, more than {_MOST_ELEMENTS}"
    if reason is not None:
        raise VerifyException(f"{tensor} cannot lie so: {reason}")


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
    if value is not None:
        check_size(value)


# -- as attributes -------------------------------------------------------------------------------------------------


@irdl_attr_definition
class LayoutAttr(Data[Layout]):
    """`#tsp_stream.layout<words [2 of d1 * 320, 360 of d0], side [1 of b], lanes [320 of d1]>`; `from [-1, 0]` where
    the block does not begin with the tensor's first element, `within [0 to 9, 0 to 320]` where a part is meant."""

    name = "tsp_stream.layout"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Layout:
        with parser.in_angle_brackets():
            return parse_layout(parser)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{layout_text(self.data)}>")


def layout_text(layout: Layout) -> str:
    """A layout as it is written in angle brackets."""
    parts = [
        f"{name} [{', '.join(map(str, axes))}]"
        for name, axes in (("words", layout.words), ("side", layout.side), ("lanes", layout.lanes))
    ]
    if layout.start:
        parts.append(f"from [{', '.join(map(str, layout.start))}]")
    if layout.within:
        parts.append(f"within [{', '.join(f'{first} to {end}' for first, end in layout.within)}]")
    return ", ".join(parts)


def parse_layout(parser: AttrParser) -> Layout:
    axes: list[tuple[Axis, ...]] = []
    for i, name in enumerate(("words", "side", "lanes")):
        if i:
            parser.parse_punctuation(",")
        parser.parse_keyword(name)
        axes.append(tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_axis(parser))))
    start: tuple[int, ...] = ()
    within: tuple[tuple[int, int], ...] = ()
    more = parser.parse_optional_punctuation(",")
    if more and parser.parse_optional_keyword("from"):
        start = tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer))
        more = parser.parse_optional_punctuation(",")
    if more:
        parser.parse_keyword("within")
        within = tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_ends(parser)))
    return Layout(axes[0], axes[1], axes[2], start, within)


def _parse_ends(parser: AttrParser) -> tuple[int, int]:
    first = parser.parse_integer(allow_negative=False)
    parser.parse_keyword("to")
    return first, parser.parse_integer(allow_negative=False)


def _parse_axis(parser: AttrParser) -> Axis:
    extent = parser.parse_integer(allow_negative=False)
    steps: list[tuple[int, int]] = []
    more = parser.parse_optional_keyword("of") is not None
    while more:
        position = parser.pos
        name = parser.parse_identifier()
        if name != "b" and not (name[:1] == "d" and name[1:].isdecimal() and len(name) < 5):
            parser.raise_error("expected a dimension: d0, d1, ... or b for the bytes of an element", position)
        step = parser.parse_integer() if parser.parse_optional_punctuation("*") else 1
        steps.append((BYTE if name == "b" else int(name[1:]), step))
        more = parser.parse_optional_punctuation("+") is not None
    return Axis(extent, tuple(steps))


@irdl_attr_definition
class PlaceAttr(Data[Place]):
    """`#tsp_stream.place<[E4 to E7, W0 to W3], parts [0, 90, 180, 270] in [0, 1, 0, 1], copies 2, address 0>`; one
    part, a group of slices for each part, one copy and no address are not written. `addresses [0, 0, 90, 90]` where
    the block does not begin at one address in all slices."""

    name = "tsp_stream.place"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Place:
        with parser.in_angle_brackets():
            runs = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_run(parser))
            starts, owners, copies, addresses = (0,), (), 1, ()
            slices = tuple(s for run in runs for s in run)
            while parser.parse_optional_punctuation(","):
                if parser.parse_optional_keyword("parts"):
                    numbers = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
                    starts = tuple(numbers) or (0,)
                    if parser.parse_optional_keyword("in"):
                        owners = tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer))
                elif parser.parse_optional_keyword("copies"):
                    copies = parser.parse_integer(allow_negative=False)
                elif parser.parse_optional_keyword("addresses"):
                    numbers = parser.parse_comma_separated_list(
                        parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_negative=False)
                    )
                    addresses = tuple(numbers)
                else:
                    parser.parse_keyword("address")
                    addresses = (parser.parse_integer(allow_negative=False),) * len(slices)
        return Place(slices, starts, owners, copies, addresses)

    def print_parameter(self, printer: Printer) -> None:
        place = self.data
        text = f"[{slices_text(place.slices)}]"
        if len(place.starts) > 1:
            text += f", parts [{', '.join(map(str, place.starts))}]"
            if place.owners:
                text += f" in [{', '.join(map(str, place.owners))}]"
        if place.copies > 1:
            text += f", copies {place.copies}"
        if len({*place.addresses}) == 1 and len(place.addresses) == len(place.slices):
            text += f", address {place.addresses[0]}"
        elif place.addresses:
            text += f", addresses [{', '.join(map(str, place.addresses))}]"
        printer.print_string(f"<{text}>")


def _parse_run(parser: AttrParser) -> list[Slice]:
    position = parser.pos
    first = _parse_slice(parser)
    last = _parse_slice(parser) if parser.parse_optional_keyword("to") else first
    if first.hemisphere != last.hemisphere or not first.number <= last.number < _MOST_SLICES:
        parser.raise_error(f"slices {first} to {last} are no run of one hemisphere below {_MOST_SLICES}", position)
    return [Slice(first.hemisphere, n) for n in range(first.number, last.number + 1)]


def _parse_slice(parser: AttrParser) -> Slice:
    position = parser.pos
    name = parser.parse_identifier()
    if name[:1] not in ("E", "W") or not name[1:].isdecimal() or len(name) > 6:
        parser.raise_error("expected a slice such as E4 or W12", position)
    return Slice(name[0], int(name[1:]))


def slices_text(slices: tuple[Slice, ...]) -> str:
    """`E4 to E7, W9`: consecutive slices as runs."""
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in _runs(slices))


def _runs(slices: tuple[Slice, ...]) -> Iterator[tuple[Slice, Slice]]:
    first: Slice | None = None
    last: Slice | None = None
    for s in slices:
        if first is not None and last is not None:
            if s == (last.hemisphere, last.number + 1):
                last = s
                continue
            yield first, last
        first = last = s
    if first is not None and last is not None:
        yield first, last
