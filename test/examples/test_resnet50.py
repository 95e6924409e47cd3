"""ResNet-50 in its true shapes, with random int8 weights: it compiles, verifies, and has the tensor level's bits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

BUILD = Path(__file__).resolve().parents[2] / "examples" / "resnet50" / "build.py"

CYCLES = 71_270
"""The exact length of the program; published silicon takes 38,700 to 44,100 cycles (docs/performance.md)."""


def load_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("resnet50_build", BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_resnet50() -> None:
    text, weights = load_builder().build()
    inputs = {"image": np.random.default_rng(1).integers(-128, 128, (1, 224, 224, 3), dtype=np.int8)}
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
