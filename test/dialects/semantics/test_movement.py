"""Ops that move elements, each against a definition that goes index by index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, random_array, run_op

Case = tuple[str, list[Array], Array]


@st.composite
def tensors(draw: st.DrawFn, least: int = 0) -> Array:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.lists(st.integers(1, 5), min_size=least, max_size=4))
    if shape and draw(st.integers(0, 3)) == 0:
        where = draw(st.integers(0, len(shape) - 1))
        shape = [draw(st.sampled_from((16, 17, 319, 321))) if d == where else min(n, 2) for d, n in enumerate(shape)]
    return random_array(rng, shape, draw(st.sampled_from(sorted(DTYPES))))


@st.composite
def transposes(draw: st.DrawFn) -> Case:
    x = draw(tensors())
    permutation = draw(st.permutations(range(x.ndim)))
    result = np.empty([x.shape[i] for i in permutation], x.dtype)
    for at in np.ndindex(result.shape):
        source = [0] * x.ndim
        for axis, i in zip(permutation, at, strict=True):
            source[axis] = i
        result[at] = x[tuple(source)]
    return f"tsp_tensor.transpose %a permutation {list(permutation)}", [x], result


@st.composite
def slices(draw: st.DrawFn) -> Case:
    x = draw(tensors())
    offsets = [draw(st.integers(0, d - 1)) for d in x.shape]
    strides = [draw(st.integers(1, 3)) for _ in x.shape]
    sizes = [draw(st.integers(1, (d - o - 1) // s + 1)) for d, o, s in zip(x.shape, offsets, strides, strict=True)]
    result = np.empty(sizes, x.dtype)
    for at in np.ndindex(result.shape):
        result[at] = x[tuple(o + i * s for o, i, s in zip(offsets, at, strides, strict=True))]
    return f"tsp_tensor.slice %a {offsets} {sizes} {strides}", [x], result


@st.composite
def concats(draw: st.DrawFn) -> Case:
    first = draw(tensors(least=1))
    dim = draw(st.integers(0, first.ndim - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    name = next(n for n, d in DTYPES.items() if d == first.dtype)
    parts = [first]
    for _ in range(draw(st.integers(0, 3))):
        shape = [draw(st.integers(1, 4)) if i == dim else d for i, d in enumerate(first.shape)]
        parts.append(random_array(rng, shape, name))
    rows = [np.moveaxis(p, dim, 0)[i] for p in parts for i in range(p.shape[dim])]
    result = np.moveaxis(np.stack(rows), 0, dim)
    operands = ", ".join(f"%{'abcd'[i]}" for i in range(len(parts)))
    return f"tsp_tensor.concat dim({dim}) {operands}", parts, np.ascontiguousarray(result)


@st.composite
def pads(draw: st.DrawFn) -> Case:
    x = draw(tensors())
    low, high = ([draw(st.integers(0, 3)) for _ in x.shape] for _ in "lh")
    name = next(n for n, d in DTYPES.items() if d == x.dtype)
    value = draw(st.sampled_from((0, -7, 100)))
    result = np.full([a + d + b for a, d, b in zip(low, x.shape, high, strict=True)], value, x.dtype)
    for at in np.ndindex(x.shape):
        result[tuple(i + a for i, a in zip(at, low, strict=True))] = x[at]
    literal = f"{value}.0" if name in ("f16", "f32") else f"{value}"
    return f"tsp_tensor.pad %a low {low} high {high} value {literal} : {name}", [x], result


@st.composite
def reshapes(draw: st.DrawFn) -> Case:
    x = draw(tensors())
    result = np.array(x.reshape(-1).tolist(), x.dtype) if x.dtype.kind == "i" else x.reshape(-1).copy()
    shape = draw(st.sampled_from([(x.size,), (1, x.size), (x.size, 1), (*x.shape, 1)]))
    return "tsp_tensor.reshape %a", [x], result.reshape(shape)


def nearest(index: int, count: int) -> int:
    return 0 if index < 0 else count - 1 if index >= count else index


@st.composite
def indices(draw: st.DrawFn, rows: int) -> Array:
    """Rows, and what is none."""
    shape = draw(st.lists(st.integers(1, 4), max_size=2))
    one = st.integers(0, rows - 1) | st.sampled_from((-1, rows, -(2**31), 2**31 - 1))
    return np.array([draw(one) for _ in range(int(np.prod(shape)))], np.int32).reshape(shape)


@st.composite
def gathers(draw: st.DrawFn) -> Case:
    table = draw(tensors(least=1))
    rows = draw(indices(len(table)))
    result = np.empty((*rows.shape, *table.shape[1:]), table.dtype)
    for at in np.ndindex(rows.shape):
        result[at] = table[nearest(int(rows[at]), len(table))]
    return "tsp_tensor.gather %a, %b", [table, rows], result


@st.composite
def scatters(draw: st.DrawFn) -> Case:
    table = draw(tensors(least=1))
    rows = draw(indices(len(table)))
    name = next(n for n, d in DTYPES.items() if d == table.dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    updates = random_array(rng, (*rows.shape, *table.shape[1:]), name)
    result = table.copy()
    for at in np.ndindex(rows.shape):
        result[nearest(int(rows[at]), len(table))] = updates[at]
    return "tsp_tensor.scatter %a, %b, %c", [table, rows, updates], result


@pytest.mark.parametrize("cases", [transposes, slices, concats, pads, reshapes, gathers, scatters])
def test_each_kind_of_movement(cases: object) -> None:
    @given(cases())  # type: ignore[operator]
    def check(case: Case) -> None:
        text, inputs, expected = case
        assert_bits(run_op(text, inputs, expected), expected)

    check()


def test_the_last_update_of_a_row_stays() -> None:
    table, rows = np.zeros((3, 1), np.int8), np.array([1, 7, 1, 2, -5, 1], np.int32)
    updates = np.arange(1, 7, dtype=np.int8).reshape(6, 1)
    expected = np.array([[5], [6], [4]], np.int8)
    assert_bits(run_op("tsp_tensor.scatter %a, %b, %c", [table, rows, updates], expected), expected)
