"""Products whose right operand is computed, and stacks of products: the same bits at every level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from lowered import assert_lowers
from tensors import module_of, random_array, tensor_type
from tspc.dialects.errors import UnsupportedModel
from tspc.passes.pipelines import compile

CHECKS = settings(deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], max_examples=10)

SIZES = (1, 15, 16, 17, 31, 32, 33, 48, 50, 65)
"""Around the width of a tile and of a vector of 32 lanes."""

ADDS = {"i8": "arith.addi", "f16": "arith.addf"}


def twice(name: str, of: str, type_: str, element: str) -> str:
    """A map that adds a tensor to itself."""
    return f"""
        {name} = tsp_tensor.map {of} : ({type_}) -> {type_} {{
        ^bb0(%l: {element}):
          %0 = {ADDS[element]} %l, %l : {element}
          tsp_tensor.yield %0 : {element}
        }}"""


@st.composite
def products(draw: DrawFn) -> tuple[str, list[np.ndarray], str]:
    """A product of which the right operand, and maybe the left, is computed, maybe with batches that broadcast."""
    element = draw(st.sampled_from(("i8", "f16")))
    rows, k, n = draw(st.integers(1, 20)), draw(st.sampled_from(SIZES)), draw(st.sampled_from(SIZES))
    batch = draw(st.sampled_from(((), (), (1,), (3,), (2, 2))))
    left = tuple(draw(st.sampled_from((1, d))) for d in batch)
    right = batch if left != batch else tuple(draw(st.sampled_from((1, d))) for d in batch)
    left, right = draw(st.sampled_from(((left, right), (right, left))))
    if draw(st.booleans()):
        left = left[1:] if left[:1] == (1,) else left
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b = (random_array(rng, s, element) for s in ((*left, rows, k), (*right, k, n)))
    text = twice("%r", "%b", tensor_type(b), element) if draw(st.integers(0, 3)) else ""
    names = ["%a", "%r" if text else "%b"]
    if draw(st.booleans()):
        text += twice("%l", "%a", tensor_type(a), element)
        names[0] = "%l"
    sums = {"i8": "i32", "f16": "f32"}[element]
    shape = (*np.broadcast_shapes(left, right), rows, n)
    result = f"tensor<{''.join(f'{d}x' for d in shape)}{sums}>"
    text += f"\n%y = tsp_tensor.matmul {', '.join(names)} : {tensor_type(a)}, {tensor_type(b)} -> {result}"
    return text, [a, b], result


@CHECKS
@given(products())
def test_products_of_computed_operands(case: tuple[str, list[np.ndarray], str]) -> None:
    assert_lowers(*case, lanes=32)


@pytest.mark.parametrize("element", ["i8", "f16"])
def test_on_the_whole_width(element: str) -> None:
    rng = np.random.default_rng(1)
    a, b = random_array(rng, (5, 650), element, wild=False), random_array(rng, (650, 330), element, wild=False)
    result = f"tensor<5x330x{'i32' if element == 'i8' else 'f32'}>"
    text = twice("%r", "%b", tensor_type(b), element)
    text += f"\n%y = tsp_tensor.matmul %a, %r : {tensor_type(a)}, {tensor_type(b)} -> {result}"
    assert_lowers(text, [a, b], result)


ENDLESS = """
    %n = tsp_tensor.map %a : (tensor<3x20xf16>) -> tensor<3x20xf16> {
    ^bb0(%l: f16):
      %0 = math.rsqrt %l : f16
      tsp_tensor.yield %0 : f16
    }
