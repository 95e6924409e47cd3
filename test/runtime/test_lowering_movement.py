"""Concatenation and padding of tensors of every element type: the same bits at every level."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from lowered import assert_lowers
from tensors import Array, random_array, tensor_type, type_of

CHECKS = settings(deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], max_examples=12)

ELEMENTS = ("i8", "i16", "i32", "f16", "f32")
COLUMNS = (1, 16, 31, 32, 33, 64, 70)

Case = tuple[str, list[Array], str]


def copied(name: str, of: str, type_: str, element: str) -> str:
    """A map that makes of a value one that no host places."""
    return f"""
        {name} = tsp_tensor.map {of} : ({type_}) -> {type_} {{
        ^bb0(%l: {element}):
          tsp_tensor.yield %l : {element}
        }}
        """


@st.composite
def concatenations(draw: DrawFn) -> Case:
    element = draw(st.sampled_from(ELEMENTS))
    leading = tuple(draw(st.lists(st.integers(1, 4), max_size=2)))
    shape = (*leading, draw(st.sampled_from(COLUMNS)))
    dim, count = draw(st.integers(0, len(shape) - 1)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    text, names, values = "", list[str](), list[Array]()
    for i in range(count):
        whole_tiles = dim == len(leading) and i < count - 1
        size = draw(st.sampled_from((32, 64))) if whole_tiles else draw(st.integers(1, 40))
        value = random_array(rng, (*shape[:dim], size, *shape[dim + 1 :]), element)
        name = f"%{'abcd'[i]}"
        if draw(st.booleans()):
            text += copied(f"{name}c", name, tensor_type(value), element)
            name += "c"
        names.append(name)
        values.append(value)
    result = type_of(np.concatenate(values, axis=dim).shape, element)
    types = ", ".join(map(tensor_type, values))
    text += f"%y = tsp_tensor.concat dim({dim}) {', '.join(names)} : ({types}) -> {result}"
    return text, values, result


@CHECKS
@given(concatenations())
def test_concatenations(case: Case) -> None:
    assert_lowers(*case, lanes=32)


@st.composite
def paddings(draw: DrawFn) -> Case:
    element = draw(st.sampled_from(ELEMENTS))
    shape = (*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.sampled_from(COLUMNS)))
    low = [*(draw(st.integers(0, 2)) for _ in shape[1:]), draw(st.sampled_from((0, 0, 32, 64, 1, 31, 40)))]
    high = [*(draw(st.integers(0, 2)) for _ in shape[1:]), draw(st.sampled_from((0, 0, 1, 7, 32, 50)))]
    number = draw(
        st.sampled_from(
            ("0.0", "-0.0", "2.5", "0x7C00" if element == "f16" else "-1.0e30") if element[0] == "f" else ("0", "-3")
        )
    )
    x = random_array(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), shape, element)
    first = copied("%c", "%a", tensor_type(x), element) if draw(st.booleans()) else ""
    result = type_of(tuple(a + n + b for a, n, b in zip(low, shape, high, strict=True)), element)
    text = f"%y = tsp_tensor.pad {'%c' if first else '%a'} low {low} high {high} value {number} : {element} : "
    return f"{first}{text}{tensor_type(x)} -> {result}", [x], result


@CHECKS
@given(paddings())
def test_paddings(case: Case) -> None:
    assert_lowers(*case, lanes=32)


def test_words_of_four_bytes_from_many_places_flow_one_way() -> None:
    """What is joined lies in slices of both hemispheres, several positions apart."""
    shapes, element = [(5, 161, 1), (5, 161, 1), (1, 161, 1)], "i32"
    inputs = [random_array(np.random.default_rng(i), shape, element) for i, shape in enumerate(shapes)]
    text = "".join(
        copied(f"%{n}c", f"%{n}", type_of(shape, element), element) for n, shape in zip("ab", shapes, strict=False)
    )
    for order in ("%ac, %bc, %c", "%c, %ac, %bc", "%bc, %c, %ac"):
        types = ", ".join(type_of(shapes["abc".index(name[1])], element) for name in order.split(", "))
        op = f"%y = tsp_tensor.concat dim(0) {order} : ({types}) -> tensor<11x161x1xi32>"
        assert_lowers(text + op, inputs, "tensor<11x161x1xi32>")
