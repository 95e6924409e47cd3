"""Random small networks compiled for several machines: a program's results are those of the tensor level, bit for bit.

A network is a chain of the ops that compile today, each with a shape that need not fit tiles, groups or blocks.
Machines differ in what the compiler has to divide: planes, streams, tiles, words, latencies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, DrawFn
from machines import MACHINES
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

Array = npt.NDArray[Any]


@dataclass
class Network:
    """The text of a network while it is drawn."""

    lines: list[str] = field(default_factory=list[str])
    shape: tuple[int, ...] = ()
    """Of the last value, which is i8."""
    weights: dict[str, Array] = field(default_factory=dict[str, Array])
    last: str = "x"
    number: int = 0

    def parameter(self, rng: np.random.Generator, shape: tuple[int, ...], element: str) -> tuple[str, str]:
        name = f"p{len(self.weights)}"
        dtype = {"i8": np.int8, "i32": np.int32, "f32": np.float32}[element]
        if element == "f32":
            self.weights[name] = rng.uniform(-0.02, 0.02, shape).astype(dtype)
        else:
            self.weights[name] = rng.integers(-128, 128, shape).astype(dtype)
        type_ = text(shape, element)
        self.lines.append(f'%{name} = tsp_tensor.parameter "{name}" : {type_}')
        return f"%{name}", type_

    def requantise(self, rng: np.random.Generator, sums: str, shape: tuple[int, ...], other: str | None) -> None:
        """The map from i32 sums to i8, with a bias, a scale per column and perhaps another branch."""
        bias, bias_type = self.parameter(rng, shape[-1:], "i32")
        scale, scale_type = self.parameter(rng, shape[-1:], "f32")
        inputs, types, arguments = (
            [sums, bias, scale],
            [text(shape, "i32"), bias_type, scale_type],
            "%a: i32, %b: i32, %s: f32",
        )
        body = ["%0 = arith.addi %a, %b : i32", "%1 = arith.sitofp %0 : i32 to f32", "%2 = arith.mulf %1, %s : f32"]
        last = "%2"
        if other is not None:
            inputs.append(f"%{other}")
            types.append(text(shape, "i8"))
            arguments += ", %o: i8"
            body += ["%3 = arith.sitofp %o : i8 to f32", "%4 = arith.addf %2, %3 : f32"]
            last = "%4"
        body += [f"%5 = math.roundeven {last} : f32", "%6 = arith.fptosi %5 : f32 to i8", "tsp_tensor.yield %6 : i8"]
        self.define(f"tsp_tensor.map {', '.join(inputs)} : ({', '.join(types)}) -> {text(shape, 'i8')} {{", shape)
        self.lines += [f"^bb0({arguments}):", *body, "}"]

    def define(self, line: str, shape: tuple[int, ...]) -> None:
        self.number += 1
        self.last, self.shape = f"v{self.number}", shape
        self.lines.append(f"%{self.last} = {line}")


def text(shape: tuple[int, ...], element: str) -> str:
    return f"tensor<{'x'.join(map(str, (*shape, element)))}>"


@st.composite
def networks(draw: DrawFn, lanes: int) -> tuple[str, dict[str, Array], Array]:
    """A module, its weights and its input."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    columns = st.one_of(st.integers(1, 40), st.sampled_from([lanes - 1, lanes, lanes + 1, lanes + 33]))
    made = Network()
    start = (draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(columns))
    made.shape = start
    for _ in range(draw(st.integers(1, 3))):
        n, height, width, channels = made.shape
        kind = draw(st.sampled_from(["conv", "conv", "pool", "mean", "residual", "grouped"]))
        source, source_type = made.last, text(made.shape, "i8")
        if kind in ("conv", "grouped"):
            groups = channels if kind == "grouped" else 1
            outputs = channels if kind == "grouped" else draw(columns)
            kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
            pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
            strides = [draw(st.integers(1, 2)), draw(st.integers(1, 2))]
            size = [(d + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, d in enumerate((height, width))]
            if min(size) < 1:
                continue
            weights, type_ = made.parameter(rng, (*kernel, channels // groups, outputs), "i8")
            sums = (n, *size, outputs)
            made.lines.append(
                f"%s{made.number} = tsp_tensor.conv %{source}, {weights} strides {strides} pads {pads} groups {groups} "
                f": {source_type}, {type_} -> {text(sums, 'i32')}"
            )
            made.requantise(rng, f"%s{made.number}", sums, None)
        elif kind == "residual":
            weights, type_ = made.parameter(rng, (1, 1, channels, channels), "i8")
            made.lines.append(
                f"%s{made.number} = tsp_tensor.conv %{source}, {weights} : {source_type}, {type_} "
                f"-> {text(made.shape, 'i32')}"
            )
            made.requantise(rng, f"%s{made.number}", made.shape, source)
        elif kind == "pool":
            kernel = (min(height, draw(st.integers(1, 3))), min(width, draw(st.integers(1, 3))))
            pads = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
            strides = [draw(st.integers(1, 2)), draw(st.integers(1, 2))]
            size = [(d + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, d in enumerate((height, width))]
            shape = (n, *size, channels)
            made.define(
                f'tsp_tensor.pool "max" %{source} window {list(kernel)} strides {strides} pads {pads} : {source_type} '
                f"-> {text(shape, 'i8')}",
                shape,
            )
        else:
            sums = (n, 1, 1, channels)
            made.lines.append(
                f'%s{made.number} = tsp_tensor.pool "sum" %{source} window [{height}, {width}] : {source_type} '
                f"-> {text(sums, 'i32')}"
            )
            made.requantise(rng, f"%s{made.number}", sums, None)
    n, height, width, channels = made.shape
    rows = n * height * width
    made.define(
        f"tsp_tensor.reshape %{made.last} : {text(made.shape, 'i8')} -> {text((rows, channels), 'i8')}",
        (rows, channels),
    )
    outputs = draw(columns)
    weights, type_ = made.parameter(rng, (channels, outputs), "i8")
    made.lines.append(
        f"%y = tsp_tensor.matmul %{made.last}, {weights} : {text(made.shape, 'i8')}, {type_} "
        f"-> {text((rows, outputs), 'i32')}"
    )
    body = "\n".join(f"    {line}" for line in made.lines)
    module = f"""builtin.module {{
  func.func @main(%x: {text(start, "i8")} {{tsp_tensor.name = "x"}})
      -> ({text((rows, outputs), "i32")} {{tsp_tensor.name = "y"}}) {{
{body}
    func.return %y : {text((rows, outputs), "i32")}
  }}
}}
"""
    return module, made.weights, rng.integers(-128, 128, start).astype(np.int8)


@pytest.mark.parametrize("machine", MACHINES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_compiled_networks(machine: str, data: DataObject) -> None:
    chip = MACHINES[machine]
    source, weights, x = data.draw(networks(chip.lanes))
    module = parse(source)
    module.attributes[TARGET] = TargetAttr(SystemSpec(chip))
    expected = run_tensor(module, {"x": x}, weights)["y"]
    for factory in STAGES.values():
        factory()().apply(make_context(), module)
    got, _ = Loaded(executable_from_module(module, weights), JitEngine()).run({"x": x})
    assert np.array_equal(got["y"], expected)
