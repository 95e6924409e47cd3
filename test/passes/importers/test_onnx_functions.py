"""The functions that no ALU has: how far each is off, against numpy's f64, and integer quotients, which are exact.

The bounds are those of docs/onnx.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tspc.dialects.semantics.tensor import evaluate
from tspc.passes.importers.onnx import functions as fn
from tspc.passes.importers.onnx.emit import Emitter
from tspc.passes.importers.onnx.scalars import Scalar
from xdsl.dialects.builtin import TensorType, f32, i32

DOCS = Path(__file__).resolve().parents[3] / "docs" / "onnx.md"


def applied(function: Callable[..., Scalar], *arrays: np.ndarray, to: Any = None) -> np.ndarray:
    """A function of scalars on every element of arrays, in numpy."""
    emit = Emitter("f16x3")
    values = []
    for array in arrays:
        type_ = TensorType(f32 if array.dtype == np.float32 else i32, array.shape)
        values.append(emit.computed(emit.block.insert_arg(type_, len(emit.block.args)), array.dtype))
    emit.map(function, *values, to=to or arrays[0].dtype)
    return evaluate(emit.block.last_op, arrays, 320)


def draws(low: float, high: float, count: int = 20_000) -> np.ndarray:
    """Evenly distributed, with as many near zero."""
    rng = np.random.default_rng(1)
    near = 10.0 ** rng.uniform(-6, 0, count // 2) * rng.choice([-1, 1], count // 2)
    drawn = np.concatenate([rng.uniform(low, high, count // 2), near])
    return drawn[(drawn > low) & (drawn < high)].astype(np.float32)


FUNCTIONS: dict[str, tuple[Callable[[Scalar], Scalar], Callable[[Any], Any], float, float, bool]] = {
    "reciprocal": (fn.reciprocal, lambda x: 1 / x, -1e6, 1e6, True),
    "square root": (fn.square_root, np.sqrt, 0, 1e6, True),
    "sine": (fn.sine, np.sin, -4000, 4000, False),
    "tangent": (fn.tan, np.tan, -1.5, 1.5, True),
    "arc sine": (fn.asin, np.arcsin, -1, 1, True),
    "arc cosine": (fn.acos, np.arccos, -1, 1, False),
    "arc tangent": (fn.atan, np.arctan, -100, 100, True),
    "hyperbolic sine": (fn.sinh, np.sinh, -80, 80, True),
    "hyperbolic cosine": (fn.cosh, np.cosh, -80, 80, True),
    "area hyperbolic sine": (fn.asinh, np.arcsinh, -1e6, 1e6, True),
    "area hyperbolic cosine": (fn.acosh, np.arccosh, 1.1, 1e6, True),
    "area hyperbolic tangent": (fn.atanh, np.arctanh, -0.999, 0.999, True),
    "error function": (fn.erf, np.vectorize(erf), -6, 6, True),
    "sigmoid": (fn.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -80, 80, True),
    "softplus": (fn.log1p_exp, lambda x: np.logaddexp(0, x), -10, 80, False),
}
"""By name: the function, that of numpy, the interval, and whether the error is relative."""


def error_of(name: str) -> float:
    function, exact, low, high, relative = FUNCTIONS[name]
    x = draws(low, high)
    want = exact(x.astype(np.float64))
    error = np.abs(applied(function, x) - want)
    return float((error / np.abs(want) if relative else error).max())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_off_by_no_more_than_the_page_says(name: str) -> None:
    found = re.search(rf"^\| {name} \|.*\| ([\d.e-]+) (relative|absolute) \|$", DOCS.read_text(), re.M)
    assert found, f"{name} is not in docs/onnx.md"
    assert (found[2] == "relative") == FUNCTIONS[name][4]
    assert error_of(name) <= float(found[1])


def test_floor_and_ceil_are_exact() -> None:
    x = np.concatenate([draws(-1e6, 1e6), np.arange(-5, 5, dtype=np.float32), np.float32([2**23 + 1, -(2**24), 3e38])])
    np.testing.assert_array_equal(applied(fn.floor, x), np.floor(x))
    np.testing.assert_array_equal(applied(fn.ceil, x), np.ceil(x))


def test_a_quotient_that_is_a_float_is_that_one() -> None:
    """So ties are ties when something is quantised."""
    rng = np.random.default_rng(2)
    b = rng.uniform(0.001, 100, 20_000).astype(np.float32)
    whole = (rng.integers(-255, 256, 20_000) / 2).astype(np.float32)
    b = (b.view(np.uint32) & 0xFFFF8000).view(np.float32)  # products are exact then
    np.testing.assert_array_equal(applied(fn.quotient, whole * b, b), whole)


def quotients(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Dividends and divisors, the extremes among them."""
    rng, limits = np.random.default_rng(3), np.iinfo(dtype)
    edges = np.array([limits.min, limits.min + 1, -3, -2, -1, 1, 2, 3, limits.max - 1, limits.max], np.int64)
    a = np.concatenate([np.repeat(edges, len(edges)), rng.integers(limits.min, limits.max, 20_000, endpoint=True)])
    spread = (limits.max / 10.0 ** rng.uniform(0, 9, 20_000)).astype(np.int64) + 1
    b = np.concatenate([np.tile(edges, len(edges)), np.minimum(spread, limits.max) * rng.choice([-1, 1], 20_000)])
    fits = ~((a == limits.min) & (b == -1))
    return a[fits], b[fits]


@pytest.mark.parametrize(("dtype", "wide"), [(np.int32, True), (np.int16, False), (np.int8, False)])
def test_an_integer_quotient_is_exact(dtype: Any, wide: bool) -> None:
    a, b = quotients(dtype)
    got = applied(lambda x, y: fn.integer_quotient(x, y, wide), a.astype(np.int32), b.astype(np.int32))
    np.testing.assert_array_equal(got, (np.abs(a) // np.abs(b)) * np.sign(a) * np.sign(b))


def test_an_unsigned_quotient_is_exact() -> None:
    rng = np.random.default_rng(4)
    a = rng.integers(0, 2**32, 20_000)
    b = np.maximum((2.0 ** rng.uniform(0, 32, 20_000)).astype(np.int64), 1)
    b = np.minimum(b, 2**32 - 1)
    got = applied(fn.unsigned_quotient, *(v.astype(np.uint32).view(np.int32) for v in (a, b)))
    np.testing.assert_array_equal(got.view(np.uint32), a // b)


def test_the_remainder_of_floats_is_that_of_c() -> None:
    rng = np.random.default_rng(5)
    a, b = (rng.uniform(-1000, 1000, 20_000).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(applied(fn.remainder, a, b), np.fmod(a, b), atol=1e-4)
    whole = rng.integers(-1000, 1000, (2, 20_000)).astype(np.float32)
    whole[1][whole[1] == 0] = 7
    np.testing.assert_array_equal(applied(fn.remainder, *whole), np.fmod(*whole))
