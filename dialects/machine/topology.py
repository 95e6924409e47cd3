"""Which chips are joined by which links. Plain mathematics, no IR."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from ..errors import LinkError
from .target import SystemSpec
from .wirings import Cable
from .wirings import Port as Port

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Topology:
    """The cables of a system; a cable joins two ports and carries vectors both ways."""

    cables: tuple[Cable, ...]

    @staticmethod
    @cache
    def of(system: SystemSpec) -> Topology:
        """The cables of a system, as its `wiring` says. Raises LinkError for a system that cannot be wired so."""
        return Topology(system.wiring.of(system))

    @cached_property
    def peers(self) -> dict[Port, Port]:
        """The other end of the cable in each used port."""
        return {a: b for x, y in self.cables for a, b in ((x, y), (y, x))}

    @cached_property
    def _joining(self) -> dict[tuple[int, int], list[Cable]]:
        """By two chips the cables from the first to the second, the lowest link of the first before the others."""
        found: dict[tuple[int, int], list[Cable]] = defaultdict(list)
        for a, b in sorted(self.peers.items()):
            found[a.chip, b.chip].append((a, b))
        return found

    def direct(self, source: int, target: int) -> tuple[Port, Port]:
        """The first cable between two chips: the port it leaves and the port where it arrives. Raises LinkError."""
        for cable in self._joining.get((source, target), ()):
            return cable
        raise LinkError(f"no link joins chip {source} and chip {target}; add a cable to `system.wiring`")

    def check(self, system: SystemSpec) -> str | None:
        """Why this is no wiring of the system, or None."""
        return next((reason for _, reason in self.faults(system)), None)

    def faults(self, system: SystemSpec) -> Iterable[tuple[int, str]]:
        """What is wrong with a cable: its number, and why."""
        seen: Counter[Port] = Counter()
        for number, cable in enumerate(self.cables):
            for port in cable:
                seen[port] += 1
                if port.chip >= system.chips:
                    yield number, f"port {port}: the system has {system.chips} chips"
                elif port.link >= system.chip.links:
                    yield number, f"port {port}: a chip has links 0..{system.chip.links - 1}"
                elif seen[port] == 2:
                    yield number, f"port {port} has two cables"
            if cable[0].chip == cable[1].chip and cable[0] != cable[1]:
                yield number, f"a cable joins chip {cable[0].chip} to itself"


@dataclass(frozen=True)
class Hops:
    """How many cables lie between chips, on the shortest way."""

    histogram: tuple[int, ...]
    """By hops, from 0 on, the ordered pairs of chips that are so far from each other."""
    unreachable: int
    """Ordered pairs without a way."""

    @property
    def diameter(self) -> int:
        """The most hops between two chips that have a way."""
        return len(self.histogram) - 1

    @property
    def mean(self) -> float:
        """Hops of a pair of different chips that have a way."""
        pairs = sum(self.histogram[1:])
        return sum(hops * count for hops, count in enumerate(self.histogram)) / pairs if pairs else 0.0


def hops(topology: Topology, chips: int) -> Hops:
    """The hops between all pairs of chips, exactly: the sets of chips within reach of every chip as bits, grown by a
    cable at a time. Memory: chips^2 / 8 bytes twice over, 27 MB for 10,440 chips."""
    from_, to = _ends(topology)
    order = np.argsort(from_, kind="stable")
    to, degree = to[order], np.bincount(from_, minlength=chips)
    start = np.cumsum(degree) - degree
    number = np.arange(chips)
    reached = np.zeros((chips, -(-chips // 64)), np.uint64)
    reached[number, number // 64] = np.uint64(1) << (number % 64).astype(np.uint64)
    histogram, total = [chips], chips
    while total < chips * chips:
        grown = reached.copy()
        for i in range(int(degree.max(initial=0))):
            some = np.flatnonzero(degree > i)
            grown[some] |= reached[to[start[some] + i]]
        reached, before = grown, total
        total = int(_BITS[reached.view(np.uint8)].sum(dtype=np.int64))
        if total == before:
            break
        histogram.append(total - before)
    return Hops(tuple(histogram), chips * chips - total)


_BITS = np.array([number.bit_count() for number in range(256)], np.uint8)
"""The bits that are set in a byte."""


def components(topology: Topology, chips: int) -> list[list[int]]:
    """The chips of every part of a system that cables join, each ascending, in the order of their first."""
    beside: list[list[int]] = [[] for _ in range(chips)]
    for a, b in topology.cables:
        beside[a.chip].append(b.chip)
        beside[b.chip].append(a.chip)
    found: list[list[int]] = []
    seen = [False] * chips
    for first in range(chips):
        if not seen[first]:
            seen[first] = True
            part = [first]
            for chip in part:
                for other in beside[chip]:
                    if not seen[other]:
                        seen[other] = True
                        part.append(other)
            found.append(sorted(part))
    return found


def bisection(topology: Topology, groups: Sequence[int]) -> int:
    """The cables between the first half of some groups of chips, rounded down, and the others: `groups` has the group
    of every chip."""
    half = (max(groups, default=0) + 1) // 2
    low = np.array(groups) < half
    from_, to = _ends(topology)
    return int(np.count_nonzero(low[from_] & ~low[to]))


def _ends(topology: Topology) -> tuple[Ints, Ints]:
    """The chips at both ends of each cable, in both directions: [2 cables] each."""
    pairs = np.array([(a.chip, b.chip) for a, b in topology.cables], np.int64).reshape(-1, 2)
    return np.concatenate((pairs[:, 0], pairs[:, 1])), np.concatenate((pairs[:, 1], pairs[:, 0]))
