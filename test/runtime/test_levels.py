"""Every level computes the same bits: random small modules, after every stage, on every engine, against plain numpy.

The numpy here is written once more and shares nothing with the project: `scalar operations` below is the whole
arithmetic of an ALU, and a module is evaluated while its text is being written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import ENGINES, ISA_STAGES, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tspc.dialects.machine.target import ChipSpec, SystemSpec, load_toml
from tspc.dialects.regions import REGION_OPS
from tspc.dialects.target_attr import TargetAttr
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.levels import run_module
from xdsl.dialects.arith import CMPF_COMPARISON_OPERATIONS, CMPI_COMPARISON_OPERATIONS
from xdsl.dialects.builtin import ModuleOp

Array = npt.NDArray[Any]

# -- scalar operations ---------------------------------------------------------------------------------------------

DTYPES: dict[str, np.dtype[Any]] = {
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
}
INTEGERS = ("i8", "i16", "i32")
FLOATS = ("f16", "f32")
NAN = {2: np.uint16(0x7E00).view(np.float16), 4: np.uint32(0x7FC00000).view(np.float32)}


def exact(a: Array) -> Array:
    """Numbers in a type in which sums, differences and products of two are exact or rounded only once."""
    return a.astype(np.int64 if a.dtype.kind == "i" else np.float64)


def narrowed(wide: Array, dtype: np.dtype[Any]) -> Array:
    """Integers by their low bits; floats rounded to nearest even, with the one NaN that arithmetic gives."""
    with np.errstate(all="ignore"):
        result = wide.astype(dtype)
    return np.where(np.isnan(result), NAN[dtype.itemsize], result) if dtype.kind == "f" else result


def arithmetic(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def apply(a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return narrowed(function(exact(a), exact(b)), a.dtype)

    return apply


def order(a: Array) -> Array:
    """Integers that are ordered as the values are, -0 before +0."""
    if a.dtype.kind == "i":
        return a.astype(np.int64)
    bits = a.view(f"i{a.dtype.itemsize}").astype(np.int64)
    return np.where(bits < 0, -(bits & ((1 << (8 * a.dtype.itemsize - 1)) - 1)) - 1, bits)


def chosen(better: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def apply(a: Array, b: Array) -> Array:
        result = np.where(better(order(a), order(b)), a, b)
        return np.where(np.isnan(a) | np.isnan(b), NAN[a.dtype.itemsize], result) if a.dtype.kind == "f" else result

    return apply


def round_half_even(a: Array) -> Array:
    """Floats to the nearest integral value, halves to the even one, the sign kept."""
    with np.errstate(all="ignore"):
        magnitude = np.abs(a.astype(np.float64))
        below = np.floor(magnitude)
        rest = magnitude - below
        up = (rest > 0.5) | ((rest == 0.5) & (below % 2 == 1))
        return narrowed(np.copysign(below + up, a), a.dtype)


def toward_zero(a: Array) -> Array:
    with np.errstate(all="ignore"):
        return narrowed(np.copysign(np.floor(np.abs(a.astype(np.float64))), a), a.dtype)


def to_integer(a: Array, dtype: np.dtype[Any]) -> Array:
    """Floats toward zero, saturated, NaN to 0."""
    limits = np.iinfo(dtype)
    whole = np.where(np.isnan(a), 0, toward_zero(a)).astype(np.float64)
    return np.minimum(np.maximum(whole, limits.min), limits.max).astype(dtype)


def bits_of(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda a, b: function(a, b).astype(a.dtype)


def shifted(function: Callable[[int, int, int], int], signed: bool) -> Callable[[Array, Array], Array]:
    """A shift by an unsigned number, on Python's integers, in the width of the type."""

    def one(a: int, b: int, width: int) -> int:
        value = a if signed else a % (1 << width)
        result = function(value, b % (1 << width), width) % (1 << width)
        return result - (1 << width) if result >> (width - 1) else result

    def apply(a: Array, b: Array) -> Array:
        x, y = np.broadcast_arrays(a, b)
        numbers = [one(int(i), int(j), 8 * a.dtype.itemsize) for i, j in zip(x.flat, y.flat, strict=True)]
        return np.array(numbers, a.dtype).reshape(x.shape)

    return apply


