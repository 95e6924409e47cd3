"""What the tests of the tensor level share: one op as a module, and arrays of all sorts of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tspc.passes.pipelines import parse
from tspc.runtime.levels import run_module

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
}
NANS = {2: np.uint16(0x7E00).view(np.float16), 4: np.uint32(0x7FC00000).view(np.float32)}
"""The NaN that arithmetic gives, by bytes of the type."""


def type_of(shape: Sequence[int], element: str) -> str:
    return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"


def tensor_type(array: Array) -> str:
    return type_of(array.shape, next(name for name, dtype in DTYPES.items() if dtype == array.dtype))


def module_of(text: str, inputs: Sequence[Array], result: str, lanes: int = 320) -> str:
    """A module that returns `text`, ops of which the last defines %y of type `result`, on inputs %a, %b, ..."""
    arguments = ", ".join(
        f'%{name}: {tensor_type(a)} {{tsp_tensor.name = "{name}"}}' for name, a in zip("abcdefgh", inputs, strict=False)
    )
    assert lanes % 16 == 0
    return f"""
        builtin.module attributes {{tsp_isa.target = #tsp_isa.target<chip.tiles = {lanes // 16}>}} {{
          func.func @main({arguments}) -> ({result} {{tsp_tensor.name = "y"}}) {{
            {text}
            func.return %y : {result}
          }}
        }}"""


def run_op(op: str, inputs: Sequence[Array], result: Array, lanes: int = 320) -> Array:
    """What `%y = <op> : <types of the inputs> -> <type of the result>` gives at the tensor level."""
    types = ", ".join(tensor_type(a) for a in inputs)
    types = f"({types})" if "concat" in op else types
    return run_text(f"%y = {op} : {types} -> {tensor_type(result)}", inputs, tensor_type(result), lanes)


def run_text(text: str, inputs: Sequence[Array], result: str, lanes: int = 320) -> Array:
    """What such a module gives."""
    module = parse(module_of(text, inputs, result, lanes))
    return run_module(module, dict(zip("abcdefgh", inputs, strict=False)), {}).outputs["y"]


def assert_bits(got: Array, expected: Array) -> None:
    """Raises AssertionError unless two arrays are the same in every bit."""
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    bits = f"V{got.dtype.itemsize}"
    differ = np.argwhere(np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(expected).view(bits))
    assert not len(differ), f"at {differ[0]}: {got[tuple(differ[0])]!r}, not {expected[tuple(differ[0])]!r}"


def random_array(rng: np.random.Generator, shape: Sequence[int], element: str, wild: bool = True) -> Array:
    """Integers of all bit patterns; floats of ordinary size, and, if `wild`, among them infinities, NaNs, zeros of
    either sign, subnormals and the largest."""
    dtype = DTYPES[element]
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    ordinary = rng.normal(0, 10, shape).astype(dtype)
    if not wild:
        return ordinary
    info = np.finfo(dtype)
    edges = [0.0, -0.0, np.inf, -np.inf, info.max, -info.max, info.smallest_subnormal, -info.smallest_subnormal]
    special = rng.choice(np.array([*edges, NANS[dtype.itemsize]], dtype), shape)
    return np.where(rng.random(shape) < rng.choice([0, 0.02, 0.5]), special, ordinary)


def canonical(a: Array) -> Array:
    """With the one NaN that arithmetic gives."""
    return np.where(np.isnan(a), NANS[a.dtype.itemsize], a) if a.dtype.kind == "f" else a
