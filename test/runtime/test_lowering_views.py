"""Slices of what the host places: what lies beside them never shows, wherever lanes, rows or pixels are filled up."""

from __future__ import annotations

import numpy as np
import pytest
from lowered import assert_lowers
from tensors import random_array, tensor_type


def sliced(name: str, of: str, shape: tuple[int, ...], whole: tuple[int, ...], element: str) -> str:
    """The middle of a tensor."""
    offsets = [(w - n) // 2 for n, w in zip(shape, whole, strict=True)]
    types = [f"tensor<{''.join(f'{d}x' for d in s)}{element}>" for s in (whole, shape)]
    return f"{name} = tsp_tensor.slice {of} {offsets} {[*shape]} {[1] * len(shape)} : {types[0]} -> {types[1]}\n"


@pytest.mark.parametrize(
    "op, shapes, result",
    [
        ("matmul %s, %t", ((3, 33), (33, 4)), (3, 4)),
        ("matmul %s, %t {transpose_lhs, transpose_rhs}", ((33, 3), (4, 33)), (3, 4)),
        ("conv %s, %t pads [1, 1, 2, 2]", ((1, 4, 4, 8), (3, 3, 8, 5)), (1, 5, 5, 5)),
        ("conv %s, %t pads [1, 0, 1, 0] groups 4", ((1, 4, 4, 8), (3, 3, 2, 8)), (1, 4, 2, 8)),
        ("conv %s, %t groups 5", ((1, 4, 4, 50), (2, 2, 10, 35)), (1, 3, 3, 35)),
    ],
)
@pytest.mark.parametrize("element", ["i8", "f16"])
def test_what_lies_beside_a_slice_does_not_show(
    op: str, shapes: tuple[tuple[int, ...], ...], result: tuple[int, ...], element: str
) -> None:
    rng = np.random.default_rng(1)
    wholes = [tuple(n + (2 if n < 9 else 30) for n in shape) for shape in shapes]
    inputs = [random_array(rng, whole, element) for whole in wholes]
    text = "".join(sliced(f"%{'st'[i]}", f"%{'ab'[i]}", shapes[i], wholes[i], element) for i in range(2))
    types = ", ".join(tensor_type(np.zeros(shape, a.dtype)) for shape, a in zip(shapes, inputs, strict=True))
    sums = f"tensor<{''.join(f'{d}x' for d in result)}{'i32' if element == 'i8' else 'f32'}>"
    assert_lowers(f"{text}%y = tsp_tensor.{op} : {types} -> {sums}", inputs, sums, lanes=32)


@pytest.mark.parametrize("kind", ["sum", "max"])
def test_padding_around_a_slice_is_that_of_the_window(kind: str) -> None:
    x = random_array(np.random.default_rng(2), (1, 7, 7, 40), "i8")
    text = sliced("%s", "%a", (1, 5, 5, 33), (1, 7, 7, 40), "i8")
    text += f'%y = tsp_tensor.pool "{kind}" %s window [3, 3] pads [1, 1, 1, 1] : tensor<1x5x5x33xi8> -> '
    assert_lowers(f"{text}tensor<1x5x5x33xi8>", [x], "tensor<1x5x5x33xi8>", lanes=32)


def test_reshapes_of_slices() -> None:
    x = random_array(np.random.default_rng(3), (5, 40), "f16")
    text = sliced("%s", "%a", (3, 33), (5, 40), "f16")
    text += "%y = tsp_tensor.reshape %s : tensor<3x33xf16> -> tensor<9x11xf16>"
    assert_lowers(text, [x], "tensor<9x11xf16>", lanes=32)


def test_constants_without_dimensions() -> None:
    text = """%k = tsp_tensor.constant dense<-2.5> : tensor<f32>
    %y = tsp_tensor.map %a, %k : (tensor<f32>, tensor<f32>) -> tensor<f32> {
    ^bb0(%l: f32, %m: f32):
      %r = arith.addf %l, %m : f32
      tsp_tensor.yield %r : f32
    }"""
    assert assert_lowers(text, [np.array(4.0, np.float32)], "tensor<f32>", lanes=32) == 1.5


def test_infinity_before_the_columns_of_a_padded_tensor_does_not_matter() -> None:
    """The words above the tensor hold it in all lanes, those beyond the last column too."""
    x, w = random_array(np.random.default_rng(1), (2, 5), "f16", wild=False), np.ones((9, 3), np.float16)
    text = f"""%p = tsp_tensor.pad %a low [1, 3] high [0, 1] value 0x7C00 : f16 : {tensor_type(x)} -> tensor<3x9xf16>
    %y = tsp_tensor.matmul %p, %b : tensor<3x9xf16>, {tensor_type(w)} -> tensor<3x3xf32>"""
    assert np.isposinf(assert_lowers(text, [x, w], "tensor<3x3xf32>", lanes=32)).all()
