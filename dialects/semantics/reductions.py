"""Sums, maxima and minima over axes and over windows. The order of floating-point sums is that of docs/numerics.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce as fold
from itertools import product
from typing import Any

import numpy as np

from ..tsp_tensor.window import Slide, Window
from .arithmetic import BINARY, Array

COMBINE: dict[str, Callable[[Array, Array], Array]] = {
    "sum": BINARY["add"],
    "max": BINARY["max"],
    "min": BINARY["min"],
}
"""What one step of a reduction does, by kind."""


def reduce(kind: str, x: Array, axes: Sequence[int], to: np.dtype[Any], lanes: int) -> Array:
    """`x` reduced over `axes`, which are dropped, with elements of type `to`.

    First over all axes but the last one of `x`, in row-major order; then, if the last is among them, its elements in
    pieces of `lanes`, piece by piece; then the halves of what is left, padded with zeros to a power of two, are added
    until one element is left. Maxima and minima do not depend on an order.
    """
    step = COMBINE[kind]
    last = x.ndim - 1
    others = [i for i in axes if i != last]
    kept = [i for i in range(x.ndim) if i not in others]
    rows = x.astype(to).transpose(*others, *kept).reshape(-1, *(x.shape[i] for i in kept))
    total = fold(step, rows)
    return _across(kind, total, lanes) if last in axes else total


def _across(kind: str, x: Array, lanes: int) -> Array:
    """The last dimension reduced."""
    step = COMBINE[kind]
    width = min(x.shape[-1], lanes)
    x = fold(step, np.split(_filled(kind, x, -x.shape[-1] % width), -(-x.shape[-1] // width), axis=-1))
    x = _filled(kind, x, (1 << (width - 1).bit_length()) - width)
    while (half := x.shape[-1] // 2) >= 1:
        x = step(x[..., :half], x[..., half:])
    return x[..., 0]


def _filled(kind: str, x: Array, count: int) -> Array:
    """`x` with `count` more elements in its last dimension: zeros; for a maximum or minimum what is there already."""
    if not count:
        return x
    more = np.zeros_like(x[..., :1]) if kind == "sum" else x[..., :1]
    return np.concatenate([x, np.broadcast_to(more, (*x.shape[:-1], count))], axis=-1)


def pool(kind: str, images: Array, window: Window, to: np.dtype[Any]) -> Array:
    """The sum or maximum over a window on images [N, H, W, C], tap by tap, row by row, with elements of type `to`.

    Padding takes part once at each place that meets some: another +0, or another lowest value, changes nothing then,
    and neither does it matter among which of the taps it stands.
    """
    step, x = COMBINE[kind], images.astype(to)
    rows, columns = window.along((x.shape[1], x.shape[2]))
    outside = np.zeros((), to) if kind == "sum" else lowest(to)
    total = np.full((x.shape[0], rows.places, columns.places, x.shape[3]), outside)
    begun = np.zeros((1, rows.places, columns.places, 1), bool)
    for r, c in product(rows.met_taps, columns.met_taps):
        (down, its_rows), (along, its_columns) = met(rows, r), met(columns, c)
        at, pixels = (slice(None), down, along), x[:, its_rows, its_columns]
        before = begun[at]
        total[at] = step(total[at], pixels) if before.all() else np.where(before, step(total[at], pixels), pixels)
        begun[at] = True
    taps = (rows.counts()[:, None] * columns.counts())[None, :, :, None]
    padded = begun & (taps < rows.taps * columns.taps)
    return np.where(padded, step(total, outside), total) if padded.any() else total


def met(slide: Slide, tap: int) -> tuple[slice, slice]:
    """The places at which a tap lies inside, and the elements that it meets there."""
    places = slide.places_of(tap)
    if not places:
        return slice(0, 0), slice(0, 0)
    first, last = slide.element(places[0], tap), slide.element(places[-1], tap)
    return slice(places.start, places.stop), slice(first, last + 1, slide.stride)


def lowest(dtype: np.dtype[Any]) -> Array:
    """The least value of a type: -inf of floats."""
    return np.array(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
