"""Compiles the marked function of host.mlir for the chip and runs the host code: python examples/host/run.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tspc

host = tspc.compile_host(Path(__file__).with_name("host.mlir"))
layer = host.programs["layer"]
print(f"layer: {layer.cycles} cycles, {layer}")

start, step = np.ones((4, 64), np.int32), np.arange(64, dtype=np.int32)
rows, times = host.run("main", start, step, 1000)
print(f"main: {times} calls of the chip, first row begins with {rows[0, :4]}")

expected = start
for _ in range(times):
    expected = 2 * expected + step
assert np.array_equal(rows, expected)
