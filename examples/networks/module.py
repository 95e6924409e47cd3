"""A network as a module of tsp_tensor, with random weights.

In `i8`, activations and weights are i8 and sums i32. Behind every product comes a map that adds the bias, scales per
channel, adds the other branch where there is one, clamps, and rounds to i8. In `f16`, products of f16 have f32 sums,
and the map adds bias and branch, clamps, and rounds to f16. Weights have a size with which values neither die out nor
saturate; those of f16 are multiples of 2^-12, so that sums of products are exact in f64 in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .layers import Affine, Concat, Conv, Dense, Flatten, Image, Layer, Lrn, Mean, Network, Pool, Shape, Shuffle, Window

Arrays = dict[str, np.ndarray]

PRECISIONS = ("i8", "f16")
SUMS = {"i8": "i32", "f16": "f32"}
TYPES = {"int8": "i8", "int32": "i32", "float16": "f16", "float32": "f32"}

ARGUMENTS = "abcd"
"""The names of a region's arguments."""

SQUARE_BITS = 7
"""Squares of i8 lose so many bits to be i8 again; they are those of values behind relu."""

HALF_SQUARE_BITS = 4
"""Values of f16 are divided by two to this before they are squared, so that those up to 4095 have finite squares."""

GRID = 1 << 12
"""Weights of f16 are multiples of 1 / GRID."""


def build(net: Network, precision: str, weights_file: str, seed: int = 0) -> tuple[str, Arrays]:
    """The text of the module, which names its file of weights, and the weights."""
    made = Writer(precision, seed)
    for layer in net.layers:
        made.layer(layer)
    last = net.layers[-1]
    result = made.types[last.name]
    lines = "\n".join(f"    {line}" for line in made.lines)
    text = f"""builtin.module attributes {{tsp_tensor.weights = "{weights_file}"}} {{
  func.func @main(%image: {made.types["image"]} {{tsp_tensor.name = "image"}})
      -> ({result} {{tsp_tensor.name = "logits"}}) {{
{lines}
    func.return %{last.name} : {result}
  }}
}}
"""
    return text, made.weights


def image_of(net: Network, precision: str, seed: int = 1) -> np.ndarray:
    """A random input."""
    rng = np.random.default_rng(seed)
    if precision == "i8":
        return rng.integers(-128, 128, net.image.shape, dtype=np.int8)
    return (32 * rng.standard_normal(net.image.shape)).astype(np.float16)


def tensor(shape: Shape, element: str) -> str:
    return f"tensor<{'x'.join(map(str, (*shape, element)))}>"