def correctly_rounded(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function in the widest float that numpy has, rounded once."""

    def apply(a: Array) -> Array:
        with np.errstate(all="ignore"):
            return narrowed(function(a.astype(np.longdouble)), a.dtype)

    return apply


BINARY: dict[str, tuple[tuple[str, ...], Callable[[Array, Array], Array]]] = {
    "arith.addi": (INTEGERS, arithmetic(lambda a, b: a + b)),
    "arith.subi": (INTEGERS, arithmetic(lambda a, b: a - b)),
    "arith.muli": (INTEGERS, arithmetic(lambda a, b: a * b)),
    "arith.maxsi": (INTEGERS, chosen(lambda a, b: a > b)),
    "arith.minsi": (INTEGERS, chosen(lambda a, b: a < b)),
    "arith.andi": (("i1", *INTEGERS), bits_of(lambda a, b: a & b)),
    "arith.ori": (("i1", *INTEGERS), bits_of(lambda a, b: a | b)),
    "arith.xori": (("i1", *INTEGERS), bits_of(lambda a, b: a ^ b)),
    "arith.shli": (INTEGERS, shifted(lambda a, n, width: a << min(n, width), signed=False)),
    "arith.shrsi": (INTEGERS, shifted(lambda a, n, width: a >> min(n, width), signed=True)),
    "arith.shrui": (INTEGERS, shifted(lambda a, n, width: a >> min(n, width), signed=False)),
    "arith.addf": (FLOATS, arithmetic(lambda a, b: a + b)),
    "arith.subf": (FLOATS, arithmetic(lambda a, b: a - b)),
    "arith.mulf": (FLOATS, arithmetic(lambda a, b: a * b)),
    "arith.maximumf": (FLOATS, chosen(lambda a, b: a > b)),
    "arith.minimumf": (FLOATS, chosen(lambda a, b: a < b)),
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "math.roundeven": round_half_even,
    "math.trunc": toward_zero,
    "math.exp": correctly_rounded(np.exp),
    "math.log": correctly_rounded(np.log),
    "math.tanh": correctly_rounded(np.tanh),
    "math.rsqrt": correctly_rounded(lambda a: 1 / np.sqrt(a)),
}
CONVERSIONS: dict[str, tuple[Sequence[tuple[str, str]], Callable[[Array, np.dtype[Any]], Array]]] = {
    "arith.extsi": ((("i8", "i16"), ("i8", "i32"), ("i16", "i32")), lambda a, to: a.astype(to)),
    "arith.extui": (
        (("i1", "i8"), ("i1", "i16"), ("i1", "i32"), ("i8", "i16"), ("i8", "i32"), ("i16", "i32")),
        lambda a, to: (a.astype(np.int64) % (1 << 8 * a.dtype.itemsize)).astype(to),
    ),
    "arith.trunci": ((("i16", "i8"), ("i32", "i8"), ("i32", "i16")), narrowed),
    "arith.sitofp": ([(i, f) for i in INTEGERS for f in FLOATS], narrowed),
    "arith.fptosi": ([(f, i) for i in INTEGERS for f in FLOATS], to_integer),
    "arith.extf": ((("f16", "f32"),), narrowed),
    "arith.truncf": ((("f32", "f16"),), narrowed),
}
INTEGER_PREDICATES: dict[str, Callable[[Array, Array], Array]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
}
FLOAT_PREDICATES: dict[str, Callable[[Array, Array], Array]] = {
    "eq": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "ne": lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b),
}
OTHER = {"arith.constant", "arith.cmpi", "arith.cmpf", "arith.select"}


def compared_integers(predicate: str, a: Array, b: Array) -> Array:
    if predicate[0] == "u":
        wide = [v.astype(np.int64) % (1 << 8 * v.dtype.itemsize) for v in (a, b)]
        return INTEGER_PREDICATES["s" + predicate[1:]](*wide)
    return INTEGER_PREDICATES[predicate](a.astype(np.int64), b.astype(np.int64))


def compared_floats(predicate: str, a: Array, b: Array) -> Array:
    """Ordered predicates are false where either is NaN, unordered ones true."""
    nan = np.isnan(a) | np.isnan(b)
    match predicate:
        case "true" | "false":
            return np.full(nan.shape, predicate == "true")
        case "ord" | "uno":
            return nan == (predicate == "uno")
        case "one":
            return FLOAT_PREDICATES["ne"](a, b)
        case _:
            return FLOAT_PREDICATES[predicate[1:]](a, b) | (nan & (predicate[0] == "u"))


def test_the_arithmetic_here_covers_every_scalar_op() -> None:
    assert {op.name for op in REGION_OPS} == {*BINARY, *UNARY, *CONVERSIONS, *OTHER}


# -- regions -------------------------------------------------------------------------------------------------------


@dataclass
class Region:
    """The body of a map, written and evaluated at once."""

    values: list[tuple[str, str, Array]]
    """Name, type and value of what is there to use."""
    lines: list[str] = field(default_factory=list[str])

    def of(self, *types: str) -> list[tuple[str, str, Array]]:
        return [v for v in self.values if v[1] in types]

    def add(self, text: str, type_: str, value: Array) -> None:
        name = f"%r{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.values.append((name, type_, value))


BITS = st.integers(0, 2**32 - 1) | st.sampled_from(
    (0, 0x80000000, 0x3F000000, 0xBFC00000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 1, 0x4F000000, 0x42FE8000)
)
"""Patterns of an f32, or of an integer in their low bits: all sorts, and those near the edges more often."""


def scalar(bits: int, type_: str) -> Array:
    """A pattern as a value. Signalling NaNs are made quiet, as MLIR text cannot keep them apart; those of f16 are the
    canonical one."""
    if type_ == "i1":
        return np.array(bool(bits & 1))
    if type_ == "f16":
        value = np.array(bits >> 16, np.uint16).view(np.float16)
        return np.where(np.isnan(value), NAN[2], value)
    if type_ == "f32":
        quiet = bits | 0x400000 if bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF else bits
        return np.array(quiet, np.uint32).view(np.float32)
    return np.array(bits, np.uint32).view(np.int32).astype(DTYPES[type_])


def literal(value: Array) -> str:
    """A scalar as MLIR writes it."""
    match value.dtype.kind, value.dtype.itemsize:
        case "f", 2:
            return f"0x{int(value.view(np.uint16)):04X}"
        case "f", _:
            return f"0x{int(value.view(np.uint32)):08X}"
        case "b", _:
            return str(bool(value)).lower()
        case _:
            return str(int(value))


def add_constant(draw: DrawFn, region: Region, type_: str | None = None) -> None:
    type_ = type_ or draw(st.sampled_from(("i1", *sorted(DTYPES))))
    value = scalar(draw(BITS), type_)
    region.add(f"arith.constant {literal(value)}{'' if type_ == 'i1' else f' : {type_}'}", type_, value)


def add_binary(draw: DrawFn, region: Region, name: str) -> None:
    types, function = BINARY[name]
    if operands := region.of(*types):
        a, type_, x = draw(st.sampled_from(operands))
        b, _, y = draw(st.sampled_from(region.of(type_)))
        region.add(f"{name} {a}, {b} : {type_}", type_, function(x, y))


def add_unary(draw: DrawFn, region: Region, name: str) -> None:
    if operands := region.of(*FLOATS):
        a, type_, x = draw(st.sampled_from(operands))
        region.add(f"{name} {a} : {type_}", type_, UNARY[name](x))


def add_conversion(draw: DrawFn, region: Region, name: str, to: str | None = None) -> None:
    pairs, function = CONVERSIONS[name]
    choices = [(v, b) for v in region.values for a, b in pairs if v[1] == a and to in (None, b)]
    if choices:
        (a, type_, x), b = draw(st.sampled_from(choices))
        region.add(f"{name} {a} : {type_} to {b}", b, function(x, DTYPES[b]))


def add_comparison(draw: DrawFn, region: Region, name: str) -> None:
    if operands := region.of(*(INTEGERS if name == "arith.cmpi" else FLOATS)):
        a, type_, x = draw(st.sampled_from(operands))
        b, _, y = draw(st.sampled_from(region.of(type_)))
        of_integers = name == "arith.cmpi"
        predicate = draw(st.sampled_from(CMPI_COMPARISON_OPERATIONS if of_integers else CMPF_COMPARISON_OPERATIONS))
        value = (compared_integers if of_integers else compared_floats)(predicate, x, y)
        region.add(f"{name} {predicate}, {a}, {b} : {type_}", "i1", value)


def add_select(draw: DrawFn, region: Region, name: str) -> None:
    if masks := region.of("i1"):
        mask, _, m = draw(st.sampled_from(masks))
        a, type_, x = draw(st.sampled_from(region.values))
        b, _, y = draw(st.sampled_from(region.of(type_)))
        region.add(f"{name} {mask}, {a}, {b} : {type_}", type_, np.where(m, x, y))


STEPS: dict[str, Callable[[DrawFn, Region, str], None]] = {
    "arith.constant": lambda draw, region, name: add_constant(draw, region),
    **dict.fromkeys(BINARY, add_binary),
    **dict.fromkeys(UNARY, add_unary),
    **dict.fromkeys(CONVERSIONS, add_conversion),
    **dict.fromkeys(("arith.cmpi", "arith.cmpf"), add_comparison),
    "arith.select": add_select,
}


@st.composite
def regions(draw: DrawFn, arguments: Sequence[tuple[str, Array]], result: str | None) -> tuple[str, str, Array]:
    """A region on arguments of these types and values, its type (`result` where that is given), and its value."""
    region = Region([(f"%a{i}", type_, value) for i, (type_, value) in enumerate(arguments)])
    for name in draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6)):
        STEPS[name](draw, region, name)
    if result is not None and not region.of(result):
        for name in CONVERSIONS:
            add_conversion(draw, region, name, result)
    if not region.of(*([result] if result else DTYPES)):
        add_constant(draw, region, result)
    name, type_, value = region.of(*([result] if result else DTYPES))[-1]
    block = ", ".join(f"%a{i}: {t}" for i, (t, _) in enumerate(arguments))
    lines = [f"^bb0({block}):", *region.lines, f"tsp_tensor.yield {name} : {type_}"]
    return "\n".join(lines), type_, value


# -- modules -------------------------------------------------------------------------------------------------------

SIZES = (1, 15, 16, 17, 64, 319, 320, 321, 322, 640)
"""Columns around the width of a superlane, of a vector, and of two."""


def tensor(value: Array) -> str:
    element = next(name for name, dtype in DTYPES.items() if dtype == value.dtype)
    return f"tensor<{''.join(f'{d}x' for d in value.shape)}{element}>"


@dataclass
class Model:
    """A module's text, its inputs, and the outputs that numpy gives."""

    arguments: list[tuple[str, Array]] = field(default_factory=list[tuple[str, Array]])
    parameters: dict[str, Array] = field(default_factory=dict[str, Array])
    lines: list[str] = field(default_factory=list[str])
    values: list[tuple[str, Array]] = field(default_factory=list[tuple[str, Array]])
    results: list[tuple[str, Array]] = field(default_factory=list[tuple[str, Array]])
    fixed: set[str] = field(default_factory=set[str])
    """The values that the host places, as against those that are computed."""
    printed_after: str = ""
    """The stage after which the module is printed and parsed again, as if handed on by file."""

    @property
    def text(self) -> str:
        arguments = ", ".join(f'{n}: {tensor(v)} {{tsp_tensor.name = "{n[1:]}"}}' for n, v in self.arguments)
        types = ", ".join(tensor(v) for _, v in self.results)
        returned = f"func.return {', '.join(n for n, _ in self.results)} : {types}"
        return "\n".join([f"func.func @main({arguments}) -> ({types}) {{", *self.lines, returned, "}"])

    @property
    def inputs(self) -> dict[str, Array]:
        return {name[1:]: value for name, value in self.arguments}

    @property
    def outputs(self) -> dict[str, Array]:
        return {f"result{i}": value for i, (_, value) in enumerate(self.results)}

    def compute(self, text: str, value: Array) -> None:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text} -> {tensor(value)}")
        self.values.append((name, value))

    def place(self, draw: DrawFn, shape: tuple[int, ...], type_: str) -> tuple[str, Array]:
        """A new input, parameter or constant of random elements."""
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        value = random_tensor(rng, shape, type_)
        name = f"%p{len(self.fixed)}"
        match draw(st.sampled_from(("input", "parameter", "constant"))):
            case "parameter":
                self.parameters[name[1:]] = value
                self.lines.append(f'{name} = tsp_tensor.parameter "{name[1:]}" : {tensor(value)}')
            case "constant" if value.size <= 1000:
                raw = np.ascontiguousarray(value).tobytes().hex().upper()
                self.lines.append(f'{name} = tsp_tensor.constant dense<"0x{raw}"> : {tensor(value)}')
            case _:
                self.arguments.append((name, value))
        self.fixed.add(name)
        return name, value


