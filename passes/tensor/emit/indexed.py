"""Rows by numbers that only the run knows: gather and scatter.

An index, in every lane of a word, goes through ALUs that hold it within the table, make a distance in words of it, and
put the low byte of that into the first lane of every tile and the high byte into the second: that is the map with which
a slice reads or writes the words of the row. A table that is larger than a slice is cut into segments of rows: all of
them are asked, and a second map picks the words of the segment that has the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerAttr, TensorType, i8, i32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects import tsp_tensor
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import BYTE, AccessPattern, Axis, Layout, rows, tiles
from ..analysis.requirements import Requirements
from ..analysis.views import Block as Box
from ..analysis.views import Named, Rows, Shape, Stored, Tensor, blocks, join
from .buffers import WHOLE, Buffers, Destination, Output, Unsupported, rows_layout, view_of
from .elementwise import copy_rows, move
from .lanes import move_lanes, reshaped, scratch
from .padding import padding_of, set_padding


def emit_gather(table: Tensor, indices: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Emits the rows [*indices, *row] of a table [n, *row]. Raises Unsupported."""
    if len(table.shape) == 1:  # single elements, which are rows of one column
        between = scratch(table.element, (*indices.shape, 1), to, chip)
        found = emit_gather(_column(table, to, chip), indices, to, between, chip)
        return reshaped(found, to, destination, chip)
    result = destination.make(WHOLE)
    segments = _segments(table, to, chip)
    space, (at, out, *inside) = _space(table, indices, [result, *(s.view for s in segments)], to)
    numbers = _Numbers(indices, to, chip)
    most = max(1, to.chip.words // len(segments)) if len(segments) > 1 else 1 << 30
    size = element_bytes(table.element)
    # slices of several positions meet map and words only if both flow one way: then it is byte by byte
    bytes_ = [None] if size <= to.chip.slices_per_hop else [*range(size)]
    for box, byte in product(blocks(space, most, 1), bytes_):
        element = table.element if byte is None else i8
        streams = [
            _gathered(numbers.within(at.pattern(box), s), s.view.buffer, there.pattern(box), element, to, chip, byte)
            for s, there in zip(segments, inside, strict=True)
        ]
        if len(segments) > 1:
            streams = [_picked(streams, numbers.segment(at.pattern(box), segments, box.rows), element, to, chip)]
        to.write(streams[0], result.buffer, out.pattern(box), chip, byte)
    gathered = Tensor(destination.shape, table.element, result)
    set_padding(gathered, padding_of(table, to), to)
    return gathered


def in_place(op: tsp_tensor.ScatterOp, table: Tensor, output: Output | None, chip: int) -> bool:
    """Whether a scatter may change its table where that lies, since nothing else uses it.

    That is an input, whose words become those of the output if the result is one, or what was computed for this op.
    """
    type_, views = op.result.type, tsp_tensor.ReshapeOp | tsp_tensor.TransposeOp | tsp_tensor.SliceOp
    if output is not None and (output.built or output.type != type_):
        return False
    if len(list(op.table.uses)) > 1 or len(table.shape) < 2 or isinstance(op.table.owner, views):
        return False
    if isinstance(table.source, Named):
        return table.source.kind == "input" and table.source.plain and table.source.host == type_
    buffer = cast(ts.BufferOp, table.source.buffer.owner)
    whole = buffer.kind.data == "scratch" and buffer.type.tensor == type_ and buffer.chip_number == chip
    return output is None and whole and len(buffer.wanted.starts) == 1


def own_table(table: Tensor, output: Output | None, required: Requirements, to: Buffers, chip: int) -> Tensor:
    """The table of a scatter in the buffer in which it will be changed (`in_place`)."""
    if isinstance(table.source, Stored):
        return table
    type_ = table.source.host
    layout, name = rows_layout(type_, to.chip, required.pads), None if output is None else output.name
    place = Destination(to, "input", table.source.name, type_, layout, chip, required.copies, returned=name)
    return Tensor(table.shape, table.element, to.changed(table.source, place))


def emit_scatter(
    table: Tensor, indices: Tensor, updates: Tensor, to: Buffers, destination: Destination | None, chip: int
) -> Tensor:
    """Emits a table [n, *row] with `updates` [*indices, *row] in place of some rows: a copy of it at a destination, or
    without one the table itself, which is in SRAM. Raises Unsupported."""
    if len(table.shape) == 1 and destination is not None:
        between = scratch(table.element, (*table.shape, 1), to, chip)
        table, updates = (_column(t, to, chip) for t in (table, updates))
        return reshaped(emit_scatter(table, indices, updates, to, between, chip), to, destination, chip)
    if destination is not None:
        table = move(table, to, destination, chip)
    view, source = cast(Stored, table.source), to.in_rows(updates, chip)
    (whole, *more) = _segments(table, to, chip)
    if more:
        raise Unsupported(
            f"writes by number to {'x'.join(map(str, table.shape))}, which takes more than the {to.chip.words} words "
            "of a slice; scatter into parts of it"
        )
    space, (at, given, there) = _space(table, indices, [source, view], to)
    box = Box((0,) * len(space), space)
    map_ = _Numbers(indices, to, chip).within(at.pattern(box), whole)
    stream = _beside(to.read(source.buffer, given.pattern(box), chip), to, chip)
    to.add(ts.ScatterOp.build(operands=[map_, stream, view.buffer], properties=_words(there.pattern(box), chip)))
    set_padding(table, None, to)
    return table


def _column(table: Tensor, to: Buffers, chip: int) -> Tensor:
    """The elements of a tensor as rows of one column."""
    shape = (*table.shape, 1)
    if isinstance(table.source, Named) and table.source.plain:
        return Tensor(shape, table.element, table.source.reshaped(shape))
    stored = Tensor(table.shape, table.element, to.in_rows(table, chip))
    return reshaped(stored, to, scratch(table.element, shape, to, chip), chip)


@dataclass(frozen=True)
class _Segment:
    """Some rows of a table, in words that one slice holds."""

    view: Stored
    first: int
    rows: int

    @property
    def stride(self) -> int:
        """Words from a row to the next."""
        return self.view.strides[0] if self.view.strides else 1


def _segments(table: Tensor, to: Buffers, chip: int) -> list[_Segment]:
    """A table cut so that a slice holds each segment; all but the last have the same number of rows, a power of two.
    Raises Unsupported."""
    words = to.chip.words
    count, each = table.shape[0], prod(table.shape[1:-1]) * tiles(table.columns, to.chip.lanes)
    if each > words:
        raise Unsupported(
            f"a row of {'x'.join(map(str, table.shape))} takes {each} words, and a slice has {words}; split the table "
            "into some with shorter rows"
        )
    if isinstance(table.source, Stored):
        buffer = cast(ts.BufferOp, table.source.buffer.owner)
        if buffer.type.layout.depth <= words and len(buffer.wanted.starts) == 1:
            return [_Segment(table.source, 0, count)]
    size = count if count * each <= words else 1 << (words // each).bit_length() - 1
    found: list[_Segment] = []
    for first in range(0, count, size):
        shape = (min(size, count - first), *table.shape[1:])
        found.append(_Segment(_segment(table, first, shape, to, chip), first, shape[0]))
    return found


def _segment(table: Tensor, first: int, shape: Shape, to: Buffers, chip: int) -> Stored:
    """Rows of a table from the first on, in a buffer of their own."""
    start, ones = (first, *(0,) * (len(shape) - 1)), (1,) * len(shape)
    if isinstance(table.source, Named):
        layout = rows(shape, element_bytes(table.element), to.chip.lanes)
        buffer = to.named(table.source.sliced(start, ones), layout, chip, user="by number")
        return view_of(buffer, layout, shape)
    view = table.source.sliced(start, ones, to.chip.lanes)
    assert view is not None
    made = scratch(table.element, shape, to, chip).make(WHOLE)
    copy_rows(Tensor(shape, table.element, view), made, to, chip)
    return made


def _space(table: Tensor, indices: Tensor, views: list[Stored], to: Buffers) -> tuple[Shape, list[Rows]]:
    """All words of the rows that indices name, an index after the other, and where they are: their index, the words of
    the first view [*indices, *row], and those of the others, [n, *row], in row number 0."""
    count, row = indices.shape, table.shape[1:-1]
    across = tiles(table.columns, to.chip.lanes)
    space = (*count, *row, across)
    at = [prod(count[d + 1 :]) for d in range(len(count))]
    first, *others = views
    shown = [
        Rows(0, (*at, *(0,) * (len(row) + 1)), 0),
        Rows(first.offset, (*first.strides, first.tile_stride), 0),
        *(Rows(v.offset, (*(0,) * len(count), *v.strides[1:], v.tile_stride), 0) for v in others),
    ]
    return join(space, shown)


class _Numbers:
    """The maps that indices become."""

    def __init__(self, indices: Tensor, to: Buffers, chip: int):
        self.to, self.chip = to, chip
        self.words = _wide(indices, to, chip)
        lanes, each = to.chip.lanes, to.chip.lanes_per_tile
        type_ = TensorType(i8, [lanes])
        second = (np.arange(lanes) % each == 1).astype(np.int8)
        value = DenseIntOrFPElementsAttr.from_list(type_, second.tolist())
        self.second = to.named(Named.of("constant", "", type_, value), rows((lanes,), 1, lanes), chip)

    def within(self, at: AccessPattern, segment: _Segment) -> SSAValue:
        """For each index the words from the first row of a segment to its row, or to the nearest."""
        return self._map(at, segment.first, segment.rows, segment.stride, 0)

    def segment(self, at: AccessPattern, segments: list[_Segment], words: int) -> SSAValue:
        """For each index the number of the segment with its row, times `words`."""
        rows_ = sum(s.rows for s in segments)
        return self._map(at, 0, rows_, words, segments[0].rows.bit_length() - 1)

    def _map(self, at: AccessPattern, first: int, count: int, stride: int, shift: int) -> SSAValue:
        """(index - first, held between 0 and count - 1) >> shift times stride, as the maps of gather and scatter."""
        block = Block(arg_types=[i32, i8])
        index, second = block.args

        def constant(value: int) -> SSAValue:
            return add(arith.ConstantOp(IntegerAttr(value, i32)))

        def add(op: arith.ConstantOp | arith.MaxSIOp | arith.MinSIOp | arith.SubiOp | arith.ShRSIOp | arith.MuliOp):
            block.add_op(op)
            return op.result

        value = add(arith.MinSIOp(add(arith.MaxSIOp(index, constant(first))), constant(first + count - 1)))
        if first:
            value = add(arith.SubiOp(value, constant(first)))
        if shift:
            value = add(arith.ShRSIOp(value, constant(shift)))
        if stride != 1:
            value = add(arith.MuliOp(value, constant(stride)))
        high = add(arith.ShRSIOp(value, constant(8)))
        byte = ts.SelectOp(second, high, value)
        narrow = arith.TruncIOp(byte.result, i8)
        block.add_ops([byte, narrow, ts.YieldOp(narrow.result)])
        streams = [
            self.to.read(self.words, at, self.chip),
            self.to.read(self.second, AccessPattern(0, ((at.count, 0),)), self.chip),
        ]
        type_ = ts.StreamType.of((at.count, self.to.chip.lanes), i8)
        return self.to.add(
            ts.VxmOp.build(
                operands=[streams],
                result_types=[type_],
                regions=[Region(block)],
                properties={"chip": IntegerAttr(self.chip, i64)},
            )
        )


def _wide(indices: Tensor, to: Buffers, chip: int) -> SSAValue:
    """A buffer with a word for each index, in row-major order, that has it in all lanes."""
    lanes, shape = to.chip.lanes, indices.shape
    if isinstance(indices.source, Named):
        words = tuple(Axis.of(n, d) for d, n in enumerate(shape)) or (Axis(1),)
        layout = Layout(words, (Axis.of(element_bytes(indices.element), BYTE),), (Axis(lanes),))
        return to.named(indices.source, layout, chip)
    source = indices if shape else Tensor((1,), indices.element, indices.source)
    elements = np.repeat(np.arange(source.columns)[:, None], lanes, axis=1)
    wide = scratch(indices.element, (*source.shape, lanes), to, chip)
    return cast(Stored, move_lanes([source], len(source.leading), elements, to, wide, chip).source).buffer


def _gathered(
    map_: SSAValue,
    buffer: SSAValue,
    words: AccessPattern,
    element: Attribute,
    to: Buffers,
    chip: int,
    byte: int | None = None,
) -> SSAValue:
    """The stream of words that a map finds, or of one byte of them."""
    type_ = ts.StreamType.of((words.count, to.chip.lanes), element)
    properties = _words(words, chip) | {"byte": None if byte is None else IntegerAttr(byte, i64)}
    return to.add(ts.GatherOp.build(operands=[map_, buffer], result_types=[type_], properties=properties))


def _words(words: AccessPattern, chip: int) -> dict[str, Attribute | None]:
    """The properties that say where an access by number begins."""
    return {"words": ts.PatternAttr(words.canonicalize()), "chip": IntegerAttr(chip, i64)}


def _beside(stream: SSAValue, to: Buffers, chip: int) -> SSAValue:
    """A stream that comes from the ALUs, as its map does: so they flow the same way and meet at slices of all
    positions, those of the bytes and of the copies of a table."""
    type_ = cast(ts.StreamType, stream.type)
    block = Block(arg_types=[type_.element_type])
    delay = ts.DelayOp(block.args[0])
    block.add_ops([delay, ts.YieldOp(delay.result)])
    return to.add(
        ts.VxmOp.build(
            operands=[[stream]],
            result_types=[type_],
            regions=[Region(block)],
            properties={"chip": IntegerAttr(chip, i64)},
        )
    )


def _picked(found: list[SSAValue], map_: SSAValue, element: Attribute, to: Buffers, chip: int) -> SSAValue:
    """Of the words that all segments gave those that a map names."""
    count = cast(ts.StreamType, map_.type).vectors
    stack = scratch(element, (len(found) * count, to.chip.lanes), to, chip).make(WHOLE)
    for number, stream in enumerate(found):
        to.write(stream, stack.buffer, AccessPattern.run(number * count, count), chip)
    return _gathered(map_, stack.buffer, AccessPattern.run(0, count), element, to, chip)
