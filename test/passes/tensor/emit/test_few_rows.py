"""Products of few rows or columns and many passes, of which planes take a share each: numpy's bits.

`python bench/products.py` runs all of them.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from machines import MACHINES
from product_cases import SIZES, Case, beyond, check
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.schedule.account import scheduled_length
from tspc.passes.tensor.emit.units import Beside, Cost, divide

SAMPLE = [
    Case(3, 1281, 1),
    Case(4, 2048, 10, epilogue="bias"),
    Case(2, 1920, 64, epilogue="residual", chained=True),
    Case(17, 1281, 321, epilogue="scaled", chained=True),
    Case(16, 2560, 17, computed=True, epilogue="scaled"),
    Case(321, 4096, 3),
    Case(8, 2048, 16, element="f16", epilogue="residual", chained=True),
    Case(1, 9216, 4, element="f16", computed=True),
    *(Case(3, 2048, 10, epilogue="scaled", machine=machine, chained=i % 2 == 1) for i, machine in enumerate(MACHINES)),
]


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_few_rows_and_many_passes(case: Case) -> None:
    assert not beyond(case)
    check(case)


@pytest.mark.parametrize("operands", [3, 4, 9])
def test_an_epilogue_of_many_operands(operands: int) -> None:
    """Where they find no slices beside the weights of all planes, the planes share no passes."""
    assert scheduled_length(compile(parse(adds(3, 2048, 10, operands)), until="stream-schedule")) <= 330


def adds(m: int, k: int, n: int, operands: int) -> str:
    """The sums of a product, and so many tensors like them added to these one after the other."""
    x, w, y = f"tensor<{m}x{k}xi8>", f"tensor<{k}x{n}xi8>", f"tensor<{m}x{n}xi32>"
    names = [f"%o{i}" for i in range(operands)]
    values = ["%a0", *(f"%e{i}" for i in range(operands))]
    lines = [f"{new} = arith.addi {old}, %a{i + 1} : i32" for i, (old, new) in enumerate(pairwise(values))]
    return f"""func.func @main(%x: {x}, {", ".join(f"{name}: {y}" for name in names)}) -> {y} {{
      %w = tsp_tensor.parameter "w" : {w}
      %s = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      %y = tsp_tensor.map {", ".join(["%s", *names])} : ({", ".join([y] * (operands + 1))}) -> {y} {{
      ^bb0({", ".join(f"%a{i}: i32" for i in range(operands + 1))}):
        {chr(10).join(lines)}
        tsp_tensor.yield {values[-1]} : i32
      }}
      func.return %y : {y}
    }}"""


BESIDE = Beside(streams=32, weight_streams=16, install=1, planes=4)


def test_activations_go_between_the_loads_of_planes_in_step() -> None:
    """Weights take all 32 streams for 20 cycles, are installed, and a pass of one row has the cycle that is left. More
    rows make a pause, of the install too."""
    assert BESIDE.period(least=22, activations=1, load=20, passes=8, units=0) == 22
    assert BESIDE.period(least=22, activations=3, load=20, passes=8, units=0) == 20 + 1 + 3 + 1


def test_a_pause_is_worth_it_where_activations_wait_for_weights() -> None:
    """In 22 cycles the first weights wait for almost a pass, so that the load of others is over."""
    waiting = Beside(streams=32, weight_streams=16, install=1, planes=4, waiting=True)
    assert waiting.period(least=22, activations=1, load=20, passes=8, units=1) == 20 + 1 + 1 + 1
    assert waiting.period(least=22, activations=1, load=20, passes=160, units=1) == 22


@pytest.mark.parametrize("rows", SIZES[:6])
def test_a_product_of_one_tile_is_shared_by_its_passes(rows: int) -> None:
    cost = Cost(passes=7, every=1, load=20, accumulators=256, divisible=True, beside=BESIDE)
    (unit,) = divide((rows,), 1, 4, 2, cost)
    assert unit.summed
    assert [share.passes for share in unit.shares] == [2, 2, 2, 1]