def random_tensor(rng: np.random.Generator, shape: tuple[int, ...], type_: str) -> Array:
    """All bit patterns; half of the f32 are numbers of ordinary size, signalling NaNs are made quiet, those of f16
    canonical."""
    bits = rng.integers(0, 2**32, shape, np.uint32)
    if type_ == "f16":
        half = bits.astype(np.uint16).view(np.float16)
        return np.where(np.isnan(half), NAN[2], half)
    if type_ != "f32":
        return bits.view(np.int32).astype(DTYPES[type_])
    ordinary = np.rint(rng.normal(0, 100, shape) * 2).astype(np.float32) / 2
    wild = np.where(np.isnan(bits.view(np.float32)), bits | np.uint32(0x400000), bits).view(np.float32)
    return np.where(rng.integers(0, 2, shape, bool), ordinary, wild)


def chip_attribute(draw: DrawFn, chips: int) -> str:
    """On which of several chips an op happens, or nothing."""
    chip = draw(st.integers(-1, chips - 1)) if chips > 1 else -1
    return "" if chip < 0 else f" {{c2c.chip = {chip} : i64}}"


def add_matmul(draw: DrawFn, model: Model, chips: int) -> None:
    left = [v for v in model.values if v[1].dtype == np.int8 and v[1].ndim == 2]
    if not left:
        return
    a, x = draw(st.sampled_from(left))
    b, y = model.place(draw, (x.shape[1], draw(st.sampled_from((x.shape[1], *SIZES)))), "i8")
    product = (x.astype(np.int64) @ y.astype(np.int64)).astype(np.int32)
    chip = chip_attribute(draw, chips)
    model.compute(f"tsp_tensor.matmul {a}, {b}{chip} : {tensor(x)}, {tensor(y)}", product)


