"""The scalar ops of map regions that only the tensor level runs so far, against Python's integers and numpy's f64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, canonical, random_array, run_text, tensor_type
from tspc.dialects.regions import REGION_OPS
from xdsl.dialects.arith import CMPF_COMPARISON_OPERATIONS, CMPI_COMPARISON_OPERATIONS

INTEGERS = ("i8", "i16", "i32")
FLOATS = ("f16", "f32")


def bits_of(a: Array) -> int:
    return a.dtype.itemsize * 8


def signed(value: int, bits: int) -> int:
    """The low bits of an integer, as two's complement."""
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def unsigned(value: int, bits: int) -> int:
    return value % (1 << bits)


BINARY: dict[str, Callable[[int, int, int], int]] = {
    "arith.andi": lambda a, b, bits: a & b,
    "arith.ori": lambda a, b, bits: a | b,
    "arith.xori": lambda a, b, bits: a ^ b,
    "arith.shli": lambda a, b, bits: a << min(unsigned(b, bits), bits),
    "arith.shrsi": lambda a, b, bits: a >> min(unsigned(b, bits), bits),
    "arith.shrui": lambda a, b, bits: unsigned(a, bits) >> min(unsigned(b, bits), bits),
}
"""Of two integers and their width; the low bits of the result count."""

RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def compared_integers(predicate: str, a: int, b: int, bits: int) -> bool:
    if predicate in ("eq", "ne"):
        return RELATIONS[predicate](a, b)
    if predicate[0] == "u":
        a, b = unsigned(a, bits), unsigned(b, bits)
    return RELATIONS[predicate[1:]](a, b)


def compared_floats(predicate: str, a: float, b: float) -> bool:
    """Where either is NaN, an ordered predicate is no and an unordered one yes."""
    if predicate in ("true", "false"):
        return predicate == "true"
    nan = a != a or b != b
    if predicate in ("ord", "uno"):
        return nan == (predicate == "uno")
    return predicate[0] == "u" if nan else RELATIONS[predicate[1:]](a, b)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "math.exp": np.exp,
    "math.log": np.log,
    "math.tanh": np.tanh,
    "math.rsqrt": lambda x: 1 / np.sqrt(x),
}
CONVERSIONS = {"arith.extf": ("f16", "f32"), "arith.truncf": ("f32", "f16")}


def test_maps_may_hold_what_is_tested_here() -> None:
    here = {*BINARY, *FUNCTIONS, *CONVERSIONS, "arith.select", "arith.cmpi", "arith.cmpf", "arith.extui"}
    assert here <= {op.name for op in REGION_OPS}


def mapped(body: str, inputs: list[Array], result: Array) -> Array:
    """A map with the arguments %x, %y, ... over arrays of one shape."""
    names = "xyzw"[: len(inputs)]
    types = [next(n for n, d in DTYPES.items() if d == a.dtype) for a in inputs]
    text = f"""%y = tsp_tensor.map {", ".join(f"%{n}" for n in "abcd"[: len(inputs)])}
        : ({", ".join(tensor_type(a) for a in inputs)}) -> {tensor_type(result)} {{
        ^bb0({", ".join(f"%{n}: {t}" for n, t in zip(names, types, strict=True))}):
          {body}
        }}"""
    return run_text(text, inputs, tensor_type(result))


