"""Images at computed places: the pixels around each are gathered, and weighted by how near they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..emit import Emitter
from ..functions import absolute, floor
from ..products import F32
from ..registry import Node, lowers
from ..scalars import Function, Scalar, where
from ..values import Refused, Value, known
from .indexing import rows

I32 = np.dtype(np.int32)
CUBIC = -0.75
"""The free coefficient of the cubic convolution: R. G. Keys, IEEE Trans. ASSP 29 (1981)."""


@dataclass(frozen=True)
class Axis:
    """A dimension of the image, and how it goes on beyond its ends."""

    size: int
    aligned: bool
    """Whether -1 and 1 are the middles of the first and the last pixel, and not their outer ends."""
    padding: str

    @property
    def ends(self) -> tuple[float, float]:
        return (0.0, self.size - 1.0) if self.aligned else (-0.5, self.size - 0.5)

    def place(self, g: Scalar) -> Scalar:
        """Where a coordinate from -1 to 1 lies, in pixels."""
        if self.aligned:
            return (g + 1.0) * ((self.size - 1) / 2)
        return ((g + 1.0) * float(self.size) - 1.0) * 0.5

    def inside(self, x: Scalar) -> Scalar:
        """A place brought into the image, as the padding has it; for zeros it stays where it is."""
        low, high = self.ends
        if self.padding == "border":
            return x.max(0.0).min(self.size - 1.0)
        if self.padding != "reflection":
            return x
        turn = 2 * (high - low)
        if not turn:
            return x * 0.0
        way = absolute(x - low)
        way = way - (way * (1 / turn)).trunc() * turn
        return where(way > high - low, turn - way, way) + low


def taps(mode: str) -> list[tuple[int, Function]]:
    """The pixels that meet, by their distance from the one at or before a place, and the weight of each by how far
    behind that one the place lies."""
    if mode in ("linear", "bilinear"):
        return [(0, lambda t: 1.0 - t), (1, lambda t: t)]
    if mode in ("cubic", "bicubic"):
        return [(-1, lambda t: _far(t + 1.0)), (0, _near), (1, lambda t: _near(1.0 - t)), (2, lambda t: _far(2.0 - t))]
    raise Refused(f"mode {mode} has no lowering", "use linear, nearest or cubic")


def _near(t: Scalar) -> Scalar:
    return ((t * (CUBIC + 2)) - (CUBIC + 3)) * t * t + 1.0


def _far(t: Scalar) -> Scalar:
    return ((t * CUBIC - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC


@lowers("GridSample")
def grid_sample(node: Node) -> Value:
    """Of images of any number of dimensions; the grid's last number is for the image's first dimension."""
    emit, x, grid = node.emit, node.value(0), node.value(1)
    n, channels, *sizes = x.shape
    mode, padding = node.text("mode", "linear"), node.text("padding_mode", "zeros")
    axes = [Axis(size, bool(node.int("align_corners")), padding) for size in sizes]
    outer = grid.shape[:-1]
    places: list[Value] = []
    for i, axis in enumerate(axes):
        column = emit.reshape(emit.slice(grid, grid.rank - 1, len(sizes) - 1 - i, 1), outer)
        places.append(emit.map(_brought(axis, mode == "nearest"), column, to=F32))
    order = (0, *range(2, x.rank), 1)
    table = emit.reshape(emit.transpose(x, order), (n * int(np.prod(sizes)), channels))
    sampled = _nearest(emit, table, axes, places) if mode == "nearest" else _sum(emit, table, axes, places, mode)
    back = [0, len(outer), *range(1, len(outer))]
    return emit.cast(emit.transpose(sampled, back), x.dtype)


def _brought(axis: Axis, whole: bool) -> Function:
    return lambda g: axis.inside(axis.place(g).round() if whole else axis.place(g))


def _pixel(axis: Axis, offset: int) -> Callable[[Scalar], tuple[Scalar, Scalar]]:
    """Of a place the number of a pixel, and 1 where there is one, else 0."""

    def function(place: Scalar) -> tuple[Scalar, Scalar]:
        number = floor(place) + float(offset)
        there = ((number >= 0.0).i32() & (number <= axis.size - 1.0).i32()).f32()
        number = axis.inside(number).round().max(0.0).min(axis.size - 1.0)
        return number, there if axis.padding == "zeros" else there * 0.0 + 1.0

    return function


def _nearest(emit: Emitter, table: Value, axes: list[Axis], places: list[Value]) -> Value:
    return _gathered(emit, table, axes, places, [(0, lambda t: t * 0.0 + 1.0)] * len(axes))


def _sum(emit: Emitter, table: Value, axes: list[Axis], places: list[Value], mode: str) -> Value:
    total: Value | None = None
    for chosen in product(taps(mode), repeat=len(axes)):
        part = _gathered(emit, table, axes, places, list(chosen))
        total = part if total is None else emit.map(lambda a, b: a + b, total, part, to=F32)
    assert total is not None
    return total


def _gathered(
    emit: Emitter, table: Value, axes: list[Axis], places: list[Value], chosen: list[tuple[int, Function]]
) -> Value:
    """One pixel for each place, times its weight: [..., channels]."""
    shape = places[0].shape
    starts = np.arange(shape[0]) * int(np.prod([axis.size for axis in axes]))
    number = known(starts.astype(np.int32).reshape(-1, *[1] * (len(shape) - 1)))
    weight = known(np.float32(1))
    stride = int(np.prod([axis.size for axis in axes]))
    for axis, place, (offset, weigh) in zip(axes, places, chosen, strict=True):
        stride //= axis.size
        at = _pixel(axis, offset)
        number = emit.map(lambda m, p, at=at, s=stride: m + at(p)[0].i32() * s, number, place, to=I32)
        weight = emit.map(lambda w, p, at=at, f=weigh: w * f(p - floor(p)) * at(p)[1], weight, place, to=F32)
    pixels = rows(emit, table, number)
    return emit.map(lambda v, w: v * w, pixels, emit.reshape(weight, (*shape, 1)), to=F32)
