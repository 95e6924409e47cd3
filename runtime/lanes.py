"""What the SXM does with the lanes of vectors, in numpy. Vectors are uint8 [lanes]; a superlane is a run of lanes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def shift(vector: Bytes, count: int, down: bool) -> Bytes:
    """Lane i of the result is lane i - count, or i + count where it moves `down`; zero from outside."""
    moved, count = np.zeros_like(vector), min(count, len(vector))
    if down:
        moved[: len(vector) - count] = vector[count:]
    else:
        moved[count:] = vector[: len(vector) - count]
    return moved


def take(vector: Bytes, numbers: npt.NDArray[np.int64]) -> Bytes:
    """Lane numbers[i] of a vector for every i; zero from the vector's end on."""
    padded = np.append(vector, np.uint8(0))
    return padded[np.minimum(numbers, len(vector))]


def rotate(vectors: Bytes, tiles: int) -> Bytes:
    """n vectors [n, lanes] to n * n: each with the runs of n lanes of its tiles rotated by 0, 1 .. n - 1."""
    n = len(vectors)
    by_tile = vectors.reshape(n, tiles, -1)
    filled = by_tile.shape[2] // n * n
    runs = by_tile[:, :, :filled].reshape(n, tiles, -1, n)
    rotated = np.zeros((n, n, *by_tile.shape[1:]), np.uint8)
    for c in range(n):
        rotated[:, c, :, :filled] = np.roll(runs, -c, axis=3).reshape(n, tiles, filled)
    return rotated.reshape(n * n, -1)


def transpose(vectors: Bytes, tiles: int) -> Bytes:
    """As many vectors [side, lanes] as a tile has lanes: in each tile lane i of vector s goes to lane s of vector i."""
    side = len(vectors)
    return vectors.reshape(side, tiles, side).transpose(2, 1, 0).reshape(side, -1)
