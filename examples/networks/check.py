"""Compiles a network, runs it on the JIT and compares its bits with numpy's; prints what that takes.

python examples/networks/check.py squeezenet11 --precision f16 --size 64
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tspc.dialects.placement import Slice
from tspc.dialects.target_attr import target_of
from tspc.dialects.tsp_stream import BufferOp
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.analysis.timing import place_of
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from xdsl.dialects.builtin import ModuleOp

from networks import reference
from networks.build import network, shape_options
from networks.layers import Network
from networks.module import build, image_of


def used_bytes(module: ModuleOp) -> int:
    """SRAM that the buffers of a scheduled module ever use."""
    chip = target_of(module).chip
    used: dict[Slice, np.ndarray] = defaultdict(lambda: np.zeros(chip.words, bool))
    for buffer in module.walk():
        if isinstance(buffer, BufferOp):
            place = place_of(buffer.buffer)
            depth = place.depth_of(buffer.type.layout.depth)
            for where, address in place.address_of.items():
                used[where][address:][:depth] = True
    return sum(int(words.sum()) for words in used.values()) * chip.lanes


def check(net: Network, precision: str, mode: str = "bulk", seed: int = 0) -> int:
    """Compiles and runs a network. Raises AssertionError unless its bits are numpy's. Gives its cycles."""
    text, weights = build(net, precision, "weights.safetensors", seed)
    image = image_of(net, precision, seed + 1)
    start = time.perf_counter()
    module = compile(parse(text), until="stream-schedule")
    sram = used_bytes(module)
    executable = executable_from_module(compile(module), weights)
    compiled = time.perf_counter()
    outputs, stats = Loaded(executable, JitEngine(mode=mode)).run({"image": image})
    ran = time.perf_counter()
    expected = reference.run(net, precision, weights, image)
    end = time.perf_counter()
    got = outputs["logits"]
    differ = int((got.view(f"V{got.itemsize}") != expected.view(f"V{got.itemsize}")).sum())
    print(f"{stats.cycles[0]} cycles, {sram / 1e6:.1f} MB of SRAM")
    print(f"compiled in {compiled - start:.1f} s, ran in {ran - compiled:.1f} s; numpy: {end - ran:.1f} s")
    print(f"{len(np.unique(expected))} values among {expected.size}, {differ} differ from numpy's")
    assert got.dtype == expected.dtype and got.shape == expected.shape and not differ
    return stats.cycles[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="compile and run a network, and compare it with numpy")
    shape_options(parser)
    parser.add_argument("--mode", choices=("bulk", "cycle"), default="bulk", help="of the JIT")
    args = parser.parse_args()
    check(network(args), args.precision, args.mode, args.seed)


if __name__ == "__main__":
    main()
