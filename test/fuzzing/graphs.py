"""Random graphs of all ops of tsp_tensor, by seed; graph_checks.py says what must hold of them.

A graph has one to six steps, a step being an op and what makes its operands fit. Operands are values of the graph where
there are any of the type, and else new inputs, parameters and constants: themselves, slices and transposes of them, and
copies by a map, so that the program and not the host decides where they lie. How large shapes are is a scale's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TypeVar

import numpy as np
from tensors import DTYPES, Array, random_array, type_of

from .scales import SMALL, Scale
from .texts import literal, unused_name, with_nans, with_payloads

T = TypeVar("T")
Shape = tuple[int, ...]
INTEGERS, FLOATS = ("i8", "i16", "i32"), ("f16", "f32")
STEPS_OF_A_PRODUCT = 16
"""Multiplications that take as long as one step of a window."""

MOST_MATRICES = 16
"""Of a stack in a product."""

DEEP, FEW, MOST_DEEP = (1281, 1600, 2048, 2561), (1, 2, 3, 4, 8, 16, 17), 40_000
"""Of a product of several passes: what is summed, rows and columns, and the elements of each operand at most."""


@dataclass(frozen=True)
class Value:
    """A value of the graph by its name, with what its type says."""

    name: str
    shape: Shape
    element: str

    @property
    def type(self) -> str:
        return type_of(self.shape, self.element)

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass
class Graph:
    """A module while it is written, with the values of its inputs and parameters."""

    rng: np.random.Generator
    scale: Scale
    wild: bool
    """Whether floats are infinite, NaN, subnormal or the largest now and then."""
    lines: list[str] = field(default_factory=list[str])
    arguments: list[str] = field(default_factory=list[str])
    inputs: dict[str, Array] = field(default_factory=dict[str, Array])
    parameters: dict[str, Array] = field(default_factory=dict[str, Array])
    values: list[Value] = field(default_factory=list[Value])
    results: list[Value] = field(default_factory=list[Value])
    ops: set[str] = field(default_factory=set[str])
    """The names of the ops of tsp_tensor in it."""
    naming: np.random.Generator = field(default_factory=np.random.default_rng)
    """What draws names and payloads: apart, so that they change nothing of the graph."""

    # -- drawing ---------------------------------------------------------------------------------------------------

    def among(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def dim(self, most: int) -> int:
        return self.scale.dim(self.rng, most)

    def shape(self, low: int = 0, high: int = 4) -> Shape:
        """The last dimension is drawn first, so that it is the largest most of the time."""
        shape: list[int] = []
        for _ in range(self.number(low, high)):
            shape.insert(0, self.dim(self.scale.elements // prod(shape)))
        return tuple(shape)

    # -- values ----------------------------------------------------------------------------------------------------

    def place(self, shape: Shape, element: str) -> Value:
        """A new input, parameter or constant, or a copy, a slice or a transpose of one."""
        way = self.among(("all", "all", "copy", "copy", "slice", "transpose"))
        if way == "slice" and shape:
            before, after = ([self.among((0, 0, 1, 2)) for _ in shape] for _ in range(2))
            whole = self.placed(self.random([a + n + b for a, n, b in zip(before, shape, after, strict=True)], element))
            return self.define(
                f"tsp_tensor.slice {whole.name} {before} {[*shape]} {[1] * len(shape)}", [whole], shape, element
            )
        if way == "transpose" and len(shape) > 1:
            order = [int(d) for d in self.rng.permutation(len(shape))]
            whole = self.placed(self.random([shape[order.index(d)] for d in range(len(shape))], element))
            return self.define(f"tsp_tensor.transpose {whole.name} permutation {order}", [whole], shape, element)
        value = self.placed(self.random(shape, element))
        return self.converted(value, element) if way == "copy" else value

    def random(self, shape: Sequence[int], element: str) -> Array:
        return with_payloads(self.naming, random_array(self.rng, shape, element, self.wild), 0.5)

    def placed(self, array: Array) -> Value:
        """A new input, parameter or constant."""
        element = next(name for name, dtype in DTYPES.items() if dtype == array.dtype)
        value = Value(f"%p{len(self.lines) + len(self.inputs)}", array.shape, element)
        default, kind = value.name[1:], self.among(("input", "input", "parameter", "constant"))
        if kind == "parameter":
            self.parameters[name := unused_name(self.naming, self.parameters, default)] = array
            self.lines.append(f"{value.name} = tsp_tensor.parameter {literal(name)} : {value.type}")
            self.ops.add("tsp_tensor.parameter")
        elif kind == "constant" and array.size <= 400:
            array = with_nans(self.naming, array, 0.2)
            raw = np.ascontiguousarray(array).tobytes().hex().upper()
            self.lines.append(f'{value.name} = tsp_tensor.constant dense<"0x{raw}"> : {value.type}')
            self.ops.add("tsp_tensor.constant")
        else:
            self.inputs[name := unused_name(self.naming, self.inputs, default)] = array
            self.arguments.append(f"{value.name}: {value.type} {{tsp_tensor.name = {literal(name)}}}")
        self.values.append(value)
        return value

    def value(self, elements: Sequence[str], low: int = 0, high: int = 4) -> Value:
        """A value of one of these element types and of a rank from low to high: most often the last of all that fit."""
        fit = [v for v in self.values if low <= v.rank <= high]
        if not fit or self.chance(0.15):
            return self.place(self.shape(low, high), self.among(elements))
        value = fit[-1] if self.chance(0.7) else self.among(fit)
        return value if value.element in elements else self.converted(value, self.among(elements))

    def like(self, shape: Shape, element: str) -> Value:
        """A value of this type."""
        fit = [v for v in self.values if v.shape == shape and v.element == element]
        return self.among(fit) if fit and self.chance() else self.place(shape, element)

    def define(self, op: str, operands: Sequence[Value], shape: Iterable[int], element: str, form: str = "->") -> Value:
        """The value of `op`, all that is written before the types; `form` is how these are: `->` for operands and
        result, `()` for a function type, `:` for operands alone."""
        value = Value(f"%v{len(self.lines)}", tuple(shape), element)
        types = ", ".join(v.type for v in operands)
        types = {"->": f"{types} -> {value.type}", "()": f"({types}) -> {value.type}", ":": types}[form]
        self.lines.append(f"{value.name} = {op} : {types}")
        self.ops.add(op.split()[0])
        self.values.append(value)
        return value

    def map(self, operands: Sequence[Value], shape: Shape, element: str, body: Sequence[str]) -> Value:
        """A map whose region has the arguments %a0, %a1, ..., and yields %y."""
        value = self.define(f"tsp_tensor.map {names(operands)}", operands, shape, element, "()")
        arguments = ", ".join(f"%a{i}: {v.element}" for i, v in enumerate(operands))
        self.lines[-1] += " {\n" + "\n".join(
            ["  " + line for line in (f"^bb0({arguments}):", *body, f"tsp_tensor.yield %y : {element}")] + ["}"]
        )
        return value

    def converted(self, value: Value, element: str) -> Value:
        """A value as another element type, or a copy of it."""
        return self.map([value], value.shape, element, conversion("%a0", value.element, "%y", element))

    @cached_property
    def text(self) -> str:
        arguments, types = ", ".join(self.arguments), ", ".join(v.type for v in self.results)
        taken: set[str] = set()
        results: list[str] = []
        for i, result in enumerate(self.results):
            taken.add(name := unused_name(self.naming, taken, f"result{i}"))
            results.append(f"{result.type} {{tsp_tensor.name = {literal(name)}}}")
        lines = "\n".join(self.lines).replace("\n", "\n  ")
        return (
            f"func.func @main({arguments}) -> ({', '.join(results)}) {{\n  {lines}\n"
            f"  func.return {names(self.results)} : {types}\n}}\n"
        )


def names(values: Sequence[Value]) -> str:
    return ", ".join(v.name for v in values)


# -- regions -------------------------------------------------------------------------------------------------------


def conversion(source: str, of: str, result: str, to: str) -> list[str]:
    """The lines that make a scalar of another type; floats become the integer nearest to them."""
    if of == to:
        zero = "0.0" if to in FLOATS else "0"
        select = f"{result} = arith.select %copy, {source}, %none : {to}"
        return [f"%none = arith.constant {zero} : {to}", "%copy = arith.constant true", select]
    if of in FLOATS and to in INTEGERS:
        return [f"%near = math.roundeven {source} : {of}", f"{result} = arith.fptosi %near : {of} to {to}"]
    if of in INTEGERS and to in FLOATS:
        op = "sitofp"
    elif of in INTEGERS:
        op = "extsi" if INTEGERS.index(of) < INTEGERS.index(to) else "trunci"
    else:
        op = "extf" if to == "f32" else "truncf"
    return [f"{result} = arith.{op} {source} : {of} to {to}"]


TWO = {
    "i": ("addi", "subi", "muli", "maxsi", "minsi", "andi", "ori", "xori"),
    "f": ("addf", "subf", "mulf", "maximumf", "minimumf"),
}
ONE = ("roundeven", "trunc", "exp", "log", "tanh", "rsqrt")


def region(graph: Graph, arguments: Sequence[str]) -> tuple[list[str], str]:
    """A few operations on arguments of these types that yield %y: the lines, and its type."""
    scalars = [(f"%a{i}", element) for i, element in enumerate(arguments)]
    lines: list[str] = []
    for i in range(graph.number(1, 4)):
        a, element = graph.among(scalars[-2:])
        b = graph.among([name for name, type_ in scalars if type_ == element])
        new, kind = f"%r{i}", graph.among(("two", "two", "one", "constant", "convert", "select"))
        to = element
        if kind == "constant":
            number = graph.number(-100, 100)
            lines.append(f"%k{i} = arith.constant {number if element in INTEGERS else number / 4} : {element}")
            b, kind = f"%k{i}", "two"
        if kind == "two":
            lines.append(f"{new} = arith.{graph.among(TWO[element[0]])} {a}, {b} : {element}")
        elif kind == "select":
            compare = "cmpi slt" if element in INTEGERS else "cmpf olt"
            lines.append(f"%c{i} = arith.{compare}, {a}, {b} : {element}")
            lines.append(f"{new} = arith.select %c{i}, {b}, {a} : {element}")
        elif kind == "one" and element in FLOATS:
            lines.append(f"{new} = math.{graph.among(ONE)} {a} : {element}")
        else:
            to = graph.among([e for e in DTYPES if e != element])
            lines += [line.replace("%near", f"%n{i}") for line in conversion(a, element, new, to)]
        scalars.append((new, to))
    name, element = scalars[-1]
    return [re.sub(f"{name} =", "%y =", line) for line in lines], element


# -- ops -----------------------------------------------------------------------------------------------------------


def add_map(graph: Graph) -> None:
    first = graph.value((*DTYPES,))
    operands, shape = [first], first.shape
    for _ in range(graph.number(0, 2)):
        part = tuple(graph.among((1, d)) for d in shape) if graph.chance() else shape
        operands.append(graph.like(part[graph.number(0, len(part)) :], graph.among((*DTYPES,))))
    if graph.chance(0.2):
        operands.append(graph.among(operands))
    operands = [operands[i] for i in graph.rng.permutation(len(operands))]
    body, element = region(graph, [v.element for v in operands])
    graph.map(operands, shape, element, body)


def add_matmul(graph: Graph) -> None:
    if graph.chance(0.25):
        add_deep_matmul(graph)
        return
    lhs = graph.value(("i8", "f16"), low=2)
    left, right = graph.chance(0.3), graph.chance(0.4)
    *batch, rows, inner = lhs.shape
    if prod(batch) > MOST_MATRICES:
        return
    rows, inner = (inner, rows) if left else (rows, inner)
    other = tuple(graph.among((1, d)) for d in batch)[graph.number(0, len(batch)) :] if graph.chance() else ()
    columns = graph.dim(graph.scale.results // inner)
    rhs = graph.like((*other, columns, inner) if right else (*other, inner, columns), lhs.element)
    flags = ", ".join(f for f, on in (("transpose_lhs", left), ("transpose_rhs", right)) if on)
    result = (*batch, rows, columns)
    if prod(result) <= graph.scale.results and graph.scale.allows(prod(result) * inner):
        graph.define(f"tsp_tensor.matmul {names([lhs, rhs])} {{{flags}}}", [lhs, rhs], result, sums(lhs.element))


def add_deep_matmul(graph: Graph) -> None:
    """A product of few rows and columns that takes several passes, and mostly a map behind it. Its operands are too
    large for other ops."""
    element, inner, before = graph.among(("i8", "i8", "f16")), graph.among(DEEP), len(graph.values)
    rows, columns = (graph.among([n for n in FEW if n * inner <= MOST_DEEP]) for _ in range(2))
    pair = [graph.place(shape, element) for shape in ((rows, inner), (inner, columns))]
    del graph.values[before:]
    graph.define(f"tsp_tensor.matmul {names(pair)}", pair, (rows, columns), sums(element))
    if graph.chance(0.6):
        add_map(graph)


def sums(element: str) -> str:
    return {"i8": "i32", "f16": "f32"}[element]


def images(graph: Graph, elements: Sequence[str]) -> Value:
    """Images [N, H, W, C] that may be reshaped from something else."""
    value = graph.value(elements, low=1)
    shape = (*[1] * (4 - value.rank), *value.shape)
    if shape == value.shape:
        return value
    return graph.define(f"tsp_tensor.reshape {value.name}", [value], shape, value.element)


def window(graph: Graph, value: Value, padded: bool = True, taps: int = 80) -> tuple[str, Shape, Shape]:
    """A window of at most so many taps on images: its kernel, its other properties as text, and how many places it has.

    Most are small; others are larger than the image, or span it, or reach from tap to tap beyond it, and there may be
    more padding than any of them meets."""
    kernel: list[int] = []
    places: list[int] = []
    strides = [graph.number(1, 3) if graph.chance(0.9) else graph.number(4, 20) for _ in range(2)]
    dilations = [graph.number(1, 2) if graph.chance(0.9) else graph.number(3, 12) for _ in range(2)]
    pads = [0] * 4
    for d in range(2):
        size, most = value.shape[1 + d], max(1, taps // prod(kernel))
        taken = graph.scale.window_side(graph.rng, size, most)
        if padded and graph.chance(0.4):
            reach = graph.among((taken - 1, taken - 1, dilations[d] * taken, 30))
            pads[d], pads[d + 2] = graph.number(0, reach), graph.number(0, reach)
        full = size + pads[d] + pads[d + 2]
        if dilations[d] * (taken - 1) + 1 > full:
            dilations[d] = 1
        taken = min(taken, full)
        kernel.append(taken)
        places.append((full - dilations[d] * (taken - 1) - 1) // strides[d] + 1)
    return f"strides {strides} pads {pads} dilations {dilations}", tuple(kernel), tuple(places)


def add_conv(graph: Graph) -> None:
    x = images(graph, ("i8", "f16"))
    properties, kernel, places = window(graph, x, taps=16)
    channels = x.shape[3]
    groups = graph.among([1, 1, *(g for g in (2, 3, 4, 5, 8, 16, channels) if channels % g == 0)])
    most = max(1, graph.scale.padded // (prod(kernel) * channels))
    each = graph.scale.outputs // groups
    outputs = groups * (1 if groups == channels and graph.chance() else graph.dim(min(most, each)))
    weights = graph.like((*kernel, channels // groups, outputs), x.element)
    result = (x.shape[0], *places, outputs)
    work = prod(result) * prod(kernel) * channels // groups
    if prod(result) <= graph.scale.results and graph.scale.allows(work):
        op = f"tsp_tensor.conv {names([x, weights])} {properties} groups {groups}"
        graph.define(op, [x, weights], result, sums(x.element))


def add_pool(graph: Graph) -> None:
    x = images(graph, (*DTYPES,))
    properties, kernel, places = window(graph, x)
    kind, result = graph.among(("max", "sum")), (x.shape[0], *places, x.shape[3])
    if prod(result) <= graph.scale.padded and graph.scale.allows(STEPS_OF_A_PRODUCT * prod(result) * prod(kernel)):
        op = f'tsp_tensor.pool "{kind}" {x.name} window {[*kernel]} {properties}'
        graph.define(op, [x], result, widened(graph, kind, x.element))


def add_avg_pool(graph: Graph) -> None:
    x, counted = images(graph, FLOATS), graph.chance()
    properties, kernel, places = window(graph, x, padded=counted)
    op, result = f"tsp_tensor.avg_pool {x.name} window {[*kernel]} {properties}", (x.shape[0], *places, x.shape[3])
    if prod(result) <= graph.scale.padded and graph.scale.allows(STEPS_OF_A_PRODUCT * prod(result) * prod(kernel)):
        graph.define(f"{op} count_padding" if counted else op, [x], result, x.element)


def widened(graph: Graph, kind: str, element: str) -> str:
    return "i32" if kind == "sum" and element in ("i8", "i16") and graph.chance() else element


def add_reduce(graph: Graph) -> None:
    x = graph.value((*DTYPES,), low=1)
    axes = sorted({graph.number(0, x.rank - 1) for _ in range(graph.number(1, 3))})
    kind, keep = graph.among(("sum", "max", "min")), graph.chance()
    shape = [1 if d in axes else n for d, n in enumerate(x.shape) if keep or d not in axes]
    graph.define(f'tsp_tensor.reduce "{kind}" {x.name} axes {axes}', [x], shape, widened(graph, kind, x.element))


def add_transpose(graph: Graph) -> None:
    x = graph.value((*DTYPES,), low=1)
    order = [int(d) for d in graph.rng.permutation(x.rank)]
    graph.define(f"tsp_tensor.transpose {x.name} permutation {order}", [x], [x.shape[d] for d in order], x.element)


def add_reshape(graph: Graph) -> None:
    """Dimensions that lie side by side are joined, and one is split; ones come and go."""
    x = graph.value((*DTYPES,))
    shape = [*x.shape]
    for _ in range(graph.number(1, 3)):
        at = graph.number(0, len(shape))
        if len(shape) >= 2 and graph.chance(0.4):
            at = graph.number(0, len(shape) - 2)
            shape[at : at + 2] = [shape[at] * shape[at + 1]]
        elif shape and len(shape) < 4 and graph.chance(0.7):
            at = graph.number(0, len(shape) - 1)
            part = graph.among([d for d in range(1, shape[at] + 1) if shape[at] % d == 0])
            shape[at : at + 1] = [part, shape[at] // part]
        elif len(shape) < 4:
            shape.insert(at, 1)
    graph.define(f"tsp_tensor.reshape {x.name}", [x], shape, x.element)


def add_slice(graph: Graph) -> None:
    x = graph.value((*DTYPES,), low=1)
    offsets, sizes, strides = [0] * x.rank, [*x.shape], [1] * x.rank
    for d in {graph.number(0, x.rank - 1) for _ in range(2)}:
        offsets[d], strides[d] = graph.number(0, x.shape[d] - 1), graph.number(1, 3)
        sizes[d] = graph.number(1, (x.shape[d] - offsets[d] - 1) // strides[d] + 1)
    graph.define(f"tsp_tensor.slice {x.name} {offsets} {sizes} {strides}", [x], sizes, x.element)


def add_concat(graph: Graph) -> None:
    x = graph.value((*DTYPES,), low=1)
    dim, pieces = graph.number(0, x.rank - 1), [x]
    for _ in range(graph.number(0, 2)):
        size = graph.among((1, x.shape[dim], graph.dim(graph.scale.elements // x.shape[dim])))
        if prod(x.shape) // x.shape[dim] * size <= graph.scale.elements:
            pieces.append(graph.like((*x.shape[:dim], size, *x.shape[dim + 1 :]), x.element))
    pieces = [pieces[i] for i in graph.rng.permutation(len(pieces))]
    shape = (*x.shape[:dim], sum(v.shape[dim] for v in pieces), *x.shape[dim + 1 :])
    graph.define(f"tsp_tensor.concat dim({dim}) {names(pieces)}", pieces, shape, x.element, "()")


def add_pad(graph: Graph) -> None:
    x = graph.value((*DTYPES,), low=1)
    low, high = ([graph.among((0, 0, 0, 1, 1, 2, 3, 20)) for _ in x.shape] for _ in range(2))
    shape = [a + d + b for a, d, b in zip(low, x.shape, high, strict=True)]
    if prod(shape) > graph.scale.padded:
        return
    value = "-3" if x.element in INTEGERS else "1.5"
    value = ("0" if x.element in INTEGERS else "0.0") if graph.chance() else value
    graph.define(f"tsp_tensor.pad {x.name} low {low} high {high} value {value} : {x.element}", [x], shape, x.element)


def add_softmax(graph: Graph) -> None:
    x = graph.value(FLOATS, low=1)
    graph.define(f"tsp_tensor.softmax dim({graph.number(0, x.rank - 1)}) {x.name}", [x], x.shape, x.element, ":")


def add_layer_norm(graph: Graph) -> None:
    x = graph.value(FLOATS, low=1)
    rows = [graph.like(x.shape[-1:], graph.among(FLOATS)) for _ in range(2)]
    op = f"tsp_tensor.layer_norm {names([x, *rows])} epsilon 1.0e-05"
    graph.define(op, [x, *rows], x.shape, x.element, ":")


def add_rms_norm(graph: Graph) -> None:
    x = graph.value(FLOATS, low=1)
    scale = graph.like(x.shape[-1:], graph.among(FLOATS))
    graph.define(f"tsp_tensor.rms_norm {names([x, scale])} epsilon 1.0e-05", [x, scale], x.shape, x.element, ":")


def elementwise(op: str) -> Callable[[Graph], None]:
    def add(graph: Graph) -> None:
        x = graph.value(FLOATS)
        graph.define(f"tsp_tensor.{op} {x.name}", [x], x.shape, x.element, ":")

    return add


def add_rope(graph: Graph) -> None:
    x = graph.value(FLOATS, low=1)
    if x.shape[-1] % 2:
        x = graph.place((*x.shape[:-1], x.shape[-1] + 1), x.element)
    half = (*x.shape[:-1], x.shape[-1] // 2)
    first = graph.number(0, x.rank - 1)
    tables = [graph.like(half[first:], graph.among(FLOATS)) for _ in range(2)]
    flag = " {interleaved}" if graph.chance() else ""
    graph.define(f"tsp_tensor.rope {names([x, *tables])}{flag}", [x, *tables], x.shape, x.element, ":")


def add_attention(graph: Graph) -> None:
    query = graph.value(("f16",), low=2)
    *batch, rows, inner = query.shape
    if prod(batch) > MOST_MATRICES:
        return
    most = max(1, graph.scale.elements // prod((*batch, max(rows, inner))))
    shared = () if graph.chance(0.3) else tuple(batch)
    keys, columns = graph.dim(most), graph.dim(most)
    if not graph.scale.allows(prod((*batch, rows, keys, inner + columns))):
        return
    key, value = graph.like((*shared, keys, inner), "f16"), graph.like((*shared, keys, columns), "f16")
    operands, mask = [query, key, value], ""
    if graph.chance():
        shape = (*batch, rows, keys)
        operands.append(graph.like(shape[graph.number(0, len(shape) - 1) :], graph.among(FLOATS)))
        mask = f" mask {operands[-1].name} : {operands[-1].type}"
    op = f"tsp_tensor.attention {names(operands[:3])}{mask} scale 0.125"
    graph.define(op, operands[:3], (*batch, rows, columns), graph.among(FLOATS))


def indices(graph: Graph, shape: Shape, rows: int) -> Value:
    """Numbers of rows, now and then one that there is not."""
    numbers = graph.rng.integers(0, rows, shape)
    return graph.placed(
        np.where(graph.rng.random(shape) < 0.1, graph.rng.integers(-9, 999, shape), numbers).astype("i4")
    )


def add_gather(graph: Graph) -> None:
    table = graph.value((*DTYPES,), low=1)
    most = max(1, graph.scale.elements * table.shape[0] // prod(table.shape))
    at = indices(graph, graph.among(((), (graph.dim(most),), (1, graph.dim(most)))), table.shape[0])
    graph.define(f"tsp_tensor.gather {names([table, at])}", [table, at], (*at.shape, *table.shape[1:]), table.element)


def add_scatter(graph: Graph) -> None:
    table = graph.value((*DTYPES,), low=1)
    most = max(1, graph.scale.elements * table.shape[0] // prod(table.shape))
    at = indices(graph, graph.among(((), (graph.dim(most),))), table.shape[0])
    operands = [table, at, graph.like((*at.shape, *table.shape[1:]), table.element)]
    graph.define(f"tsp_tensor.scatter {names(operands)}", operands, table.shape, table.element)


OPS: dict[str, Callable[[Graph], None]] = {
    "map": add_map,
    "matmul": add_matmul,
    "conv": add_conv,
    "pool": add_pool,
    "avg_pool": add_avg_pool,
    "reduce": add_reduce,
    "transpose": add_transpose,
    "reshape": add_reshape,
    "slice": add_slice,
    "concat": add_concat,
    "pad": add_pad,
    "softmax": add_softmax,
    "layer_norm": add_layer_norm,
    "rms_norm": add_rms_norm,
    "gelu": elementwise('gelu "erf"'),
    "gelu tanh": elementwise('gelu "tanh"'),
    "silu": elementwise("silu"),
    "sigmoid": elementwise("sigmoid"),
    "rope": add_rope,
    "attention": add_attention,
    "gather": add_gather,
    "scatter": add_scatter,
}
"""What a step may be. Every op of the dialect is one, but for parameters and constants, which operands are."""

STEPS = [*OPS]


def random_graph(seed: int, scale: Scale = SMALL) -> Graph:
    """The graph of a seed, which takes the steps in turn as the first, so that a run of seeds has all of them."""
    rng = np.random.default_rng(seed)
    graph = Graph(rng, scale, wild=bool(rng.random() < scale.wild), naming=np.random.default_rng([seed, 1]))
    steps = [STEPS[seed % len(STEPS)], *(graph.among(STEPS) for _ in range(graph.among(scale.more)))]
    for step in steps:
        OPS[step](graph)
    others = [v for v in graph.values if graph.chance(0.1)]
    graph.results = [graph.values[-1], *others[:2]]
    return graph
