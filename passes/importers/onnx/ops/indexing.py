"""Ops that take elements by number. Known numbers make slices; computed ones `gather` and `scatter`.

The tensor dialect gathers rows of a table, and so elements are rows of one element where an op asks for those.
"""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import TensorType

from .....dialects import tsp_tensor as tt
from .....dialects.tsp_tensor.types import shape_of, tensor_of
from ..elements import Shape, limits
from ..emit import Emitter
from ..products import F32
from ..registry import Node, lowers
from ..scalars import Pair, Scalar, where
from ..values import Refused, Value, known
from .movement import chosen
from .reductions import I32, extreme, multiplied_along, place_of, places_along


def rows(emit: Emitter, table: Value, numbers: Value) -> Value:
    """Rows of a table, the first dimension, by numbers: `numbers.shape` and then the shape of a row."""
    ssa, index = emit.operand(table), emit.operand(emit.cast(numbers, I32))
    result = TensorType(tensor_of(ssa).element_type, (*shape_of(index), *shape_of(ssa)[1:]))
    return emit.computed(emit.add(tt.GatherOp.build(operands=[ssa, index], result_types=[result])), table.dtype)


def scattered(emit: Emitter, table: Value, numbers: Value, updates: Value) -> Value:
    """The table with rows replaced."""
    operands = [emit.operand(table), emit.operand(emit.cast(numbers, I32)), emit.operand(updates)]
    op = tt.ScatterOp.build(operands=operands, result_types=[operands[0].type])
    return emit.computed(emit.add(op), table.dtype)


def counted(emit: Emitter, numbers: Value, size: int) -> Value:
    """Numbers of rows as i32, those below 0 counted from the end."""
    if numbers.array is not None:
        return known((numbers.array.astype(np.int64) % size).astype(np.int32))
    return emit.map(lambda i: where(i < 0, i + size, i), numbers, to=I32)


@lowers("Gather")
def gather(node: Node) -> Value:
    emit, x, numbers = node.emit, node.value(0), node.value(1)
    axis = node.axis(0, x.rank)
    if numbers.array is not None:
        taken = chosen(node, x, axis, counted(emit, numbers, x.shape[axis]).array.reshape(-1))  # pyright: ignore
        return emit.reshape(taken, (*x.shape[:axis], *numbers.shape, *x.shape[axis + 1 :]))
    others = [i for i in range(x.rank) if i != axis]
    table = emit.transpose(x, [axis, *others])
    taken = rows(emit, table, counted(emit, numbers, x.shape[axis]))
    n = numbers.rank
    return emit.transpose(taken, [*range(n, n + axis), *range(n), *range(n + axis, n + len(others))])


def linear(emit: Emitter, numbers: Value, axis: int, shape: Shape) -> Value:
    """The number, in row-major order, of the element that has `numbers` on an axis and lies at its own place on all
    others. `numbers` has the rank of the shape."""
    strides = np.cumprod([1, *shape[::-1]])[::-1][1:]
    places = np.zeros(numbers.shape, np.int64)
    for i, (size, stride) in enumerate(zip(numbers.shape, strides, strict=True)):
        if i != axis:
            places += (np.arange(size) * stride).reshape([size if k == i else 1 for k in range(len(shape))])
    step = int(strides[axis])
    at = counted(emit, numbers, shape[axis])
    if at.array is not None:
        return known((at.array * step + places).astype(np.int32))
    return emit.map(lambda i, p: i * step + p, at, known(places.astype(np.int32)), to=I32)


@lowers("GatherElements")
def gather_elements(node: Node) -> Value:
    x, numbers = node.value(0), node.value(1)
    flat = node.emit.reshape(x, (x.size,))
    return rows(node.emit, flat, linear(node.emit, numbers, node.axis(0, x.rank), x.shape))


@lowers("ScatterElements", "Scatter")
def scatter_elements(node: Node) -> Value:
    x, numbers, updates = node.tensors()
    emit, axis = node.emit, node.axis(0, x.rank)
    at = emit.reshape(linear(emit, numbers, axis, x.shape), (numbers.size,))
    flat, new = emit.reshape(x, (x.size,)), emit.reshape(updates, (updates.size,))
    return emit.reshape(_changed(node, flat, at, new), x.shape)