class Body:
    """The region of a map while it is written: the last line is in `value`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.value = ""

    def op(self, line: str) -> str:
        """Adds an op without its result, and names that."""
        self.value = f"%{len(self.lines)}"
        self.lines.append(f"{self.value} = {line}")
        return self.value

    def constant(self, value: float | int, element: str = "f32") -> str:
        if element == "f32":
            value = float(np.float32(value))
        return self.op(f"arith.constant {value} : {element}")


class Writer:
    """The lines of the module and its weights while they are written."""

    def __init__(self, precision: str, seed: int):
        self.element = precision
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.weights: Arrays = {}
        self.types: dict[str, str] = {}
        """The type of every value by its name."""

    def layer(self, layer: Layer) -> None:
        match layer:
            case Image():
                self.types[layer.name] = tensor(layer.shape, self.element)
            case Conv():
                self.conv(layer)
            case Dense():
                self.dense(layer)
            case Affine():
                self.affine(layer)
            case Pool(kind="max"):
                self.pool(layer.name, "max", layer.source.name, layer.window, layer.shape, self.element)
            case Pool():
                self.average(layer.name, layer.source, layer.window, layer.shape)
            case Mean():
                self.mean(layer)
            case Concat():
                names = [s.name for s in layer.sources]
                types = ", ".join(self.types[n] for n in names)
                operands = ", ".join(f"%{n}" for n in names)
                dim = len(layer.shape) - 1
                self.define(layer.name, f"concat dim({dim}) {operands} : ({types})", layer.shape, self.element)
            case Shuffle():
                self.shuffle(layer)
            case Flatten():
                self.reshape(layer.name, layer.source.name, layer.shape)
            case Lrn():
                self.lrn(layer)
            case _:
                raise TypeError(layer)

    # -- lines -----------------------------------------------------------------------------------------------------

    def define(self, name: str, op: str, shape: Shape, element: str) -> str:
        self.types[name] = tensor(shape, element)
        self.lines.append(f"%{name} = tsp_tensor.{op} -> {self.types[name]}")
        return name

    def parameter(self, name: str, array: np.ndarray) -> str:
        self.weights[name] = array
        self.types[name] = tensor(array.shape, TYPES[array.dtype.name])
        self.lines.append(f'%{name} = tsp_tensor.parameter "{name}" : {self.types[name]}')
        return name

    def map(self, name: str, operands: Sequence[str], shape: Shape, element: str, body: Body) -> str:
        """A map whose region has the arguments %a, %b, ... and yields the last value of its body."""
        self.types[name] = tensor(shape, element)
        types = [self.types[o] for o in operands]
        arguments = ", ".join(f"%{a}: {t[t.rindex('x') + 1 : -1]}" for a, t in zip(ARGUMENTS, types, strict=False))
        values = ", ".join(f"%{o}" for o in operands)
        self.lines += [
            f"%{name} = tsp_tensor.map {values} : ({', '.join(types)}) -> {self.types[name]} {{",
            f"^bb0({arguments}):",
            *(f"  {line}" for line in body.lines),
            f"  tsp_tensor.yield {body.value} : {element}",
            "}",
        ]
        return name

    def reshape(self, name: str, source: str, shape: Shape) -> str:
        return self.define(name, f"reshape %{source} : {self.types[source]}", shape, self.element)

    # -- numbers ---------------------------------------------------------------------------------------------------

    def matrix(self, name: str, shape: Shape, depth: int, gain: float) -> str:
        """Weights for sums of `depth` products."""
        if self.element == "i8":
            return self.parameter(name, self.rng.integers(-127, 128, shape, dtype=np.int8))
        spread = gain * np.sqrt(2 / depth)
        drawn = self.rng.standard_normal(shape, dtype=np.float32)
        return self.parameter(name, (np.rint(drawn * np.float32(spread * GRID)) / GRID).astype(np.float16))

    def rounded(self, body: Body) -> None:
        """The f32 value of a body as an activation: rounded once, and in i8 held within the type."""
        if self.element == "f16":
            body.op(f"arith.truncf {body.value} : f32 to f16")
        else:
            body.op(f"math.roundeven {body.value} : f32")
            body.op(f"arith.fptosi {body.value} : f32 to i8")

    def widened(self, body: Body, name: str) -> str:
        """An activation as f32."""
        return body.op(
            f"arith.extf {name} : f16 to f32" if self.element == "f16" else f"arith.sitofp {name} : i8 to f32"
        )

    def clamped(self, body: Body, activation: str | None) -> None:
        """Values of i8 end at 127 by themselves, which is then the 6 of `relu6`."""
        if activation is None:
            return
        value = body.value
        body.op(f"arith.maximumf {value}, {body.constant(0.0)} : f32")
        if activation == "relu6" and self.element == "f16":
            value = body.value
            body.op(f"arith.minimumf {value}, {body.constant(6.0)} : f32")

    # -- layers ----------------------------------------------------------------------------------------------------

    def conv(self, layer: Conv) -> None:
        x, window = layer.source, layer.window
        shape = (*window.kernel, x.channels // layer.groups, layer.channels)
        # blocks in a row would double the variance each, and what no activation follows does so by itself
        gain = 0.5 if layer.other is not None else 1.0 if layer.activation is not None else np.sqrt(0.5)
        weights = self.matrix(f"{layer.name}_weights", shape, layer.depth, gain)
        groups = f" groups {layer.groups}" if layer.groups > 1 else ""
        sums = self.define(
            f"{layer.name}_sums",
            f"conv %{x.name}, %{weights} strides {[*window.strides]} pads {[*window.pads]}{groups} : "
            f"{self.types[x.name]}, {self.types[weights]}",
            layer.shape,
            SUMS[self.element],
        )
        self.finished(layer, sums, layer.other, layer.activation)

    def dense(self, layer: Dense) -> None:
        x = layer.source
        weights = self.matrix(f"{layer.name}_weights", (x.channels, layer.channels), layer.depth, 1.0)
        sums = layer.name if layer.last else f"{layer.name}_sums"
        types = f"{self.types[x.name]}, {self.types[weights]}"
        self.define(sums, f"matmul %{x.name}, %{weights} : {types}", layer.shape, SUMS[self.element])
        if not layer.last:
            self.finished(layer, sums, None, layer.activation)

    def finished(self, layer: Conv | Dense, sums: str, other: Layer | None, activation: str | None) -> None:
        """The map from sums to activations."""
        operands, body = [sums], Body()
        if self.element == "i8":
            bias = self.rng.integers(-2000, 2000, layer.channels, dtype=np.int32)
            spread = 50.0 / (74 * 30 * np.sqrt(layer.depth))  # of weights about 74 and activations about 30
            scale = (spread * self.rng.uniform(0.5, 1.5, layer.channels)).astype(np.float32)
            operands += [self.parameter(f"{layer.name}_bias", bias), self.parameter(f"{layer.name}_scale", scale)]
            body.op("arith.addi %a, %b : i32")
            body.op(f"arith.sitofp {body.value} : i32 to f32")
            body.op(f"arith.mulf {body.value}, %c : f32")
        else:
            bias = (3 * self.rng.standard_normal(layer.channels)).astype(np.float32)
            operands += [self.parameter(f"{layer.name}_bias", bias)]
            body.op("arith.addf %a, %b : f32")
        if other is not None:
            value = body.value
            branch = self.widened(body, f"%{ARGUMENTS[len(operands)]}")
            body.op(f"arith.addf {value}, {branch} : f32")
            operands.append(other.name)
        self.clamped(body, activation)
        self.rounded(body)
        self.map(layer.name, operands, layer.shape, self.element, body)

    def affine(self, layer: Affine) -> None:
        scale = self.rng.uniform(0.5, 1.5, layer.channels).astype(np.float32)
        bias = (3 * self.rng.standard_normal(layer.channels)).astype(np.float32)
        body = Body()
        self.widened(body, "%a")
        body.op(f"arith.mulf {body.value}, %b : f32")
        body.op(f"arith.addf {body.value}, %c : f32")
        self.clamped(body, "relu")
        self.rounded(body)
        operands = [
            layer.source.name,
            self.parameter(f"{layer.name}_scale", scale),
            self.parameter(f"{layer.name}_bias", bias),
        ]
        self.map(layer.name, operands, layer.shape, self.element, body)

    def pool(self, name: str, kind: str, x: str, window: Window, shape: Shape, element: str) -> str:
        where = f"window {[*window.kernel]} strides {[*window.strides]} pads {[*window.pads]}"
        return self.define(name, f'pool "{kind}" %{x} {where} : {self.types[x]}', shape, element)

    def average(self, name: str, x: Layer, window: Window, shape: Shape) -> None:
        """The average over a window, of which all counts."""
        if self.element == "f16":
            where = f"window {[*window.kernel]} strides {[*window.strides]} pads {[*window.pads]} count_padding"
            self.define(name, f"avg_pool %{x.name} {where} : {self.types[x.name]}", shape, "f16")
            return
        sums, body = self.pool(f"{name}_sums", "sum", x.name, window, shape, "i32"), Body()
        taps = window.kernel[0] * window.kernel[1]
        value = body.op("arith.sitofp %a : i32 to f32")
        body.op(f"arith.mulf {value}, {body.constant(1 / taps)} : f32")
        self.rounded(body)
        self.map(name, [sums], shape, self.element, body)

    def mean(self, layer: Mean) -> None:
        """All pixels are one window."""
        n, rows, columns, channels = layer.source.shape
        pixel = f"{layer.name}_pixel"
        whole = Window((rows, columns), (1, 1), (0, 0, 0, 0))
        self.average(pixel, layer.source, whole, (n, 1, 1, channels))
        self.reshape(layer.name, pixel, layer.shape)

    def shuffle(self, layer: Shuffle) -> None:
        *outer, channels = layer.shape
        split, dealt = (
            (*outer, layer.groups, channels // layer.groups),
            (*outer, channels // layer.groups, layer.groups),
        )
        name = layer.name
        self.reshape(f"{name}_split", layer.source.name, split)
        type_ = self.types[f"{name}_split"]
        self.define(
            f"{name}_dealt", f"transpose %{name}_split permutation [0, 1, 2, 4, 3] : {type_}", dealt, self.element
        )
        self.reshape(name, f"{name}_dealt", layer.shape)

    def lrn(self, layer: Lrn) -> None:
        """Squares, made small enough for the type of activations, times a band of ones, are the sums of neighbours."""
        name, x, channels = layer.name, layer.source.name, layer.channels
        body = Body()
        if self.element == "i8":
            body.op("arith.extsi %a : i8 to i32")
            body.op(f"arith.muli {body.value}, {body.value} : i32")
            body.op(f"arith.shrsi {body.value}, {body.constant(SQUARE_BITS, 'i32')} : i32")
            body.op(f"arith.trunci {body.value} : i32 to i8")
        else:
            self.widened(body, "%a")
            body.op(f"arith.mulf {body.value}, {body.constant(2.0**-HALF_SQUARE_BITS)} : f32")
            body.op(f"arith.mulf {body.value}, {body.value} : f32")
            self.rounded(body)
        squares = self.map(f"{name}_squares", [x], layer.shape, self.element, body)
        band = self.parameter(f"{name}_band", band_of(channels, layer.size, self.element)[None, None])
        types = f"{self.types[squares]}, {self.types[band]}"
        sums = self.define(f"{name}_sums", f"conv %{squares}, %{band} : {types}", layer.shape, SUMS[self.element])
        body, value = Body(), "%a"
        if self.element == "i8":
            value = body.op("arith.sitofp %a : i32 to f32")
        body.op(f"arith.mulf {value}, {body.constant(lrn_factor(layer, self.element))} : f32")
        total = body.op(f"arith.addf {body.value}, {body.constant(layer.bias)} : f32")
        root = body.op(f"math.rsqrt {total} : f32")
        body.op(f"arith.mulf {total}, {root} : f32")
        body.op(f"math.rsqrt {body.value} : f32")
        power = body.op(f"arith.mulf {body.value}, {root} : f32")
        self.widened(body, "%b")
        body.op(f"arith.mulf {body.value}, {power} : f32")
        self.rounded(body)
        self.map(name, [sums, x], layer.shape, self.element, body)


def band_of(channels: int, size: int, element: str) -> np.ndarray:
    """[channels, channels]: one where two channels are neighbours within a window of `size`."""
    apart = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    return (apart <= size // 2).astype(np.int8 if element == "i8" else np.float16)


def lrn_factor(layer: Lrn, element: str) -> float:
    """What the sum of the squares, as they are stored, is multiplied by."""
    return layer.alpha / layer.size * 2.0 ** (SQUARE_BITS if element == "i8" else 2 * HALF_SQUARE_BITS)
