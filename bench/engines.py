"""The engines side by side, in one run and one thread: digits on the reference engine and on the JIT, and their starts.

`python bench/engines.py [--short]` prints a table of times and ratios; nothing is asserted but equal bits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import best, printed
from tspc.passes.pipelines import compile, parse
from tspc.runtime.executable import Executable, Loaded, executable_from_module
from tspc.runtime.interface import Array, interface_of, load_weights, weights_path
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine

DIGITS = Path(__file__).resolve().parent.parent / "examples" / "digits"
START = """
import time
started = time.perf_counter()
from tspc.dialects.programs.records import ChipProgram, Program
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.machine.topology import Topology
from tspc.runtime.jit import JitEngine
def resident():
    return int(open("/proc/self/statm").read().split()[1]) / 256
before, imported = resident(), time.perf_counter()
idle = Program(DEFAULT_SYSTEM, Topology(()), (ChipProgram(0, 20, (), (), {}),))
session = JitEngine().load(idle)
session.run()
print(time.perf_counter() - started, time.perf_counter() - imported, resident() - before)
"""
LOADED = """
session.sram(0)[:DEFAULT_SYSTEM.chip.slices] = 1
print(resident() - before)
"""


def digits(batch: int) -> tuple[Executable, dict[str, Array]]:
    """The digits program for a batch of images, and the images."""
    text = (DIGITS / "digits.mlir").read_text().replace("360x", f"{batch}x")
    module = parse(text)
    weights = load_weights(weights_path(module, DIGITS), interface_of(module).parameters)
    with np.load(DIGITS / "digits.npz") as data:
        return executable_from_module(compile(module), weights), {"images": data["images"][:batch]}


def jit_start(cache: str) -> tuple[float, float, float]:
    """Seconds from a started Python to an idle chip that has run, and of them those after the imports; and the MiB that
    the chip then takes. In a process of its own."""
    whole, chip, memory = printed(START, {"TSPC_CACHE_DIR": cache})
    return whole, chip, memory


def loaded_memory(cache: str) -> float:
    """The MiB that a chip takes of which half of the SRAM has been written, in a process of its own."""
    return printed(START + LOADED, {"TSPC_CACHE_DIR": cache})[-1]


def command_start(name: str) -> float:
    """Seconds of `name --help`, the least of 5."""
    path = Path(sys.executable).parent / name
    return best(lambda: subprocess.run([path, "--help"], check=True, capture_output=True), 5, time.perf_counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the images")
    batch = 180 if parser.parse_args().short else 1797

    executable, inputs = digits(batch)
    reference, jit = Loaded(executable, ReferenceEngine()), Loaded(executable, JitEngine())
    expected, (got, stats) = reference.run(inputs)[0], jit.run(inputs)
    assert (expected["logits"] == got["logits"]).all(), "the engines disagree"
    guarded = Loaded(executable, JitEngine(secded=True))
    assert (guarded.run(inputs)[0]["logits"] == got["logits"]).all(), "check bits change the result"
    slow, fast = best(lambda: reference.run(inputs), 2), best(lambda: jit.run(inputs), 10)
    checked = best(lambda: guarded.run(inputs), 10)
    cycles = max(stats.cycles)
    print(f"digits, {batch} images, {cycles} cycles")
    print(f"  reference engine        {slow * 1e3:10.2f} ms  {cycles / slow:12.0f} cycles/s")
    print(f"  JIT                     {fast * 1e3:10.2f} ms  {cycles / fast:12.0f} cycles/s")
    print(f"  ratio                   {slow / fast:10.1f}")
    print(f"  JIT with SECDED         {checked * 1e3:10.2f} ms  {cycles / checked:12.0f} cycles/s")
    print(f"  ratio                   {checked / fast:10.1f}")
    with tempfile.TemporaryDirectory() as cache:
        cold, *_ = jit_start(cache)
        warm, chip, memory = (min(values) for values in zip(*(jit_start(cache) for _ in range(3)), strict=True))
        loaded = loaded_memory(cache)
    print(f"JIT start: cold {cold:.3f} s, warm {warm:.3f} s, of which a chip after the imports {chip * 1e3:.1f} ms")
    print(f"memory of a chip: idle {memory:.1f} MiB, with half of its SRAM written {loaded:.1f} MiB")
    ours, theirs = command_start("tsp-opt"), command_start("xdsl-opt")
    print(f"--help: tsp-opt {ours:.3f} s, xdsl-opt {theirs:.3f} s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
