"""The operations of an ALU beyond add, sub, mul, max and min, and those on other types than i32 and f32, against exact
Python integers and against float64, in which one operation on halves is exact."""

import itertools
import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from tspc.dialects.elements import dtype_of
from tspc.dialects.machine.instruction import ElementType
from tspc.dialects.semantics.arithmetic import BINARY, UNARY, convert, select

I8, I16, I32, F16, F32 = ElementType
INTEGERS = (I8, I16, I32)
HALF_NAN = 0x7E00

Array = npt.NDArray[np.generic]


def saturated(value: int, bits: int) -> int:
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


def wrapped(value: int, bits: int) -> int:
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def shifted_left(a: int, b: int, bits: int) -> int:
    amount = b % (1 << bits)
    return wrapped(a << amount, bits) if amount < bits else 0


def shifted_right(a: int, b: int, bits: int) -> int:
    return a >> min(b % (1 << bits), bits)


def shifted_right_unsigned(a: int, b: int, bits: int) -> int:
    amount = b % (1 << bits)
    return wrapped(a % (1 << bits) >> amount, bits) if amount < bits else 0


def plain(function: Callable[[int, int], int]) -> Callable[[int, int, int], int]:
    return lambda a, b, bits: wrapped(int(function(a, b)), bits)


WIDER: dict[str, Callable[[int, int, int], int]] = {
    "add_sat": lambda a, b, bits: saturated(a + b, bits),
    "sub_sat": lambda a, b, bits: saturated(a - b, bits),
    "mul_sat": lambda a, b, bits: saturated(a * b, bits),
    "and": plain(operator.and_),
    "or": plain(operator.or_),
    "xor": plain(operator.xor),
    "shl": shifted_left,
    "shr": shifted_right,
    "shr_u": shifted_right_unsigned,
    "eq": plain(operator.eq),
    "ne": plain(operator.ne),
    "lt": plain(operator.lt),
    "le": plain(operator.le),
    "gt": plain(operator.gt),
    "ge": plain(operator.ge),
}
"""Each operation on two integers of so many bits."""

NARROW = {
    "add": plain(operator.add),
    "sub": plain(operator.sub),
    "mul": plain(operator.mul),
    "max": plain(max),
    "min": plain(min),
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def pairs(element: ElementType) -> Array:
    """[n, 2]: every pair of edges and small amounts, and random pairs."""
    bits = 8 * element.bytes
    edges = {0, 1, 2, 3, 7, 8, bits - 1, bits, bits + 1, -1, -2, -bits, (1 << bits - 1) - 1, -(1 << bits - 1)}
    values = [wrapped(v, bits) for v in edges]
    rng = np.random.default_rng(5)
    random = rng.integers(-(1 << bits - 1), 1 << bits - 1, (2000, 2))
    return np.concatenate([np.array([*itertools.product(values, values)]), random]).astype(dtype_of(element))


@pytest.mark.parametrize("element", INTEGERS, ids=lambda e: e.text)
@pytest.mark.parametrize("name", [*WIDER, *NARROW])
def test_integer_operations(name: str, element: ElementType) -> None:
    a, b = pairs(element).T
    exact = (WIDER | NARROW)[name]
    expected = [exact(x, y, 8 * element.bytes) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    result = BINARY[name](a, b)
    assert result.dtype == (np.int8 if name in COMPARISONS else dtype_of(element))
    assert result.tolist() == expected


def half_pairs() -> tuple[Array, Array]:
    """All pairs of edges of f16, and random patterns."""
    edges = [0, 1, 2, 0x3FF, 0x400, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF]
    edges += [0x8000 | e for e in edges]
    rng = np.random.default_rng(6)
    bits = np.concatenate([np.array([*itertools.product(edges, edges)]), rng.integers(0, 1 << 16, (20000, 2))])
    a, b = bits.astype(np.uint16).T
    return np.ascontiguousarray(a).view(np.float16), np.ascontiguousarray(b).view(np.float16)


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_half_operations_round_once(name: str) -> None:
    """Sums and products of two halves are exact in f64."""
    a, b = half_pairs()
    with np.errstate(all="ignore"):
        exact = getattr(operator, name)(a.astype(np.float64), b.astype(np.float64)).astype(np.float16)
    expected = np.where(np.isnan(exact), np.uint16(HALF_NAN), exact.view(np.uint16))
    assert (BINARY[name](a, b).view(np.uint16) == expected).all()


@pytest.mark.parametrize("name", COMPARISONS)
def test_float_comparisons_are_false_for_nan_but_ne(name: str) -> None:
    for a, b in (half_pairs(), tuple(h.astype(np.float32) for h in half_pairs())):
        expected = [int(getattr(operator, name)(x, y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        assert BINARY[name](a, b).tolist() == expected


@pytest.mark.parametrize("element", [*INTEGERS, F16, F32], ids=lambda e: e.text)
def test_relu_gives_nothing_below_zero(element: ElementType) -> None:
    values = np.array([-5, -1, 0, 1, 100]).astype(dtype_of(element))
    assert UNARY["relu"](values).tolist() == [0, 0, 0, 1, 100]


def test_relu_of_negative_zero_and_nan() -> None:
    result = UNARY["relu"](np.array([-0.0, np.nan, -np.inf, np.inf], np.float32))
    assert result.view(np.uint32).tolist() == [0, 0x7FC00000, 0, 0x7F800000]


def test_select_takes_bits() -> None:
    condition = np.array([0, 1, -1, 2], np.int8)
    a = np.array([0x7F800001, 2, 3, 4], np.uint32).view(np.float32)
    b = np.array([5, 6, 7, 8], np.uint32).view(np.float32)
    assert select(condition, a, b).view(np.uint32).tolist() == [5, 2, 3, 4]


def test_every_half_converts_to_f32_and_back() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    singles = convert(halves, F32)
    numbers = ~np.isnan(halves)
    assert (singles[numbers] == halves[numbers].astype(np.float64)).all()
    assert (singles[~numbers].view(np.uint32) == 0x7FC00000).all()
    back = convert(singles, F16).view(np.uint16)
    assert (back[numbers] == halves.view(np.uint16)[numbers]).all()
    assert (back[~numbers] == HALF_NAN).all()


def test_integers_convert_to_the_nearest_half() -> None:
    """Ties to even, and infinity from 65520 on."""
    values = np.array([2047, 2049, 2051, 65504, 65519, 65520, -65520, 2**31 - 1], np.int32)
    expected = [2047, 2048, 2052, 65504, 65504, np.inf, -np.inf, np.inf]
    assert convert(values, F16).tolist() == expected
