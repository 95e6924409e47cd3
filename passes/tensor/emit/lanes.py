"""Moves elements between lanes: any rearrangement of the elements of tensors in rows, word by word.

A word of the result is put together from the words of SRAM that hold its elements. Each of these goes through the
permuter of an SXM, byte by byte, under a map that lets its elements through and makes all other lanes zero; from the
second on an ALU combines it with those before. Words with the same maps follow each other in one run. So a word costs a
vector of the permuter for each byte of the element and each word that it takes elements from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    BytesAttr,
    DenseIntOrFPElementsAttr,
    IntegerAttr,
    TensorType,
    i8,
    i16,
    i64,
)
from xdsl.ir import Attribute, Block, Region, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes, numpy_of
from ....dialects.machine.layout import AccessPattern, rows, tiles
from ..analysis.views import Shape, Stored, Tensor
from .buffers import WHOLE, Buffers, Destination, Parts
from .elementwise import move
from .padding import set_padding
from .transposer_groups import distributed_rows, runs_of, turned_groups
from .transposes import transpose_tiles, worth_groups_alone, worth_tiles

Numbers = npt.NDArray[np.int64]

_MOST_LEVELS = 4
"""Nested loops that one run has at most within the inner dimensions."""
_WRITTEN = 2
"""Which of the patterns of a run says the words that it writes."""


def move_lanes(
    sources: Sequence[Tensor],
    outer: int,
    elements: Numbers,
    to: Buffers,
    destination: Destination,
    chip: int,
    parts: Parts = WHOLE,
) -> Tensor:
    """Puts a tensor together from elements of others of the same type.

    All have the first `outer` dimensions in common, along which the same happens everywhere. `elements`, in the shape
    of the other dimensions of the result, names the element that goes there: a number among those of the first source,
    then of the second and so on, each row-major; -1 is zero. Lanes beyond the last column become zero. Raises
    Unsupported.
    """
    shape = destination.shape
    lanes = to.chip.lanes
    views = [to.in_rows(t, chip) for t in sources]
    words, lane = _where(sources, views, outer, lanes)
    source = np.repeat(np.arange(len(sources)), [prod(t.shape[outer:]) for t in sources])
    targets, wanted = _wanted(destination.view, shape, outer, elements, lanes)
    pairs = _pairs(wanted, source, words, lane, lanes)
    result = destination.make(parts)
    maps = [
        _map_buffer(pairs.maps[at : at + to.chip.words], to, chip) for at in range(0, len(pairs.maps), to.chip.words)
    ]
    mover = _Mover(to, chip, destination.type.element_type, shape[:outer], views, maps, result)
    counts = np.bincount(pairs.target, minlength=len(targets))
    for count in np.unique(counts).tolist():
        group = np.flatnonzero(counts == count)
        first = np.searchsorted(pairs.target, group)
        mover.emit(
            [np.stack([pairs.source, pairs.word, targets[pairs.target], pairs.map])[:, first + k] for k in range(count)]
        )
    moved = Tensor(shape, destination.type.element_type, result)
    set_padding(moved, np.zeros((), numpy_of(destination.type.element_type)), to)
    return moved


def _where(sources: Sequence[Tensor], views: Sequence[Stored], outer: int, lanes: int) -> tuple[Numbers, Numbers]:
    """The word and the lane of every element of the sources, at the first place of the outer dimensions."""
    words: list[Numbers] = []
    lane: list[Numbers] = []
    for tensor, view in zip(sources, views, strict=True):
        column = np.arange(tensor.columns)
        first = _first_words(view, tensor.shape, outer)[:, None] + column // lanes * view.tile_stride
        words.append(first.reshape(-1))
        lane.append(np.broadcast_to(column % lanes, first.shape).reshape(-1))
    return np.concatenate(words), np.concatenate(lane)


def _first_words(view: Stored, shape: Shape, outer: int) -> Numbers:
    """The word of the first tile of every row [rows] of the inner dimensions."""
    first = np.array([view.offset])
    for n, stride in zip(shape[outer:-1], view.strides[outer:], strict=True):
        first = (first[:, None] + np.arange(n) * stride).reshape(-1)
    return first


def _wanted(view: Stored, shape: Shape, outer: int, elements: Numbers, lanes: int) -> tuple[Numbers, Numbers]:
    """The words of the result, and the elements [words, lanes] that each of them wants."""
    columns = elements.shape[-1]
    table = elements.reshape(-1, columns)
    table = np.pad(table, ((0, 0), (0, -columns % lanes)), constant_values=-1).reshape(len(table), -1, lanes)
    targets = _first_words(view, shape, outer)[:, None] + np.arange(table.shape[1]) * view.tile_stride
    return targets.reshape(-1), table.reshape(-1, lanes)


@dataclass(frozen=True)
class _Pairs:
    """Which words go into which, ordered by the number of the target: arrays of one length, and [maps, lanes]."""

    target: Numbers
    source: Numbers
    word: Numbers
    map: Numbers
    maps: npt.NDArray[np.int16]


def _pairs(wanted: Numbers, source: Numbers, words: Numbers, lane: Numbers, lanes: int) -> _Pairs:
    span = int(words.max()) + 1
    keys = np.where(wanted < 0, -1, (source * span + words)[wanted])
    empty: npt.NDArray[np.bool_] = np.all(keys < 0, axis=1)
    keys[empty, 0] = source[0] * span + words[0]  # all of it is zero, which a map without lanes makes of any word
    target, column = np.nonzero(keys >= 0)
    all_keys = len(np.unique(source)) * span
    distinct, number = np.unique(target * all_keys + keys[target, column], return_inverse=True)
    maps = np.full((len(distinct), lanes), lanes, np.int16)
    used: npt.NDArray[np.bool_] = np.logical_not(empty[target])
    maps[number[used], column[used]] = lane[wanted[target, column]][used]
    maps, which = np.unique(maps, axis=0, return_inverse=True)
    key = distinct % all_keys
    return _Pairs(distinct // all_keys, key // span, key % span, which.reshape(-1), maps)


def _map_buffer(maps: npt.NDArray[np.int16], to: Buffers, chip: int) -> SSAValue:
    """Constant maps of the permuter, one in each word, as many as a slice holds."""
    type_ = TensorType(i16, maps.shape)
    value = DenseIntOrFPElementsAttr(type_, BytesAttr(maps.astype("<i2").tobytes()))
    return to.constant_maps(type_, value, chip)


class _Mover:
    """Emits the runs of one rearrangement."""

    def __init__(
        self,
        to: Buffers,
        chip: int,
        element: Attribute,
        outer: Shape,
        views: Sequence[Stored],
        maps: Sequence[SSAValue],
        result: Stored,
    ):
        self.to, self.chip, self.element, self.outer = to, chip, element, outer
        self.views, self.maps, self.result = views, maps, result

    def emit(self, steps: Sequence[Numbers]) -> None:
        """Emits words that take elements from as many words each as there are steps. A step is the source, word, target
        and map [4, words]."""
        size = steps[0].shape[1]
        between = [self._between(size) for _ in range(min(2, len(steps) - 1))]
        joint = _contiguous(self.outer, size)
        for k, step in enumerate(steps):
            before = between[(k - 1) % 2] if k else None
            last = k == len(steps) - 1
            target = self.result.buffer if last else between[k % 2]
            target_strides = self.result.strides if last else joint
            numbers = np.arange(size, dtype=np.int64)
            held = self.to.chip.words
            points: Numbers = np.stack([step[1], step[3] % held, step[2] if last else numbers, numbers], axis=1)
            for (source, view), (which, maps) in product(enumerate(self.views), enumerate(self.maps)):
                mine: list[list[int]] = points[(step[0] == source) & (step[3] // held == which)].tolist()
                for run in fold(mine):
                    read, map_, write, joined = self._patterns(
                        run, (view.strides, (0,) * len(self.outer), target_strides, joint)
                    )
                    for byte in range(element_bytes(self.element)):
                        stream = permuted(
                            self.to.read(view.buffer, read, self.chip, byte=byte),
                            self.to.read(maps, map_, self.chip, copy=self.to.copy_for(maps, byte)),
                            self.to,
                            self.chip,
                        )
                        if before is not None:
                            there = self.to.read(before, joined, self.chip, byte=byte)
                            stream = _either(stream, there, self.to, self.chip)
                        self.to.write(stream, target, write, self.chip, byte)

    def _between(self, size: int) -> SSAValue:
        """A buffer for words that are not complete."""
        type_ = TensorType[Attribute](self.element, (prod(self.outer) * size, self.to.chip.lanes))
        return self.to.make(
            "scratch", "", type_, rows(type_.get_shape(), element_bytes(self.element), self.to.chip.lanes), self.chip
        )

    def _patterns(self, run: Fold, strides: Sequence[Sequence[int]]) -> list[AccessPattern]:
        """The words that a run reads, those of its maps, those that it writes and those that it joins: in the order of
        the words that it writes, so that users of the first need not wait for the last."""
        levels = [[(count, steps[which]) for count, steps in run.levels] for which in range(len(strides))]
        for which, steps in enumerate(strides):
            levels[which] += zip(reversed(self.outer), reversed(steps[: len(self.outer)]), strict=True)
        order = sorted(range(len(levels[_WRITTEN])), key=lambda i: abs(levels[_WRITTEN][i][1]))
        return [
            AccessPattern(start, tuple(those[i] for i in order)) for start, those in zip(run.start, levels, strict=True)
        ]


def permuted(stream: SSAValue, map_: SSAValue, to: Buffers, chip: int) -> SSAValue:
    """The lanes of vectors of bytes rearranged."""
    properties = {"chip": IntegerAttr(chip, i64)}
    return to.add(ts.PermuteOp.build(operands=[stream, map_], result_types=[stream.type], properties=properties))


def _either(a: SSAValue, b: SSAValue, to: Buffers, chip: int) -> SSAValue:
    """Bytes of which in each lane at least one is zero, joined."""
    block = Block(arg_types=[i8, i8])
    both = arith.OrIOp(block.args[0], block.args[1])
    block.add_ops([both, ts.YieldOp(both.result)])
    return to.add(
        ts.VxmOp.build(
            operands=[[a, b]],
            result_types=[a.type],
            regions=[Region(block)],
            properties={"chip": IntegerAttr(chip, i64)},
        )
    )


def _contiguous(outer: Shape, size: int) -> tuple[int, ...]:
    """Words from one place of each outer dimension to the next, where each place has `size` words."""
    return tuple(size * prod(outer[d + 1 :]) for d in range(len(outer)))


@dataclass(frozen=True)
class Fold:
    """Points that nested loops visit: the first, and for each loop, the innermost first, its count and step."""

    start: tuple[int, ...]
    levels: tuple[tuple[int, tuple[int, ...]], ...] = ()


def fold(points: Sequence[Sequence[int]]) -> list[Fold]:
    """Points, in order, as few nested loops."""
    found = [Fold(tuple(p)) for p in points]
    for _ in range(_MOST_LEVELS):
        joined: list[Fold] = []
        i = 0
        while i < len(found):
            first = found[i]
            count, step = 1, _step(found, i)
            while (
                i + count < len(found)
                and found[i + count].levels == first.levels
                and _step(found, i + count - 1) == step
            ):
                count += 1
            joined.append(Fold(first.start, (*first.levels, (count, step))) if count > 1 else first)
            i += count
        if len(joined) == len(found):
            break
        found = joined
    return found


def _step(found: Sequence[Fold], i: int) -> tuple[int, ...]:
    """From one point to the next."""
    if i + 1 >= len(found):
        return ()
    return tuple(b - a for a, b in zip(found[i].start, found[i + 1].start, strict=True))


# -- what the ops want ---------------------------------------------------------------------------------------------


def numbered(shape: Shape) -> Numbers:
    """The numbers of the elements of a shape, in it."""
    return np.arange(prod(shape)).reshape(shape)


def spread(tensor: Tensor, columns: int, to: Buffers, chip: int, copies: int = 1) -> Tensor:
    """A computed tensor of one column with its elements in all lanes, so that it shows itself as one of `columns`."""
    if isinstance(tensor.source, Stored) and to.is_repeated(tensor.source.buffer):
        return Tensor((*tensor.leading, columns), tensor.element, replace(tensor.source, tile_stride=0))
    width = min(columns, to.chip.lanes)
    shape = (*tensor.leading, width)
    destination = replace(scratch(tensor.element, shape, to, chip), copies=copies)
    source = Tensor((*tensor.leading, 1), tensor.element, tensor.source)
    wide = move_lanes([source], len(tensor.leading), np.zeros(width, np.int64), to, destination, chip)
    view = to.in_rows(wide, chip)
    return Tensor((*tensor.leading, columns), tensor.element, replace(view, tile_stride=0))


def scratch(element: Attribute, shape: Shape, to: Buffers, chip: int) -> Destination:
    """Where a tensor lies between two steps."""
    type_ = TensorType(element, shape)
    layout = rows(shape, element_bytes(element), to.chip.lanes)
    return Destination(to, "scratch", "", type_, layout, chip)


def reshaped(tensor: Tensor, to: Buffers, destination: Destination, chip: int) -> Tensor:
    """The elements of a computed tensor under another shape, where columns move."""
    a, b = tensor.shape or (1,), destination.shape or (1,)
    outer = 0
    while outer < min(len(a), len(b)) - 1 and a[outer] == b[outer]:
        outer += 1
    source = Tensor(a, tensor.element, tensor.source)
    if b[-1] == 1 and destination.kind == "scratch":  # a column, in all lanes, where maps want it
        wide = replace(scratch(tensor.element, (*b[:-1], to.chip.lanes), to, chip), copies=destination.copies)
        elements = np.repeat(numbered(b[outer:]), to.chip.lanes, axis=-1)
        view = to.in_rows(move_lanes([source], outer, elements, to, wide, chip), chip)
        to.note_repeated(view.buffer)
        return Tensor(destination.shape, tensor.element, view)
    return move_lanes([source], outer, numbered(b[outer:]), to, destination, chip)


def transposed(tensor: Tensor, permutation: Sequence[int], to: Buffers, destination: Destination, chip: int) -> Tensor:
    """A computed tensor with its last dimension moved."""
    last = len(permutation) - 1
    m, n = tensor.shape[permutation[-1]], tensor.columns
    if worth_tiles(m, n, to):
        batch = [d for d in permutation if d not in (last, permutation[-1])]
        source = to.in_rows(tensor, chip)
        result = destination.make(WHOLE)
        rows_first = replace(source, strides=tuple(source.strides[d] for d in (*batch, permutation[-1])))
        columns_first = replace(result, strides=tuple(result.strides[permutation.index(d)] for d in (*batch, last)))
        transpose_tiles(rows_first, columns_first, tuple(tensor.shape[d] for d in batch), m, n, to, chip)
        moved = Tensor(destination.shape, tensor.element, result)
        set_padding(moved, np.zeros((), numpy_of(tensor.element)), to)
        return moved
    if worth_groups_alone(m, n, element_bytes(tensor.element), to):
        return _transposed_by_groups(tensor, permutation, to, destination, chip)
    batch = permutation[: permutation.index(last)]
    rest = [d for d in range(len(permutation)) if d not in batch]
    view = to.in_rows(tensor, chip).transposed((*batch, *rest))
    assert view is not None
    source = Tensor(tuple(tensor.shape[d] for d in (*batch, *rest)), tensor.element, view)
    inner = numbered(source.shape[len(batch) :]).transpose([rest.index(d) for d in permutation[len(batch) :]])
    return move_lanes([source], len(batch), np.ascontiguousarray(inner), to, destination, chip)


def _transposed_by_groups(
    tensor: Tensor, permutation: Sequence[int], to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """The same where there is no stream for a map that scatters tiles: groups of rows are turned, and the tiles of a
    vector of the result come from as many vectors as there are groups in it."""
    side, lanes, last = to.chip.lanes_per_tile, to.chip.lanes, len(permutation) - 1
    order = (*(d for d in permutation if d not in (last, permutation[-1])), permutation[-1])
    view = to.in_rows(tensor, chip).transposed((*order, last))
    assert view is not None
    leading = tuple(tensor.shape[d] for d in order)
    groups = tiles(prod(leading), side)
    sources: list[Tensor] = []
    for number in range(tiles(tensor.columns, lanes)):
        words = Stored(view.buffer, view.offset + number * view.tile_stride, view.strides, 0)
        part = Tensor((*leading, min(lanes, tensor.columns - number * lanes)), tensor.element, words)
        if runs_of(part, to) is None:
            part = move(part, to, scratch(part.element, part.shape, to, chip), chip)
        turned = turned_groups(distributed_rows(part, to, chip), groups, part.element, to, chip)
        sources.append(Tensor((side * groups, lanes), part.element, Stored(turned, 0, (1,), 0)))
    row, column = np.arange(prod(leading))[:, None], np.arange(tensor.columns)
    group, tile = divmod(row, side), divmod(column % lanes, side)
    word = (column // lanes * side + tile[1]) * groups + group[0]
    elements = (word * lanes + tile[0] * side + group[1]).reshape(*leading, tensor.columns)
    inner = elements.transpose([(*order, last).index(d) for d in permutation])
    return move_lanes(sources, 0, np.ascontiguousarray(inner), to, destination, chip)


def sliced(
    tensor: Tensor, offsets: Sequence[int], strides: Sequence[int], to: Buffers, destination: Destination, chip: int
) -> Tensor:
    """Any columns of a computed tensor, of rows that are a view of it."""
    view = to.in_rows(tensor, chip).sliced((*offsets[:-1], 0), (*strides[:-1], 1), to.chip.lanes)
    assert view is not None
    shape = destination.shape
    source = Tensor((*shape[:-1], tensor.columns), tensor.element, view)
    columns = offsets[-1] + strides[-1] * np.arange(shape[-1])
    return move_lanes([source], len(shape) - 1, columns, to, destination, chip)


def joined(tensors: Sequence[Tensor], to: Buffers, destination: Destination, chip: int) -> Tensor:
    """Tensors one after the other along their last dimension."""
    columns: Any = np.arange(destination.shape[-1])
    return move_lanes(tensors, len(destination.shape) - 1, columns, to, destination, chip)
