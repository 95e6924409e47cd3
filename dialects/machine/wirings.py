"""Wirings by name: which ports the cables of nodes, racks, rings and tori join. Plain mathematics, no IR.

A node's chips are joined pairwise by their local links. Its other links, the global ones of all its chips, make one
router of `chips_per_node * global_links` ports. Up to `max_direct_nodes` nodes are joined pairwise by those ports; more
make racks, each of `nodes_per_rack` nodes: half of the global links of every chip join the nodes of its rack, each pair
twice, and the other half leave the rack, at least one for every other rack (ISCA'22).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from ..errors import LinkError, TargetError

if TYPE_CHECKING:
    from .target import SystemSpec

# fmt: off
RACK_ORDER = (
    116, 41, 137, 64, 62, 118, 73, 87, 59, 133, 106, 101, 88, 53, 11, 141, 29, 128, 58, 80, 76, 9, 37, 79,
    36, 86, 3, 69, 63, 10, 60, 50, 134, 85, 90, 65, 117, 5, 44, 112, 108, 30, 126, 120, 132, 111, 70, 97,
    77, 46, 110, 43, 119, 38, 40, 75, 102, 68, 55, 14, 94, 95, 125, 35, 103, 142, 34, 24, 16, 84, 139, 61,
    33, 91, 18, 72, 13, 1, 107, 89, 27, 78, 66, 4, 51, 96, 0, 20, 67, 83, 140, 98, 115, 17, 109, 25,
    39, 12, 130, 129, 93, 71, 8, 138, 56, 31, 124, 92, 7, 81, 47, 45, 57, 113, 48, 22, 136, 143, 99, 131,
    135, 15, 127, 104, 49, 74, 28, 19, 114, 82, 52, 26, 100, 42, 122, 121, 32, 2, 23, 123, 21, 105, 6, 54,
)
# fmt: on
"""By the distance of another rack, less one, the place of the port that leads there, among the 144 of a rack that leave
it: two of each of its 72 chips. One order for all racks, found by a search (bench/rack_order.py): with it every chip of
145 racks comes to every other by at most 6 cables. With ports in plain order it is 7."""


class Port(NamedTuple):
    """One end of a cable: a link of a chip."""

    chip: int
    link: int

    def __str__(self) -> str:
        return f"{self.chip}.{self.link}"


Cable = tuple[Port, Port]


@dataclass(frozen=True)
class Wiring:
    """How the chips of a system are wired: a kind, by which the cables follow from the system, or the cables."""

    kind: str = "default"
    """A key of KINDS, or `cables`."""
    sizes: tuple[int, ...] = ()
    """Of a torus the chips along each dimension."""
    cables: tuple[Cable, ...] = ()
    """Of the kind `cables`, these."""

    @staticmethod
    def parse(text: str) -> Wiring:
        """A wiring as it is written: `ring`, `torus 4 x 8`, or its cables, as `0.3 - 1.2, 0.4 - 2.0`, each by two ports
        `chip.link`. Raises TargetError that names what is none."""
        words = text.split()
        if is_named(text):
            sizes = re.fullmatch(r"\s*\w[\w-]*((?:\s*x?\s*\d+)*)\s*", text)
            if sizes is None or (sizes[1].strip() and words[0] != "torus"):
                raise TargetError(f"the wiring `{text.strip()}`: sizes are for a torus, as in `torus 4 x 8`")
            return Wiring(words[0], tuple(map(int, re.findall(r"\d+", sizes[1]))))
        if not re.search(r"\d", text):
            known = ", ".join(f"`{kind}`" for kind in KINDS)
            raise TargetError(f"the wiring `{text.strip()}` is unknown; there are {known}, or cables as `0.3 - 1.2`")
        return Wiring("cables", cables=tuple(parse_cable(line) for _, line in cable_lines(text)))

    def of(self, system: SystemSpec) -> tuple[Cable, ...]:
        """The cables of a system. Raises LinkError for a system that cannot be wired so."""
        return self.cables if self.kind == "cables" else tuple(KINDS[self.kind](system, self.sizes))

    def __str__(self) -> str:
        if self.kind == "cables":
            return ", ".join(f"{a} - {b}" for a, b in self.cables)
        return " ".join([self.kind, *([" x ".join(map(str, self.sizes))] if self.sizes else [])])


DEFAULT_WIRING = Wiring()


def is_named(text: str) -> bool:
    """Whether a text begins with the name of a wiring."""
    return any(word in KINDS for word in text.split()[:1])


def cable_lines(text: str) -> Iterator[tuple[int, str]]:
    """The cables in a text, one a line or with commas between them: the number of its line, from 0 on, and the text."""
    for number, line in enumerate(text.split("\n")):
        yield from ((number, cable) for cable in line.split("#")[0].split(",") if cable.strip())


def parse_cable(text: str) -> Cable:
    """A cable as it is written: `0.3 - 1.2`. Raises TargetError for what is none."""
    match = re.fullmatch(r"\s*(\d+)\.(\d+)\s*-\s*(\d+)\.(\d+)\s*", text, re.ASCII)
    if match is None:
        raise TargetError(f"`{text.strip()}` is no cable; write two ports as `chip.link`: `0.3 - 1.2`")
    a, x, b, y = map(int, match.groups())
    return Port(a, x), Port(b, y)


def _default(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    """One node, nodes that are joined pairwise, or racks: the first that has room."""
    if system.chips <= system.chips_per_node * system.max_direct_nodes:
        return _nodes(system, sizes)
    return _racks(system, sizes)


def _inside(system: SystemSpec) -> Iterator[Cable]:
    """The cables of the local links: every pair of a node."""
    for first in range(0, system.chips, system.chips_per_node):
        chips = range(first, min(first + system.chips_per_node, system.chips))
        yield from ((Port(a, b - 1 - first), Port(b, a - first)) for a in chips for b in chips[a - first + 1 :])


def _present(cables: Iterator[Cable], system: SystemSpec) -> Iterator[Cable]:
    """The cables between chips that there are: the last node or rack need not be whole."""
    return (cable for cable in cables if max(cable[0].chip, cable[1].chip) < system.chips)


def _nodes(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    """Nodes joined pairwise, by as many cables a pair as there are ports for."""
    yield from _inside(system)
    size, links = system.chips_per_node, system.global_links
    nodes = -(-system.chips // size)
    if nodes == 1:
        return
    if nodes > 1 + size * links or nodes > system.max_direct_nodes:
        most = min(1 + size * links, system.max_direct_nodes)
        raise LinkError(f"{system.chips} chips are {nodes} nodes; at most {most} nodes can be joined pairwise")
    copies = size * links // (nodes - 1)

    def port(node: int, other: int, copy: int) -> Port:
        number = copy * (nodes - 1) + (other - node - 1) % nodes
        return Port(node * size + number // links, system.local_links + number % links)

    pairs = ((a, b, c) for a in range(nodes) for b in range(a + 1, nodes) for c in range(copies))
    yield from _present(((port(a, b, c), port(b, a, c)) for a, b, c in pairs), system)


def _racks(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    return _in_racks(system, RACK_ORDER, split=True)


def _racks_in_plain_order(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    return _in_racks(system, (), split=False)


def _in_racks(system: SystemSpec, order: Sequence[int], split: bool) -> Iterator[Cable]:
    """Racks joined pairwise. With `split` the two cables of a pair of nodes begin at chips half a node apart; else at
    one chip. `order` says the places of the ports that leave a rack; in plain order where it is not of their number."""
    yield from _inside(system)
    size, half, nodes = system.chips_per_node, system.global_links // 2, system.nodes_per_rack
    chips, local = size * nodes, system.local_links
    racks, ports = -(-system.chips // chips), chips * half
    if racks > min(system.max_racks, 1 + ports):
        raise LinkError(
            f"{system.chips} chips are {racks} racks; at most {min(system.max_racks, 1 + ports)} can be joined pairwise"
        )
    copies = max(1, size * half // (nodes - 1)) if nodes > 1 else 0
    if nodes - 1 > size * half:
        raise LinkError(f"the {nodes} nodes of a rack have {size * half} ports each for the others of the rack")

    def within(rack: int, node: int, other: int, copy: int) -> Port:
        way = (other - node - 1) % nodes
        if split:
            return Port(rack * chips + node * size + (way + copy * (size // 2)) % size, local + copy)
        number = way * copies + copy
        return Port(rack * chips + node * size + number // half, local + number % half)

    def leaving(rack: int, other: int, copy: int) -> Port:
        number = copy * (racks - 1) + (other - rack - 1) % racks
        place = order[number] if len(order) == ports else number
        return Port(rack * chips + place // half, local + half + place % half)

    for rack in range(racks):
        pairs = ((a, b, c) for a in range(nodes) for b in range(a + 1, nodes) for c in range(copies))
        yield from _present(((within(rack, a, b, c), within(rack, b, a, c)) for a, b, c in pairs), system)
    if racks > 1:
        pairs = ((a, b, c) for a in range(racks) for b in range(a + 1, racks) for c in range(ports // (racks - 1)))
        yield from _present(((leaving(a, b, c), leaving(b, a, c)) for a, b, c in pairs), system)


def _ring(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    """Every chip's link 0 in link 1 of the next, and that of the last in the first."""
    return _grid(system, (system.chips,))


def _torus(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    """Chips on a grid that closes on itself: links 2 d and 2 d + 1 lead along dimension d, the last dimension first."""
    if not sizes or prod(sizes) != system.chips:
        shape = " x ".join(map(str, sizes)) or "no sizes"
        raise LinkError(f"a torus of {shape} is not of {system.chips} chips")
    if 2 * len(sizes) > system.chip.links:
        raise LinkError(f"a torus of {len(sizes)} dimensions takes {2 * len(sizes)} links of {system.chip.links}")
    return _grid(system, sizes)


def _grid(system: SystemSpec, sizes: Sequence[int]) -> Iterator[Cable]:
    step = 1
    for d, size in enumerate(reversed(sizes)):
        for chip in range(system.chips) if size > 1 else ():
            at = chip // step % size
            if at + 1 < size or size > 2:
                yield Port(chip, 2 * d), Port(chip + ((at + 1) % size - at) * step, 2 * d + 1)
        step *= size


KINDS = {
    "default": _default,
    "nodes": _nodes,
    "racks": _racks,
    "racks-in-plain-order": _racks_in_plain_order,
    "ring": _ring,
    "torus": _torus,
}
"""The wirings that have a name."""
