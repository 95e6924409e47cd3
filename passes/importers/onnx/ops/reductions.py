"""Reductions over axes, and what is made of them: softmax, the place of the greatest, running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import functions as fn
from ..emit import Emitter
from ..products import F32
from ..registry import Node, lowers
from ..scalars import Scalar, where
from ..values import Refused, Value, known
from .elementwise import unsigned
from .movement import axes_of
from .windows import mean

I32 = np.dtype(np.int32)


@lowers(
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSum", "ReduceLogSumExp",
)  # fmt: skip
def reduce(node: Node) -> Value:
    """Over the axes that are named; over all where none is, unless that means none."""
    x = node.value(0)
    axes = axes_of(node, x.rank)
    if not axes:
        axes = [] if node.int("noop_with_empty_axes") else [*range(x.rank)]
    result = _reduced(node, x, axes)
    if node.int("keepdims", 1):
        return result
    return node.emit.reshape(result, [n for i, n in enumerate(result.shape) if i not in axes])


def _reduced(node: Node, x: Value, axes: Sequence[int]) -> Value:
    """What the op makes of x over axes, which stay with size 1."""
    emit, dtype = node.emit, x.dtype
    work = F32 if x.kind == "f" else dtype

    def total(function: Callable[[Scalar], Scalar] | None = None) -> Value:
        value = emit.map(function, x, to=work) if function else x
        return summed(emit, value, axes)

    match node.op:
        case "ReduceSum":
            return emit.cast(total(), dtype)
        case "ReduceMean" if x.kind == "f":
            return mean(emit, x, axes)
        case "ReduceMean":
            count = int(np.prod([x.shape[a] for a in axes]))
            return emit.map(lambda v: fn.integer_quotient(v, v.like(count), True), total(), to=dtype)
        case "ReduceMax" | "ReduceMin":
            return extreme(emit, "max" if node.op == "ReduceMax" else "min", x, axes)
        case "ReduceProd":
            return emit.cast(multiplied_along(emit, emit.cast(x, work), axes), dtype)
        case "ReduceL1":
            return emit.cast(total(fn.absolute), dtype)
        case "ReduceL2":
            squares = total(lambda v: v * v)
            return emit.map(lambda v: fn.square_root(v.f32()), squares, to=dtype)
        case "ReduceSumSquare":
            return emit.cast(total(lambda v: v * v), dtype)
        case "ReduceLogSum":
            return emit.map(lambda v: v.f32().log(), total(), to=dtype)
        case _:
            return _log_sum_exp(emit, x, axes)


def summed(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """The sum over axes, which stay; of f16 in f32, of narrow integers in i32."""
    work = F32 if x.kind == "f" else I32
    return emit.reduced("sum", emit.cast(x, work), axes)


def extreme(emit: Emitter, kind: str, x: Value, axes: Sequence[int]) -> Value:
    """The greatest or least over axes; a truth value is one of 0 and 1."""
    if unsigned(x):
        raise Refused(f"the greatest of {x.dtype} has no lowering", "cast to int32")
    return emit.reduced(kind, x, axes)


def multiplied_along(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """The product over axes: halves of a dimension are multiplied until one element is left."""
    for axis in axes:
        while (size := x.shape[axis]) > 1:
            half = size // 2
            parts = [emit.slice(x, axis, 0, half), emit.slice(x, axis, half, half)]
            joined = emit.map(lambda a, b: a * b, parts[0], parts[1], to=x.dtype)
            x = emit.concat([joined, emit.slice(x, axis, size - 1, 1)], axis) if size % 2 else joined
    return x


def _log_sum_exp(emit: Emitter, x: Value, axes: Sequence[int]) -> Value:
    """The greatest is taken out before, where it is finite."""
    greatest = emit.reduced("max", emit.cast(x, F32), axes)
    finite = emit.map(lambda v: where(fn.is_infinite(v, True, True), 0.0, v), greatest, to=F32)
    powers = emit.map(lambda v, g: (v - g).exp(), x, finite, to=F32)
    return emit.map(lambda v, g: v.log() + g, emit.reduced("sum", powers, axes), finite, to=x.dtype)


@lowers("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node) -> Value:
    """Along one axis; before version 13, along all from that on together."""
    x = node.value(0)
    axis = node.axis(1 if node.version < 13 else -1, x.rank)
    axes = [*range(axis, x.rank)] if node.version < 13 else [axis]
    if node.op == "Hardmax":
        return _hardmax(node, x, axes)
    return normalised(node.emit, x, axes, node.op == "LogSoftmax")


def normalised(emit: Emitter, x: Value, axes: Sequence[int], logarithm: bool = False) -> Value:
    """The softmax over axes, or its logarithm."""
    greatest = emit.reduced("max", emit.cast(x, F32), axes)
    if logarithm:
        rest = emit.map(lambda v, g: v - g, x, greatest, to=F32)
        total = emit.reduced("sum", emit.map(lambda v: v.exp(), rest, to=F32), axes)
        return emit.map(lambda v, t: v - t.log(), rest, total, to=x.dtype)
    powers = emit.map(lambda v, g: (v - g).exp(), x, greatest, to=F32)
    total = emit.reduced("sum", powers, axes)
    return emit.map(lambda v, t: v * fn.reciprocal(t), powers, total, to=x.dtype).bounded(1.0)


def _hardmax(node: Node, x: Value, axes: Sequence[int]) -> Value:
    """1 where the greatest is first, along all axes together."""
    rows, axis = x, axes[0]
    if len(axes) > 1:
        rows = node.emit.reshape(x, (*x.shape[:axis], int(np.prod([x.shape[a] for a in axes]))))
    first = place_of(node.emit, rows, axis, "max", False)
    chosen = node.emit.map(lambda p, f: p.equals(f).f32(), places_along(rows, axis), first, to=x.dtype)
    return node.emit.reshape(chosen, x.shape)


def places_along(x: Value, axis: int) -> Value:
    """0, 1, ... along an axis."""
    shape = [x.shape[axis] if i == axis else 1 for i in range(x.rank)]
    return known(np.arange(x.shape[axis], dtype=np.int32).reshape(shape))


def place_of(emit: Emitter, x: Value, axis: int, kind: str, last: bool) -> Value:
    """Where along an axis the greatest or least is first, or last; the axis stays."""
    best = extreme(emit, kind, x, [axis])
    far = -1 if last else x.shape[axis]
    found = emit.map(lambda v, b, p: where(v.is_("eq", b), p, far), x, best, places_along(x, axis), to=I32)
    return emit.reduced("max" if last else "min", found, [axis])


@lowers("ArgMax", "ArgMin")
def place(node: Node) -> Value:
    x = node.value(0)
    axis = node.axis(0, x.rank)
    found = place_of(node.emit, x, axis, "max" if node.op == "ArgMax" else "min", bool(node.int("select_last_index")))
    found = node.emit.cast(found, np.int64)
    if node.int("keepdims", 1):
        return found
    return node.emit.reshape(found, [n for i, n in enumerate(found.shape) if i != axis])


@lowers("CumSum", "CumProd")
def running(node: Node) -> Value:
    """Sums or products up to each element: of 1, 2, 4, ... elements before it, one after the other."""
    emit, x = node.emit, node.value(0)
    axis = range(x.rank)[int(node.array(1, "the axis").reshape(-1)[0])]
    size, backwards = x.shape[axis], bool(node.int("reverse"))
    neutral = 0 if node.op == "CumSum" else 1
    work = emit.cast(x, F32) if x.kind == "f" else x

    def moved(v: Value, by: int) -> Value:
        """Each element `by` places further on, and what does not change the result before them."""
        by = min(by, size)
        fill = known(np.full([by if i == axis else n for i, n in enumerate(v.shape)], neutral, v.dtype))
        kept = [emit.slice(v, axis, by if backwards else 0, size - by)] if by < size else []
        return emit.concat([*kept, fill] if backwards else [fill, *kept], axis)

    if node.int("exclusive"):
        work = moved(work, 1)
    step = 1
    while step < size:
        function: Callable[[Scalar, Scalar], Scalar] = (lambda a, b: a + b) if not neutral else (lambda a, b: a * b)
        work = emit.map(function, work, moved(work, step), to=work.dtype)
        step *= 2
    return emit.cast(work, x.dtype)


@lowers("LpNormalization")
def lp_normalization(node: Node) -> Value:
    emit, x = node.emit, node.value(0)
    axis, p = node.axis(-1, x.rank), node.int("p", 2)
    powers = emit.map(fn.absolute if p == 1 else lambda v: v * v, x, to=F32)
    total = emit.reduced("sum", powers, [axis])

    def over(v: Scalar, t: Scalar) -> Scalar:
        return where(t.equals(0.0), 0.0, v * (fn.reciprocal(t) if p == 1 else t.rsqrt()))

    return emit.map(over, x, total, to=x.dtype)
