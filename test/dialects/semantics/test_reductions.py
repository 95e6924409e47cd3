"""Reductions and pooling against definitions that go element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, canonical, random_array, run_op

Step = Callable[[Array, Array], Array]


def plus(x: Array, y: Array) -> Array:
    """A sum of two scalars in their type."""
    with np.errstate(all="ignore"):
        return canonical(x + y)


def order(x: Array) -> tuple[float, bool]:
    """-0 comes before +0."""
    return float(x), not np.signbit(x)


def greater(x: Array, y: Array) -> Array:
    nan = canonical(x + y) if np.isnan(x) or np.isnan(y) else None
    return nan if nan is not None else (x if order(x) > order(y) else y)


def less(x: Array, y: Array) -> Array:
    nan = canonical(x + y) if np.isnan(x) or np.isnan(y) else None
    return nan if nan is not None else (x if order(x) < order(y) else y)


STEPS: dict[str, Step] = {"sum": plus, "max": greater, "min": less}


def chain(step: Step, values: Sequence[Array]) -> Array:
    total = values[0]
    for value in values[1:]:
        total = step(total, value)
    return total


def halves(values: Sequence[Array]) -> Array:
    """The sum of halves, from zeros at the end to a power of two on."""
    size = 1
    while size < len(values):
        size *= 2
    zero = values[0].dtype.type(0)
    level = [*values, *[zero] * (size - len(values))]
    while len(level) > 1:
        level = [plus(a, b) for a, b in zip(level[: len(level) // 2], level[len(level) // 2 :], strict=True)]
    return level[0]


def reduced(kind: str, x: Array, axes: Sequence[int], lanes: int) -> Array:
    """The definition of docs/numerics.md, for an array of the result's element type; the axes are kept."""
    step, last = STEPS[kind], x.ndim - 1
    others = [i for i in axes if i != last]
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    result = np.empty(shape, x.dtype)
    ranges = [x.shape[i] if i in others else 1 for i in range(x.ndim)]
    for at in np.ndindex(shape):
        columns: list[Array] = []
        for c in range(x.shape[-1]) if last in axes else [at[-1]]:
            where = [tuple(a + o for a, o in zip((*at[:-1], c), offset, strict=True)) for offset in np.ndindex(*ranges)]
            columns.append(chain(step, [x[w] for w in where]))
        if kind == "sum" and last in axes:
            width = min(len(columns), lanes)
            columns += [x.dtype.type(0)] * (-len(columns) % width)
            tiles = [columns[t : t + width] for t in range(0, len(columns), width)]
            result[at] = halves([chain(plus, lane) for lane in zip(*tiles, strict=True)])
        else:
            result[at] = chain(step, columns)
    return result


@st.composite
def reductions(draw: st.DrawFn) -> tuple[str, Array, Array]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind, element = draw(st.sampled_from(sorted(STEPS))), draw(st.sampled_from(sorted(DTYPES)))
    last = draw(st.sampled_from((1, 2, 3, 5, 8, 15, 16, 17, 33, 48, 50)))
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), last)
    axes = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    x = random_array(rng, shape, element)
    wider = kind == "sum" and element in ("i8", "i16") and draw(st.booleans())
    expected = reduced(kind, x.astype(np.int32) if wider else x, axes, 16)
    if draw(st.booleans()):
        expected = expected.reshape([d for i, d in enumerate(shape) if i not in axes])
    return f'tsp_tensor.reduce "{kind}" %a axes {axes}', x, expected


@settings(max_examples=150)
@given(reductions())
def test_reduce(case: tuple[str, Array, Array]) -> None:
    text, x, expected = case
    assert_bits(run_op(text, [x], expected, lanes=16), expected)


def test_the_lanes_are_those_of_the_machine() -> None:
    """700 elements are three tiles of 320; on a machine of 16 lanes they are 44, and the sum is rounded otherwise."""
    x = np.random.default_rng(3).normal(size=(1, 700)).astype(np.float32)
    for lanes in (16, 320):
        expected = reduced("sum", x, [1], lanes)
        assert_bits(run_op('tsp_tensor.reduce "sum" %a axes [1]', [x], expected, lanes), expected)
    assert reduced("sum", x, [1], 16) != reduced("sum", x, [1], 320)


@st.composite
def pools(draw: st.DrawFn) -> tuple[str, Array, Array]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind, element = draw(st.sampled_from(("sum", "max"))), draw(st.sampled_from(sorted(DTYPES)))
    kernel, strides, dilations = ([draw(st.integers(1, high)) for _ in "rc"] for high in (4, 5, 7))
    pads = [draw(st.integers(0, high)) for high in draw(st.sampled_from(((2, 2, 2, 2), (0, 0, 0, 0), (9, 3, 0, 14))))]
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    sizes = [draw(st.integers(max(1, e - pads[i] - pads[i + 2]), e + 3)) for i, e in enumerate(extents)]
    x = random_array(rng, (draw(st.integers(1, 2)), *sizes, draw(st.integers(1, 3))), element)
    wider = kind == "sum" and element in ("i8", "i16") and draw(st.booleans())
    expected = pooled(kind, x.astype(np.int32) if wider else x, kernel, strides, pads, dilations)
    text = f'tsp_tensor.pool "{kind}" %a window {kernel} strides {strides} pads {pads} dilations {dilations}'
    return text, x, expected


def pooled(
    kind: str,
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    """Pooling pixel by pixel; what lies outside is zero, or the lowest value."""
    n, height, width, channels = x.shape
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    outside = x.dtype.type(0 if kind == "sum" else low)
    places = [
        (size + pads[i] + pads[i + 2] - (dilations[i] * (kernel[i] - 1) + 1)) // strides[i] + 1
        for i, size in enumerate((height, width))
    ]
    result = np.empty((n, *places, channels), x.dtype)
    for image, r, c, channel in np.ndindex(result.shape):
        taps: list[Array] = []
        for i, j in np.ndindex(*kernel):
            row = r * strides[0] + i * dilations[0] - pads[0]
            column = c * strides[1] + j * dilations[1] - pads[1]
            inside = 0 <= row < height and 0 <= column < width
            taps.append(x[image, row, column, channel] if inside else outside)
        result[image, r, c, channel] = chain(STEPS[kind], taps)
    return result


@settings(max_examples=100)
@given(pools())
def test_pool(case: tuple[str, Array, Array]) -> None:
    text, x, expected = case
    assert_bits(run_op(text, [x], expected), expected)


@pytest.mark.parametrize("kind", STEPS)
def test_one_element_is_what_it_was(kind: str) -> None:
    """Even a NaN that arithmetic would not give: nothing is computed."""
    x = np.array([0x7FC12345, 0x80000000], np.uint32).view(np.float32).reshape(2, 1)
    assert_bits(run_op(f'tsp_tensor.reduce "{kind}" %a axes [1]', [x], x[:, 0]), x[:, 0])
