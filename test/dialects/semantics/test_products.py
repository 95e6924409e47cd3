"""Products against sums that are formed one by one, by Python's integers and floats (which are f64)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, canonical, random_array, run_op
from tspc.dialects.semantics.products import half_sums

WRAP = 1 << 32


def added(passes: Iterable[Sequence[tuple[int, int] | tuple[float, float]]], sums: str) -> int | np.float32:
    """The sum of passes of factors: the integer that i32 wraps to, or the f32 as the machine defines it."""
    if sums == "i32":
        total = sum(int(x) * int(y) for factors in passes for x, y in factors)
        return (total + WRAP // 2) % WRAP - WRAP // 2
    result: np.float32 | None = None
    with np.errstate(all="ignore"):
        for factors in passes:
            total = 0.0
            for x, y in factors:
                total += float(x) * float(y)
            rounded = np.float32(total)
            result = rounded if result is None else result + rounded
    assert result is not None
    return result


def runs(values: Sequence[tuple[float, float]], lanes: int) -> list[Sequence[tuple[float, float]]]:
    return [values[k : k + lanes] for k in range(0, len(values), lanes)]


@st.composite
def products(draw: st.DrawFn) -> tuple[str, Array, Array, Array, int]:
    """A product: its op, its operands as written, its result, the machine's lanes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    element, sums = draw(st.sampled_from((("i8", "i32"), ("f16", "f32"))))
    lanes = draw(st.sampled_from((16, 32)))
    m, k, n = draw(st.integers(1, 4)), draw(st.sampled_from((1, 5, 16, 17, 32, 33, 70))), draw(st.integers(1, 4))
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    trimmed = [tuple(draw(st.sampled_from((1, d))) for d in batch[draw(st.integers(0, len(batch))) :]) for _ in "ab"]
    a, b = (random_array(rng, s, element) for s in ((*trimmed[0], m, k), (*trimmed[1], k, n)))
    full = np.broadcast_shapes(*trimmed)
    wide_a, wide_b = np.broadcast_to(a, (*full, m, k)), np.broadcast_to(b, (*full, k, n))
    result = np.empty((*full, m, n), DTYPES[sums])
    for *outer, i, j in np.ndindex(result.shape):
        factors = list(zip(wide_a[(*outer, i)].tolist(), wide_b[(*outer, slice(None), j)].tolist(), strict=True))
        result[(*outer, i, j)] = added(runs(factors, lanes), sums)
    flags = [name for name in ("transpose_lhs", "transpose_rhs") if draw(st.booleans())]
    a = np.ascontiguousarray(a.swapaxes(-1, -2)) if "transpose_lhs" in flags else a
    b = np.ascontiguousarray(b.swapaxes(-1, -2)) if "transpose_rhs" in flags else b
    text = f"tsp_tensor.matmul %a, %b {{{', '.join(flags)}}}" if flags else "tsp_tensor.matmul %a, %b"
    return text, a, b, canonical(result), lanes


@settings(max_examples=80)
@given(products())
def test_matmul(case: tuple[str, Array, Array, Array, int]) -> None:
    text, a, b, expected, lanes = case
    assert_bits(run_op(text, [a, b], expected, lanes), expected)


def test_pieces_far_apart_are_added_in_ascending_order() -> None:
    """2^31 swallows 2^-24 if it comes before, not if it comes after: every order of the four products has its bits."""
    factors = [(2.0**15, 2.0**16), (2.0**-12, 2.0**-12), (-(2.0**15), 2.0**16), (1.0, 3.0)]
    factors = [(x / 2, y / 2) for x, y in factors]
    for order in itertools.permutations(factors):
        a, b = (np.array(v, np.float16) for v in zip(*order, strict=True))
        assert_bits(half_sums(a[None], b[:, None])[0], np.array([added([order], "f32")], np.float32))


@pytest.mark.parametrize("rest", [-(2.0**-48), 0.0, 2.0**-48])
def test_sums_by_the_middle_of_two_f32(rest: float) -> None:
    """1 + 2^-24 is the middle; the least product decides."""
    factors = [(1.0, 1.0), (2.0**-12, 2.0**-12), (np.copysign(2.0**-24, rest), abs(rest) * 2.0**24)]
    a, b = (np.array(v, np.float16) for v in zip(*factors, strict=True))
    assert float(half_sums(a[None], b[:, None])[0, 0]) == (1 + 2.0**-23 if rest > 0 else 1.0)


