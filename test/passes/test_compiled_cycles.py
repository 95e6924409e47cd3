"""The cycles of compiled products: exact, so that every change of the schedule shows, and not below the targets."""

from __future__ import annotations

import numpy as np
import pytest
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.programs.records import program_from_module
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.schedule.account import Account, account, scheduled_length
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit import JitEngine
from xdsl.dialects.builtin import ModuleOp

CHIP = DEFAULT_SYSTEM.chip


def product(m: int, k: int, n: int, element: str) -> str:
    sums = {"i8": "i32", "f16": "f32"}[element]
    x, w, y = f"tensor<{m}x{k}x{element}>", f"tensor<{k}x{n}x{element}>", f"tensor<{m}x{n}x{sums}>"
    return f"""func.func @main(%x: {x} {{tsp_tensor.name = "x"}}) -> ({y} {{tsp_tensor.name = "y"}}) {{
      %w = tsp_tensor.parameter "w" : {w}
      %y = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      func.return %y : {y}
    }}"""


def scheduled(text: str) -> ModuleOp:
    return compile(parse(text), until="stream-schedule")


def efficiency(m: int, k: int, n: int, element: str, cycles: int) -> float:
    """The part of what all planes could do in so many cycles; two bytes take a pair of planes for two cycles."""
    planes = CHIP.planes if element == "i8" else CHIP.planes / 4
    return m * k * n / (CHIP.lanes**2 * planes) / cycles


@pytest.mark.parametrize(
    ("shape", "cycles"),
    [
        ((320, 320, 320, "i8"), 207),
        ((640, 640, 640, "i8"), 768),
        ((1024, 1024, 1024, "i8"), 4226),
        ((320, 320, 320, "f16"), 466),
        ((640, 640, 640, "f16"), 2711),
        ((1, 4096, 4096, "i8"), 1073),
    ],
)
def test_the_length_of_a_product(shape: tuple[int, int, int, str], cycles: int) -> None:
    assert scheduled_length(scheduled(product(*shape))) == cycles


SWEEP = {
    1376: 144_681,
    1408: 148_039,
    1440: 151_397,
    1472: 151_345,
    1632: 171_337,
    1664: 174_689,
    1696: 178_047,
    1728: 181_451,
    1952: 204_685,
    1984: 208_037,
    2016: 211_389,
    2048: 211_269,
    2272: 238_026,
    2304: 241_372,
    2592: 271_220,
    2624: 271_192,
    2912: 301_294,
    3232: 331_116,
}
"""The cycles of 2304 x 4096 by 4096 x N in f16, from each N on to the next."""


@pytest.mark.parametrize("n", [*range(1376, 3500, 32), 3500])
def test_the_f16_sweep(n: int) -> None:
    shape = 2304, 4096, n, "f16"
    found = scheduled_length(scheduled(product(*shape)))
    assert found == SWEEP[max(first for first in SWEEP if first <= n)]
    assert efficiency(*shape, found) >= 0.86


def test_a_large_product_keeps_the_planes_busy() -> None:
    shape = 4096, 4096, 4096, "i8"
    found = scheduled_length(scheduled(product(*shape)))
    assert found == 173_753
    assert efficiency(*shape, found) >= 0.85


def test_a_row_by_a_matrix_loads_weights_in_most_cycles() -> None:
    """A cycle brings both hemispheres all streams of a direction, each a weight a lane: 20,480."""
    most = 2 * CHIP.streams * CHIP.lanes
    assert most == 20_480
    module = parse(product(1, 4096, 4096, "i8"))
    assert 4096 * 4096 / most / scheduled_length(scheduled(str(module))) >= 0.75
    random = np.random.default_rng(0)
    x, w = (random.integers(-128, 128, shape, dtype=np.int8) for shape in ((1, 4096), (4096, 4096)))
    outputs, _ = Loaded(executable_from_module(compile(module), {"w": w}), JitEngine()).run({"x": x})
    assert (outputs["y"] == x.astype(np.int32) @ w.astype(np.int32)).all()


# -- the account ---------------------------------------------------------------------------------------------------

LAYERS = """
func.func @main(%x: tensor<640x640xi8>) -> tensor<640x640xi32> {
  %w = tsp_tensor.parameter "w" : tensor<640x640xi8>
  %v = tsp_tensor.parameter "v" : tensor<640x640xi8>
  %s = tsp_tensor.matmul %x, %w : tensor<640x640xi8>, tensor<640x640xi8> -> tensor<640x640xi32>
  %h = tsp_tensor.map %s : (tensor<640x640xi32>) -> tensor<640x640xi8> {
  ^bb0(%a: i32):
    %c = arith.constant 1.0e-03 : f32
    %0 = arith.sitofp %a : i32 to f32
    %1 = arith.mulf %0, %c : f32
    %2 = math.roundeven %1 : f32
    %3 = arith.fptosi %2 : f32 to i8
    tsp_tensor.yield %3 : i8
  }
  %y = tsp_tensor.matmul %h, %v : tensor<640x640xi8>, tensor<640x640xi8> -> tensor<640x640xi32>
  func.return %y : tensor<640x640xi32>
}
"""


@pytest.fixture(scope="module")
def layers() -> Account:
    return account(scheduled(LAYERS))


def test_an_account_sums_to_the_length(layers: Account) -> None:
    program = program_from_module(compile(parse(LAYERS)))
    assert layers.cycles == program.cycles == scheduled_length(scheduled(LAYERS))
    assert sum(layers.causes.values()) == layers.cycles
    assert sum(op.on_chain for op in layers.ops) + layers.before + layers.tiles == layers.cycles
    assert (layers.before, layers.tiles) == (DEFAULT_SYSTEM.release, CHIP.tiles)


def test_an_account_says_what_ops_do(layers: Account) -> None:
    first, second = layers.ops
    assert (first.line, second.line) == (6, 15)  # the product goes into the map that uses its sums
    for op in layers.ops:
        assert (op.kind, op.rows, op.columns, op.passes) == ("product", 640, 640, 2)
        assert op.plane_cycles == 640 * 2 * 2  # rows, passes, tiles of columns
        assert op.bounds["products"] == op.plane_cycles // CHIP.planes
        assert op.bound <= op.last + 1 - op.first
    assert first.bounds["ALUs"] == 640 * 2 * 3 // CHIP.alus  # convert, multiply, convert and round
    assert "ALUs" not in second.bounds
    assert layers.before == first.first and second.last + 1 + CHIP.tiles == layers.cycles


def test_the_second_layer_waits_for_the_first(layers: Account) -> None:
    first, second = layers.ops
    assert second.first >= first.first + first.bound
    assert first.on_chain > first.bound and second.on_chain > second.bound


def test_the_account_of_nothing() -> None:
    empty = account(parse("builtin.module {}"))
    assert empty.ops == () and sum(empty.causes.values()) == empty.cycles == CHIP.tiles
