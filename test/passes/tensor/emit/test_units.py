"""How products are divided over planes: everything is done exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tspc.passes.tensor.analysis.views import Block
from tspc.passes.tensor.emit.units import Cost, Division, Unit, deal, divide

costs = st.builds(
    Cost,
    passes=st.integers(1, 12),
    every=st.sampled_from([1, 2]),
    load=st.integers(1, 40),
    accumulators=st.sampled_from([4, 16, 256]),
    divisible=st.booleans(),
)
spaces = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)


def rows_of(block: Block) -> list[tuple[int, ...]]:
    """The places of a block, each by its number along every dimension."""
    return list(product(*(range(first, first + size) for first, size in zip(block.start, block.extent, strict=True))))


def work_of(unit: Unit) -> list[tuple[int, tuple[int, ...], int]]:
    """Tile, row and pass of everything that the planes of a unit do."""
    return [
        (unit.tile, row, number)
        for share in unit.shares
        for row in rows_of(share.block)
        for number in range(share.first_pass, share.first_pass + share.passes)
    ]


@settings(max_examples=60, deadline=None)
@given(spaces, st.integers(1, 5), st.sampled_from([(1, 1), (2, 1), (2, 2), (4, 1), (4, 2)]), costs)
def test_every_pass_of_every_row_of_every_tile_is_done_once(
    space: tuple[int, ...], tiles: int, machine: tuple[int, int], cost: Cost
) -> None:
    planes, together = machine
    division: Division = divide(space, tiles, planes, together, cost)
    done = Counter(work for unit in division for work in work_of(unit))
    wanted = product(range(tiles), product(*map(range, space)), range(cost.passes))
    assert done == Counter(wanted)
    for unit in division:
        assert all(0 <= share.plane < planes and share.block.rows <= cost.most_rows for share in unit.shares)
        assert len({share.plane for share in unit.shares}) == len(unit.shares)


def test_tiles_that_do_not_go_round_are_shared_by_their_rows() -> None:
    """Three tiles on two planes: one whole for each, and half of the rows of the one between them."""
    cost = Cost(passes=3, every=2, load=40, accumulators=256)
    division = divide((128,), 3, 2, 1, cost)
    tiles = [[(u.tile, [s.block.rows for s in u.shares]) for u in queue] for queue in division.queues]
    assert tiles == [[(0, [128]), (1, [64])], [(2, [128]), (1, [64])]]
    assert division.cycles == cost.of(128, 3) + cost.of(64, 3)


@given(st.integers(0, 50), st.integers(1, 9))
def test_dealt_hands_are_nearly_equal(count: int, hands: int) -> None:
    dealt = deal(count, hands)
    assert [i for first, end in dealt for i in range(first, end)] == list(range(count))
    sizes = [end - first for first, end in dealt]
    assert len(sizes) == hands and max(sizes) - min(sizes) <= 1


# -- what a pass costs -----------------------------------------------------------------------------------------------


def test_a_pass_takes_as_long_as_its_rows_or_its_weights() -> None:
    cost = Cost(passes=3, every=2, load=40, accumulators=256)
    assert cost.period(100) == 200
    assert cost.period(10) == 42  # weights are loaded, and installed, and a fetch has a cycle
    assert cost.of(100, 3) == 601 and cost.of(10, 3) == 127  # and a cycle behind them
    assert replace(cost, pause=30).of(100, 3) == 691
    assert replace(cost, repeats=True).of(10, 3) == 61
    assert (cost.most_rows, replace(cost, passes=1).most_rows > 1 << 20) == (256, True)


@pytest.mark.parametrize(
    ("alus", "together", "cycles"),
    [(0, 1, 0), (16, 1, 100), (8, 1, 50), (7, 1, 50), (4, 1, 25), (7, 2, 50), (4, 2, 25), (9, 2, 100), (40, 1, 100)],
)
def test_alus_take_in_sums(alus: int, together: int, cycles: int) -> None:
    """100 rows: as many chains as the 16 ALUs have room for, as many for each of the planes that work together."""
    cost = Cost(passes=1, every=1, load=20, accumulators=256, alus=alus, all_alus=16)
    assert cost.epilogue(100, together) == cycles
    assert replace(cost, every=2).epilogue(100, together) == 2 * cycles


def test_of_equal_divisions_that_with_the_fewest_loads_is_taken() -> None:
    """Four tiles on two planes: each plane has two, with all rows, though half of the rows twice would take as long."""
    cost = Cost(passes=1, every=1, load=1, accumulators=256, alus=16, all_alus=16)
    division = divide((64,), 4, 2, 1, cost)
    assert [[(u.tile, [s.block.rows for s in u.shares]) for u in queue] for queue in division.queues] == [
        [(0, [64]), (1, [64])],
        [(2, [64]), (3, [64])],
    ]


def test_few_rows_share_passes_where_that_is_much_shorter() -> None:
    """One tile of twelve passes on four planes: three passes each, whose sums are added behind them."""
    cost = Cost(passes=12, every=1, load=20, accumulators=256, divisible=True)
    (unit,) = divide((2,), 1, 4, 1, cost)
    assert unit.summed
    assert [(s.plane, s.first_pass, s.passes) for s in unit.shares] == [(0, 0, 3), (1, 3, 3), (2, 6, 3), (3, 9, 3)]
    assert not any(u.summed for u in divide((2,), 1, 4, 1, replace(cost, divisible=False)))
    assert not any(u.summed for u in divide((2,), 4, 4, 1, cost))  # a tile for each
    assert not any(u.summed for u in divide((40,), 1, 4, 1, cost))  # rows take longer than weights


def test_the_planes_of_a_hemisphere_share_the_rows_of_a_tile() -> None:
    """Three tiles on two pairs: a whole one for each, half of the rows for each plane; of the middle one a quarter."""
    cost = Cost(passes=3, every=2, load=40, accumulators=256)
    division = divide((256,), 3, 4, 2, cost)
    dealt = [[(u.tile, [(s.plane, s.block.rows) for s in u.shares]) for u in queue] for queue in division.queues]
    assert dealt == [
        [(0, [(0, 128), (1, 128)]), (1, [(0, 64), (1, 64)])],
        [(2, [(2, 128), (3, 128)]), (1, [(2, 64), (3, 64)])],
    ]
    assert division.cycles == cost.of(128, 3) + cost.of(64, 3)


def test_what_remains_over_of_few_rows_is_shared_by_passes() -> None:
    """Nine tiles on four planes: two for each, and of the last one each has a quarter of the passes."""
    cost = Cost(passes=12, every=1, load=20, accumulators=256, divisible=True)
    division = divide((2,), 9, 4, 1, cost)
    *own, (last,) = division.queues
    assert [[u.tile for u in queue] for queue in own] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert last.tile == 8 and [s.passes for s in last.shares] == [3, 3, 3, 3]
    assert division.cycles == 2 * cost.of(2, 12) + cost.of(2, 3)