def _changed(node: Node, table: Value, numbers: Value, updates: Value) -> Value:
    """The rows of a table replaced by updates, or joined with them."""
    how = node.text("reduction", "none")
    if how == "none":
        return scattered(node.emit, table, numbers, updates)
    emit, count = node.emit, numbers.size
    work = F32 if table.kind == "f" else table.dtype
    row = table.shape[1:]
    hits = emit.map(
        lambda i, p: i.equals(p),
        emit.reshape(numbers, (count, 1)),
        known(np.arange(table.shape[0], dtype=np.int32)),
        to=bool,
    )
    hits = emit.reshape(hits, (count, table.shape[0], *[1] * len(row)))
    wide = emit.reshape(emit.cast(updates, work), (count, 1, *row))
    neutral = _neutral(how, work)
    each = emit.map(lambda h, v: where(h, v, neutral), hits, wide, to=work)
    if how == "mul":
        total = multiplied_along(emit, each, [0])
    else:
        total = emit.reduced("sum" if how == "add" else how, each, [0])
    total = emit.reshape(total, table.shape)
    functions: dict[str, Pair] = {
        "add": lambda a, b: a + b,
        "mul": lambda a, b: a * b,
        "max": lambda a, b: a.max(b),
        "min": lambda a, b: a.min(b),
    }
    return emit.map(functions[how], table, total, to=table.dtype)


def _neutral(how: str, dtype: np.dtype[np.generic]) -> float | int:
    """What changes nothing."""
    if how in ("add", "mul"):
        return int(how == "mul")
    if dtype.kind == "f":
        return float("-inf") if how == "max" else float("inf")
    low, high = limits(dtype)
    return low if how == "max" else high


def _rows_of(node: Node, shape: Shape, numbers: Value, batch: int) -> Value:
    """The row-major numbers that the last dimension of `numbers` gives for dimensions of `shape` behind `batch`."""
    emit, depth = node.emit, numbers.shape[-1]
    sizes = shape[batch : batch + depth]
    strides = [int(np.prod(sizes[i + 1 :])) for i in range(depth)]
    outer = numbers.shape[:-1]
    total: Value | None = None
    for i, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        column = emit.reshape(emit.slice(numbers, numbers.rank - 1, i, 1), outer)
        column = counted(emit, column, size)
        if total is None:
            total = emit.map(lambda c, s=stride: c * s, column, to=I32)
        else:
            total = emit.map(lambda t, c, s=stride: t + c * s, total, column, to=I32)
    assert total is not None
    if batch:
        count = int(np.prod(shape[:batch]))
        starts = (np.arange(count) * int(np.prod(sizes))).reshape((*shape[:batch], *[1] * (len(outer) - batch)))
        total = emit.map(lambda t, s: t + s, total, known(starts.astype(np.int32)), to=I32)
    return total


@lowers("GatherND")
def gather_nd(node: Node) -> Value:
    x, numbers, batch = node.value(0), node.value(1), node.int("batch_dims")
    depth = numbers.shape[-1]
    rest = x.shape[batch + depth :]
    table = node.emit.reshape(x, (int(np.prod(x.shape[: batch + depth])), *rest))
    return rows(node.emit, table, _rows_of(node, x.shape, numbers, batch))


@lowers("ScatterND")
def scatter_nd(node: Node) -> Value:
    x, numbers, updates = node.tensors()
    depth, emit = numbers.shape[-1], node.emit
    rest = x.shape[depth:]
    table = emit.reshape(x, (int(np.prod(x.shape[:depth])), *rest))
    count = int(np.prod(numbers.shape[:-1]))
    at = emit.reshape(_rows_of(node, x.shape, numbers, 0), (count,))
    return emit.reshape(_changed(node, table, at, emit.reshape(updates, (count, *rest))), x.shape)


@lowers("TensorScatter")
def tensor_scatter(node: Node) -> Value:
    """Rows of a cache, from a place of each of the batch on."""
    cache, updates, start = node.value(0), node.value(1), node.optional(2)
    emit, axis = node.emit, node.axis(-2, cache.rank)
    size, count, batch = cache.shape[axis], updates.shape[axis], cache.shape[0]
    begin = start if start is not None else known(np.zeros(batch, np.int64))
    steps = known(np.arange(count, dtype=np.int32)[None])
    circular = node.text("mode", "linear") == "circular"

    def place(first: Scalar, step: Scalar) -> Scalar:
        at = first + step
        return where(at >= size, at - size, at) if circular else at

    at = emit.map(place, emit.reshape(begin, (batch, 1)), steps, to=I32)
    moved = [axis, *range(1, axis), *range(axis + 1, cache.rank)]
    results: list[Value] = []
    for i in range(batch):
        own = emit.transpose(emit.slice(cache, 0, i, 1), [*moved[:1], 0, *moved[1:]])
        new = emit.transpose(emit.slice(updates, 0, i, 1), [*moved[:1], 0, *moved[1:]])
        numbers = emit.reshape(emit.slice(at, 0, i, 1), (count,))
        changed = scattered(emit, own, numbers, new)
        back = [1, *range(2, axis + 1), 0, *range(axis + 1, cache.rank)]
        results.append(emit.transpose(changed, back))
    return emit.concat(results, 0)


