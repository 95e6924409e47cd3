"""The passes of the tensor level change no bit: random functions of movement, maps, products and constants, before and
after each pass, alone and one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensors import DTYPES, Array, assert_bits, random_array, tensor_type
from tspc.dialects.locations import where
from tspc.dialects.tsp_tensor import ConstantOp, MapOp
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import PASSES, make_context, parse
from tspc.passes.tensor.transforms.fuse_maps import alus_of_map
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp

INTEGERS = ("i8", "i32")
PIPELINES = (
    ("tsp-tensor-canonicalize",),
    ("fuse-maps",),
    ("tsp-tensor-canonicalize", "fuse-maps", "tsp-tensor-canonicalize"),
)


def apply(module: ModuleOp, *names: str) -> ModuleOp:
    for name in names:
        PASSES[name]()().apply(make_context(), module)
        verify_module(module)
    return module


@dataclass
class Function:
    """A function's text as it grows: values with their shapes and element types."""

    lines: list[str] = field(default_factory=list[str])
    values: list[tuple[str, tuple[int, ...], str]] = field(default_factory=list[tuple[str, tuple[int, ...], str]])

    def add(self, op: str, operands: str, shape: tuple[int, ...], element: str, rest: str = "") -> None:
        name = f"%v{len(self.lines)}"
        to = f" -> {type_of(shape, element)}" if operands else ""
        self.lines.append(f"{name} = {op}{operands}{to}{rest}")
        self.values.append((name, shape, element))


def type_of(shape: tuple[int, ...], element: str) -> str:
    return f"tensor<{''.join(f'{d}x' for d in shape)}{element}>"


def literal(draw: st.DrawFn, element: str) -> str:
    if element == "f32":
        return draw(st.sampled_from(("0.0", "-0.0", "1.5", "0x7F800000", "0x7FC00000", "3.0e38", "1.0e-45")))
    return str(draw(st.integers(-128, 127)))


def constant(draw: st.DrawFn, f: Function) -> None:
    shape, element = tuple(draw(st.lists(st.integers(1, 3), max_size=3))), draw(st.sampled_from((*INTEGERS, "f32")))
    if draw(st.booleans()):
        text = literal(draw, element)
    else:
        flat = [literal(draw, element) for _ in range(prod(shape))]
        for size in reversed(shape):
            flat = [f"[{', '.join(flat[i : i + size])}]" for i in range(0, len(flat), size)]
        text = flat[0]
    f.add(f"tsp_tensor.constant dense<{text}> : {type_of(shape, element)}", "", shape, element)


def reshape(draw: st.DrawFn, f: Function) -> None:
    name, shape, element = draw(st.sampled_from(f.values))
    to = draw(st.sampled_from([(prod(shape),), (1, *shape), (*shape, 1), (prod(shape), 1), shape, shape[::-1]]))
    f.add("tsp_tensor.reshape ", f"{name} : {type_of(shape, element)}", to, element)


def transpose(draw: st.DrawFn, f: Function) -> None:
    name, shape, element = draw(st.sampled_from(f.values))
    order = draw(st.permutations(range(len(shape))))
    to = tuple(shape[i] for i in order)
    f.add("tsp_tensor.transpose ", f"{name} permutation {list(order)} : {type_of(shape, element)}", to, element)