def test_a_large_product_of_halves() -> None:
    """Against sums one by one, vectorised; among 500,000 sums some are by the middle of two f32."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(500, 320)).astype(np.float16), rng.normal(size=(320, 1000)).astype(np.float16)
    total = np.zeros((500, 1000))
    for k in range(320):
        total += np.multiply.outer(a[:, k].astype(np.float64), b[k].astype(np.float64))
    assert_bits(half_sums(a, b), total.astype(np.float32))


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[str, Array, Array, Array, int]:
    """A convolution: its op, images, weights, its result, the machine's lanes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    element, sums = draw(st.sampled_from((("i8", "i32"), ("f16", "f32"))))
    groups = draw(st.sampled_from((1, 1, 2, 3, 6)))
    each = draw(st.sampled_from((1, 2, 17, 33) if groups == 1 else (1, 2)))
    outputs = groups * draw(st.integers(1, 2))
    kernel, strides, dilations = ([draw(st.integers(1, high)) for _ in "rc"] for high in (3, 3, 2))
    pads = [draw(st.integers(0, 2)) for _ in "tlbr"]
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    sizes = [draw(st.integers(max(1, e - pads[i] - pads[i + 2]), e + 3)) for i, e in enumerate(extents)]
    images = random_array(rng, (draw(st.integers(1, 2)), *sizes, groups * each), element)
    weights = random_array(rng, (*kernel, each, outputs), element)
    expected = convolved(images, weights, strides, pads, dilations, groups, 16, DTYPES[sums])
    text = f"tsp_tensor.conv %a, %b strides {strides} pads {pads} dilations {dilations} groups {groups}"
    return text, images, weights, canonical(expected), 16


def convolved(
    images: Array,
    weights: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    lanes: int,
    sums: np.dtype[np.generic],
) -> Array:
    """A convolution pixel by pixel."""
    n, height, width, _ = images.shape
    rows, columns, each, outputs = weights.shape
    places = [
        (size + pads[i] + pads[i + 2] - (dilations[i] * (kernel - 1) + 1)) // strides[i] + 1
        for i, (size, kernel) in enumerate(((height, rows), (width, columns)))
    ]
    result = np.empty((n, *places, outputs), sums)
    for image, y, x, o in np.ndindex(result.shape):
        first = o // (outputs // groups) * each
        passes: list[Sequence[tuple[float, float]]] = []
        for r, c in np.ndindex(rows, columns):
            row = y * strides[0] + r * dilations[0] - pads[0]
            column = x * strides[1] + c * dilations[1] - pads[1]
            inside = 0 <= row < height and 0 <= column < width
            pixel = images[image, row, column, first : first + each].tolist() if inside else [0] * each
            passes += runs(list(zip(pixel, weights[r, c, :, o].tolist(), strict=True)), lanes)
        result[image, y, x, o] = added(passes, sums.name.replace("int", "i").replace("float", "f"))
    return result


@settings(max_examples=60)
@given(convolutions())
def test_conv(case: tuple[str, Array, Array, Array, int]) -> None:
    text, images, weights, expected, lanes = case
    assert_bits(run_op(text, [images, weights], expected, lanes), expected)


def test_a_depthwise_convolution() -> None:
    rng = np.random.default_rng(1)
    images, weights = random_array(rng, (1, 5, 4, 8), "i8"), random_array(rng, (3, 3, 1, 8), "i8")
    expected = convolved(images, weights, (2, 1), (1, 1, 1, 1), (1, 1), 8, 320, np.dtype(np.int32))
    text = "tsp_tensor.conv %a, %b strides [2, 1] pads [1, 1, 1, 1] groups 8"
    assert_bits(run_op(text, [images, weights], expected), expected)


def test_sums_of_i8_wrap() -> None:
    k = 2**17 + 1
    a, b = np.full((1, k), -128, np.int8), np.full((k, 1), -128, np.int8)
    expected = np.array([[-(2**31) + 2**14]], np.int32)
    assert_bits(run_op("tsp_tensor.matmul %a, %b", [a, b], expected), expected)
