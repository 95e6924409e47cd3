"""Stacks of products, heads in columns of common words, maxima and transposes by the transposers: each level and engine
gives the bits of the tensor level."""

from __future__ import annotations

import numpy as np
import pytest
from tensors import module_of, random_array, tensor_type
from test_lanes import LANES, Shape, check, computed, type_of
from tspc.dialects.tsp_stream import BufferOp, ReadOp
from tspc.passes.pipelines import compile, parse

ROWS = [(16, 5), (33, 48), (2, 32, 20), (3, 17, 100), (16, 1)]


@pytest.mark.parametrize("element", ["i8", "f16", "f32"])
@pytest.mark.parametrize("kind", ["max", "min"])
@pytest.mark.parametrize("shape", ROWS)
def test_extremes_of_many_rows(shape: Shape, kind: str, element: str) -> None:
    """Groups of 16 rows, whole and in part, with NaN and infinities; a map takes the result in all lanes."""
    a = random_array(np.random.default_rng(len(shape)), shape, element)
    one = (*shape[:-1], 1)
    join = "arith.maximumf" if element[0] == "f" else "arith.maxsi"
    text = f"""{computed(shape, element)}
    %m = tsp_tensor.reduce "{kind}" %x axes [{len(shape) - 1}] : {type_of(shape, element)} -> {type_of(one, element)}
    %y = tsp_tensor.map %x, %m : ({type_of(shape, element)}, {type_of(one, element)}) -> {type_of(shape, element)} {{
    ^bb0(%s: {element}, %t: {element}):
      %u = {join} %s, %t : {element}
      tsp_tensor.yield %u : {element}
    }}"""
    check(text, [a], type_of(shape, element))


@pytest.mark.parametrize("element", ["i8", "f16", "f32"])
@pytest.mark.parametrize(
    ("shape", "order"),
    [((40, 64), (1, 0)), ((17, 130), (1, 0)), ((100, 17), (1, 0)), ((3, 20, 50), (0, 2, 1)), ((20, 2, 40), (2, 1, 0))],
)
def test_transposes_of_tiles(shape: Shape, order: Shape, element: str) -> None:
    a = random_array(np.random.default_rng(1), shape, element)
    result = type_of(tuple(shape[d] for d in order), element)
    text = f"%y = tsp_tensor.transpose %x permutation {list(order)} : {type_of(shape, element)} -> {result}"
    check(computed(shape, element) + text, [a], result)


def to_f16(name: str, value: str, shape: Shape) -> str:
    """A map that rounds f32 to f16."""
    return f"""%{name} = tsp_tensor.map %{value} : ({type_of(shape, "f32")}) -> {type_of(shape, "f16")} {{
    ^bb0(%{name}_s: f32):
      %{name}_r = arith.truncf %{name}_s : f32 to f16
      tsp_tensor.yield %{name}_r : f16
    }}
    """


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("heads", [2, 3, 5])
def test_heads_of_weights_stay_in_their_columns(heads: int, wild: bool) -> None:
    """[tokens, heads * 16] as the weights of one product for each head, and their results side by side: the numbers of
    one head, infinities among them, do not reach another."""
    tokens, size = 6, 16
    rng = np.random.default_rng(heads)
    flat, split = (tokens, heads * size), (tokens, heads, size)
    first, square = (heads, tokens, size), (heads, tokens, tokens)
    inputs = [random_array(rng, shape, "f16", wild=wild) for shape in (flat, square)]
    text = f"""{computed(flat, "f16")}
    %split = tsp_tensor.reshape %x : {type_of(flat, "f16")} -> {type_of(split, "f16")}
    %heads = tsp_tensor.transpose %split permutation [1, 0, 2] : {type_of(split, "f16")} -> {type_of(first, "f16")}
    %sums = tsp_tensor.matmul %b, %heads : {type_of(square, "f16")}, {type_of(first, "f16")} -> {type_of(first, "f32")}
    {to_f16("h", "sums", first)}
    %back = tsp_tensor.transpose %h permutation [1, 0, 2] : {type_of(first, "f16")} -> {type_of(split, "f16")}
    %y = tsp_tensor.reshape %back : {type_of(split, "f16")} -> {type_of(flat, "f16")}"""
    check(text, inputs, type_of(flat, "f16"))


def test_heads_behind_others_move_to_the_first_lanes() -> None:
    """A slice of the heads begins in the middle of a word; who cannot use that gets them moved."""
    flat, split, part = (6, 80), (6, 5, 16), (6, 2, 16)
    a = random_array(np.random.default_rng(3), flat, "f16", wild=False)
    text = f"""{computed(flat, "f16")}
    %split = tsp_tensor.reshape %x : {type_of(flat, "f16")} -> {type_of(split, "f16")}
    %part = tsp_tensor.slice %split [0, 1, 0] [6, 2, 16] [1, 2, 1] : {type_of(split, "f16")} -> {type_of(part, "f16")}
    %y = tsp_tensor.map %part : ({type_of(part, "f16")}) -> {type_of(part, "f16")} {{
    ^bb0(%s: f16):
      %t = arith.addf %s, %s : f16
      tsp_tensor.yield %t : f16
    }}"""
    check(text, [a], type_of(part, "f16"))