def add_map(draw: DrawFn, model: Model, chips: int) -> None:
    """A map of values of one shape and of operands that broadcast to it, some of them the same value twice."""
    _, first = draw(st.sampled_from(model.values))
    operands = [draw(st.sampled_from([v for v in model.values if v[1].shape == first.shape]))]
    for _ in range(draw(st.integers(0, 2))):
        rank = draw(st.integers(1, first.ndim))
        tail = first.shape[first.ndim - rank :]
        shape = (*(draw(st.sampled_from((1, d))) for d in tail[:-1]), tail[-1])
        same = [v for v in model.values if v[1].shape == shape]
        if same and draw(st.booleans()):
            operands.append(draw(st.sampled_from(same)))
        else:
            operands.append(model.place(draw, shape, draw(st.sampled_from(sorted(DTYPES)))))
    operands = draw(st.permutations(operands))
    names = {dtype: name for name, dtype in DTYPES.items()}
    arguments = [(names[v.dtype], v) for _, v in operands]
    body, type_, value = draw(regions(arguments, draw(st.sampled_from(("i8", None)))))
    value = np.ascontiguousarray(np.broadcast_to(value, first.shape)).astype(DTYPES[type_])
    text = f"tsp_tensor.map {', '.join(n for n, _ in operands)} : ({', '.join(tensor(v) for _, v in operands)})"
    model.compute(text, value)
    model.lines[-1] += f" {{\n{body}\n}}{chip_attribute(draw, chips)}"


