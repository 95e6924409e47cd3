"""How bytes move between lanes: the SXM's operations on numpy arrays, the one definition that the numpy levels share.

All take vectors of uint8 in the last dimension, [..., lanes], any number of them at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def shift(vectors: Bytes, count: int, down: bool) -> Bytes:
    """Lanes moved by `count`, up or down; zeros enter."""
    moved, kept = np.zeros_like(vectors), max(vectors.shape[-1] - count, 0)
    if down:
        moved[..., :kept] = vectors[..., vectors.shape[-1] - kept :]
    else:
        moved[..., vectors.shape[-1] - kept :] = vectors[..., :kept]
    return moved


def lane_select(mask: Bytes, a: Bytes, b: Bytes) -> Bytes:
    """Lane by lane `a` where the mask is not 0, else `b`."""
    return np.where(mask != 0, a, b)


def permute(vectors: Bytes, numbers: npt.NDArray[np.uint16]) -> Bytes:
    """Lane numbers[..., i] for every lane i; zero from the number of lanes on."""
    zero = np.zeros((*vectors.shape[:-1], 1), np.uint8)
    wanted = np.minimum(numbers, vectors.shape[-1]).astype(np.int64)
    return np.take_along_axis(np.concatenate([vectors, zero], axis=-1), wanted, axis=-1)


def distribute(vectors: Bytes, numbers: Bytes, lanes_per_tile: int) -> Bytes:
    """As permute, within each tile."""
    tiles = (*vectors.shape[:-1], -1, lanes_per_tile)
    return permute(vectors.reshape(tiles), numbers.reshape(tiles).astype(np.uint16)).reshape(vectors.shape)


def rotate(vectors: Bytes, lanes_per_tile: int) -> Bytes:
    """All rotations of n vectors [..., n, lanes], whose tiles are taken in runs of n lanes: [..., n * n, lanes], vector
    n r + c being vector r with each run rotated by c lanes downward. Lanes that fill no run are zero."""
    *outer, n, lanes = vectors.shape
    tiles = vectors.reshape(*outer, n, -1, lanes_per_tile)
    filled = lanes_per_tile // n * n
    runs = tiles[..., :filled].reshape(*tiles.shape[:-1], -1, n)
    rotated = np.zeros((*outer, n, n, *tiles.shape[-2:]), np.uint8)
    for c in range(n):
        rotated[..., c, :, :filled] = np.roll(runs, -c, axis=-1).reshape(*tiles.shape[:-1], filled)
    return rotated.reshape(*outer, n * n, lanes)


def transpose(vectors: Bytes) -> Bytes:
    """Lane i of each tile of vector s at lane s of vector i; [..., s, lanes], as many vectors as a tile has lanes."""
    *outer, side, lanes = vectors.shape
    return np.moveaxis(vectors.reshape(*outer, side, -1, side), -1, -3).swapaxes(-1, -2).reshape(*outer, side, lanes)
