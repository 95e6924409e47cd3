"""Makes the buffers and streams of the lowering: what lies where, in which layout, and the ops that move it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, StringAttr, TensorType, i8, i64
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.locations import located
from ....dialects.machine.layout import AccessPattern, Axis, Layout, rows
from ....dialects.machine.target import ChipSpec
from ....dialects.placement import Place
from ....dialects.semantics.arithmetic import Array
from ...policy import Policy
from ..analysis.views import Named, Pads, Shape, Stored, Tensor

Parts = Sequence[tuple[int, int]]
"""The first word of each part of a buffer, ascending from 0, and the number of the unit that visits it."""

WHOLE: Parts = ((0, 0),)


class Unsupported(Exception):
    """Why an op has no lowering, and what to do."""


@dataclass(eq=False)
class Output:
    """What a computed value is to the host."""

    name: str
    type: TensorType[Attribute]
    built: bool = False
    """Whether it has its buffer already."""


class Buffers:
    """The block that is written, the buffers in it, what is known of their words, and whose turn it is of the planes.

    Others ask and tell by methods."""

    def __init__(self, policy: Policy, at: Operation):
        self.policy, self.chip = policy, policy.chip
        self._block = Block()
        self._at = at
        self.nowhere: SSAValue = Block(arg_types=[i8]).args[0]
        """Stands for the buffer of a view whose buffer is not made yet."""
        self._of_named: dict[tuple[Named, Layout, int, str], dict[int, SSAValue]] = {}
        """By view, layout, chip and kind of user, and then by copies, the buffers of what the host places."""
        self._named_count = 0
        """Those of them that differ."""
        self._lane_maps: dict[tuple[TensorType[Attribute], Attribute, int], SSAValue] = {}
        """The constant maps between lanes, by chip."""
        self._again = 0
        """Constants that were placed once more."""
        self._padding: dict[SSAValue, Array] = {}
        """What lies beyond the last column, by buffer, where it is known: a number."""
        self._repeated: set[SSAValue] = set()
        self._next_plane = 0
        """The plane with which a product that does not need all of them begins."""

    def begin(self, op: Operation) -> None:
        """From now on the ops that are added have their location from this op of the program."""
        self._at = op

    def add(self, op: Operation) -> SSAValue:
        """Appends an op at the current location and gives its result, if it has one."""
        self._block.add_op(located(op, self._at))
        return op.results[0] if op.results else cast(SSAValue, None)

    def finish(self) -> Block:
        """Ends the block and gives it."""
        self.add(func.ReturnOp())
        return self._block

    def planes_in_turn(self, planes: Sequence[int], used: int, group: int) -> list[int]:
        """The planes in the order in which a product takes them that uses so many of them, in groups of so many. One
        that leaves planes idle begins with the one behind the last of the product before, so that the weights of both
        are loaded side by side."""
        if used == len(planes):
            return [*planes]
        first = next((i for i, plane in enumerate(planes) if plane >= self._next_plane), 0)
        first = -(-first // group) * group % len(planes)
        turned = [*planes[first:], *planes[:first]]
        self._next_plane = turned[used]
        return turned

    # -- what is known of words ----------------------------------------------------------------------------------

    def padding(self, buffer: SSAValue) -> Array | None:
        """The number in the lanes beyond the last column of the tensor in a buffer, or None where it is not known."""
        return self._padding.get(buffer)

    def note_padding(self, buffer: SSAValue, number: Array | None) -> None:
        """Says what lies beyond the last column of the tensor in a buffer, or that it is not known."""
        self._padding.pop(buffer, None)
        if number is not None:
            self._padding[buffer] = number

    def is_repeated(self, buffer: SSAValue) -> bool:
        """Whether the tensor in a buffer is of one column, which lies in all lanes."""
        return buffer in self._repeated

    def note_repeated(self, buffer: SSAValue) -> None:
        """Says that the only column of the tensor in a buffer lies in all lanes."""
        self._repeated.add(buffer)

    # -- buffers -----------------------------------------------------------------------------------------------

    def make(
        self,
        kind: str,
        name: str,
        tensor: TensorType[Attribute],
        layout: Layout,
        chip: int,
        host: TensorType[Attribute] | None = None,
        value: Attribute | None = None,
        parts: Parts = WHOLE,
        copies: int = 1,
        returned: str | None = None,
    ) -> SSAValue:
        if self.policy.tight > 1 and kind != "constant":  # of a constant each SXM may have one
            copies = 1
        properties: dict[str, Attribute | None] = {
            "kind": StringAttr(kind),
            "tensor_name": StringAttr(name) if name else None,
            "returned": None if returned is None else StringAttr(returned),
            "chip": IntegerAttr(chip, i64),
            "external": host if host is not None and host != tensor else None,
            "value": value,
            **self._cut(parts, layout.depth),
            "copies": IntegerAttr(copies, i64),
        }
        return self.add(ts.BufferOp.build(result_types=[ts.BufferType.of(tensor, layout)], properties=properties))

    def _cut(self, parts: Parts, depth: int) -> dict[str, Attribute | None]:
        """The properties that say how a buffer is cut: into these parts, and further so that each group fits into a
        slice."""
        wanted = Place((), tuple(first for first, _ in parts), _numbered([owner for _, owner in parts]))
        cut = wanted.cut(depth, self.chip.words)
        return {
            "parts": DenseArrayBase.from_list(i64, cut.starts),
            "owners": DenseArrayBase.from_list(i64, cut.owners),
        }

    def named(
        self,
        named: Named,
        layout: Layout,
        chip: int,
        parts: Parts = WHOLE,
        copies: int = 1,
        user: str = "",
    ) -> SSAValue:
        """The buffer of a tensor that the host places, in a layout of the view; made on its first use, and once more
        for each kind of `user` that wants its own."""
        layout = named.layout(layout)
        known = self._of_named.setdefault((named, layout, chip, user), {})
        for its_copies, buffer in known.items():
            if its_copies >= copies:
                if not self._worn(buffer):
                    return buffer
                self._again += 1
        tensor = TensorType(named.host.element_type, named.base)
        name = named.name or f"constant{self._named_count + self._again}"
        buffer = self.make(named.kind, name, tensor, layout, chip, named.host, named.value, parts, copies)
        self._named_count += copies not in known
        known[copies] = buffer
        return buffer

    def changed(self, named: Named, place: Destination) -> Stored:
        """All of an input in a buffer of its own, made now, whose words the program changes: nothing else finds it."""
        stored = place.make(WHOLE)
        self._of_named[named, place.layout, place.chip, "changes it"] = {place.copies: stored.buffer}
        self._named_count += 1
        return stored

    def _worn(self, buffer: SSAValue) -> bool:
        """Whether a buffer is a constant that enough ops use already: it must lie apart from all that they use."""
        op = cast(ts.BufferOp, buffer.owner)
        return op.kind.data == "constant" and buffer.uses.get_length() >= self.policy.constant_uses

    def inputs(self) -> set[str]:
        """The names of the inputs that lie in some buffer."""
        return {named.name for named, *_ in self._of_named if named.kind == "input"}

    def constant_maps(self, type_: TensorType[Attribute], value: Attribute, chip: int) -> SSAValue:
        """Constant maps of an SXM or of scattered words, one in each word, with a copy for the SXM of each hemisphere;
        made on their first use."""
        known = (type_, value, chip)
        before = self._lane_maps.get(known)
        if before is None or self._worn(before):
            self._again += before is not None
            shape = type_.get_shape()
            layout = rows(shape, element_bytes(type_.element_type), self.chip.lanes)
            self._lane_maps[known] = self.make(
                "constant", f"lanes{len(self._lane_maps) + self._again}", type_, layout, chip, value=value, copies=2
            )
        return self._lane_maps[known]

    def in_rows(self, tensor: Tensor, chip: int, pads: Pads = (), parts: Parts = WHOLE, copies: int = 1) -> Stored:
        """A tensor as rows in SRAM: a stored one as it lies, one that the host places in a buffer of its own."""
        source = tensor.source
        if isinstance(source, Stored):
            there = cast(ts.BufferOp, source.buffer.owner).chip_number
            if there != chip:
                raise Unsupported(f"uses a value of chip {there} on chip {chip}; run c2c-partition")
            return source
        layout = rows(tensor.shape, element_bytes(tensor.element), self.chip.lanes, pads)
        return view_of(self.named(source, layout, chip, parts, copies), layout, tensor.shape)

    def planned(self, layout: Layout, shape: Shape) -> Stored:
        """The words of a tensor of `shape` in rows, in a buffer that is not made yet."""
        return view_of(self.nowhere, layout, shape)

    def planned_rows(self, tensor: Tensor, pads: Pads = ()) -> Stored:
        """The words of a tensor as `in_rows` will give them: of one that the host places without the buffer, which is
        not made yet."""
        if isinstance(tensor.source, Stored):
            return tensor.source
        layout = rows(tensor.shape, element_bytes(tensor.element), self.chip.lanes, pads)
        return self.planned(layout, tensor.shape)

    # -- operands of maps --------------------------------------------------------------------------------------

    def operand_layout(self, tensor: Tensor, columns: int) -> Layout:
        """The layout in which the host places an operand of a map with `columns` columns, a single one repeated."""
        layout = rows(tensor.shape, element_bytes(tensor.element), self.chip.lanes)
        if tensor.columns == columns:
            return layout
        return Layout(layout.words, layout.side, (Axis(min(columns, self.chip.lanes)),), layout.start)

    def operand_view(self, tensor: Tensor, columns: int) -> Stored:
        """The words of an operand of a map, in a buffer if it is stored. Raises Unsupported."""
        if tensor.columns not in (1, columns):
            raise Unsupported(f"an operand of {tensor.columns} columns does not match {columns}")
        if isinstance(tensor.source, Stored):
            if tensor.columns != columns:
                raise Unsupported(
                    f"the computed operand {'x'.join(map(str, tensor.shape))} is broadcast along the lanes; give it "
                    "the full last dimension"
                )
            return tensor.source
        view = self.planned(self.operand_layout(tensor, columns), tensor.shape)
        return view if tensor.columns == columns else replace(view, tile_stride=0)

    def operand(self, tensor: Tensor, columns: int, chip: int, parts: Parts, copies: int) -> SSAValue:
        """The buffer of an operand of a map."""
        if isinstance(tensor.source, Stored):
            return self.in_rows(tensor, chip).buffer
        return self.named(tensor.source, self.operand_layout(tensor, columns), chip, parts, copies)

    @staticmethod
    def copies_of(buffer: SSAValue) -> int:
        """The copies of a buffer."""
        copies = cast(ts.BufferOp, buffer.owner).copies
        return copies.value.data if copies is not None else 1

    @staticmethod
    def visits_of(buffer: SSAValue, words: AccessPattern, cycles: AccessPattern) -> dict[int, npt.NDArray[np.int64]]:
        """The cycles in which each group of slices is visited by a run that meets `words` at `cycles`; ascending."""
        op, when = cast(ts.BufferOp, buffer.owner), cycles.words()
        if op.parts is None or op.owners is None:
            return {0: when}
        parts = np.searchsorted(op.parts.get_values(), words.words(), side="right") - 1
        owners = np.array(op.owners.get_values())[np.maximum(parts, 0)]
        return {int(owner): when[owners == owner] for owner in np.unique(owners)}

    def copy_for(self, buffer: SSAValue, number: int) -> int:
        """The copy of a buffer that the reader with this number takes."""
        return number % self.copies_of(buffer)

    # -- streams -----------------------------------------------------------------------------------------------

    def read(
        self,
        buffer: SSAValue,
        words: AccessPattern,
        chip: int,
        cycles: AccessPattern | None = None,
        copy: int = 0,
        byte: int | None = None,
        element: Attribute | None = None,
    ) -> SSAValue:
        type_ = cast(ts.BufferType, buffer.type)
        if element is None:
            element = type_.tensor.element_type if byte is None else i8
        side = type_.layout.width // element_bytes(element) if byte is None else 1
        shape = (words.count, *((side,) if side > 1 else ()), self.chip.lanes)
        paced = cycles is not None and cycles.canonicalize() != AccessPattern.run(0, words.count)
        properties: dict[str, Attribute | None] = {
            "words": ts.PatternAttr(words.canonicalize()),
            "byte": None if byte is None else IntegerAttr(byte, i64),
            "copy": IntegerAttr(copy, i64) if copy else None,
            "cycles": ts.PatternAttr(cycles.canonicalize()) if paced and cycles is not None else None,
            "chip": IntegerAttr(chip, i64),
        }
        stream = ts.StreamType.of(shape, element)
        return self.add(ts.ReadOp.build(operands=[buffer], result_types=[stream], properties=properties))

    def write(
        self, stream: SSAValue, buffer: SSAValue, words: AccessPattern, chip: int, byte: int | None = None
    ) -> None:
        properties: dict[str, Attribute | None] = {
            "words": ts.PatternAttr(words.canonicalize()),
            "byte": None if byte is None else IntegerAttr(byte, i64),
            "chip": IntegerAttr(chip, i64),
        }
        self.add(ts.WriteOp.build(operands=[stream, buffer], properties=properties))


def _numbered(owners: Sequence[int]) -> tuple[int, ...]:
    """The numbers of owners, from 0 on in their order."""
    numbers = {owner: i for i, owner in enumerate(sorted({*owners}))}
    return tuple(numbers[owner] for owner in owners)


def view_of(buffer: SSAValue, layout: Layout, shape: Shape) -> Stored:
    """All of a buffer in rows, without its padding, as a view of a tensor of `shape`."""
    if not shape:
        return Stored(buffer, 0, (), 0)
    tile_stride, *strides = layout.strides
    offset = sum(-at * stride for at, stride in zip(layout.start, strides, strict=False))
    return Stored(buffer, offset, tuple(strides), tile_stride)


def rows_layout(type_: TensorType[Attribute], chip: ChipSpec, pads: Pads = (), transposed: bool = False) -> Layout:
    """A tensor in rows along its last dimension, or a matrix in rows along its first one if `transposed`."""
    shape, size = type_.get_shape(), element_bytes(type_.element_type)
    if not transposed:
        return rows(shape, size, chip.lanes, pads)
    named = Named.of("", "", type_).transposed((1, 0))
    return named.layout(rows(shape[::-1], size, chip.lanes))


@dataclass(frozen=True)
class Destination:
    """Where a computed tensor will lie. Its words are known before its buffer is made."""

    to: Buffers
    kind: str
    name: str
    type: TensorType[Attribute]
    layout: Layout
    chip: int
    copies: int = 1
    host: TensorType[Attribute] | None = None
    returned: str | None = None
    """The name of the output whose words are those of this input."""

    @property
    def shape(self) -> Shape:
        return self.type.get_shape()

    @property
    def view(self) -> Stored:
        """The view of the words, without a buffer."""
        return self.to.planned(self.layout, self.shape)

    def make(self, parts: Parts) -> Stored:
        """The view in a buffer of its own, cut into parts."""
        buffer = self.to.make(
            self.kind,
            self.name,
            self.type,
            self.layout,
            self.chip,
            self.host,
            parts=parts,
            copies=self.copies,
            returned=self.returned,
        )
        return view_of(buffer, self.layout, self.type.get_shape())


@dataclass(frozen=True)
class Part(Destination):
    """A part of a computed tensor, whose buffer is there already."""

    place: Stored | None = None

    @property
    def view(self) -> Stored:
        assert self.place is not None
        return self.place

    def make(self, parts: Parts) -> Stored:
        return self.view


def named_tensor(kind: str, name: str, type_: TensorType[Attribute], value: Attribute | None = None) -> Tensor:
    """A tensor that the host places. Raises Unsupported for one that cannot lie in SRAM."""
    try:
        element_bytes(type_.element_type)
    except ValueError as e:
        raise Unsupported(str(e)) from e
    if any(d < 1 for d in type_.get_shape()):
        raise Unsupported(f"{type_} has a dynamic or empty dimension; give static shapes")
    return Tensor(type_.get_shape(), type_.element_type, Named.of(kind, name, type_, value))