def slice_(draw: st.DrawFn, f: Function) -> None:
    name, shape, element = draw(st.sampled_from(f.values))
    offsets = [draw(st.integers(0, d - 1)) for d in shape]
    strides = [draw(st.integers(1, 2)) for _ in shape]
    sizes = tuple(draw(st.integers(1, (d - o - 1) // s + 1)) for d, o, s in zip(shape, offsets, strides, strict=True))
    text = f"{name} {offsets} {list(sizes)} {strides} : {type_of(shape, element)}"
    f.add("tsp_tensor.slice ", text, sizes, element)


def pad(draw: st.DrawFn, f: Function) -> None:
    name, shape, element = draw(st.sampled_from(f.values))
    low, high = ([draw(st.integers(0, 1)) for _ in shape] for _ in "lh")
    to = tuple(a + d + b for a, d, b in zip(low, shape, high, strict=True))
    value = f"{literal(draw, element)} : {element}"
    f.add("tsp_tensor.pad ", f"{name} low {low} high {high} value {value} : {type_of(shape, element)}", to, element)


def reduce(draw: st.DrawFn, f: Function) -> None:
    name, shape, element = draw(st.sampled_from(f.values))
    if shape:
        axes = sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
        to = tuple(d for i, d in enumerate(shape) if i not in axes)
        kind = draw(st.sampled_from(("sum", "max", "min")))
        f.add(f'tsp_tensor.reduce "{kind}" ', f"{name} axes {axes} : {type_of(shape, element)}", to, element)


def matmul(draw: st.DrawFn, f: Function) -> None:
    matrices = [v for v in f.values if v[2] == "i8" and len(v[1]) >= 2]
    if matrices:
        a, shape, _ = draw(st.sampled_from(matrices))
        flag = draw(st.sampled_from(("transpose_lhs", "transpose_rhs")))
        side = shape[-1] if flag == "transpose_lhs" else shape[-2]
        text = f"{a}, {a} {{{flag}}} : {type_of(shape, 'i8')}, {type_of(shape, 'i8')}"
        f.add("tsp_tensor.matmul ", text, (*shape[:-2], side, side), "i32")


OPS = {"i8": ("addi", "muli", "maxsi", "subi"), "i32": ("addi", "muli", "minsi", "xori", "shli")}
FLOAT_OPS = ("addf", "subf", "mulf", "maximumf")


def map_(draw: st.DrawFn, f: Function) -> None:
    """A map of one to three values, some of them the same, in which constants meet."""
    name, shape, element = draw(st.sampled_from(f.values))
    fits = [v for v in f.values if len(v[1]) <= len(shape) and v[2] == element]
    fits = [v for v in fits if all(a in (1, b) for a, b in zip(v[1][::-1], shape[::-1], strict=False))]
    operands = [(name, shape, element), *draw(st.lists(st.sampled_from(fits), max_size=2))]
    operands = draw(st.permutations(operands))
    unique = f"n{len(f.lines)}"
    scalars = [f"%{unique}a{i}" for i in range(len(operands))]
    body = [f"^bb0({', '.join(f'{s}: {element}' for s in scalars)}):"]
    for i in range(draw(st.integers(0, 5))):
        scalar = f"%{unique}s{i}"
        if draw(st.booleans()):
            body.append(f"{scalar} = arith.constant {literal(draw, element)} : {element}")
        else:
            a, b = draw(st.sampled_from(scalars)), draw(st.sampled_from(scalars))
            op = draw(st.sampled_from(OPS.get(element, FLOAT_OPS)))
            body.append(f"{scalar} = arith.{op} {a}, {b} : {element}")
        scalars.append(scalar)
    body.append(f"tsp_tensor.yield {draw(st.sampled_from(scalars))} : {element}")
    types = ", ".join(type_of(v[1], v[2]) for v in operands)
    lines = "\n".join(body)
    f.add("tsp_tensor.map ", f"{', '.join(v[0] for v in operands)} : ({types})", shape, element, f" {{\n{lines}\n}}")


STEPS = (constant, reshape, transpose, slice_, pad, reduce, matmul, map_, map_, map_)


@st.composite
def functions(draw: st.DrawFn) -> tuple[str, dict[str, Array]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    f = Function()
    inputs: dict[str, Array] = {}
    for name, element in (("a", "i8"), ("b", "f32")):
        inputs[name] = random_array(rng, draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)), element)
        f.values.append((f"%{name}", inputs[name].shape, element))
    for _ in range(draw(st.integers(1, 12))):
        draw(st.sampled_from(STEPS))(draw, f)
    results = [f.values[-1], *draw(st.lists(st.sampled_from(f.values), max_size=2))]
    arguments = ", ".join(f'%{n}: {tensor_type(a)} {{tsp_tensor.name = "{n}"}}' for n, a in inputs.items())
    types = ", ".join(type_of(s, e) for _, s, e in results)
    returned = f"func.return {', '.join(n for n, _, _ in results)} : {types}"
    lines = "\n".join([f"func.func @main({arguments}) -> ({types}) {{", *f.lines, returned, "}"])
    return lines, inputs


ALL_CONSTANT = """
func.func @main(%a: tensor<2xi8> {tsp_tensor.name = "a"}) -> tensor<70x70xi32> {
  %c = tsp_tensor.constant dense<3> : tensor<70x70xi32>
  %y = tsp_tensor.map %c : (tensor<70x70xi32>) -> tensor<70x70xi32> {
  ^bb0(%x: i32):
    %0 = arith.addi %x, %x : i32
    tsp_tensor.yield %0 : i32
  }
  func.return %y : tensor<70x70xi32>
}"""
"""A map of a constant too large to fold."""


@pytest.mark.parametrize("pipeline", PIPELINES, ids="+".join)
def test_no_pass_changes_a_bit(pipeline: tuple[str, ...]) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
    @given(functions())
    @example((ALL_CONSTANT, {"a": np.zeros(2, np.int8)}))
    def check(case: tuple[str, dict[str, Array]]) -> None:
        text, inputs = case
        module = parse(text)
        expected = run_module(module, inputs, {}).outputs
        apply(module, *pipeline)
        for name, value in run_module(module, inputs, {}).outputs.items():
            assert_bits(value, expected[name])
        assert all(where(op) for op in module.walk() if op.parent_op() is not None)
        again = str(module)
        assert str(apply(module, *pipeline[-1:])) == again
        assert str(parse(again)) == again

    check()


def test_large_constants_are_not_made() -> None:
    module = apply(parse(ALL_CONSTANT), "tsp-tensor-canonicalize")
    assert [len(op.value) for op in module.walk() if isinstance(op, ConstantOp)] == [4900]
    assert sum(isinstance(op, MapOp) for op in module.walk()) == 1


@pytest.mark.parametrize(("alus", "maps"), [(16, 5), (22, 3), (55, 1), (54, 2), (4, 5)])
def test_fused_maps_fit_the_alus(alus: int, maps: int) -> None:
    """Five maps of six scalar ops each, of which five have a delay beside them."""
    lines: list[str] = []
    for m in range(5):
        source = f"%m{m - 1}" if m else "%a"
        body = [f"%s{m}_{i} = arith.addi {f'%s{m}_{i - 1}' if i else f'%x{m}'}, %x{m} : i32" for i in range(6)]
        lines += [f"%m{m} = tsp_tensor.map {source} : (tensor<4xi32>) -> tensor<4xi32> {{", f"^bb0(%x{m}: i32):", *body]
        lines += [f"tsp_tensor.yield %s{m}_5 : i32", "}"]
    text = "\n".join(lines)
    module = parse(f"""
        builtin.module attributes {{tsp_isa.target = #tsp_isa.target<chip.alus = {alus}>}} {{
          func.func @main(%a: tensor<4xi32>) -> tensor<4xi32> {{
            {text}
            func.return %m4 : tensor<4xi32>
          }}
        }}""")
    apply(module, "fuse-maps")
    sizes = [alus_of_map(op) for op in module.walk() if isinstance(op, MapOp)]
    assert max(sizes) <= max(alus, 11)
    assert len(sizes) == maps


def test_every_element_type_folds() -> None:
    for name, dtype in DTYPES.items():
        one = "1.0" if dtype.kind == "f" else "1"
        module = parse(f"""
            func.func @main() -> tensor<2x2x{name}> {{
              %c = tsp_tensor.constant dense<{one}> : tensor<1x2x{name}>
              %y = tsp_tensor.concat dim(0) %c, %c : (tensor<1x2x{name}>, tensor<1x2x{name}>) -> tensor<2x2x{name}>
              func.return %y : tensor<2x2x{name}>
            }}""")
        apply(module, "tsp-tensor-canonicalize")
        (folded,) = (op for op in module.walk() if isinstance(op, ConstantOp))
        assert_bits(run_module(module, {}, {}).outputs["result0"], np.ones((2, 2), dtype))
        assert folded.result.type.get_shape() == (2, 2)


def test_truths_fold() -> None:
    module = parse("""
        func.func @main(%a: tensor<2xi8>) -> tensor<2xi8> {
          %y = tsp_tensor.map %a : (tensor<2xi8>) -> tensor<2xi8> {
          ^bb0(%x: i8):
            %two = arith.constant 2.0 : f32
            %nan = arith.constant 0x7FC00000 : f32
            %0 = arith.cmpf olt, %two, %nan : f32
            %1 = arith.cmpf une, %two, %nan : f32
            %2 = arith.xori %0, %1 : i1
            %3 = arith.extui %2 : i1 to i8
            %4 = arith.addi %x, %3 : i8
            tsp_tensor.yield %4 : i8
          }
          func.return %y : tensor<2xi8>
        }""")
    apply(module, "tsp-tensor-canonicalize")
    (op,) = (op for op in module.walk() if isinstance(op, MapOp))
    assert [inner.name for inner in op.body.block.ops] == ["arith.constant", "arith.addi", "tsp_tensor.yield"]
    assert "arith.constant 1 : i8" in str(op)
