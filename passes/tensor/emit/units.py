"""How the work of a product is divided: into units of one tile of columns and some rows, distributed to planes.

Plain mathematics, no IR. A plane works on a unit for `passes` times the rows, or the time in which the next weights are
loaded, if that is longer. A unit may be shared by several planes: by those of a hemisphere, each with some of the rows,
which then load the same weights from the same streams; or by all, each with some of the passes, whose sums are then
added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from math import prod

from ....dialects.machine.layout import Run
from ...policy import Policy
from ...stream.analysis.footprint import Footprint, Reservations, StreamNeed, break_of
from ...stream.analysis.timing import install_slack
from ..analysis.views import Block, Shape, blocks


@dataclass(frozen=True)
class Beside:
    """The streams to the planes of a hemisphere, which planes that share the passes of a unit use in step: as they are
    one rigid body, no start makes room for the activations of one beside the weights of all."""

    streams: int
    """Of a direction."""
    weight_streams: int
    install: int
    """From the install of weights to the first activations that meet them."""
    planes: int
    """Of both hemispheres."""
    waiting: bool = False
    """Whether the activations wait for the weights: whether the host places them."""

    def period(self, least: int, activations: int, load: int, passes: int, units: int) -> int:
        """A period from `least` on with which streams suffice, for so many cycles of activations and of loading in each
        pass: where activations wait for the weights, that with which so many such units are done first; else, and for
        0, the least. There is one if streams suffice for the weights: with pauses for all activations."""
        shares = [end - first for first, end in distribute(passes, self.planes)]
        hemispheres = {tuple(shares[: self.planes // 2]), tuple(shares[self.planes // 2 :])}
        fit = (p for p in count(least) if all(self._suffice(p, activations, load, shares) for shares in hemispheres))
        found = [next(fit)]
        while units and self.waiting and self._slack(found[-1], activations, load):
            found.append(next(fit))
        return min(found, key=lambda p: self._slack(p, activations, load) + (units * max(shares) - 1) * p)

    def _slack(self, period: int, activations: int, load: int) -> int:
        """Cycles for which the weights of the first of several passes wait for activations."""
        return install_slack(period - activations, load + self.install)

    def _suffice(self, period: int, activations: int, load: int, passes: tuple[int, ...]) -> bool:
        """Whether they do for the planes of one hemisphere, each with so many passes, which end together."""
        needs: list[StreamNeed] = []
        for plane, passes_ in enumerate(passes):
            ahead = load + self.install + (self._slack(period, activations, load) if passes_ > 1 else 0)
            weights, rows = ("weights", -ahead, load, self.weight_streams), ("rows", 0, activations, 1)
            for what, at, cycles, width in (weights, rows):
                run = Run(at - (passes_ - 1) * period, 0, ((cycles, 1, 0), (passes_, period, 0)))
                spans = tuple(run.busy(break_of(width, self.weight_streams)))
                needs.append(StreamNeed((plane, what), "", width, spans, (1,)))
        return Reservations(self.streams).place(Footprint((), tuple(needs)), 0) is not None


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
    divisible: bool = False
    """Whether sums may be added up in another order: whether passes can be distributed to planes."""
    repeats: bool = False
    """Whether all passes meet the same weights, so that no loads lie between them."""

    pause: int = 0
    """From the last activations of a pass to the first of the next, where the streams are too few for both these and
    weights, so that they take turns."""

    beside: Beside | None = None
    """What planes that share the passes of a unit have in common; None where they are not in each other's way."""

    alus: int = 0
    """That the map of the sums takes."""
    all_alus: int = 1

    def epilogue(self, rows: int, together: int) -> int:
        """Cycles in which the ALUs take in the sums of so many rows, those of `together` planes at the same time."""
        if self.alus == 0:
            return 0
        chains = self.all_alus // (self.alus * together) * together
        return -(-rows * self.every // max(chains, 1))

    def period(self, rows: int) -> int:
        """From the start of a pass to that of the next: time to load and install the next weights, and if the queue
        does nothing else, a cycle for its instruction fetches."""
        return max(rows * self.every + self.pause, 1 if self.repeats else self.load + 2)

    def period_in_step(self, rows: int, units: int) -> int:
        """The same of planes that share the passes of so many units; 0 if other units follow these, and are loaded
        meanwhile."""
        least, taken = self.period(rows), rows * self.every
        return least if self.beside is None else self.beside.period(least, taken, self.load, self.passes, units)

    def of(self, rows: int, passes: int) -> int:
        """Of some passes over some rows, and the cycle that is left free behind them."""
        return passes * self.period(rows) + 1

    @property
    def most_rows(self) -> int:
        """Rows of a plane's unit at most."""
        return self.accumulators if self.passes > 1 else 1 << 30


@dataclass(frozen=True)
class Share:
    """What one plane does of a unit."""

    plane: int
    """The number of the plane, or of the pair of planes."""
    block: Block
    first_pass: int
    passes: int


@dataclass(frozen=True)
class Unit:
    """A tile of columns of some rows, on one or several planes."""

    tile: int
    shares: tuple[Share, ...]

    @property
    def summed(self) -> bool:
        """Whether its planes have the same rows and share the passes."""
        return len({share.first_pass for share in self.shares}) > 1


@dataclass(frozen=True)
class Division:
    """The units of each group of planes, in the order of the result's words, and the time that the busiest takes."""

    queues: tuple[tuple[Unit, ...], ...]
    cycles: int

    def __iter__(self) -> Iterator[Unit]:
        """All units: those of all planes first, while the planes keep step and a map behind their sums delays nothing,
        and then the first of every queue before the second of any."""
        yield from (unit for queue in self.queues for unit in queue if unit.summed)
        for i in range(max(map(len, self.queues))):
            yield from (queue[i] for queue in self.queues if i < len(queue) and not queue[i].summed)


def divide(space: Shape, tiles: int, planes: int, together: int, cost: Cost) -> Division:
    """The division with which the last plane is done first; of those the one that loads weights least often.

    `planes` are all, or all pairs, `together` how many of a hemisphere can share a unit by its rows.
    """
    found: list[tuple[int, int, Division]] = []
    groups = [size for size in range(1, together + 1) if planes // 2 % size == 0] or [1]
    for group in reversed(groups):
        drained = cost.epilogue(tiles * prod(space), group)

        def note(division: Division, drained: int = drained) -> None:
            found.append((max(division.cycles, drained), sum(map(len, division.queues)), division))

        if (division := _with_rest_cut(space, tiles, planes // group, group, cost)) is not None:
            note(division)
        for cut in _cuts(space, planes // group, group, cost):
            note(_distributed(cut, tiles, planes // group, group, cost))
            if cost.divisible and group == 1 and cost.passes >= planes and prod(space) <= cost.load:
                division = _with_rest_shared(cut, tiles, planes, cost)
                # every plane then has weights and sums of its own, which takes slices and ALUs: it must be worth it
                found.append((int(division.cycles * Policy.worth_sharing), sum(map(len, division.queues)), division))
    return min(found, key=lambda f: f[:2])[2]


def _cuts(space: Shape, queues: int, group: int, cost: Cost) -> Iterator[list[list[Block]]]:
    """Ways to cut the rows: into blocks, and each block into one for each plane of the group."""
    seen: set[int] = set()
    for wanted in range(1, Policy.blocks_per_plane * queues + 1):
        fine = blocks(space, cost.most_rows, wanted * group)
        count = len(fine) // group
        if len(fine) % group == 0 and count not in seen:
            seen.add(count)
            yield [fine[i::count] for i in range(count)]


def _distributed(cut: Sequence[Sequence[Block]], tiles: int, queues: int, group: int, cost: Cost) -> Division:
    distributed: list[tuple[Unit, ...]] = []
    longest = 0
    for number, (first, end) in enumerate(distribute(tiles * len(cut), queues)):
        units: list[Unit] = []
        time = 0
        for u in range(first, end):
            parts = cut[u % len(cut)]
            shares = tuple(Share(number * group + i, block, 0, cost.passes) for i, block in enumerate(parts))
            units.append(Unit(u // len(cut), shares))
            time += cost.of(max(block.rows for block in parts), cost.passes)
        distributed.append(tuple(units))
        longest = max(longest, time)
    return Division(tuple(distributed), longest)


def _with_rest_cut(space: Shape, tiles: int, queues: int, group: int, cost: Cost) -> Division | None:
    """As many tiles for each group of planes as there are for all, with all rows; of those that remain over each has
    some of the rows. So few weights are loaded twice: those of the tiles between what the first half of the groups and
    the second have for themselves. None where it is no other division, or planes have no place for so many sums."""
    whole, over = divmod(tiles, queues)
    all_rows, cut = blocks(space, cost.most_rows, group), blocks(space, cost.most_rows, queues * group)
    if not whole or not over or len(all_rows) != group or len(cut) != queues * group:
        return None
    distributed: list[tuple[Unit, ...]] = []
    longest = 0
    for number in range(queues):
        first = number * whole + (over if 2 * number >= queues else 0)
        own = [(tile, all_rows) for tile in range(first, first + whole)]
        middle = (queues + 1) // 2 * whole
        shared = [(middle + i, cut[number * group : (number + 1) * group]) for i in range(over)]
        distributed.append(
            tuple(
                Unit(tile, tuple(Share(number * group + i, block, 0, cost.passes) for i, block in enumerate(parts)))
                for tile, parts in (*own, *shared)
            )
        )
        time = sum(cost.of(max(block.rows for block in parts), cost.passes) for _, parts in (*own, *shared))
        longest = max(longest, time)
    return Division(tuple(distributed), longest)


def _with_rest_shared(cut: Sequence[Sequence[Block]], tiles: int, planes: int, cost: Cost) -> Division:
    """As many units for each plane as there are for all of them; of the rest each plane has some of the passes."""
    count = tiles * len(cut)
    whole = count // planes
    queues: list[tuple[Unit, ...]] = []
    time = 0
    for plane in range(planes):
        mine = range(plane * whole, (plane + 1) * whole)
        queues.append(tuple(Unit(u // len(cut), (Share(plane, cut[u % len(cut)][0], 0, cost.passes),)) for u in mine))
        time = max(time, sum(cost.of(cut[u % len(cut)][0].rows, cost.passes) for u in mine))
    rest: list[Unit] = []
    for u in range(planes * whole, count):
        block = cut[u % len(cut)][0]
        shares = tuple(
            Share(plane, block, first, end - first)
            for plane, (first, end) in enumerate(distribute(cost.passes, planes))
        )
        rest.append(Unit(u // len(cut), shares))
        time += cost.period_in_step(block.rows, 0 if whole else count) * max(share.passes for share in shares) + 1
    return Division((*queues, tuple(rest)), time)


def distribute(count: int, parts: int) -> list[tuple[int, int]]:
    """`count` things in order as runs [first, end) of nearly equal length, one for each part, the longer ones first."""
    edges = [-(-i * count // parts) for i in range(parts + 1)]
    return list(pairwise(edges))