@lowers("OneHot")
def one_hot(node: Node) -> Value:
    numbers, values = node.value(0), node.value(2)
    depth = int(node.array(1, "the depth").reshape(-1)[0])
    axis = node.axis(-1, numbers.rank + 1)
    emit = node.emit
    column = emit.reshape(numbers, (*numbers.shape[:axis], 1, *numbers.shape[axis:]))
    places = np.arange(depth, dtype=np.int32).reshape([depth if i == axis else 1 for i in range(column.rank)])
    off, on = (emit.reshape(emit.slice(values, 0, i, 1), ()) for i in range(2))
    at = emit.map(lambda i: where(i < 0, i + depth, i), emit.cast(column, I32), to=I32)
    return emit.map(lambda i, p, a, b: where(i.equals(p), a, b), at, known(places), on, off, to=values.dtype)


@lowers("TopK")
def top_k(node: Node) -> tuple[Value, Value]:
    """The greatest, one after the other: each is taken out before the next is looked for."""
    emit, x = node.emit, node.value(0)
    axis = node.axis(-1, x.rank)
    count = node.int("k") if node.version < 10 else int(node.array(1, "how many").reshape(-1)[0])
    kind = "max" if node.int("largest", 1) else "min"
    if count > 256:
        raise Refused(f"the first {count} would be looked for one after the other", "ask for 256 at most")
    if not count:
        shape = [0 if i == axis else n for i, n in enumerate(x.shape)]
        return known(np.zeros(shape, x.dtype)), known(np.zeros(shape, np.int64))
    worst = _neutral(kind, np.dtype(np.float32) if x.kind == "f" else x.dtype)
    values: list[Value] = []
    places: list[Value] = []
    rest, places_all = x, places_along(x, axis)
    for _ in range(count):
        values.append(extreme(emit, kind, rest, [axis]))
        places.append(place_of(emit, rest, axis, kind, False))
        rest = emit.map(lambda v, p, f: where(p.equals(f), worst, v), rest, places_all, places[-1], to=x.dtype)
    return emit.concat(values, axis), emit.cast(emit.concat(places, axis), np.int64)


@lowers("Compress")
def compress(node: Node) -> Value:
    x, condition = node.value(0), node.array(1, "which are kept")
    if "axis" not in node.attributes:
        x = node.emit.reshape(x, (x.size,))
    return chosen_or_none(node, x, node.axis(0, x.rank), np.flatnonzero(condition))


def chosen_or_none(node: Node, x: Value, axis: int, numbers: np.ndarray) -> Value:
    if not len(numbers):
        return known(np.zeros([0 if i == axis else n for i, n in enumerate(x.shape)], x.dtype))
    return chosen(node, x, axis, numbers)


@lowers("ReverseSequence")
def reverse_sequence(node: Node) -> Value:
    emit, x = node.emit, node.value(0)
    lengths, time, batch = node.numbers(1, "the lengths"), node.int("time_axis"), node.int("batch_axis", 1)
    rows_: list[Value] = []
    for i, length in enumerate(lengths):
        numbers = np.r_[np.arange(length)[::-1], np.arange(length, x.shape[time])]
        rows_.append(chosen(node, emit.slice(x, batch, i, 1), time, numbers))
    return emit.concat(rows_, batch)


@lowers("Trilu")
def trilu(node: Node) -> Value:
    x = node.value(0)
    k = int(node.array(1, "the diagonal").reshape(-1)[0]) if node.has(1) else 0
    if not x.size:
        return x
    ones = np.ones(x.shape[-2:], bool)
    mask = known(np.triu(ones, k) if node.int("upper", 1) else np.tril(ones, k))
    return node.emit.map(lambda m, v: where(m, v, v.like(0)), mask, x, to=x.dtype)


@lowers("EyeLike")
def eye_like(node: Node) -> Value:
    from ..registry import dtype_of_code

    x = node.value(0)
    dtype = dtype_of_code(node.int("dtype")) if "dtype" in node.attributes else x.dtype
    return known(np.eye(*x.shape, k=node.int("k"), dtype=dtype))


@lowers("Range", "ConstantOfShape", "MelWeightMatrix", "NonZero", "Unique")
def known_alone(node: Node) -> Value:
    """What has a shape that its values decide."""
    for i in range(len(node.inputs)):
        node.array(i, "its input")
    raise Refused("no lowering", "compute it on the host")
