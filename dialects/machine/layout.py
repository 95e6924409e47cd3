"""How tensors lie in SRAM words, and the patterns in which words are visited. Plain mathematics, no IR.

A layout maps a tensor to a block of words [width, depth, lanes]: `width` words are read side by side in a cycle, one
from each slice, and `depth` is the number of words that follow each other. The map is affine: every axis of the block
walks along dimensions of the tensor, so a layout can tile, transpose, deal out, pad and repeat. What it shows of places
outside the tensor, or outside the part of it that is meant, is zero.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

Bytes = npt.NDArray[np.uint8]

BYTE = -1
"""The dimension of the bytes of an element, lowest first."""


@dataclass(frozen=True)
class Axis:
    """An axis of a block: `extent` places, and by how many elements of which dimension each step moves."""

    extent: int
    steps: tuple[tuple[int, int], ...] = ()
    """(dimension of the tensor, elements, which may be negative); none repeats the same elements."""

    @staticmethod
    def of(extent: int, dim: int, step: int = 1) -> Axis:
        return Axis(extent, ((dim, step),))

    def __str__(self) -> str:
        terms = [("b" if d == BYTE else f"d{d}") + (f" * {s}" if s != 1 else "") for d, s in self.steps]
        return " + ".join([f"{self.extent} of {terms[0]}" if terms else f"{self.extent}", *terms[1:]])


@dataclass(frozen=True)
class Layout:
    """Where the elements of a tensor lie in a block of words."""

    words: tuple[Axis, ...]
    """The axes of the words that follow each other, the outermost first."""
    side: tuple[Axis, ...]
    """The axes of the words side by side, the outermost first."""
    lanes: tuple[Axis, ...]
    """The axes of the lanes of a word, the outermost first."""
    start: tuple[int, ...] = ()
    """The element of each dimension at the block's first place; negative where padding comes first; 0 if absent."""
    within: tuple[tuple[int, int], ...] = ()
    """The part of the tensor that is meant: of each dimension the first element, and the one after the last; all of it
    if absent."""

    @cached_property
    def depth(self) -> int:
        """Words that follow each other."""
        return math.prod(axis.extent for axis in self.words)

    @cached_property
    def width(self) -> int:
        """Slices that are read side by side."""
        return math.prod(axis.extent for axis in self.side)

    @cached_property
    def lane_count(self) -> int:
        """Lanes that are used; the others are zero."""
        return math.prod(axis.extent for axis in self.lanes)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return (*self.side, *self.words, *self.lanes)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Words from one place of each of the `words` axes to the next."""
        result: list[int] = []
        stride = 1
        for axis in reversed(self.words):
            result.append(stride)
            stride *= axis.extent
        return tuple(reversed(result))

    def empty_words(self, shape: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which words [width, depth] show places outside a tensor of `shape` only, which are zero."""
        empty = np.zeros([axis.extent for axis in (*self.side, *self.words)], np.bool_)
        lanes = self._spans(len(shape), self.lanes)
        for dim, (first, end) in enumerate(self._meant(shape)):
            place = np.zeros((1,) * empty.ndim, np.int64)
            for number, axis in enumerate((*self.side, *self.words)):
                step = sum(step for d, step in axis.steps if d == dim)
                along = (np.arange(axis.extent) * step).reshape(-1, *(1,) * (empty.ndim - number - 1))
                place = place + along
            low, high = lanes[dim]  # of the lanes of the first word
            empty |= (place + high < first) | (place + low >= end)
        return empty.reshape(self.width, self.depth)

    def shows_beside(self, part: Sequence[tuple[int, int]], shape: Sequence[int]) -> bool:
        """Whether it comes to elements of a tensor of `shape` beside a part of it, given as `within`."""
        spans = zip(self._spans(len(shape), self.axes), part, shape, strict=True)
        return any(max(low, 0) < first or min(high, n - 1) >= end for (low, high), (first, end), n in spans)

    def _meant(self, shape: Sequence[int]) -> Sequence[tuple[int, int]]:
        """The part of a tensor of `shape` that is meant."""
        return self.within or [(0, n) for n in shape]

    def _spans(self, rank: int, axes: Sequence[Axis]) -> list[tuple[int, int]]:
        """The least and the greatest place along each dimension that some axes come to."""
        low = [self.start[d] if d < len(self.start) else 0 for d in range(rank)]
        high = list(low)
        for axis in axes:
            for dim, step in axis.steps:
                if dim != BYTE:
                    low[dim] += min(0, (axis.extent - 1) * step)
                    high[dim] += max(0, (axis.extent - 1) * step)
        return list(zip(low, high, strict=True))

    def fault(self, rank: int, lanes: int) -> str | None:
        """Why a tensor of `rank` dimensions cannot lie so in words of `lanes` bytes, or None."""
        for axis in self.axes:
            if axis.extent < 1:
                return f"axis `{axis}` has no extent"
            for dim, _ in axis.steps:
                if not BYTE <= dim < rank:
                    return f"axis `{axis}` walks along d{dim}, the tensor has {rank} dimensions"
        if len(self.start) > rank:
            return f"there are {len(self.start)} starts, the tensor has {rank} dimensions"
        if self.within and (len(self.within) != rank or any(not 0 <= first < end for first, end in self.within)):
            return f"`within` names no part of a tensor of {rank} dimensions"
        if self.lane_count > lanes:
            return f"{self.lane_count} elements side by side do not fit into {lanes} lanes"
        return None

    def reach(self, shape: Sequence[int]) -> int:
        """Elements of the smallest box that holds a tensor and all places outside of it that the axes come to."""
        spans = self._spans(len(shape), self.axes)
        return math.prod(max(n, high + 1) - min(0, low) for n, (low, high) in zip(shape, spans, strict=True))

    def pack(self, array: npt.NDArray[np.generic], lanes: int) -> Bytes:
        """The block [width, depth, lanes] that holds `array`."""
        block = np.zeros((self.width, self.depth, lanes), np.uint8)
        padded, view = self._view(array.shape, array.dtype.itemsize)
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        part = tuple(slice(*ends) for ends in self._meant(array.shape))
        padded[part] = little.reshape(-1).view(np.uint8).reshape(*array.shape, array.dtype.itemsize)[part]
        block[:, :, : self.lane_count] = view.reshape(self.width, self.depth, self.lane_count)
        return block

    def unpack(self, block: Bytes, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
        """The tensor of `shape` and `dtype` that lies in a block of this layout, all of it."""
        dtype = np.dtype(dtype)
        padded, view = self._view(tuple(shape), dtype.itemsize)
        view[...] = block[:, :, : self.lane_count].reshape(view.shape)
        return np.ascontiguousarray(padded).view(dtype.newbyteorder("<"))[..., 0].astype(dtype)

    def _view(self, shape: tuple[int, ...], size: int) -> tuple[Bytes, Bytes]:
        """Zeros for the bytes [*shape, size] of a tensor, and all places of the block as a view of them and what
        surrounds them."""
        extents = (*shape, size)
        low = [self.start[d] if d < len(self.start) else 0 for d in range(len(shape))] + [0]
        first, high = list(low), list(low)
        for axis in self.axes:
            for dim, step in axis.steps:
                low[dim] += min(0, (axis.extent - 1) * step)
                high[dim] += max(0, (axis.extent - 1) * step)
        before = [max(0, -at) for at in low]
        all_ = np.zeros([b + max(n, h + 1) for b, n, h in zip(before, extents, high, strict=True)], np.uint8)
        inner = all_[tuple(slice(b, b + n) for b, n in zip(before, extents, strict=True))]
        origin = all_[tuple(slice(b + at, None) for b, at in zip(before, first, strict=True))]
        strides = [  # of a single place any step is the same, however far it would go
            sum(origin.strides[dim] * step for dim, step in axis.steps) if axis.extent > 1 else 0 for axis in self.axes
        ]
        return inner, as_strided(origin, [axis.extent for axis in self.axes], strides)


def rows(shape: Sequence[int], size: int, lanes: int, pad: Sequence[tuple[int, int]] = ()) -> Layout:
    """The layout of a tensor as words along its last dimension, which is cut into tiles of `lanes` elements.

    Tiles come first, then the other dimensions in their order, each with as many zeros before and after as `pad` says
    (of the leading dimensions, absent ones have none); the `size` bytes of an element lie side by side.
    """
    columns = shape[-1] if shape else 1
    leading = shape[:-1]
    around = [*pad, *[(0, 0)] * (len(leading) - len(pad))]
    words = [Axis.of(n + a + b, d) for d, (n, (a, b)) in enumerate(zip(leading, around, strict=True))]
    last = len(shape) - 1
    lane_axes = (Axis.of(min(columns, lanes), last),) if shape else ()
    tile_axes = (Axis.of(tiles(columns, lanes), last, lanes),) if shape else ()
    start = tuple(-a for a, _ in around) if any(a for a, _ in around) else ()
    return Layout((*tile_axes, *words), (Axis.of(size, BYTE),), lane_axes, start)


def weights(
    taps: Sequence[int], k: int, n: int, size: int, lanes: int, streams: int, transposed: bool = False
) -> Layout:
    """The layout of a stationary operand [*taps, k, n] as the MXM loads it, or [*taps, n, k] if `transposed`.

    The rows of a tile of lanes x lanes are dealt out to `streams` slices. Tiles follow each other along n, then along
    the taps, then along k; the bytes of wider elements are loaded one after the other.
    """
    kd, nd = len(taps), len(taps) + 1
    if transposed:
        kd, nd = nd, kd
    groups = tiles(min(k, lanes), streams)
    words = (
        Axis.of(tiles(n, lanes), nd, lanes),
        *(Axis.of(count, d) for d, count in enumerate(taps)),
        Axis.of(tiles(k, lanes), kd, lanes),
        Axis.of(size, BYTE),
        Axis.of(groups, kd, streams),
    )
    return Layout(words, (Axis.of(streams, kd),), (Axis.of(min(n, lanes), nd),))


def identity(groups: int, lanes: int, streams: int) -> Layout:
    """The layout that makes of a single number a square of it on the diagonal, as weights: lane n of row k is element
    n - k."""
    return Layout((Axis.of(groups, 0, -streams),), (Axis.of(streams, 0, -1),), (Axis.of(lanes, 0),))


@dataclass(frozen=True)
class Groups:
    """How channels and outputs of a convolution fall into groups."""

    count: int
    channels: int
    """Of each group."""
    outputs: int
    """Of each group."""

    def own_tile(self, lanes: int) -> bool:
        """Whether a tile of outputs meets only the tile of channels with the same number."""
        return self.channels == self.outputs and lanes % self.channels == 0

    def fit(self, lanes: int) -> bool:
        """Whether the groups fall to the tiles of outputs so that their weights can lie side by side."""
        return self.own_tile(lanes) or self.count * self.outputs <= lanes or lanes % self.outputs == 0


def grouped_weights(
    taps: Sequence[int], groups: Groups, first: int, count: int, own_tile: bool, size: int, lanes: int, streams: int
) -> Layout:
    """The layout of grouped weights [*taps, channels, groups * outputs] as blocks of a matrix of all channels by all
    outputs, zero elsewhere: `count` tiles of outputs from tile `first` on.

    With `own_tile` a tile of outputs meets only the tile of channels with the same number, else all of them.
    """
    cd, od = len(taps), len(taps) + 1
    each = groups.channels * lanes // groups.outputs
    rows_of_tile = min(groups.count * groups.channels, lanes)
    words = (
        Axis(count, ((od, lanes), (cd, (lanes if own_tile else 0) - each))),
        *(Axis.of(n, d) for d, n in enumerate(taps)),
        Axis.of(1 if own_tile else tiles(groups.count * groups.channels, lanes), cd, lanes),
        Axis.of(size, BYTE),
        Axis.of(tiles(rows_of_tile, streams), cd, streams),
    )
    wide = max(1, min(groups.count, lanes // groups.outputs))
    lane_axes = (
        Axis(wide, ((od, groups.outputs), (cd, -groups.channels))),
        Axis.of(min(groups.outputs, lanes), od),
    )
    start = (*(0,) * len(taps), first * ((lanes if own_tile else 0) - each), first * lanes)
    return Layout(words, (Axis.of(streams, cd),), lane_axes, start)


def tiles(size: int, lanes: int) -> int:
    """Vectors that `size` elements take."""
    return -(-size // lanes)


@dataclass(frozen=True)
class AccessPattern:
    """The words that a run visits, in order: `offset` plus the sum over nested levels, innermost first."""

    offset: int
    levels: tuple[tuple[int, int], ...]
    """(count, step in words) of each level, innermost first."""

    def __str__(self) -> str:
        return f"<{self.offset}{''.join(f', {count} step {step}' for count, step in self.levels)}>"

    @staticmethod
    def run(offset: int, count: int, step: int = 1) -> AccessPattern:
        """`count` words from `offset` on, `step` apart."""
        return AccessPattern(offset, ((count, step),)).canonicalize()

    @property
    def count(self) -> int:
        """Words visited."""
        return math.prod(n for n, _ in self.levels)

    def canonicalize(self) -> AccessPattern:
        """The same words with the fewest levels: levels of one round are dropped, contiguous levels joined."""
        levels: list[tuple[int, int]] = []
        for count, step in self.levels:
            if count == 1:
                continue
            if levels and step == levels[-1][0] * levels[-1][1]:
                levels[-1] = (levels[-1][0] * count, levels[-1][1])
            else:
                levels.append((count, step))
        return AccessPattern(self.offset, tuple(levels))

    def words(self) -> npt.NDArray[np.int64]:
        """The visited word numbers, in order."""
        result = np.array([self.offset], np.int64)
        for count, step in self.canonicalize().levels:  # the step of one round may be any number
            result = (np.arange(count, dtype=np.int64)[:, None] * step + result[None, :]).reshape(-1)
        return result

    @property
    def low(self) -> int:
        """The least word visited."""
        return self.offset + sum(min(0, (n - 1) * s) for n, s in self.levels)

    @property
    def high(self) -> int:
        """The greatest word visited."""
        return self.offset + sum(max(0, (n - 1) * s) for n, s in self.levels)


Loops = tuple[tuple[int, int, int], ...]
"""Nested loops, the innermost first: how many rounds, and cycles and words from one to the next."""


class Run(NamedTuple):
    """Visits of words in the order of time, as nested loops."""

    at: int
    """The cycle of the first visit."""
    word: int
    loops: Loops

    @property
    def span(self) -> int:
        """Cycles from the first visit to the last."""
        return sum((count - 1) * cycles for count, cycles, _ in self.loops)

    def busy(self, gap: int = 1) -> Iterator[tuple[int, int]]:
        """The cycles in which it visits, as intervals [start, end); breaks of less than `gap` cycles are none."""
        spans = [(self.at, self.at + 1)]
        for count, cycles, _ in self.loops:
            length = spans[-1][1] - self.at
            if (len(spans) == 1 and cycles - length < gap) or len(spans) * count > _MOST_INTERVALS:
                spans = [(self.at, spans[-1][1] + (count - 1) * cycles)]
                continue
            found = spans
            spans = list(found)
            for i in range(1, count):
                for start, end in found:
                    if start + i * cycles - spans[-1][1] < gap:
                        spans[-1] = (spans[-1][0], end + i * cycles)
                    else:
                        spans.append((start + i * cycles, end + i * cycles))
        return iter(spans)


_MOST_INTERVALS = 1024
"""Intervals into which one run is cut at most; more would cost more time than the breaks are worth."""


def runs(words: AccessPattern, cycles: AccessPattern, starts: Sequence[int], limits: Limits) -> list[tuple[int, Run]]:
    """The visits of `words` at `cycles`, cut at the words in `starts`: the number of the part, and words within it.

    Both patterns have the same count. Parts come in their order, and the runs of a part in the order of time.
    """
    parts: dict[int, list[Run]] = {}
    _split(Run(cycles.offset, words.offset, _joint(words, cycles)), starts, limits, parts)
    return [
        (part, run._replace(word=run.word - starts[part]))
        for part in sorted(parts)
        for run in fold(parts[part], limits)
    ]


class Limits(NamedTuple):
    """What one instruction can repeat."""

    levels: int
    rounds: int
    cycles: int
    words: int

    def hold(self, loops: Loops) -> bool:
        return len(loops) <= self.levels and all(
            n <= self.rounds and t <= self.cycles and abs(w) <= self.words for n, t, w in loops
        )


def _joint(words: AccessPattern, cycles: AccessPattern) -> Loops:
    """Both patterns as common loops; the counts of the levels of one are cut at those of the other."""
    a, b = list(words.levels), list(cycles.levels)
    joint: list[tuple[int, int, int]] = []
    while a and b:
        (n, step), (m, every) = a.pop(0), b.pop(0)
        common = gcd(n, m)
        if common not in (n, m):
            raise ValueError(f"{words} and {cycles} have no common loops")
        if n > common:
            a.insert(0, (n // common, step * common))
        if m > common:
            b.insert(0, (m // common, every * common))
        before = joint[-1] if joint else None
        if before is not None and (every, step) == (before[0] * before[1], before[0] * before[2]):
            joint[-1] = (before[0] * common, before[1], before[2])
        elif common > 1:
            joint.append((common, every, step))
    return tuple(joint)


def _split(run: Run, starts: Sequence[int], limits: Limits, parts: dict[int, list[Run]]) -> None:
    low = run.word + sum(min(0, (n - 1) * step) for n, _, step in run.loops)
    high = run.word + sum(max(0, (n - 1) * step) for n, _, step in run.loops)
    part = bisect_right(starts, low) - 1
    if part == bisect_right(starts, high) - 1 and limits.hold(run.loops):
        parts.setdefault(part, []).append(run)
        return
    *inner, (count, cycles, step) = run.loops
    if not inner and limits.hold(((1, cycles, step),)):
        # a plain run: cut it where a part ends or the count is too great, without walking along it
        first = 0
        while first < count:
            word = run.word + first * step
            mine = bisect_right(starts, word) - 1
            rest = count - first
            if step > 0 and mine + 1 < len(starts):
                rest = min(rest, -(-(starts[mine + 1] - word) // step))
            elif step < 0:
                rest = min(rest, (word - starts[mine]) // -step + 1)
            rest = min(rest, limits.rounds)
            loops = ((rest, cycles, step),) if rest > 1 else ()
            parts.setdefault(mine, []).append(Run(run.at + first * cycles, word, loops))
            first += rest
        return
    for i in range(count):
        _split(Run(run.at + i * cycles, run.word + i * step, tuple(inner)), starts, limits, parts)


def fold(pieces: list[Run], limits: Limits) -> list[Run]:
    """Runs that follow each other at a constant distance as loops of them."""
    for _ in range(limits.levels):
        folded: list[Run] = []
        i = 0
        while i < len(pieces):
            at, word, loops = pieces[i]
            count = 1
            if i + 1 < len(pieces) and pieces[i + 1].loops == loops:
                cycles, step = pieces[i + 1].at - at, pieces[i + 1].word - word
                while i + count < len(pieces) and pieces[i + count] == (
                    at + count * cycles,
                    word + count * step,
                    loops,
                ):
                    count += 1
                if count > 1 and limits.hold(longer := (*loops, (count, cycles, step))):
                    loops = longer
                else:
                    count = 1
            folded.append(Run(at, word, loops))
            i += count
        if len(folded) == len(pieces):
            break
        pieces = folded
    return pieces
