"""Gather and scatter: every level and engine gives what numpy's indexing gives."""

from __future__ import annotations

import numpy as np
import pytest
from harness import ENGINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, module_of, random_array
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine
from tspc.runtime.levels import run_module

Shape = tuple[int, ...]

LANES = 48
"""Lanes of the chip here, so that small tensors take several tiles."""

few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])


def type_of(shape: Shape, element: str) -> str:
    return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"


def doubled(name: str, value: str, shape: Shape, element: str) -> str:
    """%name, twice a value: it lies where the program puts it."""
    add, type_ = ("arith.addf" if element[0] == "f" else "arith.addi"), type_of(shape, element)
    return f"""%{name} = tsp_tensor.map %{value} : ({type_}) -> {type_} {{
    ^bb0(%q: {element}):
      %r = {add} %q, %q : {element}
      tsp_tensor.yield %r : {element}
    }}
    """


def check(text: str, inputs: list[Array], result: str, expected: Array, lanes: int = LANES) -> None:
    """Raises AssertionError unless all levels and engines give `expected`."""
    source = module_of(text, inputs, result, lanes)
    named = dict(zip("abcdefgh", inputs, strict=False))
    assert_bits(run_module(parse(source), named, {}).outputs["y"], expected)
    module = compile(parse(source), until="convert-tensor-to-stream")
    assert_bits(run_module(module, named, {}).outputs["y"], expected)
    compile(module)
    for engine in (*ENGINES.values(), lambda: JitEngine(mode="bulk")):
        assert_bits(run_module(module, named, {}, engine()).outputs["y"], expected)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Shape, Shape, Array, set[str]]:
    """The shape of a table, that of indices, the indices, and which operands the program computes."""
    table = (draw(st.sampled_from((1, 2, 7, 300))),)
    if draw(st.booleans()):
        table += (*draw(st.sampled_from(((), (1,), (3,)))), draw(st.sampled_from((1, 5, 16, 48, 49, 100))))
    indices = draw(st.sampled_from(((), (1,), (2,), (17,), (2, 5), (1, 17), (50,))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = rng.integers(-2, table[0] + 2, indices)
    far = rng.choice(np.array([-(2**31), 2**31 - 2]), indices)
    numbers = np.where(rng.random(indices) < 0.1, far, found).astype(np.int32)
    return table, indices, numbers, draw(st.sets(st.sampled_from("abc")))


class Operands:
    """The values of a case under their names, computed ones as twice half of what they are."""

    def __init__(self, values: dict[str, Array], computed: set[str]):
        self.text = ""
        self.inputs = list(values.values())
        self.values = dict(values)
        self.names: dict[str, str] = {name: name for name in values}
        elements = {dtype: name for name, dtype in DTYPES.items()}
        for name in sorted(computed & values.keys()):
            a = values[name]
            if name == "b":
                self.inputs[list(values).index(name)] = a // 2
                self.values[name] = a // 2 * 2
            else:
                with np.errstate(all="ignore"):
                    self.values[name] = (a + a).astype(a.dtype)
            self.text += doubled(f"{name}2", name, a.shape, elements[a.dtype])
            self.names[name] = f"{name}2"


@pytest.mark.parametrize("element", DTYPES)
def test_gather(element: str) -> None:
    @few
    @given(cases(), st.integers(0, 2**32))
    def run(case: tuple[Shape, Shape, Array, set[str]], seed: int) -> None:
        shape, indices, numbers, computed = case
        made = Operands({"a": random_array(np.random.default_rng(seed), shape, element), "b": numbers}, computed)
        result = type_of((*indices, *shape[1:]), element)
        text = (
            f"{made.text}%y = tsp_tensor.gather %{made.names['a']}, %{made.names['b']} : {type_of(shape, element)}, "
            f"{type_of(indices, 'i32')} -> {result}"
        )
        check(text, made.inputs, result, made.values["a"][np.clip(made.values["b"], 0, shape[0] - 1)])

    run()


@pytest.mark.parametrize("element", DTYPES)
def test_scatter(element: str) -> None:
    @few
    @given(cases(), st.integers(0, 2**32))
    def run(case: tuple[Shape, Shape, Array, set[str]], seed: int) -> None:
        (shape, indices, numbers, computed), rng = case, np.random.default_rng(seed)
        rows = (*indices, *shape[1:])
        a, c = random_array(rng, shape, element), random_array(rng, rows, element)
        made = Operands({"a": a, "b": numbers, "c": c}, computed)
        expected = made.values["a"].copy()
        for at in np.ndindex(*indices):  # one after the other: the last update of a row stays
            expected[np.clip(made.values["b"][at], 0, shape[0] - 1)] = made.values["c"][at]
        result = type_of(shape, element)
        operands = ", ".join(f"%{made.names[name]}" for name in "abc")
        types = f"{result}, {type_of(indices, 'i32')}, {type_of(rows, element)}"
        text = f"{made.text}%y = tsp_tensor.scatter {operands} : {types} -> {result}"
        check(text, made.inputs, result, expected)

    run()


@pytest.mark.parametrize("element", ["i8", "f16"])
def test_a_table_larger_than_a_slice(element: str) -> None:
    rng = np.random.default_rng(5)
    a = random_array(rng, (9000, 60), element)
    b = np.array([[0, 4095, 4096, 8191], [8192, 8999, 9000, -1]], np.int32)
    result = type_of((2, 4, 60), element)
    for name, text in (("a", ""), ("a2", doubled("a2", "a", a.shape, element))):
        with np.errstate(all="ignore"):
            table = a if name == "a" else (a + a).astype(a.dtype)
        text += f"%y = tsp_tensor.gather %{name}, %b : {type_of(a.shape, element)}, tensor<2x4xi32> -> {result}"
        check(text, [a, b], result, table[np.clip(b, 0, 8999)])


@pytest.mark.parametrize("element", ["f16", "f32"])
def test_slices_of_many_positions(element: str) -> None:
    """The bytes of an element lie in slices that map and words reach at different times."""
    rng = np.random.default_rng(4)
    a, c = random_array(rng, (9, 60), element), random_array(rng, (4, 60), element)
    b, table, rows = np.array([3, 0, 8, 3], np.int32), type_of(a.shape, element), type_of(c.shape, element)
    changed = a.copy()
    for at, row in zip(b, c, strict=True):
        changed[at] = row
    for text, result, expected in (
        (f"%y = tsp_tensor.gather %a, %b : {table}, tensor<4xi32> -> {rows}", rows, a[b]),
        (f"%y = tsp_tensor.scatter %a, %b, %c : {table}, tensor<4xi32>, {rows} -> {table}", table, changed),
    ):
        source = module_of(text, [a, b, c], result, LANES).replace("chip.tiles", "chip.slices_per_hop = 1, chip.tiles")
        module = compile(parse(source))
        for engine in ENGINES.values():
            assert_bits(run_module(module, {"a": a, "b": b, "c": c}, {}, engine()).outputs["y"], expected)


CACHE = """
builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.tiles = 3>} {
  func.func @main(
      %cache: tensor<40x100xf16> {tsp_tensor.name = "cache"},
      %new: tensor<1x100xf16> {tsp_tensor.name = "new"},
      %position: tensor<1xi32> {tsp_tensor.name = "position"})
      -> (tensor<40x100xf16> {tsp_tensor.name = "cache"}, tensor<2x100xf16> {tsp_tensor.name = "row"}) {
    %later = tsp_tensor.scatter %cache, %position, %new
        : tensor<40x100xf16>, tensor<1xi32>, tensor<1x100xf16> -> tensor<40x100xf16>
    %rows = tsp_tensor.constant dense<[3, 4]> : tensor<2xi32>
    %row = tsp_tensor.gather %later, %rows : tensor<40x100xf16>, tensor<2xi32> -> tensor<2x100xf16>
    func.return %later, %row : tensor<40x100xf16>, tensor<2x100xf16>
  }
}
"""


def test_an_input_is_changed_in_place() -> None:
    """What becomes of an input lies in its words, as long as nothing else wants to see what it was."""
    module = compile(parse(CACHE), until="convert-tensor-to-stream")
    assert str(module).count('returned "cache"') == 1
    assert '"output" "cache"' not in str(module)
    executable = executable_from_module(compile(module), {})
    loaded = Loaded(executable, JitEngine())
    rng = np.random.default_rng(0)
    cache = rng.normal(size=(40, 100)).astype(np.float16)
    for position in (3, 39, 4, 40, -1):
        new = rng.normal(size=(1, 100)).astype(np.float16)
        got, _ = loaded.run({"cache": cache, "new": new, "position": np.array([position], np.int32)})
        cache = cache.copy()
        cache[min(max(position, 0), 39)] = new[0]
        assert_bits(got["cache"], cache)
        assert_bits(got["row"], cache[3:5])


def test_an_input_that_is_used_elsewhere_is_copied() -> None:
    text = CACHE.replace("tsp_tensor.gather %later", "tsp_tensor.gather %cache")
    module = compile(parse(text), until="convert-tensor-to-stream")
    assert "returned" not in str(module)


def test_what_was_computed_for_a_scatter_alone_is_changed_where_it_lies() -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.integers(-50, 50, (40, 100), np.int8), np.array([3, 39, 3], np.int32), rng.integers(-9, 9, (3, 100))
    c = c.astype(np.int8)
    type_ = type_of((40, 100), "i8")
    text = f"""{doubled("t", "a", (40, 100), "i8")}
    %s = tsp_tensor.scatter %t, %b, %c : {type_}, tensor<3xi32>, tensor<3x100xi8> -> {type_}
    {doubled("y", "s", (40, 100), "i8")}"""
    expected = a + a
    for at, row in zip(b, c, strict=True):
        expected[at] = row
    check(text, [a, b, c], type_, (expected + expected).astype(np.int8))
    module = compile(parse(module_of(text, [a, b, c], type_, LANES)), until="convert-tensor-to-stream")
    assert str(module).count('buffer "scratch"') == 1
