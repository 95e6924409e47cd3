"""Products of few rows or columns and many passes, with what numpy makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from machines import MACHINES
from tensors import Array, assert_bits, tensor_type
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine

SIZES = (1, 2, 3, 4, 8, 16, 17, 64, 320, 321, 640)
"""Of rows and of columns."""

DEPTHS = (1280, 1281, 1920, 2048, 2560, 4096, 9216)
"""Of the dimension that is summed: from as many passes as planes on."""

EPILOGUES = ("", "bias", "residual", "scaled")
"""What follows: nothing; a bias for every column, for i8 clamped and truncated; a tensor like the result beside it; and
two of these with a factor for every row."""

MOST_ORDINARY = 1 << 22
"""Products of numbers up to which floats are of any size, so that the order of their sums shows; beyond that they are
small integers, whose sums are exact in any order."""


@dataclass(frozen=True)
class Case:
    """A product [m, k] by [k, n]."""

    m: int
    k: int
    n: int
    element: str = "i8"
    computed: bool = False
    """Whether a map makes the weights; else they are a parameter."""
    epilogue: str = ""
    machine: str = "default"
    chained: bool = False
    """Whether a map makes the activations; else they are an input."""

    def __str__(self) -> str:
        words = ["computed"] * self.computed + ["chained"] * self.chained + [self.epilogue] * bool(self.epilogue)
        return " ".join([f"{self.m}x{self.k}x{self.n}", self.element, *words, f"on {self.machine}"])


def cases() -> Iterator[Case]:
    """All that must compile for the default chip."""
    for m, n, k, element, computed, epilogue in product(SIZES, SIZES, DEPTHS, ("i8", "f16"), (False, True), EPILOGUES):
        yield Case(m, k, n, element, computed, epilogue)


def sample(seed: int, count: int, machines: bool = False) -> list[Case]:
    """Some of them, drawn by seed; on all machines in turn if asked for."""
    rng, every = np.random.default_rng(seed), list(cases())
    drawn = [every[i] for i in rng.permutation(len(every))[:count]]
    names = [name for name in MACHINES] if machines else ["default"]
    return [replace(c, machine=names[i % len(names)], chained=bool(rng.integers(2))) for i, c in enumerate(drawn)]


def beyond(case: Case) -> bool:
    """Whether the machine has no planes for the case: f16 takes a pair of a hemisphere."""
    return case.element == "f16" and MACHINES[case.machine].paired_plane(0) is None


@dataclass(frozen=True)
class Model:
    """A case as a module, with its inputs and weights, and what numpy makes of them."""

    text: str
    inputs: dict[str, Array]
    parameters: dict[str, Array]
    expected: Array


def model(case: Case) -> Model:
    """The module of a case on random numbers."""
    rng = np.random.default_rng([case.m, case.k, case.n])
    wide = {"i8": "i32", "f16": "f32"}[case.element]
    x, w = (_numbers(rng, shape, case) for shape in ((case.m, case.k), (case.k, case.n)))
    inputs, parameters, lines = {"x": x}, dict[str, Array](), list[str]()
    if case.chained:
        lines.append(_negated("%l", "%x", x, case.element))
    if case.computed:
        inputs["w"] = w
        lines.append(_negated("%r", "%w", w, case.element))
    else:
        parameters["w"] = w
        lines.append(f'%r = tsp_tensor.parameter "w" : {tensor_type(w)}')
    sums = product_of(-x if case.chained else x, -w if case.computed else w, case)
    lhs, result = "%l" if case.chained else "%x", "%s" if case.epilogue else "%y"
    lines.append(f"{result} = tsp_tensor.matmul {lhs}, %r : {tensor_type(x)}, {tensor_type(w)} -> {tensor_type(sums)}")
    expected = sums
    if case.epilogue:
        shapes = {
            "bias": [(case.n,)],
            "residual": [(case.n,), sums.shape],
            "scaled": [(case.n,), sums.shape, (case.m, 1)],
        }
        others = [_operand(rng, shape, wide) for shape in shapes[case.epilogue]]
        inputs |= {f"o{i}": other for i, other in enumerate(others)}
        text, expected = _epilogue(sums, others, wide)
        lines.append(text)
    arguments = ", ".join(f'%{n}: {tensor_type(a)} {{tsp_tensor.name = "{n}"}}' for n, a in inputs.items())
    body = "\n".join(lines)
    text = f"""func.func @main({arguments}) -> ({tensor_type(expected)} {{tsp_tensor.name = "y"}}) {{
      {body}
      func.return %y : {tensor_type(expected)}
    }}"""
    return Model(text, inputs, parameters, expected)


def _numbers(rng: np.random.Generator, shape: tuple[int, int], case: Case) -> Array:
    if case.element == "i8":
        return rng.integers(-127, 128, shape, np.int8)
    if case.m * case.k * case.n <= MOST_ORDINARY:
        return rng.normal(0, 4, shape).astype(np.float16)
    return rng.integers(-8, 9, shape).astype(np.float16)


def _operand(rng: np.random.Generator, shape: tuple[int, ...], element: str) -> Array:
    if element == "i32":
        return rng.integers(-(1 << 20), 1 << 20, shape, np.int32)
    return rng.normal(0, 100, shape).astype(np.float32)


def _negated(name: str, of: str, array: Array, element: str) -> str:
    zero, op = ("0", "subi") if element == "i8" else ("-0.0", "subf")
    return f"""{name} = tsp_tensor.map {of} : ({tensor_type(array)}) -> {tensor_type(array)} {{
      ^bb0(%a: {element}):
        %z = arith.constant {zero} : {element}
        %d = arith.{op} %z, %a : {element}
        tsp_tensor.yield %d : {element}
      }}"""


def product_of(x: Array, w: Array, case: Case) -> Array:
    """The sums as docs/numerics.md has them: of i8 exact, of f16 pass by pass in f64, and the passes in f32."""
    if case.element == "i8":
        return (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int64).astype(np.int32)
    a, b, lanes = x.astype(np.float64), w.astype(np.float64), MACHINES[case.machine].lanes
    if case.m * case.k * case.n > MOST_ORDINARY:
        return (a @ b).astype(np.float32)
    total: Array | None = None
    for first in range(0, case.k, lanes):
        one = np.zeros((case.m, case.n))
        for i in range(first, min(first + lanes, case.k)):
            one = one + a[:, i : i + 1] * b[i]
        total = one.astype(np.float32) if total is None else total + one.astype(np.float32)
    assert total is not None
    return total


def _epilogue(sums: Array, others: list[Array], wide: str) -> tuple[str, Array]:
    """The map behind the product, as text and as numpy does it."""
    add, mul = ("addi", "muli") if wide == "i32" else ("addf", "mulf")
    lines, last, value = list[str](), "%a0", sums
    for i, other in enumerate(others):
        by_row = other.shape[-1:] == (1,) and sums.shape[-1:] != (1,) and i == 2
        lines.append(f"%e{i} = arith.{mul if by_row else add} {last}, %a{i + 1} : {wide}")
        last, value = f"%e{i}", value * other if by_row else value + other
    element = wide
    if wide == "i32":
        element = "i8"
        lines += [
            f"%low = arith.constant -100 : {wide}",
            f"%high = arith.constant 100 : {wide}",
            f"%c0 = arith.maxsi {last}, %low : {wide}",
            f"%c1 = arith.minsi %c0, %high : {wide}",
            f"%c2 = arith.trunci %c1 : {wide} to i8",
        ]
        last, value = "%c2", np.clip(value, -100, 100).astype(np.int8)
    types = ", ".join(map(tensor_type, (sums, *others)))
    names = ", ".join(["%s", *(f"%o{i}" for i in range(len(others)))])
    arguments = ", ".join(f"%a{i}: {wide}" for i in range(len(others) + 1))
    body = "\n        ".join([*lines, f"tsp_tensor.yield {last} : {element}"])
    text = f"""%y = tsp_tensor.map {names} : ({types}) -> {tensor_type(value)} {{
      ^bb0({arguments}):
        {body}
      }}"""
    return text, value


def check(case: Case) -> int:
    """Compiles a case and runs it in the JIT. Raises AssertionError unless it gives numpy's bits. Gives the cycles."""
    this = model(case)
    module = parse(this.text)
    module.attributes[TARGET] = TargetAttr(SystemSpec(MACHINES[case.machine]))
    compile(module)
    executable = executable_from_module(module, this.parameters)
    outputs, _ = Loaded(executable, JitEngine(mode="bulk")).run(this.inputs)
    assert_bits(outputs["y"], this.expected)
    return executable.program.cycles
