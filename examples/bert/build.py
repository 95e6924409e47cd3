"""Writes a BERT encoder in f16: the true graph and shapes, and random weights.

    python examples/bert/build.py bert.mlir

The encoder of J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019: layers of
attention and of two products with GELU between them (in its tanh form, as in the published code), each added to its
input and normalised. By default 12 layers of 768 with 12 heads and 3072 inside, for 128 tokens, on two chips, as the
weights take more slices than one has for them. The input are the hidden states behind the embeddings; no token is
masked. Weights are f16, biases and what scales a layer norm f32, all random.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

EPSILON = "1.0e-12"
LANES = 320
"""Elements of a word."""


@dataclass(frozen=True)
class Shape:
    """The widths of an encoder. By default those of BERT-base."""

    layers: int = 12
    tokens: int = 128
    width: int = 768
    heads: int = 12
    inner: int = 3072

    @property
    def head(self) -> int:
        return self.width // self.heads


class Builder:
    """The lines of the module and its weights while they are written."""

    def __init__(self, shape: Shape, seed: int):
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}

    def parameter(self, name: str, array: np.ndarray) -> tuple[str, str]:
        self.weights[name] = array
        type_ = tensor(array.shape, {"float16": "f16", "float32": "f32"}[array.dtype.name])
        self.lines.append(f'%{name} = tsp_tensor.parameter "{name}" : {type_}')
        return f"%{name}", type_

    def dense(self, name: str, source: str, depth: int, columns: int, other: str | None = None) -> str:
        """Rows of f16 [tokens, depth] times a matrix, plus a bias, and plus `other` where there is one."""
        rows = self.shape.tokens
        spread = 1 / np.sqrt(depth)
        weights, type_ = self.parameter(
            f"{name}_weights", (spread * self.rng.standard_normal((depth, columns))).astype(np.float16)
        )
        bias, bias_type = self.parameter(f"{name}_bias", (0.1 * self.rng.standard_normal(columns)).astype(np.float32))
        sums, result = tensor((rows, columns), "f32"), tensor((rows, columns), "f16")
        self.lines.append(
            f"%{name}_sums = tsp_tensor.matmul {source}, {weights} : {tensor((rows, depth), 'f16')}, {type_} -> {sums}"
        )
        operands, types, arguments = [f"%{name}_sums", bias], [sums, bias_type], "%a: f32, %b: f32"
        body, last = ["%0 = arith.addf %a, %b : f32"], "%0"
        if other is not None:
            operands, types, arguments = [*operands, other], [*types, result], f"{arguments}, %o: f16"
            body += ["%1 = arith.extf %o : f16 to f32", "%2 = arith.addf %0, %1 : f32"]
            last = "%2"
        self.map(name, operands, types, arguments, [*body, f"%r = arith.truncf {last} : f32 to f16"], result)
        return f"%{name}"

    def map(
        self, name: str, operands: list[str], types: list[str], arguments: str, body: list[str], result: str
    ) -> None:
        """A map whose body ends with the f16 `%r`."""
        self.lines += [
            f"%{name} = tsp_tensor.map {', '.join(operands)} : ({', '.join(types)}) -> {result} {{",
            f"^bb0({arguments}):",
            *(f"  {line}" for line in (*body, "tsp_tensor.yield %r : f16")),
            "}",
        ]

    def attention(self, name: str, source: str) -> str:
        """What the tokens of [tokens, width] take from each other, head by head.

        Keys, values and queries are one product. A gap of zeros behind the keys lets the others begin with a word.
        """
        s = self.shape
        gap = -s.width % LANES
        together, both = 3 * s.width + gap, 2 * s.heads
        matrix, type_ = self.parameter(f"{name}_inputs_weights", self.random((s.width, together), s.width, gap))
        bias, bias_type = self.parameter(
            f"{name}_inputs_bias", self.random((1, together), 100, gap)[0].astype(np.float32)
        )
        flat, inputs = tensor((s.tokens, s.width), "f16"), tensor((s.tokens, together), "f16")
        sums = tensor((s.tokens, together), "f32")
        self.lines.append(f"%{name}_sums = tsp_tensor.matmul {source}, {matrix} : {flat}, {type_} -> {sums}")
        biased = ["%0 = arith.addf %a, %b : f32", "%r = arith.truncf %0 : f32 to f16"]
        self.map(f"{name}_inputs", [f"%{name}_sums", bias], [sums, bias_type], "%a: f32, %b: f32", biased, inputs)

        head, square = (s.heads, s.tokens, s.head), (s.heads, s.tokens, s.tokens)
        h16, h32, s16, s32 = tensor(head, "f16"), tensor(head, "f32"), tensor(square, "f16"), tensor(square, "f32")
        turned, keys = tensor((s.width, s.tokens), "f16"), tensor((s.heads, s.head, s.tokens), "f16")
        rest, split = tensor((s.tokens, 2 * s.width), "f16"), tensor((s.tokens, both, s.head), "f16")
        heads, joint = tensor((both, s.tokens, s.head), "f16"), tensor((s.tokens, s.heads, s.head), "f16")
        scaled = [
            f"%scale = arith.constant {1 / np.sqrt(s.head):.9e} : f32",
            "%0 = arith.mulf %a, %scale : f32",
            "%r = arith.truncf %0 : f32 to f16",
        ]
        size, pick = f"[{s.tokens}, {{}}] [1, 1]", f"[{s.heads}, {s.tokens}, {s.head}] [1, 1, 1]"
        self.lines += [
            f"%{name}_key = tsp_tensor.slice %{name}_inputs [0, 0] {size.format(s.width)} : {inputs} -> {flat}",
            f"%{name}_turned = tsp_tensor.transpose %{name}_key permutation [1, 0] : {flat} -> {turned}",
            f"%{name}_keys = tsp_tensor.reshape %{name}_turned : {turned} -> {keys}",
            f"%{name}_rest = tsp_tensor.slice %{name}_inputs [0, {s.width + gap}] {size.format(2 * s.width)} "
            f": {inputs} -> {rest}",
            f"%{name}_split = tsp_tensor.reshape %{name}_rest : {rest} -> {split}",
            f"%{name}_heads = tsp_tensor.transpose %{name}_split permutation [1, 0, 2] : {split} -> {heads}",
            f"%{name}_value = tsp_tensor.slice %{name}_heads [0, 0, 0] {pick} : {heads} -> {h16}",
            f"%{name}_query = tsp_tensor.slice %{name}_heads [{s.heads}, 0, 0] {pick} : {heads} -> {h16}",
            f"%{name}_products = tsp_tensor.matmul %{name}_query, %{name}_keys : {h16}, {keys} -> {s32}",
        ]
        self.map(f"{name}_scores", [f"%{name}_products"], [s32], "%a: f32", scaled, s16)
        self.lines += [
            f"%{name}_shares = tsp_tensor.softmax dim(2) %{name}_scores : {s16}",
            f"%{name}_taken = tsp_tensor.matmul %{name}_shares, %{name}_value : {s16}, {h16} -> {h32}",
        ]
        self.map(f"{name}_halves", [f"%{name}_taken"], [h32], "%a: f32", ["%r = arith.truncf %a : f32 to f16"], h16)
        self.lines += [
            f"%{name}_aside = tsp_tensor.transpose %{name}_halves permutation [1, 0, 2] : {h16} -> {joint}",
            f"%{name}_joined = tsp_tensor.reshape %{name}_aside : {joint} -> {flat}",
        ]
        return f"%{name}_joined"

    def random(self, shape: tuple[int, int], depth: int, gap: int) -> np.ndarray:
        """A random matrix, zero in the columns of a gap behind as many as it is wide without the gap, by three."""
        matrix = (1 / np.sqrt(depth) * self.rng.standard_normal(shape)).astype(np.float16)
        first = (shape[1] - gap) // 3
        matrix[:, first : first + gap] = 0
        return matrix

    def norm(self, name: str, source: str) -> str:
        width = self.shape.width
        scale, type_ = self.parameter(f"{name}_scale", self.rng.uniform(0.5, 1.5, width).astype(np.float32))
        bias, _ = self.parameter(f"{name}_offset", (0.1 * self.rng.standard_normal(width)).astype(np.float32))
        rows = tensor((self.shape.tokens, width), "f16")
        self.lines.append(
            f"%{name} = tsp_tensor.layer_norm {source}, {scale}, {bias} epsilon {EPSILON} : {rows}, {type_}, {type_}"
        )
        return f"%{name}"

    def layer(self, number: int, source: str) -> str:
        s, name = self.shape, f"layer{number}"
        taken = self.attention(f"{name}_attention", source)
        middle = self.norm(f"{name}_middle", self.dense(f"{name}_mixed", taken, s.width, s.width, source))
        inner, type_ = self.dense(f"{name}_inner", middle, s.width, s.inner), tensor((s.tokens, s.inner), "f16")
        self.lines.append(f'%{name}_gelu = tsp_tensor.gelu "tanh" {inner} : {type_}')
        return self.norm(f"{name}_end", self.dense(f"{name}_outer", f"%{name}_gelu", s.inner, s.width, middle))


def tensor(shape: tuple[int, ...], element: str) -> str:
    return f"tensor<{'x'.join(map(str, (*shape, element)))}>"


def build(shape: Shape, seed: int = 0, chips: int = 1) -> tuple[str, dict[str, np.ndarray]]:
    """The text of the module and its weights, its layers in equal parts on so many chips, one after the other."""
    made = Builder(shape, seed)
    value, type_ = "%states", tensor((shape.tokens, shape.width), "f16")
    for number in range(shape.layers):
        chip, before = (n * chips // shape.layers for n in (number, number - 1))
        if number and chip != before:
            made.lines.append(f"%part{chip} = c2c.transfer {value} from {before} to {chip} : {type_} -> {type_}")
            value = f"%part{chip}"
        value = made.layer(number, value)
    lines = "\n".join(f"    {line}" for line in made.lines)
    target = f", tsp_isa.target = #tsp_isa.target<system.chips = {chips}>" if chips > 1 else ""
    text = f"""builtin.module attributes {{tsp_tensor.weights = "bert.safetensors"{target}}} {{
  func.func @main(%states: {type_} {{tsp_tensor.name = "states"}}) -> ({type_} {{tsp_tensor.name = "encoded"}}) {{
{lines}
    func.return {value} : {type_}
  }}
}}
"""
    return text, made.weights


def states(shape: Shape, seed: int = 1) -> np.ndarray:
    """Random hidden states f16 [tokens, width]."""
    return np.random.default_rng(seed).standard_normal((shape.tokens, shape.width)).astype(np.float16)


def main() -> None:
    parser = argparse.ArgumentParser(description="write a BERT encoder in f16 with random weights")
    parser.add_argument("output", type=Path, help="the .mlir file; weights and an input go beside it")
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--chips", type=int, default=2, help="that share the layers")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shape = Shape(layers=args.layers)
    text, weights = build(shape, args.seed, args.chips)
    args.output.write_text(text)
    save_file(weights, args.output.parent / "bert.safetensors")
    np.savez(args.output.with_suffix(".npz"), states=states(shape, args.seed + 1))


if __name__ == "__main__":
    main()