def add_reshape(draw: DrawFn, model: Model, chips: int) -> None:
    """What the host places takes any shape; what is computed keeps its last dimension."""
    name, value = draw(st.sampled_from(model.values))
    rows, columns = int(np.prod(value.shape[:-1])), value.shape[-1]
    split = draw(st.sampled_from([d for d in range(1, rows + 1) if rows % d == 0]))
    shapes: list[tuple[int, ...]] = [(rows, columns), (split, rows // split, columns), (1, rows, 1, columns)]
    if name in model.fixed:
        shapes += [(columns, rows), (rows * columns,)]
    shape = draw(st.sampled_from(shapes))
    model.compute(f"tsp_tensor.reshape {name} : {tensor(value)}", value.reshape(shape))
    if name in model.fixed:
        model.fixed.add(model.values[-1][0])


@st.composite
def models(draw: DrawFn, chips: int = 1, batch: int = 40) -> Model:
    """Up to five ops on a few inputs, and one to three outputs of what is there."""
    model = Model()
    rows = draw(st.integers(1, batch))
    for _ in range(draw(st.integers(1, 2))):
        shape = (rows, draw(st.sampled_from(SIZES)))
        model.values.append(model.place(draw, shape, draw(st.sampled_from(("i8", "i8", "i32", "f32", "i16")))))
    for _ in range(draw(st.integers(2, 6))):
        step = draw(st.sampled_from((add_matmul, add_matmul, add_map, add_map, add_map, add_reshape)))
        step(draw, model, chips)
    model.printed_after = draw(st.sampled_from([*STAGES]))
    others = draw(st.lists(st.sampled_from(model.values), max_size=2))
    model.results = [model.values[-1], *others]
    return model


# -- the tests -----------------------------------------------------------------------------------------------------


def check(model: Model, system: SystemSpec) -> None:
    """Runs a module after every stage, from the isa level on with every engine."""
    module = parse(model.text)
    module.attributes["tsp_isa.target"] = TargetAttr(system)
    assert same_bits(run_module(module, model.inputs, model.parameters).outputs, model.outputs)
    for stage, factory in STAGES.items():
        factory()().apply(make_context(), module)
        if stage == model.printed_after:
            module = read_again(module)
        for name in ENGINES if stage in ISA_STAGES else ("none",):
            engine = ENGINES[name]() if name in ENGINES else None
            outputs = run_module(module, model.inputs, model.parameters, engine).outputs
            assert same_bits(outputs, model.outputs), f"{stage}, engine {name}"


def read_again(module: ModuleOp) -> ModuleOp:
    """A module as the next tool would find it in a file."""
    text = str(module)
    again = parse(text)
    assert str(again) == text
    return again


CHECKS = settings(
    deadline=None, derandomize=True, print_blob=False, suppress_health_check=[*HealthCheck], max_examples=120
)


@CHECKS
@given(models())
def test_levels_agree_on_random_modules(model: Model) -> None:
    check(model, SystemSpec())


LATENCIES = {
    name: value for name, value in vars(ChipSpec()).items() if name.startswith("latency_") or name == "barrier"
}

SPECS = {
    "half the streams": "[chip]\nstreams = 16",
    "two planes": "[chip]\nplanes = 2",
    "one slice per hop": "[chip]\nslices_per_hop = 1",
    "ten tiles": "[chip]\ntiles = 10",
    "few accumulators": "[chip]\naccumulators = 3",
    "doubled latencies": "[chip]\n" + "\n".join(f"{name} = {2 * value}" for name, value in LATENCIES.items()),
    "late writes": "[chip]\nlatency_write = 9",
}


@pytest.mark.parametrize("toml", SPECS.values(), ids=SPECS.keys())
def test_levels_agree_on_other_machines(toml: str) -> None:
    system = load_toml(toml)

    @settings(CHECKS, max_examples=12)
    @given(models())
    def agree(model: Model) -> None:
        check(model, system)

    agree()


def test_levels_agree_on_two_chips() -> None:
    @settings(CHECKS, max_examples=20)
    @given(models(chips=2, batch=8))
    def agree(model: Model) -> None:
        check(model, SystemSpec(chips=2))

    agree()
