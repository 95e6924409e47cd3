"""Ops that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..elements import carried
from ..emit import identity
from ..registry import Node, axis_of, lowers
from ..values import Refused, Value, known


@lowers("Reshape")
def reshape(node: Node) -> Value:
    x = node.value(0)
    sizes = node.ints("shape") if node.version < 5 else node.numbers(1, "the new shape")
    if not node.int("allowzero"):
        sizes = [x.shape[i] if n == 0 and i < x.rank else n for i, n in enumerate(sizes)]
    if -1 in sizes:
        others = int(np.prod([n for n in sizes if n != -1]))
        sizes[sizes.index(-1)] = x.size // others if others else 0
    if int(np.prod(sizes)) != x.size:
        raise Refused(f"{[*x.shape]} has not as many elements as {sizes}")
    return node.emit.reshape(x, sizes)


@lowers("Flatten")
def flatten(node: Node) -> Value:
    x, axis = node.value(0), node.int("axis", 1)
    axis = axis + node.value(0).rank if axis < 0 else axis
    rows = int(np.prod(x.shape[:axis]))
    return node.emit.reshape(x, (rows, x.size // rows if rows else 0))


def axes_of(node: Node, rank: int, i: int = 1) -> list[int] | None:
    """The axes that an op names: an input from version 13 on, before that an attribute; None where it names none."""
    if "axes" in node.attributes:
        axes = node.ints("axes")
    elif node.has(i):
        axes = node.numbers(i, "the axes")
    else:
        return None
    return sorted(axis_of(axis, rank) for axis in axes)


@lowers("Squeeze")
def squeeze(node: Node) -> Value:
    x = node.value(0)
    axes = axes_of(node, x.rank)
    axes = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else axes
    return node.emit.reshape(x, [n for i, n in enumerate(x.shape) if i not in axes])


@lowers("Unsqueeze")
def unsqueeze(node: Node) -> Value:
    x = node.value(0)
    count = len(node.ints("axes")) if "axes" in node.attributes else len(node.numbers(1, "the axes"))
    axes, sizes = axes_of(node, x.rank + count) or [], iter(x.shape)
    return node.emit.reshape(x, [1 if i in axes else next(sizes) for i in range(x.rank + count)])


@lowers("Transpose")
def transpose(node: Node) -> Value:
    x = node.value(0)
    return node.emit.transpose(x, node.ints("perm", identity(x.rank)[::-1]))


@lowers("Concat")
def concat(node: Node) -> Value:
    values = node.tensors()
    return node.emit.concat(values, node.axis(1, values[0].rank))


@lowers("Split")
def split(node: Node) -> tuple[Value, ...]:
    x = node.value(0)
    axis = node.axis(0, x.rank)
    size, count = x.shape[axis], node.int("num_outputs", node.outputs)
    if "split" in node.attributes:
        sizes = node.ints("split")
    elif node.has(1):
        sizes = node.numbers(1, "the sizes")
    else:
        each = -(-size // count)
        sizes = [min(each, size - i * each) for i in range(count)]
    return tuple(pieces(node, x, axis, sizes))


def pieces(node: Node, x: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Parts of a dimension, one after the other."""
    starts = np.cumsum([0, *sizes])
    return [part(node, x, axis, int(start), size) for start, size in zip(starts, sizes, strict=False)]


def part(node: Node, x: Value, axis: int, start: int, size: int, step: int = 1) -> Value:
    """A part of a dimension, which may have no elements."""
    if size <= 0:
        return known(np.zeros((*x.shape[:axis], 0, *x.shape[axis + 1 :]), x.dtype))
    return node.emit.slice(x, axis, start, size, step)


@lowers("Slice")
def slice_(node: Node) -> Value:
    """By starts, ends, axes and steps, which before version 10 were attributes."""
    x = node.value(0)
    if node.version < 10:
        starts, ends = node.ints("starts"), node.ints("ends")
        axes, steps = node.ints("axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = node.numbers(1, "where it starts"), node.numbers(2, "where it ends")
        axes = node.numbers(3, "the axes") if node.has(3) else [*range(len(starts))]
        steps = node.numbers(4, "the steps") if node.has(4) else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, x.rank)
        chosen = range(x.shape[axis])[slice(start, end, step)]
        x = part(node, x, axis, chosen.start, len(chosen), step)
    return x


