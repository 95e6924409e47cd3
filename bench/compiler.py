"""What the compiler makes of matrix products and of models: cycles, how near to the bounds, and its own time.

python bench/compiler.py            # 8 of the 67 products of the sweep, int8 4096 x 4096 x 4096, a row, the models
python bench/compiler.py --full     # the whole sweep: 2304 x 4096 by 4096 x N in f16, N from 1376 to 3500 by 32
python bench/compiler.py --short    # two of the sweep, int8 1024 x 1024 x 1024 and a row
"""

from __future__ import annotations

import argparse
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.schedule.account import scheduled_length
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from networks.layers import Network
from networks.module import build, image_of
from networks.zoo import resnet50

CHIP = DEFAULT_SYSTEM.chip
SWEEP = range(1376, 3501, 32)
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

Arrays = dict[str, np.ndarray]


def product(m: int, k: int, n: int, element: str) -> str:
    """The module of a product of an input [m, k] by a parameter [k, n]."""
    sums = {"i8": "i32", "f16": "f32"}[element]
    x, w, y = f"tensor<{m}x{k}x{element}>", f"tensor<{k}x{n}x{element}>", f"tensor<{m}x{n}x{sums}>"
    return f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({y} {{tsp_tensor.name = "y"}}) {{
      %w = tsp_tensor.parameter "w" : {w}
      %y = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      func.return %y : {y}
    }}"""


def peak(m: int, k: int, n: int, element: str) -> float:
    """The cycles in which all planes could do a product if no lane and no cycle were ever idle."""
    planes = CHIP.planes if element == "i8" else CHIP.planes / 4  # two bytes take a pair of planes for two cycles
    return m * k * n / (CHIP.lanes**2 * planes)


def edges(m: int, k: int, n: int, element: str) -> float:
    """The same where tiles at the edges take as long as whole ones; whichever operand is the stationary one."""
    planes = CHIP.planes if element == "i8" else CHIP.planes / 4
    tiles = [-(-d // CHIP.lanes) for d in (m, k, n)]
    return min(m * tiles[1] * tiles[2], n * tiles[0] * tiles[1]) / planes


def sweep(sizes: range | list[int]) -> None:
    print("f16 2304 x 4096 by 4096 x N, to the schedule")
    print("|    N | cycles | of the peak | bound by tile edges | seconds |")
    for n in sizes:
        shape = 2304, 4096, n, "f16"
        start = time.perf_counter()
        cycles = scheduled_length(compile(parse(product(*shape)), until="stream-schedule"))
        seconds = time.perf_counter() - start
        print(f"| {n} | {cycles} | {peak(*shape) / cycles:.1%} | {edges(*shape):.0f} | {seconds:.2f} |", flush=True)


def measure(name: str, text: str, weights: Arrays, inputs: Arrays, expected: np.ndarray | None = None) -> int:
    """Compiles and runs a module, and prints what that takes. Gives its cycles."""
    module, stages = parse(text), dict[str, float]()
    compile(module, took=stages.__setitem__)
    print(f"{name}: compiled in {sum(stages.values()):.2f} s")
    print(f"  {', '.join(f'{stage} {seconds:.2f}' for stage, seconds in stages.items())}")
    executable = executable_from_module(module, weights)
    cycles = executable.program.cycles
    results: list[np.ndarray] = []
    for mode in ("cycle", "bulk"):
        loaded = Loaded(executable, JitEngine(mode=mode))
        loaded.run(inputs)
        start = time.perf_counter()
        outputs, _ = loaded.run(inputs)
        seconds = time.perf_counter() - start
        results.append(next(iter(outputs.values())))
        print(f"  {mode} mode {seconds * 1e3:.1f} ms a run, {cycles / seconds:,.0f} cycles/s")
    assert (results[0] == results[1]).all(), "the modes differ"
    assert expected is None or (results[0] == expected).all(), "the product is wrong"
    print(f"  {cycles} cycles; peak memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return cycles


def measure_product(m: int, k: int, n: int) -> None:
    """An int8 product, compared with numpy's (in f64, which is exact for such sums and much faster than integers)."""
    random = np.random.default_rng(0)
    x, w = (random.integers(-128, 128, shape, dtype=np.int8) for shape in ((m, k), (k, n)))
    expected = (x.astype(np.float64) @ w.astype(np.float64)).astype(np.int32)
    shape = m, k, n, "i8"
    cycles = measure(f"int8 {m} x {k} x {n}", product(*shape), {"w": w}, {"x": x}, expected)
    print(f"  {peak(*shape) / cycles:.1%} of the peak; bound by tile edges {edges(*shape):.0f}")
    if m == 1:
        lower = k * n / (2 * CHIP.weight_streams * 2 * CHIP.lanes)
        print(f"  loads {lower / cycles:.1%} of the {4 * CHIP.weight_streams * CHIP.lanes} weights a cycle that fit")


def measure_resnet() -> None:
    net = Network()
    resnet50(net)
    text, weights = build(net, "i8", "weights.safetensors")
    measure("ResNet-50, int8, one image", text, weights, {"image": image_of(net, "i8")})


def measure_decoder() -> None:
    builder = runpy.run_path(str(EXAMPLES / "decoder" / "build.py"))
    text, weights = cast("tuple[str, Arrays]", builder["build"]())
    measure("a decoder block, one token", text, weights, builder["inputs_of"](builder["Shape"](), 700))


def measure_bert() -> None:
    """The encoder of BERT-base on two chips, and one of its layers."""
    example = runpy.run_path(str(EXAMPLES / "bert" / "build.py"), run_name="bert")
    for layers, chips in ((1, 1), (12, 2)):
        shape = example["Shape"](layers=layers)
        text, weights = cast("tuple[str, Arrays]", example["build"](shape, chips=chips))
        measure(f"BERT-base, f16, {layers} layers, {chips} chips", text, weights, {"states": example["states"](shape)})


def main() -> None:
    parser = argparse.ArgumentParser(description="cycles of compiled products and of models")
    parser.add_argument("--short", action="store_true", help="small ones only, in a few seconds")
    parser.add_argument("--full", action="store_true", help="the whole sweep")
    args = parser.parse_args()
    sweep([1376, 2560] if args.short else SWEEP if args.full else [*SWEEP[::9]])
    if args.short:
        measure_product(1024, 1024, 1024)
    else:
        measure_product(4096, 4096, 4096)
    measure_product(1, 4096, 4096)
    if not args.short:
        measure_resnet()
    measure_decoder()
    if not args.short:
        measure_bert()


if __name__ == "__main__":
    main()
