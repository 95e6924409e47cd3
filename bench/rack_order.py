"""Searches for an order of a rack's ports with which all chips of 145 racks are near to each other.

    python bench/rack_order.py --seconds 60 --seed 0

All racks have the same order, so turning the racks is a symmetry, and the ways from the 72 chips of one rack say all.
Begins with the best of some random orders, then swaps two ports at a time and keeps what leaves fewer pairs at the
greatest distance, and then more pairs at five hops or fewer. Prints the order of the fewest hops that it found.
"""

from __future__ import annotations

import argparse
import random
import time

import numpy as np
import numpy.typing as npt
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.machine.wirings import RACK_ORDER, Wiring

RACKS, CHIPS, PORTS = 145, 72, 144
Ints = npt.NDArray[np.int64]


def inside() -> Ints:
    """The 9 neighbours of every chip within its rack: [chips, 9]."""
    beside: list[list[int]] = [[] for _ in range(RACKS * CHIPS)]
    for a, b in Topology.of(SystemSpec(chips=RACKS * CHIPS, wiring=Wiring("racks"))).cables:
        if a.chip // CHIPS == b.chip // CHIPS:
            beside[a.chip].append(b.chip)
            beside[b.chip].append(a.chip)
    return np.array(beside)


def neighbours(within: Ints, order: list[int]) -> Ints:
    """The 11 neighbours of every chip, with the ports that leave racks in an order: [chips, 11]."""
    beyond = np.empty((RACKS * CHIPS, 2), np.int64)
    rack = np.arange(RACKS)
    for number in range(PORTS):
        other = (rack + number + 1) % RACKS
        a, b = order[number], order[(rack[0] - other[0] - 1) % RACKS]
        beyond[rack * CHIPS + a // 2, a % 2] = other * CHIPS + b // 2
    return np.concatenate((within, beyond), axis=1)


def histogram(beside: Ints) -> list[int]:
    """The pairs at each number of hops, from the chips of the first rack on."""
    chip = np.arange(CHIPS)
    reached = np.zeros((len(beside), 2), np.uint64)
    reached[chip, chip // 64] = np.uint64(1) << (chip % 64).astype(np.uint64)
    found, total = [CHIPS], CHIPS
    while total < CHIPS * len(beside):
        reached = reached | np.bitwise_or.reduce(reached[beside], axis=1)
        found.append(int(np.unpackbits(reached.view(np.uint8)).sum()) - total)
        total += found[-1]
    return found


def cost(found: list[int]) -> tuple[int, int, int]:
    """What is to be least: the diameter, the pairs beyond six hops, and those beyond five."""
    return len(found) - 1, sum(found[7:]), sum(found[6:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to search")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the search")
    args = parser.parse_args()
    rng, end, within = random.Random(args.seed), time.monotonic() + args.seconds, inside()
    known = histogram(neighbours(within, list(RACK_ORDER)))
    print(f"the order in use: {len(known) - 1} hops at most, {known}")
    starts = [rng.sample(range(PORTS), PORTS) for _ in range(8)]
    order = min(starts, key=lambda o: cost(histogram(neighbours(within, o))))
    best, swaps = cost(histogram(neighbours(within, order))), 0
    while time.monotonic() < end:
        a, b = rng.sample(range(PORTS), 2)
        order[a], order[b] = order[b], order[a]
        if (now := cost(histogram(neighbours(within, order)))) <= best:
            best = now
        else:
            order[a], order[b] = order[b], order[a]
        swaps += 1
    found = histogram(neighbours(within, order))
    print(f"after {swaps} swaps: {len(found) - 1} hops at most, {found}\n{order}")


if __name__ == "__main__":
    main()
