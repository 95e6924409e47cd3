"""Machines that differ from the published one in one number, and programs for them: small ones for the tests, and those
of bench/more_hardware.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.schedule.account import scheduled_length
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

Array = npt.NDArray[np.generic]

RESOURCES: dict[str, tuple[int, ...]] = {
    "planes": (2, 4, 8, 16),
    "streams": (32, 40, 64),
    "alus": (1, 4, 16, 32),
    "accumulators": (4, 256, 1024),
    "words": (1024, 8192, 16384),
}
"""Numbers that count units, ascending: more of them makes no program longer."""

OTHERS: dict[str, tuple[int, ...]] = {
    "slices": (24, 32, 64),
    "tiles": (10, 30),
    "weight_streams": (1, 8, 32),
    "lanes_per_tile": (8, 32),
    "slices_per_hop": (1, 44),
}
"""Numbers with which distances grow, or with which an instruction does something else: all compile."""

MORE: dict[str, tuple[int, ...]] = {
    "planes": (2, 4, 6, 8, 16, 32),
    "streams": (16, 20, 24, 28, 32, 36, 40, 48, 64, 128),
    "alus": (1, 2, 4, 6, 8, 12, 14, 16, 18, 20, 24, 32, 64),
    "accumulators": (1, 4, 16, 64, 128, 256, 512, 4096),
    "transposers": (1, 2, 3, 4, 8),
    "words": (512, 1024, 2048, 4096, 8192, 16384, 65536),
    "queue_bytes": (640, 1280, 2560, 5120),
    "distributors": (1, 4, 8),
    "banks": (1, 2, 4),
    "loop_levels": (1, 2, 3),
    "slices": (20, 24, 32, 40, 44, 48, 64, 88),
    "tiles": (1, 2, 5, 10, 16, 20, 24, 32, 64),
    "weight_streams": (1, 2, 4, 8, 10, 16, 20, 32),
    "lanes_per_tile": (4, 8, 16, 32),
    "slices_per_hop": (1, 2, 4, 8, 44),
}
"""More values, for bench/more_hardware.py."""


@dataclass(frozen=True)
class Program:
    """A program, its weights and its inputs."""

    text: str
    weights: dict[str, Array]
    inputs: dict[str, Array]

    def cycles(self, chip: ChipSpec) -> int:
        """The length of the program on a chip, which is not run."""
        module = parse(self.text)
        module.attributes[TARGET] = TargetAttr(SystemSpec(chip))
        return scheduled_length(compile(module, until="stream-schedule"))

    def run(self, chip: ChipSpec) -> int:
        """The same; raises AssertionError unless its outputs have the bits of the tensor level."""
        module = parse(self.text)
        expected = run_tensor(module, self.inputs, self.weights)
        module.attributes[TARGET] = TargetAttr(SystemSpec(chip))
        loaded = Loaded(executable_from_module(compile(module), self.weights), JitEngine(mode="bulk"))
        got, stats = loaded.run(self.inputs)
        for name, array in expected.items():
            assert got[name].tobytes() == array.tobytes(), name
        return max(stats.cycles)


def digits() -> Program:
    """The shipped example."""
    folder = Path(__file__).resolve().parents[1] / "examples" / "digits"
    weights = load_file(folder / "digits.safetensors")
    images = dict(np.load(folder / "held_out.npz"))["images"]
    return Program((folder / "digits.mlir").read_text(encoding="utf-8"), weights, {"images": images})


def attention(heads: int, tokens: int, head: int) -> Program:
    """Attention in f16."""
    t = f"tensor<{heads}x{tokens}x{head}xf16>"
    arguments = ", ".join(f'%{name}: {t} {{tsp_tensor.name = "{name}"}}' for name in "qkv")
    text = f"""func.func @main({arguments}) -> ({t} {{tsp_tensor.name = "y"}}) {{
      %y = tsp_tensor.attention %q, %k, %v scale 0.125 : {t}, {t}, {t} -> {t}
      func.return %y : {t}
    }}"""
    random = np.random.default_rng(0)
    return Program(text, {}, {n: random.normal(size=(heads, tokens, head)).astype(np.float16) for n in "qkv"})


def convolutions(side: int, channels: int) -> Program:
    """Two 3 x 3 convolutions of i8, the input added behind them."""
    x, w = f"tensor<1x{side}x{side}x{channels}xi8>", f"tensor<3x3x{channels}x{channels}xi8>"
    s = x.replace("i8", "i32")
    scale = """%c = arith.constant 1.0e-03 : f32
        %0 = arith.sitofp %a : i32 to f32
        %1 = arith.mulf %0, %c : f32"""
    text = f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({x} {{tsp_tensor.name = "y"}}) {{
      %w = tsp_tensor.parameter "w" : {w}
      %v = tsp_tensor.parameter "v" : {w}
      %s = tsp_tensor.conv %x, %w pads [1, 1, 1, 1] : {x}, {w} -> {s}
      %h = tsp_tensor.map %s : ({s}) -> {x} {{
      ^bb0(%a: i32):
        {scale}
        %2 = math.roundeven %1 : f32
        %3 = arith.fptosi %2 : f32 to i8
        tsp_tensor.yield %3 : i8
      }}
      %t = tsp_tensor.conv %h, %v pads [1, 1, 1, 1] : {x}, {w} -> {s}
      %y = tsp_tensor.map %t, %x : ({s}, {x}) -> {x} {{
      ^bb0(%a: i32, %r: i8):
        {scale}
        %q = arith.sitofp %r : i8 to f32
        %u = arith.addf %1, %q : f32
        %2 = math.roundeven %u : f32
        %3 = arith.fptosi %2 : f32 to i8
        tsp_tensor.yield %3 : i8
      }}
      func.return %y : {x}
    }}"""
    random = np.random.default_rng(1)
    shapes = {"x": (1, side, side, channels), "w": (3, 3, channels, channels), "v": (3, 3, channels, channels)}
    arrays = {name: random.integers(-128, 128, shape, dtype=np.int8) for name, shape in shapes.items()}
    return Program(text, {name: arrays[name] for name in "wv"}, {"x": arrays["x"]})


