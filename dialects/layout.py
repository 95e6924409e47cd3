"""How tensors lie in SRAM words, and the patterns in which words are visited. Plain mathematics, no IR.

A layout maps a tensor to a block of words `[slices, depth, lanes]`: `slices` words are read side by side in a cycle,
one from each slice of the place, and `depth` is the number of addresses that the block takes in every slice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from .target import ChipSpec

Bytes = npt.NDArray[np.uint8]


class Layout(Enum):
    """The two ways in which a tensor lies in SRAM."""

    ROWS = "rows"
    """One word per row of the last dimension, cut into tiles of `lanes` elements, tile by tile; one slice per byte of
    the element. Lanes past the last column are zero."""
    WEIGHTS = "weights"
    """A matrix [K, N] of int8 as the MXM loads it, in tiles of lanes x lanes: row k of a tile lies in slice
    k % weight_streams at address k // weight_streams. Tiles follow each other along N first, then along K."""

    def slices(self, element_bytes: int, chip: ChipSpec) -> int:
        """Slices that are read side by side."""
        return chip.weight_streams if self is Layout.WEIGHTS else element_bytes

    def depth(self, shape: Sequence[int], chip: ChipSpec) -> int:
        """Words that a tensor of `shape` takes in each of its slices."""
        if self is Layout.ROWS:
            rows, columns = rows_and_columns(shape)
            return rows * tiles(columns, chip)
        k, n = shape
        return tiles(n, chip) * -(-k // chip.weight_streams)

    def weight_offset(self, shape: Sequence[int], k_tile: int, n_tile: int, chip: ChipSpec) -> int:
        """The first word of a weight tile."""
        k, n = shape
        full = tiles(n, chip) * chip.load_cycles
        return k_tile * full + n_tile * weight_groups(k, k_tile, chip)

    def pack(self, array: npt.NDArray[np.generic], chip: ChipSpec) -> Bytes:
        """The block [slices, depth, lanes] that holds `array`."""
        block = np.zeros((self.slices(array.dtype.itemsize, chip), self.depth(array.shape, chip), chip.lanes), np.uint8)
        if self is Layout.ROWS:
            rows, columns = rows_and_columns(array.shape)
            little = array.dtype.newbyteorder("<")
            planes = np.ascontiguousarray(array, little).reshape(rows, columns, 1).view(np.uint8)
            planes = planes.reshape(rows, columns, array.dtype.itemsize)
            for t in range(tiles(columns, chip)):
                part = planes[:, t * chip.lanes : (t + 1) * chip.lanes]
                block[:, t * rows : (t + 1) * rows, : part.shape[1]] = part.transpose(2, 0, 1)
            return block
        rows_of = np.ascontiguousarray(array).view(np.uint8)
        k, n = array.shape
        for kt in range(tiles(k, chip)):
            for nt in range(tiles(n, chip)):
                part = rows_of[kt * chip.lanes : (kt + 1) * chip.lanes, nt * chip.lanes : (nt + 1) * chip.lanes]
                groups = weight_groups(k, kt, chip)
                padded = np.zeros((groups * chip.weight_streams, chip.lanes), np.uint8)
                padded[: part.shape[0], : part.shape[1]] = part
                at = self.weight_offset(array.shape, kt, nt, chip)
                block[:, at : at + groups] = padded.reshape(groups, chip.weight_streams, chip.lanes).transpose(1, 0, 2)
        return block

    def unpack(
        self, block: Bytes, shape: Sequence[int], dtype: npt.DTypeLike, chip: ChipSpec
    ) -> npt.NDArray[np.generic]:
        """The tensor of `shape` and `dtype` that lies in a block of this layout."""
        if self is not Layout.ROWS:
            raise ValueError("only the rows layout is read back")
        rows, columns = rows_and_columns(shape)
        parts = [block[:, t * rows : (t + 1) * rows] for t in range(tiles(columns, chip))]
        planes = np.concatenate(parts, axis=2)[:, :, :columns].transpose(1, 2, 0)
        return np.ascontiguousarray(planes).view(np.dtype(dtype).newbyteorder("<"))[..., 0].astype(dtype).reshape(shape)


def rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    """A tensor as a matrix: all leading dimensions, and the last one. A scalar is 1 x 1."""
    return (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)


def tiles(size: int, chip: ChipSpec) -> int:
    """Vectors that `size` elements take."""
    return -(-size // chip.lanes)


def weight_groups(k: int, k_tile: int, chip: ChipSpec) -> int:
    """Groups of `weight_streams` rows in tile `k_tile` of a matrix of `k` rows."""
    rows = min(k - k_tile * chip.lanes, chip.lanes)
    return -(-rows // chip.weight_streams)


@dataclass(frozen=True)
class AccessPattern:
    """The words that a run visits, in order: `offset` plus the sum over nested levels, innermost first."""

    offset: int
    levels: tuple[tuple[int, int], ...]
    """(count, step in words) of each level, innermost first."""

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
