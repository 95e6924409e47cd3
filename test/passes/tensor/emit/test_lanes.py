"""What moves elements between lanes: every level and engine gives the bits of the tensor level."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from harness import ENGINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, module_of, random_array, type_of
from tspc.dialects import tsp_stream as ts
from tspc.passes.pipelines import compile, parse
from tspc.passes.tensor.emit.lanes import fold
from tspc.runtime.levels import run_module

Shape = tuple[int, ...]

LANES = 48
"""Lanes of the chip here, so that small tensors take several tiles."""

SIZES = st.sampled_from((1, 2, 3, 5, 16, 17, 48, 49, 100))
few = settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])


def computed(shape: Shape, element: str) -> str:
    """%x, twice the input %a: a value that lies where the program puts it, with other lanes beyond its columns."""
    add, type_ = ("arith.addf" if element[0] == "f" else "arith.addi"), type_of(shape, element)
    number = "1.5" if element[0] == "f" else "3"
    return f"""%x = tsp_tensor.map %a : ({type_}) -> {type_} {{
    ^bb0(%q: {element}):
      %k = arith.constant {number} : {element}
      %r = {add} %q, %k : {element}
      tsp_tensor.yield %r : {element}
    }}
    """


def check(text: str, inputs: list[Array], result: str, lanes: int = LANES) -> None:
    """Raises AssertionError unless the stream level and both engines give the bits of the tensor level."""
    source = module_of(text, inputs, result, lanes)
    named = dict(zip("abcdefgh", inputs, strict=False))
    expected = run_module(parse(source), named, {}).outputs["y"]
    module = compile(parse(source), until="convert-tensor-to-stream")
    assert_bits(run_module(module, named, {}).outputs["y"], expected)
    compile(module)
    for engine in ENGINES.values():
        assert_bits(run_module(module, named, {}, engine()).outputs["y"], expected)


def shapes(low: int = 1, high: int = 3, most: int = 1500) -> st.SearchStrategy[Shape]:
    """Shapes of few elements, whose last dimension may be of any of the sizes."""
    leading = st.lists(st.sampled_from((1, 2, 3, 5, 18)), min_size=low - 1, max_size=high - 1)
    return st.tuples(leading, SIZES).map(lambda s: (*s[0], s[1])).filter(lambda s: prod(s) <= most)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[Shape, list[int], str, bool]:
    shape = draw(shapes())
    axes = {len(shape) - 1} | draw(st.sets(st.integers(0, len(shape) - 1), max_size=2))
    return shape, sorted(axes), draw(st.sampled_from(("sum", "max", "min"))), draw(st.booleans())


@pytest.mark.parametrize("element", DTYPES)
def test_reductions_along_lanes(element: str) -> None:
    @few
    @given(reductions(), st.integers(0, 2**32))
    def run(case: tuple[Shape, list[int], str, bool], seed: int) -> None:
        shape, axes, kind, keeps = case
        a = random_array(np.random.default_rng(seed), shape, element)
        to = tuple(1 if d in axes else n for d, n in enumerate(shape) if keeps or d not in axes)
        widened = "i32" if element in ("i8", "i16") and kind == "sum" and seed % 2 else element
        result = type_of(to, widened)
        check(
            f'{computed(shape, element)} %y = tsp_tensor.reduce "{kind}" %x axes {axes} : {type_of(shape, element)} '
            f"-> {result}",
            [a],
            result,
        )

    run()


@pytest.mark.parametrize("element", DTYPES)
def test_transposes_of_the_last_dimension(element: str) -> None:
    @few
    @given(shapes(2, 4, 700), st.randoms(use_true_random=False), st.integers(0, 2**32))
    def run(shape: Shape, random: object, seed: int) -> None:
        rng = np.random.default_rng(seed)
        order = [int(d) for d in rng.permutation(len(shape))]
        result = type_of(tuple(shape[d] for d in order), element)
        a = random_array(rng, shape, element)
        text = f"%y = tsp_tensor.transpose %x permutation {order} : {type_of(shape, element)} -> {result}"
        check(computed(shape, element) + text, [a], result)

    run()


@pytest.mark.parametrize("element", DTYPES)
def test_slices_of_columns(element: str) -> None:
    @few
    @given(shapes(), st.data())
    def run(shape: Shape, data: st.DataObject) -> None:
        offsets = [data.draw(st.integers(0, d - 1)) for d in shape]
        strides = [data.draw(st.integers(1, 3)) for _ in shape]
        spans = zip(shape, offsets, strides, strict=True)
        sizes = [data.draw(st.integers(1, (d - o - 1) // s + 1)) for d, o, s in spans]
        a = random_array(np.random.default_rng(sum(offsets)), shape, element)
        result = type_of(tuple(sizes), element)
        text = f"%y = tsp_tensor.slice %x {offsets} {sizes} {strides} : {type_of(shape, element)} -> {result}"
        check(computed(shape, element) + text, [a], result)

    run()


@pytest.mark.parametrize("element", DTYPES)
def test_concats_of_columns(element: str) -> None:
    @few
    @given(shapes(), st.lists(SIZES, min_size=1, max_size=2), st.integers(0, 2**32))
    def run(shape: Shape, widths: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        all_shapes = [shape, *((*shape[:-1], n) for n in widths)]
        inputs = [random_array(rng, s, element) for s in all_shapes]
        result = type_of((*shape[:-1], sum(s[-1] for s in all_shapes)), element)
        operands = ", ".join(("%x", "%b", "%c")[: len(all_shapes)])
        types = ", ".join(type_of(s, element) for s in all_shapes)
        dim = len(shape) - 1
        text = f"%y = tsp_tensor.concat dim({dim}) {operands} : ({types}) -> {result}"
        check(computed(shape, element) + text, inputs, result)

    run()


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[Shape, Shape]:
    """Two shapes of as many elements, of factors that are dealt out at random."""
    factors = draw(st.lists(st.sampled_from((1, 2, 3, 4, 5, 7)), min_size=2, max_size=5))
    cuts = [sorted(draw(st.sets(st.integers(1, len(factors) - 1), max_size=3))) for _ in "ab"]
    orders = [factors, draw(st.permutations(factors))]
    a, b = (
        tuple(prod(order[i:j]) for i, j in zip([0, *cut], [*cut, len(order)], strict=True))
        for order, cut in zip(orders, cuts, strict=True)
    )
    return a, b


@pytest.mark.parametrize("element", DTYPES)
def test_reshapes_that_move_columns(element: str) -> None:
    @few
    @given(reshapes(), st.integers(0, 2**32))
    def run(case: tuple[Shape, Shape], seed: int) -> None:
        shape, to = case
        a = random_array(np.random.default_rng(seed), shape, element)
        # the sum keeps the reshape from being left to the host
        text = f"""{computed(shape, element)}
            %z = tsp_tensor.reshape %x : {type_of(shape, element)} -> {type_of(to, element)}
            %y = tsp_tensor.map %z, %z : ({type_of(to, element)}, {type_of(to, element)}) -> {type_of(to, element)} {{
            ^bb0(%s: {element}, %t: {element}):
              %u = {"arith.addf" if element[0] == "f" else "arith.addi"} %s, %t : {element}
              tsp_tensor.yield %u : {element}
            }}"""
        check(text, [a], type_of(to, element))

    run()


@pytest.mark.parametrize("element", ["i8", "f32"])
@pytest.mark.parametrize("shape", [(3, 1), (1, 1), (2, 5, 1), (2, 1, 1), ()])
@pytest.mark.parametrize("columns", [1, 7, 130])
def test_a_column_meets_all_columns(element: str, shape: Shape, columns: int) -> None:
    rng = np.random.default_rng(columns)
    full = (2, 5, columns) if len(shape) == 3 else (3, columns)
    inputs = [random_array(rng, shape, element), random_array(rng, full, element)]
    result = type_of(full, element)
    text = f"""{computed(shape, element)}
        %y = tsp_tensor.map %x, %b : ({type_of(shape, element)}, {result}) -> {result} {{
        ^bb0(%s: {element}, %t: {element}):
          %u = {"arith.addf" if element[0] == "f" else "arith.addi"} %s, %t : {element}
          tsp_tensor.yield %u : {element}
        }}"""
    check(text, inputs, result)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_folded_points_are_the_points(points: list[tuple[int, int]]) -> None:
    found: list[tuple[int, ...]] = []
    for run in fold(points):
        these = [run.start]
        for count, step in run.levels:
            these = [tuple(p + i * s for p, s in zip(at, step, strict=True)) for i in range(count) for at in these]
        found += these
    assert found == points


FLOATS = ("f16", "f32")


@pytest.mark.parametrize("element", FLOATS)
@pytest.mark.parametrize(
    ("op", "operands"),
    [
        ("softmax dim(1) %x", 0),
        ("softmax dim(0) %x", 0),
        ("layer_norm %x, %b, %c epsilon 1.0e-05", 2),
        ("rms_norm %x, %b epsilon 1.0e-05", 1),
    ],
)
def test_normalisations(element: str, op: str, operands: int) -> None:
    rng = np.random.default_rng(operands)
    shape = (5, 70)
    vectors = [random_array(rng, shape[-1:], element, wild=False) for _ in range(operands)]
    types = ", ".join([type_of(shape, element), *([type_of(shape[-1:], element)] * operands)])
    text = f"{computed(shape, element)} %y = tsp_tensor.{op} : {types}"
    check(text, [random_array(rng, shape, element, wild=False), *vectors], type_of(shape, element))


def test_attention_with_lanes_to_spare() -> None:
    """The lanes beyond the last column of the probabilities hold infinities before they are cleared."""
    rng = np.random.default_rng(3)
    inputs = [random_array(rng, shape, "f16", wild=False) for shape in ((7, 24), (5, 24), (5, 24))]
    types = ", ".join(type_of(a.shape, "f16") for a in inputs)
    result = type_of((7, 24), "f16")
    text = f"%y = tsp_tensor.attention %x, %b, %c scale 0.2 : {types} -> {result}"
    check(computed((7, 24), "f16") + text, inputs, result)


def test_attention_of_computed_heads() -> None:
    """Projections become heads and back: reshapes, transposes, products of computed tensors, head by head."""
    rng = np.random.default_rng(6)
    a, b = random_array(rng, (6, 20), "f16", wild=False), random_array(rng, (20, 20), "f16", wild=False)
    text = """%p = tsp_tensor.matmul %a, %b : tensor<6x20xf16>, tensor<20x20xf16> -> tensor<6x20xf32>
        %x = tsp_tensor.map %p : (tensor<6x20xf32>) -> tensor<6x20xf16> {
        ^bb0(%q: f32):
          %k = arith.constant 0.01 : f32
          %s = arith.mulf %q, %k : f32
          %r = arith.truncf %s : f32 to f16
          tsp_tensor.yield %r : f16
        }
        %h = tsp_tensor.reshape %x : tensor<6x20xf16> -> tensor<6x2x10xf16>
        %t = tsp_tensor.transpose %h permutation [1, 0, 2] : tensor<6x2x10xf16> -> tensor<2x6x10xf16>
        %o = tsp_tensor.attention %t, %t, %t scale 0.3
          : tensor<2x6x10xf16>, tensor<2x6x10xf16>, tensor<2x6x10xf16> -> tensor<2x6x10xf16>
        %u = tsp_tensor.transpose %o permutation [1, 0, 2] : tensor<2x6x10xf16> -> tensor<6x2x10xf16>
        %y = tsp_tensor.reshape %u : tensor<6x2x10xf16> -> tensor<6x20xf16>"""
    check(text, [a, b], "tensor<6x20xf16>")


def test_interleaved_columns_are_never_rows_of_their_own() -> None:
    """Pairs of neighbours from two rows: the bits, and that no buffer has a word for every element or pair."""
    a = random_array(np.random.default_rng(5), (3, 10), "f16")
    text = (
        computed((3, 10), "f16")
        + """
        %w = tsp_tensor.map %x : (tensor<3x10xf16>) -> tensor<3x10xf16> {
        ^bb0(%v: f16):
          %s = arith.mulf %v, %v : f16
          tsp_tensor.yield %s : f16
        }
        %c = tsp_tensor.reshape %x : tensor<3x10xf16> -> tensor<3x5x2xf16>
        %d = tsp_tensor.reshape %w : tensor<3x10xf16> -> tensor<3x5x2xf16>
        %e = tsp_tensor.concat dim(2) %d, %c, %d : (tensor<3x5x2xf16>, tensor<3x5x2xf16>, tensor<3x5x2xf16>)
          -> tensor<3x5x6xf16>
        %y = tsp_tensor.reshape %e : tensor<3x5x6xf16> -> tensor<3x30xf16>"""
    )
    check(text, [a], "tensor<3x30xf16>")
    module = compile(parse(module_of(text, [a], "tensor<3x30xf16>", LANES)), until="convert-tensor-to-stream")
    assert {op.type.layout.depth for op in module.walk() if isinstance(op, ts.BufferOp)} == {3}


@pytest.mark.parametrize("element", ["i8", "f16"])
@pytest.mark.parametrize("side", ["lhs", "rhs"])
def test_computed_operands_are_transposed(element: str, side: str) -> None:
    rng = np.random.default_rng(4)
    left, right = ((20, 7), (20, 9)) if side == "lhs" else ((7, 20), (9, 20))
    shapes_, names = (left, right), ("%x", "%b")
    if side == "rhs":
        shapes_, names = (right, left), ("%b", "%x")
    inputs = [random_array(rng, s, element, wild=False) for s in shapes_]
    result = type_of((7, 9), "i32" if element == "i8" else "f32")
    text = (
        f"%y = tsp_tensor.matmul {', '.join(names)} {{transpose_{side}}} : {type_of(left, element)}, "
        f"{type_of(right, element)} -> {result}"
    )
    check(computed(shapes_[0], element) + text, inputs, result)


@pytest.mark.parametrize("pads", [0, 1])
def test_convolutions_of_floats_see_their_channels_only(pads: int) -> None:
    """The inverse of the root of zero, in the lanes beyond the channels, is infinite."""
    rng = np.random.default_rng(5)
    image = abs(random_array(rng, (1, 4, 4, 5), "f16", wild=False)) + np.float16(0.5)
    weights = random_array(rng, (3, 3, 5, 6), "f16", wild=False)
    size = 2 + 2 * pads
    result = type_of((1, size, size, 6), "f32")
    image_type = type_of(image.shape, "f16")
    text = f"""%x = tsp_tensor.map %a : ({image_type}) -> {image_type} {{
        ^bb0(%q: f16):
          %r = math.rsqrt %q : f16
          tsp_tensor.yield %r : f16
        }}
        %y = tsp_tensor.conv %x, %b pads {[pads] * 4} : {image_type}, {type_of(weights.shape, "f16")} -> {result}"""
    check(text, [image, weights], result)


def test_more_maps_than_a_slice_holds() -> None:
    """Every element goes from a lane to another by a map of its own."""
    a = random_array(np.random.default_rng(6), (12, 40), "i8")
    text = (
        computed((12, 40), "i8")
        + "%y = tsp_tensor.transpose %x permutation [1, 0] : tensor<12x40xi8> -> tensor<40x12xi8>"
    )
    source = module_of(text, [a], "tensor<40x12xi8>", 48).replace(
        "chip.tiles", "chip.words = 256, chip.slices = 14, chip.streams = 16, chip.weight_streams = 8, chip.tiles"
    )
    module = compile(parse(source), until="convert-tensor-to-stream")
    maps = [b for b in module.walk() if isinstance(b, ts.BufferOp) and b.kind.data == "constant"]
    assert [b.type.layout.depth for b in maps] == [256, 480 - 256]
    assert_bits(run_module(compile(module), {"a": a}, {}, ENGINES["jit"]()).outputs["y"], (a + 3).T.copy())
