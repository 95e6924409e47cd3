"""The convolutional networks of the examples, small and narrow: they compile, and have the bits of plain numpy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from networks import reference
from networks.layers import Network
from networks.module import PRECISIONS, build, image_of
from networks.zoo import NETWORKS

SIZES = {name: 32 for name in NETWORKS}
"""Rows and columns of the image, as few as the network's pools leave something of."""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_bits_of_numpy(name: str, precision: str) -> None:
    net = Network(SIZES[name], width=0.125, classes=40)
    NETWORKS[name](net)
    text, weights = build(net, precision, "weights.safetensors")
    image = image_of(net, precision)
    expected = reference.run(net, precision, weights, image)
    assert len(np.unique(expected)) > 10  # values neither died out nor saturated on their way
    got, _ = Loaded(executable_from_module(compile(parse(text)), weights), JitEngine(mode="bulk")).run({"image": image})
    assert got["logits"].dtype == expected.dtype
    assert got["logits"].tobytes() == expected.tobytes()
