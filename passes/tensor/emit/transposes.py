"""Transposes matrices in SRAM: bytes within tiles by a transposer, whole tiles by two rotations and a scatter.

A transposer turns the square of a tile of 16 rows and 16 lanes, in all tiles of a vector at once, and leaves every tile
where it is: what it gives for tile t of the rows of group a belongs to tile a of the rows that t becomes. So first each
row of group a is rotated upward by a tiles. Behind the transposer each tile is scattered to the words of the rows that
it becomes; there no two meet, as those of all groups lie in tiles of their own. A rotation downward by t tiles brings
them to their places, and makes zeros of what no row fills.

Both rotations are the permuter's, so a matrix [m, n] takes it m ceil(n / 320) + n ceil(m / 320) vectors for each byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import BytesAttr, DenseIntOrFPElementsAttr, IntegerAttr, StringAttr, TensorType, i8, i16, i64
from xdsl.ir import Attribute, SSAValue

from ....dialects import tsp_stream as ts
from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, tiles
from ..analysis.views import Shape, Stored
from .buffers import Buffers
from .transposer_groups import group_buffer, room_for_groups

Levels = tuple[tuple[int, int], ...]


def worth_tiles(m: int, n: int, to: Buffers) -> bool:
    """Whether this way takes less time than that of every element by itself, and there are streams for a row of every
    lane of a tile, and for the map that scatters them."""
    if to.chip.lanes_per_tile >= to.chip.streams:
        return False
    across = tiles(n, to.chip.lanes) * m + tiles(m, to.chip.lanes) * n
    return m * n > across + to.policy.turn_cycles


def worth_groups_alone(m: int, n: int, bytes_: int, to: Buffers) -> bool:
    """The same where there are no streams for that map: every vector of the result is put together from those of all
    groups of rows in it."""
    side = to.chip.lanes_per_tile
    taken = n * tiles(m, side) + m * tiles(n, to.chip.lanes)
    return side >= to.chip.streams and room_for_groups(bytes_, to) and m * n > taken + to.policy.turn_cycles


def transpose_tiles(source: Stored, target: Stored, batch: Shape, m: int, n: int, to: Buffers, chip: int) -> None:
    """Emits the transpose of matrices [*batch, m, n] in a buffer as [*batch, n, m] in another of the same element type.

    Lanes of the target beyond its last column become zero. The tiles are scattered within a slice, so they are as many
    columns of as many matrices at a time as a slice has words for.
    """
    lanes, chip_words = to.chip.lanes, to.chip.words
    size = element_bytes(cast(ts.BufferType, source.buffer.type).tensor.element_type)
    across = max(1, min(tiles(n, lanes), chip_words // (size * to.chip.tiles)))
    for index, some in _pieces(batch, max(1, chip_words // (across * size * to.chip.tiles))):
        from_, to_ = (v.offset + sum(i * s for i, s in zip(index, v.strides, strict=False)) for v in (source, target))
        for block, row in enumerate(range(0, m, lanes)):
            for column in range(0, n, across * lanes):
                there = from_ + row * source.strides[-1] + column // lanes * source.tile_stride
                here = to_ + block * target.tile_stride + column * target.strides[-1]
                part = Stored(source.buffer, there, source.strides, source.tile_stride)
                place = Stored(target.buffer, here, target.strides, 0)
                count = min(across * lanes, n - column)
                _Transposer(part, place, some, min(lanes, m - row), count, size, to, chip).emit()


def _pieces(batch: Shape, most: int) -> Iterator[tuple[tuple[int, ...], Shape]]:
    """A batch as boxes of at most `most` matrices: the first index of each, and its shape."""
    if prod(batch) <= most:
        yield (0,) * len(batch), batch
        return
    size, inner = batch[0], prod(batch[1:])
    step = max(1, most // inner)
    for first in range(0, size, step):
        for index, some in _pieces(batch[1:], most) if inner > most else [((0,) * (len(batch) - 1), batch[1:])]:
            yield (first, *index), (min(step, size - first), *some)


@dataclass
class _Transposer:
    """Matrices of at most as many rows as a vector has lanes."""

    source: Stored
    target: Stored
    batch: Shape
    m: int
    n: int
    size: int
    """Bytes of an element."""
    to: Buffers
    chip: int

    def __post_init__(self) -> None:
        self.lanes, self.side = self.to.chip.lanes, self.to.chip.lanes_per_tile
        self.tiles = self.lanes // self.side
        """Tiles of a vector."""
        self.groups = tiles(self.m, self.side)
        """Groups of rows that are turned at once."""
        self.across = tiles(self.n, self.lanes)
        """Words of a row."""

    def emit(self) -> None:
        turned = group_buffer(self.across * self.size * self.tiles * prod(self.batch), self.to, self.chip)
        self._turn(self._rotated(), turned)
        self._rotate_back(turned)

    def _rotated(self) -> SSAValue:
        """The rows, each group of them side by side and rotated by its number: by words across, bytes, and groups."""
        to, stride, side = self.to, self.source.strides[-1], self.side
        result = group_buffer(self.across * self.size * self.groups * prod(self.batch), to, self.chip)
        tile = np.arange(self.tiles)
        maps = self._maps("<i2", self._lanes_of([(tile - a) % self.tiles for a in range(self.groups)]))
        per_group, per_word = 1, self.size * self.groups
        for byte in range(self.size):
            for number in range(side):
                there = tiles(self.m - number, side) if number < self.m else 0
                # where the last group has no such row, any other takes its place
                for first, count, row in ((0, there, number), (there, self.groups - there, 0)):
                    if not count:
                        continue
                    steps = ((count, side * stride), (self.across, self.source.tile_stride))
                    read = AccessPattern(self.source.offset + row * stride, (*steps, *self._outer(self.source.strides)))
                    maps_ = AccessPattern(first, ((count, 1), (self.across, 0), *self._outer(None)))
                    write = AccessPattern(
                        byte * self.groups + first,
                        ((count, per_group), (self.across, per_word), *self._joint(self.across * per_word)),
                    )
                    vectors = to.read(self.source.buffer, read, self.chip, byte=byte)
                    self._permute(vectors, maps, maps_, byte, result, write, number)
        return result

    def _turn(self, source: SSAValue, target: SSAValue) -> None:
        """Transposes all groups, and scatters the tiles to the words of the rows that they become."""
        to, kinds = self.to, self.across * self.size
        tile = np.arange(self.tiles)
        numbers = np.stack([(tile - a) % self.tiles for a in range(self.groups)])
        maps = np.zeros((self.groups, self.tiles, self.side), np.uint8)
        maps[..., 0], maps[..., 1] = numbers & 255, numbers >> 8
        count = kinds * self.groups
        read = AccessPattern(0, ((count, 1), *self._joint(count)))
        vectors = to.read(source, read, self.chip)
        there: dict[str, Attribute | None] = {"hemisphere": StringAttr("E"), "chip": IntegerAttr(self.chip, i64)}
        turned = to.add(ts.TransposeOp.build(operands=[vectors], result_types=[vectors.type], properties=there))
        map_words = AccessPattern(0, ((self.groups, 1), (kinds, 0), *self._outer(None)))
        map_ = to.read(self._maps("<u1", maps.reshape(self.groups, -1)), map_words, self.chip)
        # by the same SXM, so that both come to the slices from there
        beside = {**there, "count": IntegerAttr(0, i64), "way": StringAttr("up")}
        map_ = to.add(ts.ShiftOp.build(operands=[map_], result_types=[map_.type], properties=beside))
        words = AccessPattern(0, ((self.groups, 0), (kinds, self.tiles), *self._joint(kinds * self.tiles)))
        to.add(
            ts.ScatterOp.build(
                operands=[map_, turned, target],
                properties={
                    "words": ts.PatternAttr(words.canonicalize()),
                    "byte": None,
                    "chip": IntegerAttr(self.chip, i64),
                },
            )
        )

    def _rotate_back(self, turned: SSAValue) -> None:
        """Rotates every row to its place and writes it to the target."""
        tile, row = np.arange(self.tiles), self.target.strides[-1]
        maps = self._lanes_of([(tile + t) % self.tiles for t in range(self.tiles)])
        maps[:, self.m :] = self.lanes
        buffer = self._maps("<i2", maps)
        per_word = self.size * self.tiles
        whole, rest = divmod(self.n, self.lanes)
        for byte in range(self.size):
            for number in range(self.side):
                counts = ((0, whole, self.tiles), (whole, 1, max(tiles(rest - number, self.side), 0)))
                for first, across, count in counts:
                    if not across or not count:
                        continue
                    read = AccessPattern(
                        first * per_word + byte * self.tiles,
                        ((count, 1), (across, per_word), *self._joint(self.across * per_word)),
                    )
                    write = AccessPattern(
                        self.target.offset + (first * self.lanes + number) * row,
                        ((count, self.side * row), (across, self.lanes * row), *self._outer(self.target.strides)),
                    )
                    maps_ = AccessPattern(0, ((count, 1), (across, 0), *self._outer(None)))
                    vectors = self.to.read(turned, read, self.chip, byte=number)
                    self._permute(vectors, buffer, maps_, byte, self.target.buffer, write, byte)

    # -- patterns, buffers, maps -----------------------------------------------------------------------------------

    def _outer(self, strides: tuple[int, ...] | None) -> Levels:
        """The levels of the batch, in words of these strides or none."""
        steps = strides[: len(self.batch)] if strides is not None else (0,) * len(self.batch)
        return tuple(zip(reversed(self.batch), reversed(steps), strict=True))

    def _joint(self, size: int) -> Levels:
        """The level of the batch in a buffer of `size` words for each of its matrices."""
        return ((prod(self.batch), size),)

    def _lanes_of(self, numbers: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """The maps of lanes [maps, lanes] that take whole tiles."""
        return (np.stack(numbers)[..., None] * self.side + np.arange(self.side)).reshape(len(numbers), self.lanes)

    def _maps(self, kind: str, maps: npt.NDArray[Any]) -> SSAValue:
        """Constant maps, one in each word."""
        type_ = TensorType(i16 if kind == "<i2" else i8, maps.shape)
        value = DenseIntOrFPElementsAttr(type_, BytesAttr(maps.astype(kind).tobytes()))
        return self.to.constant_maps(type_, value, self.chip)

    def _permute(
        self,
        vectors: SSAValue,
        maps: SSAValue,
        map_words: AccessPattern,
        copy: int,
        target: SSAValue,
        words: AccessPattern,
        byte: int,
    ) -> None:
        to = self.to
        map_ = to.read(maps, map_words, self.chip, copy=to.copy_for(maps, copy))
        properties = {"chip": IntegerAttr(self.chip, i64)}
        moved = ts.PermuteOp.build(operands=[vectors, map_], result_types=[vectors.type], properties=properties)
        to.write(to.add(moved), target, words, self.chip, byte)
