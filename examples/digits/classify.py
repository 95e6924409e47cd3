"""Classifies the held-out digits on the simulated chip, and says how well and how fast.

Run it from anywhere: `python examples/digits/classify.py [digits_two_chips.mlir]`. It is also the shortest example of
embedding: parse, compile, load, run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.interface import interface_of, load_weights, weights_path
from tspc.runtime.jit import JitEngine

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    model = FOLDER / (sys.argv[1] if len(sys.argv) > 1 else "digits.mlir")
    with np.load(FOLDER / "digits.npz") as data:
        held_out = data["held_out"]
        images, labels = data["images"][held_out], data["labels"][held_out]

    started = time.perf_counter()
    module = parse(model.read_text(), str(model))
    weights = load_weights(weights_path(module, FOLDER), interface_of(module).parameters)
    program = Loaded(executable_from_module(compile(module), weights), JitEngine())
    compiled = time.perf_counter()
    outputs, stats = program.run({"images": images})
    simulated = time.perf_counter()

    right = int((outputs["logits"].argmax(axis=1) == labels).sum())
    cycles, clock = max(stats.cycles), program.executable.program.system.chip.clock_mhz
    print(f"accuracy   {right / len(labels):.2%} ({right} of {len(labels)} held-out digits)")
    print(f"cycles     {cycles}, which are {cycles / clock:.2f} us at {clock} MHz (model cycles)")
    print(f"host time  compile {compiled - started:.3f} s, simulate {simulated - compiled:.4f} s")


if __name__ == "__main__":
    main()
