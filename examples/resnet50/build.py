"""Writes ResNet-50 as an int8 module: the true graph and shapes, and random weights.

    python examples/resnet50/build.py resnet50.mlir

The graph is `light_resnet50.onnx` of the `onnx` package (the one of K. He et al., "Deep Residual Learning for Image
Recognition", CVPR 2016, 4.09 GMAC). Every convolution becomes an i8 convolution with i32 sums and a map that adds the
bias, scales per channel, adds the other branch of the block where there is one, clamps below at zero, and rounds to i8.
The weights, biases and scales are random, of a size with which values neither die out nor saturate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import data
from safetensors.numpy import save_file

LIGHT = Path(next(iter(data.__path__))) / "light" / "light_resnet50.onnx"


class Builder:
    """The lines of the module and its weights while they are written."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.weights: dict[str, np.ndarray] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        """The shape of each i8 value."""

    def type_of(self, name: str) -> str:
        return tensor(self.shapes[name], "i8")

    def parameter(self, name: str, array: np.ndarray) -> tuple[str, str]:
        self.weights[name] = array
        type_ = tensor(array.shape, {"int8": "i8", "int32": "i32", "float32": "f32"}[array.dtype.name])
        self.lines.append(f'%{name} = tsp_tensor.parameter "{name}" : {type_}')
        return f"%{name}", type_

    def requantised(
        self, name: str, sums: str, shape: tuple[int, ...], depth: int, other: str | None, relu: bool
    ) -> None:
        """The map from sums of `depth` products to i8."""
        channels = shape[-1]
        bias, bias_type = self.parameter(f"{name}_bias", self.rng.integers(-2000, 2000, channels, dtype=np.int32))
        spread = 50.0 / (74 * 30 * np.sqrt(depth))
        scale, scale_type = self.parameter(
            f"{name}_scale", (spread * self.rng.uniform(0.5, 1.5, channels)).astype(np.float32)
        )
        operands, types, arguments = (
            [sums, bias, scale],
            [tensor(shape, "i32"), bias_type, scale_type],
            "%a: i32, %b: i32, %s: f32",
        )
        if other is not None:
            operands.append(f"%{other}")
            types.append(self.type_of(other))
            arguments += ", %o: i8"
        body = ["%0 = arith.addi %a, %b : i32", "%1 = arith.sitofp %0 : i32 to f32", "%2 = arith.mulf %1, %s : f32"]
        last = "%2"
        if other is not None:
            body += ["%3 = arith.sitofp %o : i8 to f32", "%4 = arith.addf %2, %3 : f32"]
            last = "%4"
        if relu:
            body += ["%zero = arith.constant 0.0 : f32", f"%5 = arith.maximumf {last}, %zero : f32"]
            last = "%5"
        body += [f"%6 = math.roundeven {last} : f32", "%7 = arith.fptosi %6 : f32 to i8", "tsp_tensor.yield %7 : i8"]
        self.lines.append(
            f"%{name} = tsp_tensor.map {', '.join(operands)} : ({', '.join(types)}) -> {tensor(shape, 'i8')} {{"
        )
        self.lines += [f"^bb0({arguments}):", *(f"  {line}" for line in body), "}"]
        self.shapes[name] = shape

    def conv(
        self,
        name: str,
        source: str,
        kernel: tuple[int, ...],
        strides: list[int],
        pads: list[int],
        other: str | None,
        relu: bool,
    ) -> None:
        """A convolution [outputs, channels, rows, columns] and its map."""
        outputs, channels, rows, columns = kernel
        n, height, width, _ = self.shapes[source]
        out = (
            n,
            (height + pads[0] + pads[2] - rows) // strides[0] + 1,
            (width + pads[1] + pads[3] - columns) // strides[1] + 1,
            outputs,
        )
        weights, type_ = self.parameter(
            f"{name}_weights", self.rng.integers(-127, 128, (rows, columns, channels, outputs), dtype=np.int8)
        )
        self.lines.append(
            f"%{name}_sums = tsp_tensor.conv %{source}, {weights} strides {strides} pads {pads} : "
            f"{self.type_of(source)}, {type_} -> {tensor(out, 'i32')}"
        )
        self.requantised(name, f"%{name}_sums", out, rows * columns * channels, other, relu)

    def max_pool(self, source: str, attributes: dict[str, list[int]]) -> str:
        pads, strides, kernel = attributes["pads"], attributes["strides"], attributes["kernel_shape"]
        n, height, width, channels = self.shapes[source]
        size = [(d + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, d in enumerate((height, width))]
        self.shapes["pool"] = (n, *size, channels)
        self.lines.append(
            f'%pool = tsp_tensor.pool "max" %{source} window {kernel} strides {strides} pads {pads} : '
            f"{self.type_of(source)} -> {self.type_of('pool')}"
        )
        return "pool"

    def mean(self, source: str) -> str:
        """The mean over all pixels, flat."""
        n, height, width, channels = self.shapes[source]
        sums, mean = tensor((n, 1, 1, channels), "i32"), tensor((n, 1, 1, channels), "i8")
        self.shapes["flat"] = (n, channels)
        self.lines += [
            f'%sums = tsp_tensor.pool "sum" %{source} window [{height}, {width}] : {self.type_of(source)} -> {sums}',
            f"%mean = tsp_tensor.map %sums : ({sums}) -> {mean} {{",
            "^bb0(%a: i32):",
            f"  %scale = arith.constant {1 / (height * width):.9e} : f32",
            "  %0 = arith.sitofp %a : i32 to f32",
            "  %1 = arith.mulf %0, %scale : f32",
            "  %2 = math.roundeven %1 : f32",
            "  %3 = arith.fptosi %2 : f32 to i8",
            "  tsp_tensor.yield %3 : i8",
            "}",
            f"%flat = tsp_tensor.reshape %mean : {mean} -> {self.type_of('flat')}",
        ]
        return "flat"

    def dense(self, source: str, shape: tuple[int, ...]) -> None:
        """The last layer: its sums are the result."""
        weights, type_ = self.parameter("dense_weights", self.rng.integers(-127, 128, shape[::-1], dtype=np.int8))
        self.lines.append(
            f"%logits = tsp_tensor.matmul %{source}, {weights} : {self.type_of(source)}, {type_} "
            f"-> tensor<1x{shape[0]}xi32>"
        )


def tensor(shape: tuple[int, ...], element: str) -> str:
    return f"tensor<{'x'.join(map(str, (*shape, element)))}>"


def build(seed: int = 0) -> tuple[str, dict[str, np.ndarray]]:
    """The text of the module and its weights."""
    graph = onnx.load(str(LIGHT)).graph
    shapes = {i.name.removesuffix("__SHAPE"): numpy_helper.to_array(i) for i in graph.initializer}
    made = Builder(seed)
    made.shapes["image"] = (1, 224, 224, 3)
    values = {"gpu_0/data_0": "image"}
    """The i8 value of each tensor of the graph."""
    waiting: dict[str, onnx.NodeProto] = {}
    """The convolutions whose map is not written yet, by the tensors that their sums have become."""

    def finish(tensor_name: str, other: str | None, relu: bool) -> str:
        conv = waiting[tensor_name]
        attributes = {a.name: list(onnx.helper.get_attribute_value(a)) for a in conv.attribute if a.ints}
        name = f"conv{len([n for n in made.shapes if n.startswith('conv')])}"
        kernel = tuple(int(d) for d in shapes[conv.input[1]])
        strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0, 0, 0, 0])
        made.conv(name, values[conv.input[0]], kernel, strides, pads, other, relu)
        return name

    for node in graph.node:
        attributes = {a.name: list(onnx.helper.get_attribute_value(a)) for a in node.attribute if a.ints}
        first, out = (node.input[0] if node.input else ""), node.output[0]
        match node.op_type:
            case "Conv":
                waiting[out] = node
            case "BatchNormalization":
                waiting[out] = waiting[first]
            case "Sum":
                second = node.input[1]
                values[f"{out} other"] = values.get(second) or finish(second, None, False)
                waiting[out] = waiting[first]
            case "Relu":
                values[out] = finish(first, values.get(f"{first} other"), True)
            case "MaxPool":
                values[out] = made.max_pool(values[first], attributes)
            case "AveragePool":
                values[out] = made.mean(values[first])
            case "Reshape":
                values[out] = values[first]
            case "Gemm":
                made.dense(values[first], tuple(int(d) for d in shapes[node.input[1]]))
            case _:
                pass
    lines = "\n".join(f"    {line}" for line in made.lines)
    text = f"""builtin.module attributes {{tsp_tensor.weights = "resnet50.safetensors"}} {{
  func.func @main(%image: tensor<1x224x224x3xi8> {{tsp_tensor.name = "image"}})
      -> (tensor<1x1000xi32> {{tsp_tensor.name = "logits"}}) {{
{lines}
    func.return %logits : tensor<1x1000xi32>
  }}
}}
"""
    return text, made.weights


def main() -> None:
    parser = argparse.ArgumentParser(description="write ResNet-50 as an int8 module with random weights")
    parser.add_argument("output", type=Path, help="the .mlir file; weights and an input go beside it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    text, weights = build(args.seed)
    args.output.write_text(text)
    save_file(weights, args.output.parent / "resnet50.safetensors")
    image = np.random.default_rng(args.seed + 1).integers(-128, 128, (1, 224, 224, 3), dtype=np.int8)
    np.savez(args.output.with_suffix(".npz"), image=image)


if __name__ == "__main__":
    main()
