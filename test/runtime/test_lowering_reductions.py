"""Reductions over leading dimensions and pooling, of every element type: the same bits at every level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from lowered import assert_lowers
from tensors import Array, random_array, tensor_type, type_of

CHECKS = settings(deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], max_examples=12)

ELEMENTS = ("i8", "i16", "i32", "f16", "f32")
COLUMNS = (1, 16, 31, 32, 33, 70)

Case = tuple[str, Array, str]


def computed(array: Array) -> str:
    """A map that makes of the input a value %c that no host places."""
    element = tensor_type(array).rsplit("x", 1)[1][:-1]
    return f"""
        %c = tsp_tensor.map %a : ({tensor_type(array)}) -> {tensor_type(array)} {{
        ^bb0(%l: {element}):
          tsp_tensor.yield %l : {element}
        }}
        """


@st.composite
def reductions(draw: DrawFn) -> Case:
    element, kind = draw(st.sampled_from(ELEMENTS)), draw(st.sampled_from(("sum", "max", "min")))
    leading = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    shape = (*leading, draw(st.sampled_from(COLUMNS)))
    axes = sorted(draw(st.sets(st.integers(0, len(leading) - 1), min_size=1)))
    to = draw(st.sampled_from((element, "i32"))) if kind == "sum" and element in ("i8", "i16") else element
    keep = draw(st.booleans())
    result = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    x = random_array(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape, element)
    first = computed(x) if draw(st.booleans()) else ""
    text = f'%y = tsp_tensor.reduce "{kind}" {"%c" if first else "%a"} axes {axes} : {tensor_type(x)} -> '
    return first + text + type_of(result, to), x, type_of(result, to)


@CHECKS
@given(reductions())
def test_reductions_over_leading_dimensions(case: Case) -> None:
    text, x, result = case
    assert_lowers(text, [x], result, lanes=32)


@pytest.mark.parametrize("element", ELEMENTS)
def test_over_many_rows(element: str) -> None:
    x = random_array(np.random.default_rng(3), (45, 321), element)
    kind, result = ("max", f"tensor<321x{element}>") if element == "i8" else ("sum", f"tensor<321x{element}>")
    assert_lowers(f'%y = tsp_tensor.reduce "{kind}" %a axes [0] : {tensor_type(x)} -> {result}', [x], result)


@st.composite
def pools(draw: DrawFn) -> Case:
    element, kind = draw(st.sampled_from(ELEMENTS)), draw(st.sampled_from(("sum", "max")))
    size = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    strides = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    dilations = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pads = [draw(st.integers(0, 2)) for _ in range(4)]
    places: list[int] = []
    for d in range(2):
        extent = dilations[d] * (kernel[d] - 1) + 1
        pads[2 + d] = max(pads[2 + d], extent - size[d] - pads[d])
        places.append((size[d] + pads[d] + pads[2 + d] - extent) // strides[d] + 1)
    n, channels = draw(st.integers(1, 2)), draw(st.sampled_from(COLUMNS))
    to = draw(st.sampled_from((element, "i32"))) if kind == "sum" and element in ("i8", "i16") else element
    x = random_array(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), (n, *size, channels), element)
    first = computed(x) if draw(st.booleans()) else ""
    result = type_of((n, *places, channels), to)
    window = f"window {[*kernel]} strides {[*strides]} pads {pads} dilations {[*dilations]}"
    text = f'%y = tsp_tensor.pool "{kind}" {"%c" if first else "%a"} {window} : {tensor_type(x)} -> {result}'
    return first + text, x, result


@CHECKS
@given(pools())
def test_pools(case: Case) -> None:
    text, x, result = case
    assert_lowers(text, [x], result, lanes=32)


def test_a_reduction_that_leaves_out_an_axis_meets_weights() -> None:
    """Its lanes beyond the last column, of which nothing is known, are masked in its own shape."""
    x, w = random_array(np.random.default_rng(1), (1, 2, 3, 33), "f16"), np.ones((33, 2), np.float16)
    text = f"""{computed(x)}
        %m = tsp_tensor.reduce "min" %c axes [0, 1] : {tensor_type(x)} -> tensor<3x33xf16>
        %y = tsp_tensor.matmul %m, %b : tensor<3x33xf16>, {tensor_type(w)} -> tensor<3x2xf32>"""
    assert_lowers(text, [x, w], "tensor<3x2xf32>", lanes=32)
