"""How products are divided over planes: everything is done exactly once."""

from __future__ import annotations

from collections import Counter
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from tspc.passes.tensor.units import Cost, Division, Unit, deal, divide
from tspc.passes.tensor.views import Block

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