@lowers("Expand")
def expand(node: Node) -> Value:
    x, shape = node.value(0), node.numbers(1, "the new shape")
    return node.emit.expand(x, np.broadcast_shapes(x.shape, tuple(shape)))


@lowers("Tile")
def tile(node: Node) -> Value:
    x, repeats = node.value(0), node.numbers(1, "how often it is repeated")
    for axis, times in enumerate(repeats):
        if not times:
            return known(np.zeros([n * t for n, t in zip(x.shape, repeats, strict=True)], x.dtype))
        x = node.emit.concat([x] * times, axis)
    return x


@lowers("Pad")
def pad(node: Node) -> Value:
    """Constant, or with the elements that are there: those at the edge, mirrored or from the other end."""
    x = node.value(0)
    pads = (
        node.ints("pads" if "pads" in node.attributes else "paddings")
        if node.version < 11
        else node.numbers(1, "the pads")
    )
    axes = [axis_of(a, x.rank) for a in node.numbers(3, "the axes")] if node.has(3) else [*range(x.rank)]
    low, high = [0] * x.rank, [0] * x.rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        low[axis], high[axis] = before, after
    for axis in range(x.rank):  # negative ones cut off
        before, after = min(low[axis], 0), min(high[axis], 0)
        if before or after:
            x = part(node, x, axis, -before, x.shape[axis] + before + after)
    low, high = [max(n, 0) for n in low], [max(n, 0) for n in high]
    mode = node.text("mode", "constant")
    if mode != "constant":
        for axis in range(x.rank):
            x = _by_elements(node, x, axis, low[axis], high[axis], mode)
        return x
    if node.version < 11:
        value = np.array(node.float("value"), x.dtype)
    elif node.has(2):
        value = node.array(2, "the value of the padding").reshape(-1)[0]
    else:
        value = np.zeros((), x.dtype)
    return padded(node, x, low, high, np.asarray(value, x.dtype))


def padded(node: Node, x: Value, low: Sequence[int], high: Sequence[int], value: np.ndarray) -> Value:
    """With a number of the tensor's own type before and after."""
    order = x.order or identity(x.rank)
    ssa = node.emit.operand(x, order)
    number = carried(np.asarray(value)).item()
    ssa = node.emit.padded(ssa, [low[axis] for axis in order], [high[axis] for axis in order], number)
    return node.emit.computed(ssa, x.dtype, order)


def _by_elements(node: Node, x: Value, axis: int, low: int, high: int, mode: str) -> Value:
    if not low and not high:
        return x
    if mode not in ("edge", "reflect", "wrap"):
        node.refuse_attribute("mode", "use constant, edge, reflect or wrap")
    numbers = np.pad(np.arange(x.shape[axis]), (low, high), mode=cast(Any, mode))
    return chosen(node, x, axis, numbers)


def chosen(node: Node, x: Value, axis: int, numbers: np.ndarray) -> Value:
    """The parts of a dimension that known numbers name, which take its place."""
    if x.array is not None:
        return known(x.array.take(numbers, axis))
    assert x.ssa is not None
    return node.emit.computed(node.emit.rows(x.ssa, x.order.index(axis), numbers), x.dtype, x.order)


@lowers("DepthToSpace")
def depth_to_space(node: Node) -> Value:
    x, b = node.value(0), node.int("blocksize")
    n, c, h, w = x.shape
    if node.text("mode", "DCR") == "DCR":
        split, permutation = (n, b, b, c // b**2, h, w), (0, 3, 4, 1, 5, 2)
    else:
        split, permutation = (n, c // b**2, b, b, h, w), (0, 1, 4, 2, 5, 3)
    moved = node.emit.transpose(node.emit.reshape(x, split), permutation)
    return node.emit.reshape(moved, (n, c // b**2, h * b, w * b))


@lowers("SpaceToDepth")
def space_to_depth(node: Node) -> Value:
    x, b = node.value(0), node.int("blocksize")
    n, c, h, w = x.shape
    split = node.emit.reshape(x, (n, c, h // b, b, w // b, b))
    crd = node.text("mode", "DCR") == "CRD"
    moved = node.emit.transpose(split, (0, 1, 3, 5, 2, 4) if crd else (0, 3, 5, 1, 2, 4))
    return node.emit.reshape(moved, (n, c * b * b, h // b, w // b))
