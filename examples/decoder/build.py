"""Writes one decoder block of the Llama family, for one token with a cache of keys and values, as an int8 module.

    python examples/decoder/build.py decoder.mlir

The widths are those of SmolLM2-135M (d 576, 9 heads on 3 key heads, 64 each, feed-forward 1536, RMSNorm 1e-5, RoPE
theta 1e5) with 1024 entries of cache; the weights are random. What is computed how:

* All products by weights are i8 by i8, with activations of one scale per tensor and weights of one per column.
* Queries and keys are i8 and their products exact; softmax is f32. Its powers, not divided yet, are f16, as the values
  are; the sums that divide them are products with ones.
* `position` says which entry the token becomes. Its value goes into the cache by scatter, its key, of which an entry is
  a column, by a select. The scores use the cache as it was and put the token's own among them.
* A rotation of columns is one of the weights: weights of which the halves of each head have changed places give the
  other half of every pair, so that RoPE moves no elements. Its cosines and sines are gathered from a table.
* Head h is row h % G of the queries, in the columns of its key head h // G, with G heads to a key head: so a row of
  queries meets all key heads in one product, with zeros where they are not its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ELEMENTS = {"int8": "i8", "int32": "i32", "float16": "f16", "float32": "f32"}

Value = tuple[str, tuple[int, ...], str]
"""A value of the module: its name, shape and element type."""

NORMED, HEAD = 1 / 24, 1 / 16
"""The scales of i8 activations behind a norm, and of queries and keys."""


@dataclass(frozen=True)
class Shape:
    """The widths of a block. The defaults are those of SmolLM2-135M."""

    width: int = 576
    heads: int = 9
    key_heads: int = 3
    head: int = 64
    inner: int = 1536
    entries: int = 1024
    theta: float = 1e5
    epsilon: float = 1e-5

    @property
    def group(self) -> int:
        """Heads that share a key head."""
        return self.heads // self.key_heads

    @property
    def keys(self) -> int:
        """Columns of all key heads."""
        return self.key_heads * self.head


class Builder:
    """The lines of the module and its weights while they are written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}

    def value(self, name: str, shape: Sequence[int], element: str, text: str) -> Value:
        self.lines.append(f"%{name} = {text}")
        return name, tuple(shape), element

    def parameter(self, name: str, array: np.ndarray) -> Value:
        self.weights[name] = array
        element = ELEMENTS[array.dtype.name]
        return self.value(name, array.shape, element, f'tsp_tensor.parameter "{name}" : {tensor(array.shape, element)}')

    def op(self, name: str, op: str, inputs: Sequence[Value], shape: Sequence[int], element: str) -> Value:
        """An op whose operands and types follow its own text, in which `$` stands for the operands."""
        names, types = ", ".join(f"%{v[0]}" for v in inputs), ", ".join(type_of(v) for v in inputs)
        return self.value(
            name, shape, element, f"tsp_tensor.{op.replace('$', names)} : {types} -> {tensor(shape, element)}"
        )

    def slice(self, name: str, of: Value, first: int, count: int) -> Value:
        """Places of the first dimension."""
        shape = (count, *of[1][1:])
        offsets, ones = [first, *[0] * (len(shape) - 1)], [1] * len(shape)
        return self.op(name, f"slice $ {offsets} {list(shape)} {ones}", [of], shape, of[2])

    def map(self, name: str, inputs: dict[str, Value], shape: Sequence[int], element: str, body: str) -> Value:
        """A map; the lines of `body` name its operands and define %r."""
        names = ", ".join(f"%{v[0]}" for v in inputs.values())
        types = ", ".join(type_of(v) for v in inputs.values())
        arguments = ", ".join(f"%{a}: {v[2]}" for a, v in inputs.items())
        lines = [f"tsp_tensor.map {names} : ({types}) -> {tensor(shape, element)} {{", f"^bb0({arguments}):"]
        lines += [f"  {line.strip()}" for line in body.strip().splitlines()]
        return self.value(name, shape, element, "\n".join([*lines, f"  tsp_tensor.yield %r : {element}", "}"]))