def maps(rows: int, columns: int) -> Program:
    """A chain of maps: a GELU, a softmax, a sum and a product, in f32."""
    x = f"tensor<{rows}x{columns}xf32>"
    text = f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}, %b: {x} {{tsp_tensor.name = "b"}})
        -> ({x} {{tsp_tensor.name = "y"}}) {{
      %g = tsp_tensor.gelu "tanh" %x : {x}
      %s = tsp_tensor.softmax dim(1) %g : {x}
      %y = tsp_tensor.map %s, %b : ({x}, {x}) -> {x} {{
      ^bb0(%a: f32, %r: f32):
        %0 = arith.addf %a, %r : f32
        %1 = arith.mulf %0, %r : f32
        tsp_tensor.yield %1 : f32
      }}
      func.return %y : {x}
    }}"""
    random = np.random.default_rng(2)
    return Program(text, {}, {name: random.normal(size=(rows, columns)).astype(np.float32) for name in "xb"})


def product(m: int, k: int, n: int) -> Program:
    """A product of i8."""
    x, w, y = f"tensor<{m}x{k}xi8>", f"tensor<{k}x{n}xi8>", f"tensor<{m}x{n}xi32>"
    text = f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({y} {{tsp_tensor.name = "y"}}) {{
      %w = tsp_tensor.parameter "w" : {w}
      %y = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      func.return %y : {y}
    }}"""
    random = np.random.default_rng(3)
    x_, w_ = (random.integers(-128, 128, shape, dtype=np.int8) for shape in ((m, k), (k, n)))
    return Program(text, {"w": w_}, {"x": x_})


SMALL = {
    "digits": digits,
    "attention": lambda: attention(1, 32, 16),
    "convolutions": lambda: convolutions(7, 16),
    "maps": lambda: maps(40, 40),
    "product": lambda: product(64, 640, 640),
}
"""Programs that compile quickly."""

FULL = {
    "digits": digits,
    "attention": lambda: attention(4, 128, 64),
    "convolutions": lambda: convolutions(14, 64),
    "maps": lambda: maps(256, 640),
    "640 rows": lambda: product(640, 640, 640),
    "8 rows": lambda: product(8, 1280, 640),
    "a row": lambda: product(1, 2048, 2048),
}
"""Those of bench/more_hardware.py."""


def chip_with(name: str, value: int) -> ChipSpec:
    """The published chip with another number."""
    return ChipSpec(**{name: value})
