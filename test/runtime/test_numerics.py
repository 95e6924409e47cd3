"""The arithmetic of an ALU against exact references: Python's integers and fractions, which never round.

Every operation is checked in numpy (`dialects/semantics/arithmetic.py`) and as a program on every engine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import on_every_engine
from test_numerics_alu import WIDER
from tspc.dialects.elements import builtin_of, dtype_of
from tspc.dialects.machine.instruction import ElementType
from tspc.dialects.semantics.arithmetic import BINARY, UNARY, convert, wrap
from tspc.dialects.semantics.products import matmul
from tspc.dialects.semantics.special import SPECIAL
from tspc.passes.pipelines import compile, parse
from tspc.runtime.engine import Engine
from tspc.runtime.levels import run_module

Array = npt.NDArray[Any]

I8, I16, I32, F32 = ElementType.I8, ElementType.I16, ElementType.I32, ElementType.F32
INTEGERS = (I8, I16, I32)

# -- exact references ----------------------------------------------------------------------------------------------

NAN = 0x7FC00000
INFINITY = 0x7F800000
SIGN = 0x80000000


def bits_of(value: float) -> int:
    """The pattern of an f32 that is given exactly."""
    return int(np.float32(value).view(np.uint32))


def value_of(bits: int) -> float:
    return float(np.uint32(bits).view(np.float32))


def is_nan(bits: int) -> bool:
    return bits & ~SIGN > INFINITY


def is_infinite(bits: int) -> bool:
    return bits & ~SIGN == INFINITY


def nearest(exact: Fraction, sign_of_zero: int = 0) -> int:
    """The pattern of the f32 nearest to an exact number, ties to even; subnormals kept, infinity beyond the largest."""
    if exact == 0:
        return sign_of_zero
    sign = SIGN if exact < 0 else 0
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    quantum = Fraction(2) ** (max(exponent, -126) - 23)
    steps = round(magnitude / quantum)  # a Fraction rounds its ties to even
    return sign | (INFINITY if steps * quantum >= 2**128 else bits_of(float(steps * quantum)))


@pytest.mark.parametrize(
    ("exact", "bits"),
    [
        (Fraction(1), 0x3F800000),
        (Fraction(1) + Fraction(1, 2**24), 0x3F800000),
        (Fraction(1) + Fraction(3, 2**24), 0x3F800002),
        (Fraction(-1, 10), 0xBDCCCCCD),
        (Fraction(1, 2**149), 1),
        (Fraction(1, 2**150), 0),
        (Fraction(3, 2**150), 2),
        (Fraction(2**128 - 2**103 - 1), 0x7F7FFFFF),
        (Fraction(2**128 - 2**103), INFINITY),
    ],
)
def test_the_reference_rounds_as_ieee_754_does(exact: Fraction, bits: int) -> None:
    assert nearest(exact) == bits


def exact_sum(a: int, b: int) -> int:
    if is_nan(a) or is_nan(b) or (is_infinite(a) and is_infinite(b) and a != b):
        return NAN
    if is_infinite(a) or is_infinite(b):
        return a if is_infinite(a) else b
    return nearest(Fraction(value_of(a)) + Fraction(value_of(b)), a if a == b else 0)


def exact_product(a: int, b: int) -> int:
    sign = (a ^ b) & SIGN
    if is_nan(a) or is_nan(b):
        return NAN
    if is_infinite(a) or is_infinite(b):
        return NAN if 0 in (a & ~SIGN, b & ~SIGN) else sign | INFINITY
    rounded = nearest(Fraction(value_of(a)) * Fraction(value_of(b)), sign)
    return sign | rounded


def exact_choice(greater: bool) -> Callable[[int, int], int]:
    def choose(a: int, b: int) -> int:
        if is_nan(a) or is_nan(b):
            return NAN
        ordered = sorted((a, b), key=lambda bits: (value_of(bits), not bits & SIGN))  # -0 before +0
        return ordered[greater]

    return choose


FLOAT_BINARY: dict[str, Callable[[int, int], int]] = {
    "add": exact_sum,
    "sub": lambda a, b: exact_sum(a, b ^ SIGN),
    "mul": exact_product,
    "max": exact_choice(True),
    "min": exact_choice(False),
}

INTEGER_BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
}


def whole(to: Callable[[Fraction], int]) -> Callable[[int], int]:
    def apply(bits: int) -> int:
        if is_nan(bits):
            return NAN
        if is_infinite(bits):
            return bits
        return bits & SIGN | bits_of(abs(to(Fraction(value_of(bits)))))

    return apply


FLOAT_UNARY: dict[str, Callable[[int], int]] = {"round": whole(round), "trunc": whole(math.trunc)}


def wrapped(value: int, element: ElementType) -> int:
    """The low bits of an integer, as a signed one."""
    half = 1 << 8 * element.bytes - 1
    return (value + half) % (2 * half) - half


def saturated(value: int, element: ElementType) -> int:
    half = 1 << 8 * element.bytes - 1
    return min(max(value, -half), half - 1)


def to_integer(bits: int, element: ElementType) -> int:
    """To the nearest, ties to even, saturated; NaN to 0."""
    if is_nan(bits):
        return 0
    value = value_of(bits)
    if is_infinite(bits):
        return saturated(int(math.copysign(2**64, value)), element)
    return saturated(round(Fraction(value)), element)


# -- operands ------------------------------------------------------------------------------------------------------

EDGES = sorted(
    {
        sign | pattern
        for sign in (0, SIGN)
        for pattern in (
            *(0, 1, 2, 0x007FFFFF, 0x00800000, 0x00800001),  # zero, subnormals, the least normals
            *(0x7F7FFFFE, 0x7F7FFFFF, INFINITY),  # the greatest, and infinity
            *(0x7F800001, 0x7FA00000, NAN, 0x7FC00001, 0x7FFFFFFF),  # NaNs of all kinds
            *(bits_of(v) for v in (0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.5, 126.5, 127.5, 128.5, 32767.5, 32768.5)),
            *(bits_of(v) for v in (8388606.5, 8388607.5, 8388608.0, 2.0**24, 2.0**24 + 2)),  # where halves end
            *(bits_of(v) for v in (2.0**31, 2.0**31 - 128, 2.0**31 + 256, 2.0**32, 2.0**63, 2.0**64)),
            *(bits_of(1.0) + 1, bits_of(0.5) - 1, bits_of(0.5) + 1, bits_of(127.5) - 1, bits_of(127.5) + 1),
        )
    }
)
"""Patterns of f32 at the edges of something."""


def float_pairs() -> Array:
    """[n, 2]: every pair of edges, pairs of random patterns, and pairs of like exponents, where much cancels."""
    rng = np.random.default_rng(0)
    anything = rng.integers(0, 2**32, (2000, 2), np.uint32)
    close = rng.integers(bits_of(0.5), bits_of(4.0), (2000, 2)).astype(np.uint32)
    close |= rng.integers(0, 2, (2000, 2)).astype(np.uint32) << 31
    return np.concatenate([np.array([*itertools.product(EDGES, EDGES)], np.uint32), anything, close])


def integers(element: ElementType) -> list[int]:
    """Edges of an integer type and of those below it, and random ones."""
    edges = {sign * (1 << n) + d for n in (0, 7, 8, 15, 16, 24, 31) for sign in (-1, 1) for d in (-1, 0, 1)}
    rng = np.random.default_rng(1)
    edges |= {int(n) for n in rng.integers(-(2**31), 2**31, 30)}
    return sorted({wrapped(n, element) for n in edges} | {0})


def integer_pairs(element: ElementType) -> Array:
    return np.array([*itertools.product(integers(element), repeat=2)], dtype_of(element))


def patterns(values: Array) -> list[int]:
    return values.view(np.uint32).tolist()


def floats(bits: list[int]) -> Array:
    return np.array(bits, np.uint32).view(np.float32)


# -- in numpy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOAT_BINARY)
def test_f32_operations_round_once_and_give_one_nan(name: str) -> None:
    pairs = float_pairs()
    a, b = np.ascontiguousarray(pairs.T).view(np.float32)
    result = BINARY[name](a, b)
    assert result.dtype == np.float32
    expected = [FLOAT_BINARY[name](x, y) for x, y in pairs.tolist()]
    wrong = [(x, y) for (x, y), got, e in zip(pairs.tolist(), patterns(result), expected, strict=True) if got != e]
    assert wrong == []


@pytest.mark.parametrize("name", INTEGER_BINARY)
def test_i32_operations_wrap(name: str) -> None:
    a, b = integer_pairs(I32).T
    expected = [wrapped(INTEGER_BINARY[name](x, y), I32) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert BINARY[name](a, b).tolist() == expected


def test_the_tables_here_are_complete() -> None:
    """What came later has its tables in test_numerics_alu.py and test_special.py."""
    assert FLOAT_BINARY.keys() == INTEGER_BINARY.keys() == BINARY.keys() - WIDER.keys()
    assert UNARY.keys() == {"copy", "relu", *FLOAT_UNARY, *SPECIAL}


@pytest.mark.parametrize("name", FLOAT_UNARY)
def test_rounding_to_whole_numbers_keeps_signs(name: str) -> None:
    operands = EDGES + np.random.default_rng(2).integers(0, 2**32, 3000).tolist()
    assert patterns(UNARY[name](floats(operands))) == [FLOAT_UNARY[name](bits) for bits in operands]


def test_rint_takes_ties_to_even() -> None:
    ties = [n + 0.5 for n in range(-6, 6)]
    assert UNARY["round"](np.array(ties, np.float32)).tolist() == [-6, -4, -4, -2, -2, -0.0, 0, 2, 2, 4, 4, 6]


def test_copy_keeps_every_bit() -> None:
    assert patterns(UNARY["copy"](floats(EDGES))) == EDGES


@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
def test_f32_to_integers_rounds_and_saturates(element: ElementType) -> None:
    bound = 2.0 ** (8 * element.bytes - 1)
    near = [bits_of(v) + d for v in (bound, bound - 1, bound - 0.5, -bound, -bound - 1) for d in (-1, 0, 1)]
    operands = EDGES + near + np.random.default_rng(3).integers(0, 2**32, 3000).tolist()
    result = convert(floats(operands), element)
    assert result.dtype == dtype_of(element)
    assert result.tolist() == [to_integer(bits, element) for bits in operands]


@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
def test_integers_to_f32_round_to_nearest_even(element: ElementType) -> None:
    ties = [s * (2**24 + 2 * k + 1) for k in range(8) for s in (-1, 1)] if element is I32 else []
    operands = integers(element) + ties
    result = convert(np.array(operands, dtype_of(element)), F32)
    assert patterns(result) == [nearest(Fraction(n)) for n in operands]


@pytest.mark.parametrize("to", INTEGERS, ids=lambda e: e.text)
@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
def test_between_integers_convert_saturates_and_wrap_keeps_low_bits(element: ElementType, to: ElementType) -> None:
    operands = integers(element)
    array = np.array(operands, dtype_of(element))
    assert convert(array, to).tolist() == [saturated(n, to) for n in operands]
    assert wrap(array, to).tolist() == [wrapped(n, to) for n in operands]
    assert convert(array, to).dtype == wrap(array, to).dtype == dtype_of(to)


def test_every_nan_becomes_the_canonical_one_even_where_nothing_is_computed() -> None:
    nans = floats([bits for bits in EDGES if is_nan(bits)])
    assert {*patterns(convert(nans, F32))} == {NAN}
    assert convert(nans.astype(np.float16), ElementType.F16).view(np.uint16).tolist() == [0x7E00] * len(nans)
    assert {*convert(nans, I8).tolist()} == {0}


@pytest.mark.parametrize("k", [1, 2, 320, 321, 1000])
def test_matrix_products_are_exact_and_wrap(k: int) -> None:
    rng = np.random.default_rng(k)
    a, b = rng.integers(-128, 128, (3, k), np.int8), rng.integers(-128, 128, (k, 4), np.int8)
    a[0], b[:, 0] = -128, -128
    exact = [[sum(int(x) * int(y) for x, y in zip(row, column, strict=True)) for column in b.T] for row in a]
    assert matmul(a, b, 320).tolist() == [[wrapped(n, I32) for n in row] for row in exact]


def test_matrix_products_wrap_once_they_leave_int32() -> None:
    k = 2**17 + 1
    a, b = np.full((1, k), -128, np.int8), np.full((k, 1), -128, np.int8)
    assert matmul(a, b, 320).tolist() == [[wrapped(k * 128 * 128, I32)]] == [[-(2**31) + 2**14]]


# -- as programs ---------------------------------------------------------------------------------------------------


def run_map(engine: Engine, region: str, result: ElementType, *operands: Array) -> Array:
    """Runs a map of one region, in which %a and %b are the operands and %r is the result, as a program."""
    width = 320
    padded = [np.resize(o, -(-len(o) // width) * width).reshape(-1, width) for o in operands]
    element = next(e for e in ElementType if dtype_of(e) == operands[0].dtype)
    type_, to = (f"tensor<{len(padded[0])}x{width}x{builtin_of(e)}>" for e in (element, result))
    names, scalars = ["%x", "%y"][: len(operands)], ["%a", "%b"][: len(operands)]
    text = f"""
