"""How the lowering sees tensors: views of what the host places, and of buffers in SRAM. Mathematics, no new ops.

A view of a buffer in rows has a word stride for each leading dimension and one for the tiles of the last; so slices,
transposes of leading dimensions and most reshapes move no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from ....dialects.machine.layout import BYTE, AccessPattern, Axis, Layout

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
"""For each leading dimension the places before and after it."""


@dataclass(frozen=True)
class Named:
    """A view of a tensor that the host places: an input, a parameter or a constant. It becomes a buffer where it is
    used, in whatever layout is wanted there."""

    kind: str
    name: str
    host: TensorType[Attribute]
    base: Shape
    """The host's elements under the shape that the view walks along."""
    dims: tuple[int, ...]
    """The dimension of `base` of each dimension of the view; -1 for one of size 1 that is none of them."""
    start: tuple[int, ...]
    """The first element along each dimension of `base`."""
    steps: tuple[int, ...]
    """The step along each dimension of `base`."""
    ends: tuple[int, ...]
    """The place after the last element along each dimension of `base`."""
    value: Attribute | None = None

    @staticmethod
    def of(kind: str, name: str, host: TensorType[Attribute], value: Attribute | None = None) -> Named:
        shape = host.get_shape()
        n = len(shape)
        return Named(kind, name, host, shape, tuple(range(n)), (0,) * n, (1,) * n, tuple(shape), value)

    @property
    def plain(self) -> bool:
        """Whether it is all of the tensor, in its own order."""
        n = len(self.base)
        whole = not any(self.start) and set(self.steps) <= {1} and self.ends == self.base
        return self.dims == tuple(range(n)) and whole

    def axis(self, extent: int, dim: int, step: int = 1) -> Axis:
        """An axis of a layout along dimension `dim` of the view."""
        base = self.dims[dim]
        return Axis(extent, ((base, step * self.steps[base]),) if base >= 0 else ())

    def layout(self, layout: Layout) -> Layout:
        """A layout of the view as one of `base`: what lies outside the view is zero."""

        def along(axis: Axis) -> Axis:
            steps = [(d if d == BYTE else self.dims[d], s) for d, s in axis.steps]
            return Axis(axis.extent, tuple((d, s if d == BYTE else s * self.steps[d]) for d, s in steps))

        def all_of(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
            return tuple(along(axis) for axis in axes)

        start = list(self.start)
        for dim, at in enumerate(layout.start):
            start[self.dims[dim]] += at * self.steps[self.dims[dim]]
        result = Layout(
            all_of(layout.words), all_of(layout.side), all_of(layout.lanes), tuple(start) if any(start) else ()
        )
        part = tuple(zip(self.start, self.ends, strict=True))
        return replace(result, within=part) if result.shows_beside(part, self.base) else result

    def reshaped(self, to: Shape) -> Named:
        """All of the tensor under another shape."""
        n = len(to)
        return replace(self, base=to, dims=tuple(range(n)), start=(0,) * n, steps=(1,) * n, ends=tuple(to))

    def transposed(self, permutation: Sequence[int]) -> Named:
        return replace(self, dims=tuple(self.dims[p] for p in permutation))

    def sliced(self, offsets: Sequence[int], strides: Sequence[int], sizes: Sequence[int] = ()) -> Named:
        """The part from some offsets on, of so many elements, or up to the end."""
        start, steps, ends = list(self.start), list(self.steps), list(self.ends)
        for i, (dim, offset, stride) in enumerate(zip(self.dims, offsets, strides, strict=True)):
            start[dim] += offset * steps[dim]
            steps[dim] *= stride
            if sizes:
                ends[dim] = start[dim] + (sizes[i] - 1) * steps[dim] + 1
        return replace(self, start=tuple(start), steps=tuple(steps), ends=tuple(ends))


@dataclass(frozen=True)
class Stored:
    """A view of a buffer in rows: words `offset + sum of index * stride`, plus the tile of columns * `tile_stride`."""

    buffer: SSAValue
    offset: int
    strides: tuple[int, ...]
    """Words from one place of each leading dimension to the next."""
    tile_stride: int

    def transposed(self, permutation: Sequence[int]) -> Stored | None:
        """The view with other leading dimensions first; None where the last dimension moves."""
        if permutation and permutation[-1] != len(permutation) - 1:
            return None
        return replace(self, strides=tuple(self.strides[p] for p in permutation[:-1]))

    def sliced(self, offsets: Sequence[int], strides: Sequence[int], lanes: int) -> Stored | None:
        """A part of the view; None where its columns do not begin with a tile or are not neighbours."""
        *leading, column = offsets
        if column % lanes or strides[-1] != 1:
            return None
        offset = self.offset + column // lanes * self.tile_stride
        offset += sum(at * step for at, step in zip(leading, self.strides, strict=True))
        steps = tuple(step * stride for step, stride in zip(self.strides, strides[:-1], strict=True))
        return replace(self, offset=offset, strides=steps)

    def reshaped(self, shape: Shape, to: Shape) -> Stored | None:
        """The view of `shape` under the shape `to`; None where that moves columns or is no view."""
        if not shape or not to or shape[-1] != to[-1]:
            return None
        dims = [(n, s) for n, s in zip(shape[:-1], self.strides, strict=True) if n > 1]
        joined: list[tuple[int, int]] = []
        for n, s in dims:
            if joined and joined[-1][1] == n * s:
                joined[-1] = (joined[-1][0] * n, s)
            else:
                joined.append((n, s))
        strides: list[int] = []
        for n in reversed(to[:-1]):
            if n == 1:
                strides.append(0)
                continue
            if not joined or joined[-1][0] % n:
                return None
            count, stride = joined.pop()
            strides.append(stride)
            if count > n:
                joined.append((count // n, stride * n))
        return None if joined else replace(self, strides=tuple(reversed(strides)))


@dataclass(frozen=True)
class Tensor:
    """A tensor value of the program, by where it is."""

    shape: Shape
    element: Attribute
    source: Named | Stored

    def matrix(self, index: Sequence[int]) -> Tensor:
        """The matrix in the last two dimensions at an index of those before, where one of size 1 stands for all."""
        at = [0 if n == 1 else i for i, n in zip(index[len(index) + 2 - len(self.shape) :], self.shape, strict=False)]
        source = self.source
        if isinstance(source, Named):
            there = source.sliced((*at, 0, 0), (1,) * len(self.shape))
            return Tensor(self.shape[-2:], self.element, replace(there, dims=there.dims[-2:]))
        offset = source.offset + sum(i * step for i, step in zip(at, source.strides, strict=False))
        return Tensor(self.shape[-2:], self.element, replace(source, offset=offset, strides=source.strides[-1:]))

    @property
    def leading(self) -> Shape:
        return self.shape[:-1]

    @property
    def columns(self) -> int:
        return self.shape[-1] if self.shape else 1


@dataclass(frozen=True)
class Rows:
    """The words that an operand shows to a space of rows: one for every index of the space and tile of columns."""

    offset: int
    steps: tuple[int, ...]
    """Words from one place of each dimension of the space to the next."""
    tile_step: int

    def pattern(self, block: Block, tile: int = 0) -> AccessPattern:
        """The words of a block of rows."""
        offset = self.offset + tile * self.tile_step
        offset += sum(at * step for at, step in zip(block.start, self.steps, strict=True))
        levels = tuple(zip(reversed(block.extent), reversed(self.steps), strict=True))
        return AccessPattern(offset, levels)


@dataclass(frozen=True)
class Block:
    """A box of rows of a space."""

    start: tuple[int, ...]
    extent: tuple[int, ...]

    @property
    def rows(self) -> int:
        return math.prod(self.extent)


def rows_of(view: Stored, shape: Shape, space: Shape) -> Rows:
    """How a tensor of `shape`, which broadcasts to rows of `space`, shows itself there."""
    leading = shape[:-1]
    missing = len(space) - len(leading)
    steps = [0] * missing
    for n, full, stride in zip(leading, space[missing:], view.strides, strict=True):
        steps.append(stride if n == full else 0)
    return Rows(view.offset, tuple(steps), view.tile_stride)


def join(space: Shape, all_rows: Sequence[Rows]) -> tuple[Shape, list[Rows]]:
    """The same rows with as few dimensions as the words of all operands allow."""
    kept = [d for d, n in enumerate(space) if n > 1] or list(range(len(space)))[-1:]
    sizes = [space[d] for d in kept]
    steps = [[rows.steps[d] for d in kept] for rows in all_rows]
    d = 0
    while d + 1 < len(sizes):
        if all(s[d] == sizes[d + 1] * s[d + 1] for s in steps):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
            for s in steps:
                s[d : d + 2] = [s[d + 1]]
        else:
            d += 1
    return tuple(sizes), [replace(r, steps=tuple(s)) for r, s in zip(all_rows, steps, strict=True)]


def blocks(space: Shape, most: int, wanted: int) -> list[Block]:
    """Cuts a space into at least `wanted` boxes of nearly the same size, where it has so many rows, of at most `most`
    rows each, in row-major order."""
    split = 0
    while split + 1 < len(space) and math.prod(space[split + 1 :]) > most:
        split += 1
    while split + 1 < len(space) and math.prod(space[: split + 1]) < wanted:
        split += 1
    if not space:
        return [Block((), ())]
    inner = math.prod(space[split + 1 :])
    outer = space[:split]
    size = space[split]
    pieces = max(-(-size // max(1, most // inner)), -(-wanted // math.prod(outer)))
    pieces = min(pieces, size)
    result: list[Block] = []
    for index in indices(outer):
        for i in range(pieces):
            first, end = i * size // pieces, (i + 1) * size // pieces
            start = (*index, first, *(0,) * (len(space) - split - 1))
            result.append(Block(start, (*(1,) * split, end - first, *space[split + 1 :])))
    return result


def indices(shape: Shape) -> Iterator[tuple[int, ...]]:
    """All indices of a shape in row-major order."""
    if not shape:
        yield ()
        return
    for i in range(shape[0]):
        for rest in indices(shape[1:]):
            yield (i, *rest)
