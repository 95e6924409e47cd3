"""On which side of the VXM an SXM op works, and in which unit."""

from __future__ import annotations

import pytest
from tspc.dialects import tsp_stream as ts
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.passes.pipelines import parse
from tspc.passes.stream.placement.sxm_units import place_sxm_units
from xdsl.dialects.builtin import ModuleOp

CHIP = DEFAULT_SYSTEM.chip
STREAM = f"!tsp_stream.stream<5x{CHIP.lanes}xi8>"
SUMS = f"!tsp_stream.stream<5x{CHIP.lanes}xi32>"
WEIGHTS = f"!tsp_stream.buffer<{CHIP.lanes}x{CHIP.lanes}xi8, words [20 of d0 * 16], side [16 of d0], lanes [320 of d1]>"
ROWS = f"!tsp_stream.buffer<5x{CHIP.lanes}xi8, words [5 of d0], side [1 of b], lanes [320 of d1]>"


def placed(*lines: str) -> list[ts.LaneOp]:
    """The SXM ops of a function with a matrix of weights and a buffer, placed."""
    module: ModuleOp = parse(
        f'func.func @main() {{\n%rows = tsp_stream.buffer "input" "rows" : {ROWS}\n'
        f'%weights = tsp_stream.buffer "input" "weights" : {WEIGHTS}\n' + "\n".join(lines) + "\nfunc.return\n}"
    )
    place_sxm_units(module)
    return [op for op in module.walk() if isinstance(op, ts.LaneOp)]


def reading(name: str = "a") -> str:
    return f"%{name} = tsp_stream.read %rows words <0, 5 step 1> : {ROWS} -> {STREAM}"


def shift(name: str, of: str, side: str | None = None) -> str:
    where = f' side "{side}"' if side else ""
    return f'%{name} = tsp_stream.shift %{of} by 1 "up"{where} : {STREAM} -> {STREAM}'


def product(name: str, of: str, plane: int) -> list[str]:
    loaded = f"!tsp_stream.stream<20x16x{CHIP.lanes}xi8>"
    matrix = f"!tsp_stream.weights<1x{CHIP.lanes}x{CHIP.lanes}xi8>"
    return [
        f"%{name}r = tsp_stream.read %weights words <0, 20 step 1> : {WEIGHTS} -> {loaded}",
        f"%{name}l = tsp_stream.load_weights %{name}r plane {plane} : {loaded} -> {matrix}",
        f"%{name} = tsp_stream.matmul %{of}, %{name}l plane {plane} : {STREAM}, {matrix} -> {SUMS}",
    ]


def sides(ops: list[ts.LaneOp]) -> str:
    return "".join(op.side.data for op in ops if op.side is not None)


@pytest.mark.parametrize("plane", range(CHIP.planes))
def test_what_feeds_a_plane_is_on_its_side(plane: int) -> None:
    assert sides(placed(reading(), shift("b", "a"), *product("p", "b", plane))) == "EEWW"[plane]


@pytest.mark.parametrize("link", [0, CHIP.links // 2 - 1, CHIP.links // 2, CHIP.links - 1])
def test_what_is_sent_is_on_the_side_of_its_link(link: int) -> None:
    send = f"%c = tsp_stream.send %b link {link} : {STREAM} -> {STREAM.replace('.stream', '.flight')}"
    assert sides(placed(reading(), shift("b", "a"), send)) == ("E" if link < CHIP.links // 2 else "W")


@pytest.mark.parametrize("side", ["E", "W"])
def test_what_exchanges_vectors_with_another_is_beside_it(side: str) -> None:
    """A distributor and a shifter are different units, so both fit on one side."""
    spread = f"%c = tsp_stream.distribute %b by %b : {STREAM}, {STREAM} -> {STREAM}"
    assert sides(placed(reading(), shift("b", "a", side), spread)) == side * 2


@pytest.mark.parametrize("side", ["E", "W"])
def test_a_unit_is_used_once_in_a_cluster(side: str) -> None:
    """The other op finds the shifter of the one side taken, whichever comes first."""
    other = {"E": "W", "W": "E"}[side]
    assert sides(placed(reading(), shift("b", "a", side), shift("c", "b"))) == side + other
    assert sides(placed(reading(), shift("b", "a"), shift("c", "b", side))) == other + side


def test_ops_of_several_clusters_take_turns() -> None:
    """The side that has had less to do is taken; of equals the eastern."""
    lines = [line for n in "abcd" for line in (reading(n), shift(f"{n}{n}", n))]
    assert sides(placed(*lines)) == "EWEW"


def test_transposers_of_a_side_are_dealt_out() -> None:
    group = STREAM.replace("5x", "5x16x")
    rows = [f"%a{i} = tsp_stream.read %weights words <0, 5 step 1> : {WEIGHTS} -> {group}" for i in range(4)]
    turns = [f"%t{i} = tsp_stream.transpose %a{i} : {group} -> {group}" for i in range(4)]
    ops = placed(*rows, *turns)
    units = {
        (op.side.data, op.unit.value.data)
        for op in ops
        if isinstance(op, ts.TransposeOp) and op.side is not None and op.unit is not None
    }
    assert units == {("E", 0), ("E", 1), ("W", 0), ("W", 1)}
