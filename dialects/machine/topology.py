"""Which chips are joined by which links. Plain mathematics, no IR."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from ..errors import LinkError
from .target import SystemSpec


@dataclass(frozen=True, order=True)
class Port:
    """One end of a cable: a link of a chip."""

    chip: int
    link: int

    def __str__(self) -> str:
        return f"{self.chip}.{self.link}"


@dataclass(frozen=True)
class Topology:
    """The cables of a system; a cable joins two ports and carries vectors both ways."""

    cables: tuple[tuple[Port, Port], ...]

    @staticmethod
    def of(system: SystemSpec) -> Topology:
        """The wiring of `system.chips` chips: every pair of a node by one cable, over the local links.

        Raises LinkError for more chips than one node has.
        """
        if system.chips > system.chips_per_node:
            raise LinkError(
                f"{system.chips} chips do not fit into one node of {system.chips_per_node}; "
                "give the wiring as module attribute `c2c.topology`"
            )
        pairs = [(a, b) for a in range(system.chips) for b in range(a + 1, system.chips)]
        return Topology(tuple((Port(a, b - 1), Port(b, a)) for a, b in pairs))

    @cached_property
    def peers(self) -> dict[Port, Port]:
        """The other end of the cable in each used port."""
        return {a: b for x, y in self.cables for a, b in ((x, y), (y, x))}

    def direct(self, source: int, target: int) -> tuple[Port, Port]:
        """The first cable between two chips: the port it leaves and the port where it arrives. Raises LinkError."""
        for a, b in sorted(self.peers.items()):
            if a.chip == source and b.chip == target:
                return a, b
        raise LinkError(f"no link joins chip {source} and chip {target}; add a cable to `c2c.topology`")

    def check(self, system: SystemSpec) -> str | None:
        """Why this is no wiring of the system, or None."""
        for p, cables in Counter(p for cable in self.cables for p in cable).items():
            if p.chip >= system.chips:
                return f"port {p}: the system has {system.chips} chips"
            if p.link >= system.chip.links:
                return f"port {p}: a chip has links 0..{system.chip.links - 1}"
            if cables > 1:
                return f"port {p} has two cables"
        return None
