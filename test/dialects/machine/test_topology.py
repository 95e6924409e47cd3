"""The wiring of a system: one fully connected node, or what the module says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tspc.dialects.errors import LinkError
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Port, Topology


def line(*chips: int) -> Topology:
    """Chips in a row, link 0 of each in link 1 of the next."""
    return Topology(tuple((Port(a, 0), Port(b, 1)) for a, b in pairwise(chips)))


@pytest.mark.parametrize("chips", range(1, 9))
def test_a_node_joins_every_pair_by_one_cable(chips: int) -> None:
    system = SystemSpec(chips=chips)
    topology = Topology.of(system)
    assert topology.check(system) is None
    assert len(topology.cables) == chips * (chips - 1) // 2
    assert {frozenset((a.chip, b.chip)) for a, b in topology.cables} == {
        frozenset((a, b)) for a in range(chips) for b in range(a)
    }


def test_a_full_node_has_28_cables_in_its_local_links() -> None:
    system = SystemSpec(chips=8)
    topology = Topology.of(system)
    assert len(topology.cables) == 28
    assert {port.link for port in topology.peers} == set(range(system.local_links))


def test_a_cable_leads_both_ways() -> None:
    peers = Topology.of(SystemSpec(chips=8)).peers
    assert len(peers) == 2 * 28
    assert all(peers[peers[port]] == port for port in peers)


def test_the_cable_between_two_chips() -> None:
    topology = Topology.of(SystemSpec(chips=4))
    out, into = topology.direct(2, 0)
    assert (out.chip, into.chip) == (2, 0)
    assert topology.direct(0, 2) == (into, out)


def test_of_several_cables_the_lowest_link_is_taken() -> None:
    topology = Topology(((Port(0, 7), Port(1, 2)), (Port(1, 9), Port(0, 3))))
    assert topology.direct(0, 1) == (Port(0, 3), Port(1, 9))
    assert topology.direct(1, 0) == (Port(1, 2), Port(0, 7))


def test_chips_without_a_cable() -> None:
    with pytest.raises(LinkError, match=r"^no link joins chip 0 and chip 2; add a cable to `c2c\.topology`$"):
        line(0, 1, 2).direct(0, 2)


def test_more_chips_than_a_node_has() -> None:
    with pytest.raises(LinkError, match=r"^9 chips do not fit into one node of 8; give the wiring"):
        Topology.of(SystemSpec(chips=9))


@pytest.mark.parametrize(
    ("cable", "reason"),
    [
        ((Port(0, 0), Port(1, 0)), None),
        ((Port(0, 15), Port(1, 0)), None),
        ((Port(0, 16), Port(1, 0)), "port 0.16: a chip has links 0..15"),
        ((Port(0, 0), Port(3, 0)), "port 3.0: the system has 3 chips"),
        ((Port(2, 1), Port(0, 0)), "port 2.1 has two cables"),
        ((Port(0, 2), Port(0, 2)), "port 0.2 has two cables"),
    ],
)
def test_what_is_no_wiring(cable: tuple[Port, Port], reason: str | None) -> None:
    topology = Topology(((Port(1, 1), Port(2, 1)), cable))
    assert topology.check(SystemSpec(chips=3)) == reason