func.func @main({", ".join(f"{n}: {type_}" for n in names)}) -> {to} {{
  %m = tsp_tensor.map {", ".join(names)} : ({", ".join([type_] * len(names))})
      -> {to} {{
  ^bb0({", ".join(f"{n}: {builtin_of(element)}" for n in scalars)}):
    {region}
    tsp_tensor.yield %r : {builtin_of(result)}
  }}
  func.return %m : {to}
}}"""
    inputs = {f"arg{i}": values for i, values in enumerate(padded)}
    outputs = run_module(compile(parse(text)), inputs, {}, engine).outputs
    return outputs["result0"].reshape(-1)[: len(operands[0])]


FLOAT_NAMES = {"add": "addf", "sub": "subf", "mul": "mulf", "max": "maximumf", "min": "minimumf"}
INTEGER_NAMES = {"add": "addi", "sub": "subi", "mul": "muli", "max": "maxsi", "min": "minsi"}


@on_every_engine
@pytest.mark.parametrize("name", FLOAT_BINARY)
def test_engines_do_f32_operations(name: str, engine: type[Engine]) -> None:
    pairs = float_pairs()
    a, b = np.ascontiguousarray(pairs.T).view(np.float32)
    result = run_map(engine(), f"%r = arith.{FLOAT_NAMES[name]} %a, %b : f32", F32, a, b)
    assert patterns(result) == [FLOAT_BINARY[name](x, y) for x, y in pairs.tolist()]


@on_every_engine
@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
@pytest.mark.parametrize("name", INTEGER_BINARY)
def test_engines_do_integer_operations(name: str, element: ElementType, engine: type[Engine]) -> None:
    pairs = integer_pairs(element)
    a, b = np.ascontiguousarray(pairs.T)
    result = run_map(engine(), f"%r = arith.{INTEGER_NAMES[name]} %a, %b : {element.text}", element, a, b)
    assert result.tolist() == [wrapped(INTEGER_BINARY[name](x, y), element) for x, y in pairs.tolist()]


@on_every_engine
@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
def test_engines_convert_to_integers(element: ElementType, engine: type[Engine]) -> None:
    region = f"%0 = math.roundeven %a : f32\n%r = arith.fptosi %0 : f32 to {element.text}"
    assert run_map(engine(), region, element, floats(EDGES)).tolist() == [to_integer(b, element) for b in EDGES]
    region = f"%r = arith.fptosi %a : f32 to {element.text}"
    toward_zero = [to_integer(FLOAT_UNARY["trunc"](b), element) for b in EDGES]
    assert run_map(engine(), region, element, floats(EDGES)).tolist() == toward_zero


@on_every_engine
@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
def test_engines_convert_from_integers(element: ElementType, engine: type[Engine]) -> None:
    operands = integers(element)
    result = run_map(
        engine(), f"%r = arith.sitofp %a : {element.text} to f32", F32, np.array(operands, dtype_of(element))
    )
    assert patterns(result) == [nearest(Fraction(n)) for n in operands]


@on_every_engine
@pytest.mark.parametrize("name", FLOAT_UNARY)
def test_engines_round_to_whole_numbers(name: str, engine: type[Engine]) -> None:
    region = f"%r = math.{'roundeven' if name == 'round' else name} %a : f32"
    assert patterns(run_map(engine(), region, F32, floats(EDGES))) == [FLOAT_UNARY[name](b) for b in EDGES]