@settings(max_examples=60)
@given(st.sampled_from(sorted(BINARY)), st.sampled_from(INTEGERS), st.integers(0, 2**32), st.booleans())
def test_bits(name: str, element: str, seed: int, small: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_array(rng, (40,), element), random_array(rng, (40,), element)
    b = (b % 40).astype(b.dtype) if small else b
    bits = bits_of(a)
    pairs = zip(a.tolist(), b.tolist(), strict=True)
    expected = np.array([signed(BINARY[name](x, y, bits), bits) for x, y in pairs], a.dtype)
    body = f"%r = {name} %x, %y : {element}\ntsp_tensor.yield %r : {element}"
    assert_bits(mapped(body, [a, b], expected), expected)


PREDICATES = [("cmpi", p) for p in CMPI_COMPARISON_OPERATIONS] + [("cmpf", p) for p in CMPF_COMPARISON_OPERATIONS]


@pytest.mark.parametrize(("op", "predicate"), PREDICATES)
def test_comparisons_and_selection(op: str, predicate: str) -> None:
    """What is selected keeps its bits, even those of a NaN."""
    rng = np.random.default_rng(1)
    for element in INTEGERS if op == "cmpi" else FLOATS:
        a, b = (np.concatenate([random_array(rng, (40,), element) for _ in range(4)]) for _ in "ab")
        b = np.where(rng.random(160) < 0.3, a, b)
        c, d = (rng.integers(0, 2**32, 160, np.uint32).view(np.float32) for _ in "cd")
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        if op == "cmpi":
            truths = [compared_integers(predicate, x, y, bits_of(a)) for x, y in pairs]
        else:
            truths = [compared_floats(predicate, x, y) for x, y in pairs]
        expected = np.where(np.array(truths), c.view(np.uint32), d.view(np.uint32)).view(np.float32)
        body = f"""%t = arith.{op} {predicate}, %x, %y : {element}
            %r = arith.select %t, %z, %w : f32
            tsp_tensor.yield %r : f32"""
        assert_bits(mapped(body, [a, b, c, d], expected), expected)


def test_truths_and_unsigned_numbers_are_widened() -> None:
    x = np.arange(-128, 128, dtype=np.int8)
    body = """
        %c = arith.constant 3 : i8
        %t = arith.cmpi sgt, %x, %c : i8
        %0 = arith.extui %t : i1 to i32
        %1 = arith.extui %x : i8 to i32
        %r = arith.addi %0, %1 : i32
        tsp_tensor.yield %r : i32"""
    expected = np.array([v % 256 + (v > 3) for v in range(-128, 128)], np.int32)
    assert_bits(mapped(body, [x], expected), expected)


def test_truths_are_combined() -> None:
    """-1 where 0 < x < 10 or not x != 20, else 5."""
    x = np.arange(-5, 30, dtype=np.int32)
    body = """
        %zero = arith.constant 0 : i32
        %ten = arith.constant 10 : i32
        %twenty = arith.constant 20 : i32
        %yes = arith.constant true
        %low = arith.cmpi sgt, %x, %zero : i32
        %high = arith.cmpi slt, %x, %ten : i32
        %between = arith.andi %low, %high : i1
        %other = arith.cmpi ne, %x, %twenty : i32
        %equal = arith.xori %other, %yes : i1
        %any = arith.ori %between, %equal : i1
        %yesr = arith.constant -1 : i8
        %nor = arith.constant 5 : i8
        %r = arith.select %any, %yesr, %nor : i8
        tsp_tensor.yield %r : i8"""
    expected = np.array([-1 if 0 < v < 10 or v == 20 else 5 for v in x.tolist()], np.int8)
    assert_bits(mapped(body, [x], expected), expected)


@pytest.mark.parametrize("element", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, element: str) -> None:
    """numpy's f64 functions round to the same f32 and f16 but for a case in a million."""
    rng = np.random.default_rng(1)
    x = random_array(rng, (500,), element)
    with np.errstate(all="ignore"):
        expected = canonical(FUNCTIONS[name](x.astype(np.float64)).astype(x.dtype))
    body = f"%r = {name} %x : {element}\ntsp_tensor.yield %r : {element}"
    assert_bits(mapped(body, [x], expected), expected)


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_of_floats(name: str) -> None:
    of, to = CONVERSIONS[name]
    x = random_array(np.random.default_rng(2), (500,), of)
    x[:3] = [1 + 2**-11, 1 + 3 * 2**-11, 2**-25] if of == "f32" else x[:3]
    with np.errstate(all="ignore"):
        expected = canonical(x.astype(DTYPES[to]))
    if of == "f32":
        assert expected[:3].tolist() == [1.0, 1 + 2**-9, 0.0]
    body = f"%r = {name} %x : {of} to {to}\ntsp_tensor.yield %r : {to}"
    assert_bits(mapped(body, [x], expected), expected)
