"""The convolutional networks of the examples: in full, their products are those of the published models; small, narrow
and short, they compile and have the bits of plain numpy."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test import data
from tspc.passes.pipelines import compile, make_context, parse
from tspc.passes.tensor.lowering.convert_tensor_to_stream import ConvertTensorToStreamPass
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from xdsl.dialects.builtin import ModuleOp

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from networks import reference
from networks.layers import Conv, Dense, Network
from networks.module import PRECISIONS, Arrays, build, image_of
from networks.zoo import NETWORKS

SIZES = dict.fromkeys(NETWORKS, 32) | {"alexnet": 51, "zfnet512": 59}
"""Rows and columns of the image, so few that the last layers have a pixel or four."""


LIGHT = {
    "bvlc_alexnet": "alexnet",
    "densenet121": "densenet121",
    "inception_v1": "inception_v1",
    "inception_v2": "inception_v2",
    "resnet50": "resnet50",
    "shufflenet": "shufflenet_g4",
    "squeezenet": "squeezenet11",
    "vgg19": "vgg19",
    "zfnet512": "zfnet512",
}
"""By the name of a model in the `onnx` package, the network that it is."""


Products = Counter[tuple[object, ...]]
"""Kernel, channels of a group, outputs, strides, pads and groups of all convolutions; a matrix is one of a pixel."""

PIXEL = ((1, 1), (0, 0, 0, 0), 1)
"""Strides, pads and groups of a matrix."""


def products_of_model(model: str) -> Products:
    path = Path(next(iter(data.__path__))) / "light" / f"light_{model}.onnx"
    graph = onnx.load(str(path)).graph
    shapes = {i.name.removesuffix("__SHAPE"): tuple(numpy_helper.to_array(i)) for i in graph.initializer}
    found: Products = Counter()
    for node in graph.node:
        has = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Reshape" and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]][-2:]
        elif node.op_type == "Conv":
            outputs, channels, *kernel = shapes[node.input[1]]
            strides, pads = tuple(has.get("strides", (1, 1))), tuple(has.get("pads", (0, 0, 0, 0)))
            found[tuple(kernel), channels, outputs, strides, pads, has.get("group", 1)] += 1
        elif node.op_type == "Gemm":
            outputs, channels = shapes[node.input[1]]
            found[(1, 1), channels, outputs, *PIXEL] += 1
    return found


def products_of(net: Network) -> Products:
    found: Products = Counter()
    for layer in net.layers:
        if isinstance(layer, Conv):
            w, depth = layer.window, layer.source.channels // layer.groups
            found[w.kernel, depth, layer.channels, w.strides, w.pads, layer.groups] += 1
        elif isinstance(layer, Dense):
            found[(1, 1), layer.source.channels, layer.channels, *PIXEL] += 1
    return found


@pytest.mark.parametrize("model", LIGHT)
def test_products_are_those_of_the_models(model: str) -> None:
    net = Network()
    NETWORKS[LIGHT[model]](net)
    assert products_of(net) == products_of_model(model)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_bits_of_numpy(name: str, precision: str) -> None:
    net = Network(SIZES[name], width=0.125, depth=0.25, classes=40)
    NETWORKS[name](net)
    text, weights = build(net, precision, "weights.safetensors")
    image = image_of(net, precision)
    expected = reference.run(net, precision, weights, image)
    assert len(np.unique(expected)) > 10  # values neither died out nor saturated on their way
    assert logits(compile(parse(text)), weights, image) == (expected.dtype, expected.tobytes())


@pytest.mark.parametrize(("name", "precision"), [("densenet121", "i8"), ("vgg19", "f16")])
def test_networks_have_the_same_bits_where_words_are_few(name: str, precision: str) -> None:
    """In full size VGG-19 in i8 is lowered so; those of 224 pixels take minutes: `networks/check.py all`."""
    net = Network(SIZES[name], width=0.125, depth=0.25, classes=40)
    NETWORKS[name](net)
    text, weights = build(net, precision, "weights.safetensors")
    image = image_of(net, precision)
    module = compile(parse(text), until="c2c-partition")
    ConvertTensorToStreamPass(tight=1).apply(make_context(), module)
    expected = reference.run(net, precision, weights, image)
    assert logits(compile(module), weights, image) == (expected.dtype, expected.tobytes())


def logits(module: ModuleOp, weights: Arrays, image: np.ndarray) -> tuple[np.dtype, bytes]:
    """The type and the bytes of what a compiled network gives."""
    got, _ = Loaded(executable_from_module(module, weights), JitEngine(mode="bulk")).run({"image": image})
    return got["logits"].dtype, got["logits"].tobytes()
