"""How the work of a product is divided: into units of one tile of columns and a block of rows, dealt out to planes.

Plain mathematics, no IR. A unit takes its plane for `passes` times the rows of its block, or the time in which the next
weights are loaded, if that is longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from .views import Block, Shape, blocks

_MOST_PIECES = 8
"""Blocks per plane that are tried at most; more of them would only load weights more often."""


@dataclass(frozen=True)
class Cost:
    """What a pass costs, in cycles."""

    passes: int
    every: int
    """From one vector to the next."""
    load: int
    """To load the weights of a pass."""
    accumulators: int
    """Sums that can wait for the next pass."""

    def period(self, rows: int) -> int:
        """From the start of a pass to that of the next."""
        return max(rows * self.every, self.load + 1)

    @property
    def most_rows(self) -> int:
        """Rows of a unit at most."""
        return self.accumulators if self.passes > 1 else 1 << 30


@dataclass(frozen=True)
class Unit:
    """A tile of columns of a block of rows, on a plane."""

    tile: int
    block: Block
    plane: int


def divide(space: Shape, tiles: int, planes: int, cost: Cost) -> list[list[Unit]]:
    """The units of every plane, in the order of the words of the result: tile by tile, row by row.

    Of all ways to cut the rows the one is taken with which the last plane is done first, the coarsest of those.
    """
    best: tuple[int, list[list[Block]]] | None = None
    seen: set[int] = set()
    for wanted in range(1, _MOST_PIECES * planes + 1):
        cut = blocks(space, cost.most_rows, wanted)
        if len(cut) in seen:
            continue
        seen.add(len(cut))
        dealt = deal(tiles * len(cut), planes)
        longest = max(
            sum(cost.passes * cost.period(cut[u % len(cut)].rows) for u in range(first, end)) for first, end in dealt
        )
        if best is None or longest < best[0]:
            best = (longest, [cut])
    assert best is not None
    cut = best[1][0]
    return [
        [Unit(u // len(cut), cut[u % len(cut)], plane) for u in range(first, end)]
        for plane, (first, end) in enumerate(deal(tiles * len(cut), planes))
    ]


def deal(count: int, hands: int) -> list[tuple[int, int]]:
    """`count` things in order as runs [first, end) of nearly equal length, one for each hand."""
    return [(i * count // hands, (i + 1) * count // hands) for i in range(hands)]
