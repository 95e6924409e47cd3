"""ResNet-50 in its true shapes, with random int8 weights: it compiles, verifies, and has the tensor level's bits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from networks.layers import Network
from networks.module import build, image_of
from networks.zoo import resnet50

CYCLES = 71_270
"""The exact length of the program; published silicon takes 38,700 to 44,100 cycles (docs/performance.md)."""


def test_resnet50() -> None:
    net = Network()
    resnet50(net)
    text, weights = build(net, "i8", "weights.safetensors")
    inputs = {"image": image_of(net, "i8")}
    expected = run_tensor(parse(text), inputs, weights)["logits"]
    assert len(np.unique(expected)) > 900  # values neither died out nor saturated on their way
    executable = executable_from_module(compile(parse(text)), weights)
    assert executable.program.cycles == CYCLES
    for mode in ("bulk", "cycle"):
        session = Loaded(executable, JitEngine(mode=mode))
        for _ in range(2):
            got, stats = session.run(inputs)
            assert np.array_equal(got["logits"], expected)
            assert stats.cycles == (CYCLES,)