"""
"""Beyond the last column there is infinity."""


@pytest.mark.parametrize(
    "text, inputs, result",
    [
        (
            f"{ENDLESS}%y = tsp_tensor.matmul %n, %b : tensor<3x20xf16>, tensor<20x5xf16> -> tensor<3x5xf32>",
            [(3, 20), (20, 5)],
            "tensor<3x5xf32>",
        ),
        (
            f"""{ENDLESS}
            %r = tsp_tensor.reshape %n : tensor<3x20xf16> -> tensor<1x3x1x20xf16>
            %y = tsp_tensor.conv %r, %b pads [1, 0, 1, 0]
              : tensor<1x3x1x20xf16>, tensor<3x1x20x5xf16> -> tensor<1x3x1x5xf32>""",
            [(3, 20), (3, 1, 20, 5)],
            "tensor<1x3x1x5xf32>",
        ),
        (
            """%w = tsp_tensor.map %a : (tensor<3x40xf16>) -> tensor<3x40xf16> {
            ^bb0(%l: f16):
              tsp_tensor.yield %l : f16
            }
            %s = tsp_tensor.slice %w [0, 0] [3, 7] [1, 1] : tensor<3x40xf16> -> tensor<3x7xf16>
            %y = tsp_tensor.matmul %s, %b : tensor<3x7xf16>, tensor<7x5xf16> -> tensor<3x5xf32>""",
            [(3, 40), (7, 5)],
            "tensor<3x5xf32>",
        ),
    ],
    ids=["matmul", "conv", "slice"],
)
def test_infinity_beyond_the_last_column_does_not_matter(text: str, inputs: list[tuple[int, ...]], result: str) -> None:
    rng = np.random.default_rng(2)
    values = [np.abs(rng.normal(1, 0.3, shape)).astype(np.float16) for shape in inputs]
    if "slice" in text:
        values[0][:, 7:] = np.inf
    assert np.isfinite(assert_lowers(text, values, result, lanes=32)).all()


@st.composite
def grouped(draw: DrawFn) -> tuple[str, list[np.ndarray], str]:
    """A convolution of f16 in groups, in which there are infinities and NaNs."""
    groups = draw(st.sampled_from((2, 3, 5, 16)))
    each, mine = draw(st.sampled_from(((1, 1), (1, 1), (1, 2), (2, 2), (3, 1), (7, 11))))
    kernel, size = [draw(st.integers(1, 3)) for _ in range(2)], [draw(st.integers(3, 5)) for _ in range(2)]
    pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    strides = [draw(st.integers(1, 2)) for _ in range(2)]
    places = [(size[d] + pads[d] + pads[d + 2] - kernel[d]) // strides[d] + 1 for d in range(2)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(0, 1, (2, *size, groups * each)).astype(np.float16)
    x[rng.random(x.shape) < 0.05] = np.float16(draw(st.sampled_from((np.inf, -np.inf, np.nan))))
    w = rng.normal(0, 1, (*kernel, each, groups * mine)).astype(np.float16)
    result = f"tensor<2x{places[0]}x{places[1]}x{groups * mine}xf32>"
    text = twice("%x", "%a", tensor_type(x), "f16") if draw(st.booleans()) else ""
    op = f"tsp_tensor.conv {'%x' if text else '%a'}, %b strides {strides} pads {pads} groups {groups}"
    return f"{text}\n%y = {op} : {tensor_type(x)}, {tensor_type(w)} -> {result}", [x, w], result


@settings(CHECKS, max_examples=8)
@given(grouped())
def test_infinity_in_a_channel_of_another_group_does_not_matter(case: tuple[str, list[np.ndarray], str]) -> None:
    assert_lowers(*case, lanes=32)


def test_f16_on_a_chip_without_pairs_of_planes_is_refused() -> None:
    text = "%y = tsp_tensor.matmul %a, %b : tensor<2x3xf16>, tensor<3x4xf16> -> tensor<2x4xf32>"
    a, b = np.zeros((2, 3), np.float16), np.zeros((3, 4), np.float16)
    module = module_of(text, [a, b], "tensor<2x4xf32>").replace("chip.tiles = 20", "chip.planes = 2")
    with pytest.raises(UnsupportedModel, match=r"tsp_tensor.matmul`: multiplies f16, which takes a pair .*; use i8"):
        compile(module)


@pytest.mark.parametrize("channels", [1, 17])
def test_computed_weights_of_several_taps_and_few_rows(channels: int) -> None:
    """As many passes as there are planes, and one row."""
    rng = np.random.default_rng(channels)
    x, w = random_array(rng, (1, 1, 4, channels), "i8"), random_array(rng, (1, 4, channels, 1), "i8")
    text = twice("%w", "%b", tensor_type(w), "i8")
    text += f"\n%y = tsp_tensor.conv %a, %w : {tensor_type(x)}, {tensor_type(w)} -> tensor<1x1x1x1xi32>"
    assert_lowers(text, [x, w], "tensor<1x1x1x1xi32>")


def test_a_row_by_a_computed_matrix_of_many_passes() -> None:
    a, b = (random_array(np.random.default_rng(1), shape, "i8") for shape in ((1, 200), (200, 4)))
    text = twice("%w", "%b", tensor_type(b), "i8")
    text += f"\n%y = tsp_tensor.matmul %a, %w : {tensor_type(a)}, {tensor_type(b)} -> tensor<1x4xi32>"
    assert_lowers(text, [a, b], "tensor<1x4xi32>", lanes=32)