def tensor(shape: Sequence[int], element: str) -> str:
    return f"tensor<{'x'.join(map(str, (*shape, element)))}>"


def type_of(value: Value) -> str:
    return tensor(*value[1:])


@dataclass(frozen=True)
class Weights:
    """The weights of a block as a model has them: i8 [inputs, outputs], each with f32 scales of its outputs."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    o: np.ndarray
    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray
    scales: dict[str, np.ndarray]
    norms: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def random(shape: Shape, seed: int) -> Weights:
        rng, d, h = np.random.default_rng(seed), shape.width, shape.heads * shape.head
        sizes = {
            "q": (d, h),
            "k": (d, shape.keys),
            "v": (d, shape.keys),
            "o": (h, d),
            "gate": (d, shape.inner),
            "up": (d, shape.inner),
            "down": (shape.inner, d),
        }
        made = {name: rng.integers(-127, 128, size, np.int8) for name, size in sizes.items()}
        scales = {
            name: (rng.uniform(0.5, 1.5, size[1]) / (73 * np.sqrt(size[0]))).astype(np.float32)
            for name, size in sizes.items()
        }
        norms = tuple(rng.uniform(0.5, 1.5, d).astype(np.float32) for _ in range(2))
        return Weights(**made, scales=scales, norms=(norms[0], norms[1]))


PEAK = 1 / 16
"""Times which x is squared, so that the square of 4,000 is still a finite f16."""
STEP = 4.0
"""The softmax is the same whatever is subtracted from all scores: their maximum in whole steps is near enough, of one
byte, and right from -512 to 508."""
OUT, INNER = 1 / 20, 1 / 16
"""The scales of i8 activations behind attention and inside the feed-forward part."""


def turned(weights: np.ndarray, head: int) -> np.ndarray:
    """Columns such that (a, b) of the halves of each head become (-b, a)."""
    halves = weights.reshape(-1, weights.shape[-1] // head, 2, head // 2)
    return np.stack([-halves[:, :, 1], halves[:, :, 0]], axis=2).reshape(weights.shape)


def rope_table(shape: Shape) -> np.ndarray:
    """The cosines and sines of every position, for each column of all key heads: [entries, 2, keys], f32."""
    half = shape.head // 2
    angles = np.arange(shape.entries)[:, None] * shape.theta ** (-np.arange(half) / half)
    both = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.tile(both, (1, 1, 2 * shape.key_heads)).astype(np.float32)


def build(shape: Shape | None = None, seed: int = 0) -> tuple[str, dict[str, np.ndarray]]:
    """The text of the module and its weights."""
    shape = shape or Shape()
    made, weights = Builder(), Weights.random(shape, seed)
    x: Value = ("token", (1, shape.width), "f32")
    position: Value = ("position", (1,), "i32")
    keys: Value = ("keys", (shape.keys, shape.entries), "i8")
    values: Value = ("values", (shape.entries, shape.keys), "f16")
    attended, column, age, new_values = attention(made, shape, weights, x, position, keys, values)
    result = feed_forward(made, shape, weights, attended)
    new_keys = entered(made, keys, column, age)
    outputs = [("result", result), ("keys", new_keys), ("values", new_values)]
    arguments = ", ".join(f'%{v[0]}: {type_of(v)} {{tsp_tensor.name = "{v[0]}"}}' for v in (x, position, keys, values))
    results = ", ".join(f'{type_of(v)} {{tsp_tensor.name = "{name}"}}' for name, v in outputs)
    lines = "\n".join(f"    {line}" for text in made.lines for line in text.splitlines())
    text = f"""builtin.module attributes {{tsp_tensor.weights = "decoder.safetensors"}} {{
  func.func @main({arguments})
      -> ({results}) {{
{lines}
    func.return {", ".join(f"%{v[0]}" for _, v in outputs)} : {", ".join(type_of(v) for _, v in outputs)}
  }}
}}
"""
    return text, made.weights


def normed(made: Builder, name: str, x: Value, weights: np.ndarray, shape: Shape) -> Value:
    """The i8 activations behind a norm, x / sqrt(mean of squares + epsilon) times its weights.

    The MXM sums the squares, which are f16, in every column: one trip, where `rms_norm` takes one for two halvings."""
    squares = made.map(
        f"{name}_squares",
        {"x": x},
        x[1],
        "f16",
        f"""%c = arith.constant {PEAK:.9e} : f32
        %0 = arith.mulf %x, %c : f32
        %1 = arith.mulf %0, %0 : f32
        %r = arith.truncf %1 : f32 to f16""",
    )
    ones = made.parameter(f"{name}_ones", np.ones((shape.width, shape.width), np.float16))
    sums = made.op(f"{name}_sums", "matmul $", [squares, ones], x[1], "f32")
    return made.map(
        f"{name}_i8",
        {"q": sums, "x": x, "s": made.parameter(f"{name}_scale", weights / np.float32(NORMED))},
        x[1],
        "i8",
        f"""%share = arith.constant {1 / (shape.width * PEAK * PEAK):.9e} : f32
        %epsilon = arith.constant {shape.epsilon:.9e} : f32
        %0 = arith.mulf %q, %share : f32
        %1 = arith.addf %0, %epsilon : f32
        %2 = math.rsqrt %1 : f32
        %3 = arith.mulf %x, %s : f32
        %4 = arith.mulf %3, %2 : f32
        %5 = math.roundeven %4 : f32
        %r = arith.fptosi %5 : f32 to i8""",
    )


def attention(
    made: Builder, shape: Shape, weights: Weights, x: Value, position: Value, keys: Value, values: Value
) -> tuple[Value, Value, Value, Value]:
    """x plus attention; the token's key as a column; the sign of every entry's age; the cache of values with the
    token's."""
    group, heads, width, entries = shape.group, shape.key_heads, shape.keys, shape.entries
    x8 = normed(made, "norm1", x, weights.norms[0], shape)

    def by_group(columns: np.ndarray) -> np.ndarray:
        """The columns [inputs, heads * head] of queries as [group, inputs, keys]."""
        split = columns.reshape(-1, heads, group, shape.head)
        return np.ascontiguousarray(split.transpose(2, 0, 1, 3).reshape(group, -1, width))

    q, k, v = weights.q, weights.k, weights.v
    straight, other = [*by_group(q), k], [*by_group(turned(q, shape.head)), turned(k, shape.head)]
    stack = made.parameter("qkv_weights", np.stack([*straight, *other, v]))
    qkv = made.op("qkv", "matmul $", [x8, stack], (2 * group + 3, 1, width), "i32")
    q_scale, k_scale, v_scale = (weights.scales[name][None] * np.float32(1) for name in "qkv")
    v_scale *= np.float32(NORMED)
    half = shape.head // 2
    swapped = [np.roll(s.reshape(-1, 2, half), 1, axis=1).reshape(s.shape) for s in (q_scale, k_scale)]
    factor = np.float32(NORMED / HEAD)

    table = made.parameter("rope", rope_table(shape))
    turns = made.op("turns", "gather $", [table, position], (1, 2, width), "f32")
    flat = made.op("turns2", "reshape $", [turns], (2, 1, width), "f32")
    cos, sin = made.slice("cos", flat, 0, 1), made.slice("sin", flat, 1, 1)

    def rotated(name: str, first: int, count: int, scales: list[np.ndarray]) -> Value:
        """Rows of the sums, rotated, as i8."""
        inputs = {
            "a": made.slice(f"{name}_a", qkv, first, count),
            "b": made.slice(f"{name}_b", qkv, first + group + 1, count),
            "s": made.parameter(f"{name}_scale", scales[0] * factor),
            "t": made.parameter(f"{name}_turned_scale", scales[1] * factor),
            "c": cos,
            "d": sin,
        }
        body = """%a1 = arith.sitofp %a : i32 to f32
            %b1 = arith.sitofp %b : i32 to f32
            %a2 = arith.mulf %a1, %s : f32
            %b2 = arith.mulf %b1, %t : f32
            %a3 = arith.mulf %a2, %c : f32
            %b3 = arith.mulf %b2, %d : f32
            %x = arith.addf %a3, %b3 : f32
            %y = math.roundeven %x : f32
            %r = arith.fptosi %y : f32 to i8"""
        return made.map(name, inputs, (count, 1, width), "i8", body)

    value = made.map(
        "value",
        {"a": made.slice("value_sums", qkv, 2 * group + 2, 1), "s": made.parameter("v_scale", v_scale)},
        (1, 1, width),
        "f16",
        """%f = arith.sitofp %a : i32 to f32
        %v = arith.mulf %f, %s : f32
        %r = arith.truncf %v : f32 to f16""",
    )
    row = made.op("value_row", "reshape $", [value], (1, width), "f16")
    new_values = made.op("new_values", "scatter $", [values, position, row], values[1], "f16")

    own = np.repeat(np.eye(heads, dtype=np.int8), shape.head, axis=1)[:, None]
    key = rotated("key", group, 1, [k_scale[None], swapped[1][None]])
    plain = rotated("query", 0, group, [by_group(q_scale), by_group(swapped[0])])
    rows = made.op("query_rows", "reshape $", [plain], (group, width), "i8")
    mask = made.parameter("own", own)
    query = made.map("own_query", {"x": rows, "m": mask}, (heads, group, width), "i8", "%r = arith.muli %x, %m : i8")

    entry = made.parameter("entry", np.arange(entries, dtype=np.int32)[None])
    at = made.op("at", "reshape $", [position], (1, 1), "i32")
    age = made.map(
        "age",
        {"n": entry, "p": at},
        (1, entries),
        "i8",
        """%d = arith.subi %p, %n : i32
        %low = arith.constant -1 : i32
        %one = arith.constant 1 : i32
        %0 = arith.maxsi %d, %low : i32
        %1 = arith.minsi %0, %one : i32
        %r = arith.trunci %1 : i32 to i8""",
    )
    fresh = own_scores(made, shape, query, key)
    column = made.op("key_column", "reshape $", [key], (width, 1), "i8")
    rows = made.op("queries", "reshape $", [query], (shape.heads, width), "i8")
    sums = made.op("sums", "matmul $", [rows, keys], (shape.heads, entries), "i32")
    scores = made.map(
        "scores",
        {"a": sums, "o": fresh, "g": age},
        (shape.heads, entries),
        "f32",
        f"""%zero = arith.constant 0 : i8
        %is = arith.cmpi eq, %g, %zero : i8
        %s = arith.select %is, %o, %a : i32
        %f = arith.sitofp %s : i32 to f32
        %scale = arith.constant {HEAD * HEAD / np.sqrt(shape.head):.9e} : f32
        %h = arith.mulf %f, %scale : f32
        %seen = arith.cmpi sge, %g, %zero : i8
        %none = arith.constant -1.0e30 : f32
        %r = arith.select %seen, %h, %none : f32""",
    )
    coarse = made.map(
        "coarse",
        {"x": scores},
        (shape.heads, entries),
        "i8",
        f"""%step = arith.constant {1 / STEP} : f32
        %0 = arith.mulf %x, %step : f32
        %1 = math.roundeven %0 : f32
        %r = arith.fptosi %1 : f32 to i8""",
    )
    top = made.op("top", 'reduce "max" $ axes [1]', [coarse], (shape.heads, 1), "i8")
    powers = made.map(
        "powers",
        {"x": scores, "m": top},
        (shape.heads, entries),
        "f16",
        f"""%step = arith.constant {STEP} : f32
        %0 = arith.sitofp %m : i8 to f32
        %1 = arith.mulf %0, %step : f32
        %d = arith.subf %x, %1 : f32
        %e = math.exp %d : f32
        %r = arith.truncf %e : f32 to f16""",
    )

    totals = made.parameter("ones", np.ones((entries, width), np.float16))
    total = made.op("total", "matmul $", [powers, totals], (shape.heads, width), "f32")
    mixed = made.op("mixed", "matmul $", [powers, new_values], (shape.heads, width), "f32")
    heads8 = made.map(
        "heads",
        {"a": mixed, "t": total},
        (shape.heads, width),
        "i8",
        f"""%root = math.rsqrt %t : f32
        %b = arith.mulf %a, %root : f32
        %c = arith.mulf %b, %root : f32
        %s = arith.constant {1 / OUT:.9e} : f32
        %d = arith.mulf %c, %s : f32
        %e = math.roundeven %d : f32
        %r = arith.fptosi %e : f32 to i8""",
    )
    image = made.op("head_image", "reshape $", [heads8], (1, shape.heads, 1, width), "i8")
    out = np.zeros((shape.heads, heads, shape.head, shape.width), np.int8)
    for head in range(shape.heads):
        out[head, head // group] = weights.o.reshape(shape.heads, shape.head, -1)[head]
    out_weights = made.parameter("o_weights", out.reshape(shape.heads, 1, width, -1))
    sums = made.op("o_sums", "conv $", [image, out_weights], (1, 1, 1, shape.width), "i32")
    return residual(made, "attended", sums, x, weights.scales["o"] * np.float32(OUT)), column, age, new_values


def entered(made: Builder, keys: Value, column: Value, age: Value) -> Value:
    """The cache of keys with the token's own in its column."""
    return made.map(
        "new_keys",
        {"k": keys, "c": column, "g": age},
        keys[1],
        "i8",
        """%zero = arith.constant 0 : i8
        %is = arith.cmpi eq, %g, %zero : i8
        %r = arith.select %is, %c, %k : i8""",
    )


def residual(made: Builder, name: str, sums: Value, x: Value, scales: np.ndarray) -> Value:
    """x plus scaled sums."""
    flat = made.op(f"{name}_x", "reshape $", [x], sums[1], "f32")
    value = made.map(
        f"{name}_image",
        {"a": sums, "s": made.parameter(f"{name}_scale", scales), "x": flat},
        sums[1],
        "f32",
        """%f = arith.sitofp %a : i32 to f32
        %g = arith.mulf %f, %s : f32
        %r = arith.addf %g, %x : f32""",
    )
    return made.op(name, "reshape $", [value], x[1], "f32")


def own_scores(made: Builder, shape: Shape, query: Value, key: Value) -> Value:
    """The products of every head's query by the token's key, in all columns of [heads, entries].

    A product p of two i8 is l - 128 h with digits h and l of 8 bits, which the MXM sums with weights -128 and 1."""
    heads, group, width = shape.key_heads, shape.group, shape.keys
    digits = made.map(
        "digits",
        {"q": query, "k": key, "d": made.parameter("digit", np.array([0, 1], np.int8).reshape(2, 1, 1, 1))},
        (2, heads, group, width),
        "i8",
        """%q1 = arith.extsi %q : i8 to i32
        %k1 = arith.extsi %k : i8 to i32
        %p = arith.muli %q1, %k1 : i32
        %half = arith.constant 64 : i32
        %seven = arith.constant 7 : i32
        %p1 = arith.subi %half, %p : i32
        %h = arith.shrsi %p1, %seven : i32
        %h1 = arith.shli %h, %seven : i32
        %l = arith.addi %p, %h1 : i32
        %zero = arith.constant 0 : i8
        %is = arith.cmpi ne, %d, %zero : i8
        %s = arith.select %is, %h, %l : i32
        %r = arith.trunci %s : i32 to i8""",
    )
    rows = made.op("digit_rows", "reshape $", [digits], (2, shape.heads, 1, width), "i8")
    image = made.op("digit_image", "transpose $ permutation [1, 0, 2, 3]", [rows], (shape.heads, 2, 1, width), "i8")
    places = np.ones((2, 1, width, shape.entries), np.int8)
    places[1] = -128
    sums = made.op(
        "fresh_image", "conv $", [image, made.parameter("places", places)], (shape.heads, 1, 1, shape.entries), "i32"
    )
    return made.op("fresh", "reshape $", [sums], (shape.heads, shape.entries), "i32")


def feed_forward(made: Builder, shape: Shape, weights: Weights, x: Value) -> Value:
    """x plus the feed-forward part of it."""
    x8 = normed(made, "norm2", x, weights.norms[1], shape)
    wide = (1, shape.inner)
    scaled = """%f = arith.sitofp %a : i32 to f32
        %g = arith.mulf %f, %s : f32"""
    sums = made.op("up_sums", "matmul $", [x8, made.parameter("up_weights", weights.up)], wide, "i32")
    factor = made.parameter("up_scale", weights.scales["up"] * np.float32(NORMED / INNER))
    up = made.map("up", {"a": sums, "s": factor}, wide, "f32", scaled.replace("%g", "%r"))
    sums = made.op("gate_sums", "matmul $", [x8, made.parameter("gate_weights", weights.gate)], wide, "i32")
    inner = made.map(
        "inner",
        {"a": sums, "s": made.parameter("gate_scale", weights.scales["gate"] * np.float32(NORMED)), "u": up},
        wide,
        "i8",
        f"""{scaled}
        %zero = arith.constant 0.0 : f32
        %one = arith.constant 1.0 : f32
        %h = arith.subf %zero, %g : f32
        %e = math.exp %h : f32
        %t = arith.addf %e, %one : f32
        %root = math.rsqrt %t : f32
        %b = arith.mulf %root, %root : f32
        %c = arith.mulf %g, %b : f32
        %d = arith.mulf %c, %u : f32
        %y = math.roundeven %d : f32
        %r = arith.fptosi %y : f32 to i8""",
    )
    sums = made.op("down", "matmul $", [inner, made.parameter("down_weights", weights.down)], x[1], "i32")
    return residual(made, "result", sums, x, weights.scales["down"] * np.float32(INNER))


def inputs_of(shape: Shape, position: int, seed: int = 1) -> dict[str, np.ndarray]:
    """An input: a token, and a cache in which the entries before it are filled."""
    rng = np.random.default_rng(seed)
    filled = np.arange(shape.entries) < position
    keys = rng.integers(-60, 61, (shape.keys, shape.entries)).astype(np.int8) * filled
    values = rng.normal(size=(shape.entries, shape.keys)).astype(np.float16) * filled[:, None]
    return {
        "token": rng.normal(size=(1, shape.width)).astype(np.float32),
        "position": np.array([position], np.int32),
        "keys": keys.astype(np.int8),
        "values": values.astype(np.float16),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="write a decoder block as an int8 module with random weights")
    parser.add_argument("output", type=Path, help="the .mlir file; weights and an input go beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--position", type=int, default=700, help="the entry of the cache that the token becomes")
    args = parser.parse_args()
    text, weights = build(Shape(), args.seed)
    args.output.write_text(text)
    save_file(weights, args.output.parent / "decoder.safetensors")
    np.savez(args.output.with_suffix(".npz"), **inputs_of(Shape(), args.position, args.seed + 1))


if __name__ == "__main__":
    main()