@pytest.mark.parametrize("element", ["i8", "f16"])
@pytest.mark.parametrize("batch", [(3,), (2, 2)])
@pytest.mark.parametrize("computed_rhs", [False, True])
def test_stacks_of_products_take_their_map(batch: Shape, element: str, computed_rhs: bool) -> None:
    """The operand of the map is one for all matrices of the stack, and one of its own for each."""
    rng = np.random.default_rng(5)
    sums = {"i8": "i32", "f16": "f32"}[element]
    left, right, out = (*batch, 7, 50), (*batch, 50, 20), (*batch, 7, 20)
    inputs = [random_array(rng, shape, element, wild=False) for shape in (right, left)]
    inputs += [random_array(rng, shape, sums, wild=False) for shape in (out, (7, 20))]
    add = "arith.addf" if sums == "f32" else "arith.addi"
    rhs = "%x" if computed_rhs else "%a"
    text = f"""{computed(right, element)}
    %p = tsp_tensor.matmul %b, {rhs} : {tensor_type(inputs[1])}, {type_of(right, element)} -> {type_of(out, sums)}
    %y = tsp_tensor.map %p, %c, %d : ({type_of(out, sums)}, {type_of(out, sums)}, {type_of((7, 20), sums)})
        -> {type_of(out, sums)} {{
    ^bb0(%s: {sums}, %t: {sums}, %u: {sums}):
      %v = {add} %s, %t : {sums}
      %w = {add} %v, %u : {sums}
      tsp_tensor.yield %w : {sums}
    }}"""
    check(text, inputs, type_of(out, sums))


def test_a_stack_that_is_none_emits_nothing() -> None:
    """Matrices that the host places once for several others are multiplied one by one, each turned by itself: this is
    known before all of them are turned at once, so all that is written is read."""
    inputs = [random_array(np.random.default_rng(7), shape, "i8") for shape in ((2, 3, 4, 5), (3, 4, 6))]
    left, out = type_of((2, 3, 4, 5), "i8"), type_of((2, 3, 5, 6), "i32")
    text = f"""{computed((2, 3, 4, 5), "i8")}
    %y = tsp_tensor.matmul %x, %b {{transpose_lhs}} : {left}, {tensor_type(inputs[1])} -> {out}"""
    check(text, inputs, out)
    module = compile(parse(module_of(text, inputs, out, LANES)), until="convert-tensor-to-stream")
    made = [op.results[0] for op in module.walk() if isinstance(op, BufferOp) and op.kind.data == "scratch"]
    assert made
    assert all(any(isinstance(use.operation, ReadOp) for use in buffer.uses) for buffer in made)


@pytest.mark.parametrize("columns", [20, LANES + 3])
def test_a_single_column_of_sums_meets_all_columns(columns: int) -> None:
    """Sums of rows lie in all lanes: one tile of a map takes them as they leave the array, with the rows themselves."""
    shape, sums = (9, columns), (9, 1)
    a = random_array(np.random.default_rng(2), shape, "f16", wild=False)
    text = f"""{computed(shape, "f16")}
    %ones = tsp_tensor.constant dense<1.0> : {type_of((columns, 1), "f16")}
    %s = tsp_tensor.matmul %x, %ones : {type_of(shape, "f16")}, {type_of((columns, 1), "f16")} -> {type_of(sums, "f32")}
    %y = tsp_tensor.map %x, %s : ({type_of(shape, "f16")}, {type_of(sums, "f32")}) -> {type_of(shape, "f32")} {{
    ^bb0(%p: f16, %q: f32):
      %w = arith.extf %p : f16 to f32
      %r = arith.subf %w, %q : f32
      tsp_tensor.yield %r : f32
    }}"""
    check(text, [a], type_of(shape, "f32"))


@pytest.mark.parametrize("stored", [False, True])
def test_a_map_takes_the_activations_of_its_product(stored: bool) -> None:
    shape, wide = (70, 30), (30, 30)
    rng = np.random.default_rng(4)
    inputs = [random_array(rng, s, "i8") for s in (shape, wide)]
    value = "%x" if stored else "%a"
    text = f"""{computed(shape, "i8")}
    %p = tsp_tensor.matmul {value}, %b : {type_of(shape, "i8")}, {type_of(wide, "i8")} -> {type_of(shape, "i32")}
    %y = tsp_tensor.map %p, {value} : ({type_of(shape, "i32")}, {type_of(shape, "i8")}) -> {type_of(shape, "i32")} {{
    ^bb0(%s: i32, %t: i8):
      %w = arith.extsi %t : i8 to i32
      %u = arith.addi %s, %w : i32
      tsp_tensor.yield %u : i32
    }}"""
    check(text, inputs, type_of(shape, "i32"))
