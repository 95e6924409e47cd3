"""Products of one and of several passes at the stream level: the stream interpreter and every engine against numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import ENGINES, ISA_STAGES, same_bits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tspc.dialects.machine.layout import weights
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.placement import layout_text
from tspc.dialects.target_attr import TargetAttr
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.levels import run_module

Array = npt.NDArray[Any]

CHIP = ChipSpec(tiles=4, lanes_per_tile=4, weight_streams=4, streams=32, slices=44)
"""16 lanes: a plane holds 16 x 16 weights, which come in 4 groups of 4 rows."""


@dataclass(frozen=True)
class Product:
    """rows x (passes * k), by (passes * k) x n, on a plane; half says fp16."""

    rows: int
    passes: int
    k: int
    n: int
    plane: int
    half: bool = False

    @property
    def groups(self) -> int:
        return -(-self.k // CHIP.weight_streams)

    @property
    def period(self) -> int:
        """Cycles from a pass to the next: for its vectors, and to load and install the next weights."""
        size = 2 if self.half else 1
        return max(self.rows * size, self.groups * size + 2)


def text_of(products: Sequence[Product]) -> str:
    """Each product of inputs x<i> and w<i> is the output y<i>."""
    lanes, streams = CHIP.lanes, CHIP.weight_streams
    lines: list[str] = []
    for i, p in enumerate(products):
        size, of, to = (2, "f16", "f32") if p.half else (1, "i8", "i32")
        depth = p.passes * p.k
        k = p.groups * streams
        x = f"!tsp_stream.buffer<{p.rows}x{p.passes}x{p.k}x{of}, words [{p.passes} of d1, {p.rows} of d0], "
        x += f"side [{size} of b], lanes [{p.k} of d2]>"
        w = f"!tsp_stream.buffer<{p.passes}x{p.k}x{p.n}x{of}, "
        w += layout_text(weights((p.passes,), p.k, p.n, size, lanes, streams)) + ">"
        y = f"!tsp_stream.buffer<{p.rows}x{p.n}x{to}, words [{p.rows} of d0], side [4 of b], lanes [{p.n} of d1]>"
        loads = p.passes * size * p.groups
        rows, xs = (
            f"!tsp_stream.stream<{loads}x{streams}x{lanes}xi8>",
            f"!tsp_stream.stream<{p.passes * p.rows}x{lanes}x{of}>",
        )
        ws, ys = f"!tsp_stream.weights<{p.passes}x{k}x{lanes}x{of}>", f"!tsp_stream.stream<{p.rows}x{lanes}x{to}>"
        lines += [
            f'%x{i} = tsp_stream.buffer "input" "x{i}" as tensor<{p.rows}x{depth}x{of}> : {x}',
            f'%w{i} = tsp_stream.buffer "input" "w{i}" as tensor<{depth}x{p.n}x{of}> : {w}',
            f'%y{i} = tsp_stream.buffer "output" "y{i}" : {y}',
            f"%a{i} = tsp_stream.read %w{i} words <0, {loads} step 1> cycles <0, {size * p.groups} step 1, "
            f"{p.passes} step {p.period}> : {w} -> {rows}",
            f"%b{i} = tsp_stream.load_weights %a{i} plane {p.plane} : {rows} -> {ws}",
            f"%c{i} = tsp_stream.read %x{i} words <0, {p.passes * p.rows} step 1> cycles <0, {p.rows} step {size}, "
            f"{p.passes} step {p.period}> : {x} -> {xs}",
            f"%d{i} = tsp_stream.matmul %c{i}, %b{i} plane {p.plane} : {xs}, {ws} -> {ys}",
            f"tsp_stream.write %d{i} to %y{i} words <0, {p.rows} step 1> : {ys}, {y}",
        ]
    target = f"tsp_isa.target = {TargetAttr(SystemSpec(chip=CHIP))}"
    body = "\n".join(lines)
    return f"builtin.module attributes {{{target}}} {{ func.func @main() {{\n{body}\nfunc.return\n}} }}"


def tensors_of(products: Sequence[Product], rng: np.random.Generator) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs, and the outputs by their definition: of fp16 each pass is summed in f64 and rounded once to f32, and the
    passes are added up in f32, in order."""
    inputs: dict[str, Array] = {}
    outputs: dict[str, Array] = {}
    for i, p in enumerate(products):
        shapes = (p.rows, p.passes * p.k), (p.passes * p.k, p.n)
        x, w = (rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes)
        if p.half:
            x, w = (rng.standard_normal(shape).astype(np.float16) for shape in shapes)
        inputs |= {f"x{i}": x, f"w{i}": w}
        sums = np.zeros((p.rows, p.n), np.float32 if p.half else np.int32)
        for k in range(0, p.passes * p.k, p.k):
            for row in range(p.rows):
                for column in range(p.n):
                    one = np.float64(0) if p.half else 0
                    for a, b in zip(x[row, k : k + p.k].tolist(), w[k : k + p.k, column].tolist(), strict=True):
                        one += a * b
                    sums[row, column] = (
                        np.float32(one) if not k and p.half else sums[row, column] + sums.dtype.type(one)
                    )
        outputs[f"y{i}"] = sums
    return inputs, outputs


def check(products: Sequence[Product], seed: int = 0) -> None:
    inputs, outputs = tensors_of(products, np.random.default_rng(seed))
    module = parse(text_of(products))
    assert same_bits(run_module(module, inputs, {}).outputs, outputs), "stream level"
    for stage, factory in STAGES.items():
        factory()().apply(make_context(), module)
        for name in ENGINES if stage in ISA_STAGES[-1:] else ():
            assert same_bits(run_module(module, inputs, {}, ENGINES[name]()).outputs, outputs), name


@pytest.mark.parametrize("half", [False, True], ids=["i8", "f16"])
@pytest.mark.parametrize(("rows", "passes"), [(1, 1), (20, 1), (1, 3), (3, 5), (30, 3)])
def test_a_product(rows: int, passes: int, half: bool) -> None:
    check([Product(rows, passes, 16, 10, 0, half)])


def test_weights_are_not_replaced_while_they_are_used() -> None:
    """The second product loads its first weights long before its activations: but not while the first still goes on,
    and its few groups do not come too early either."""
    check([Product(60, 1, 16, 16, 1), Product(2, 4, 16, 16, 1)])
    check([Product(2, 4, 16, 16, 1), Product(2, 4, 4, 16, 1)])
    check([Product(50, 1, 16, 16, 0, half=True), Product(2, 3, 4, 16, 0, half=True)])


@st.composite
def some(draw: st.DrawFn) -> Product:
    half = draw(st.booleans())
    rows, passes, k = draw(st.integers(1, 40)), draw(st.integers(1, 4)), draw(st.integers(1, 16))
    return Product(rows, passes, k, draw(st.integers(1, 16)), draw(st.sampled_from((0, 2) if half else range(4))), half)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(some(), min_size=2, max_size=3), st.integers(0, 2**32))
def test_products_one_after_the_other(products: list[Product], seed: int) -> None:
    check(products, seed)
