"""The wirings of systems: their cables, their hops, and what is no wiring."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from tspc.dialects.errors import LinkError, TargetError
from tspc.dialects.machine.target import SystemSpec, load_toml
from tspc.dialects.machine.topology import Port, Topology, bisection, components, hops
from tspc.dialects.machine.wirings import KINDS, Wiring


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
    with pytest.raises(LinkError, match=r"^no link joins chip 0 and chip 2; add a cable to `system\.wiring`$"):
        line(0, 1, 2).direct(0, 2)


@pytest.mark.parametrize(
    ("cable", "reason"),
    [
        ((Port(0, 0), Port(1, 0)), None),
        ((Port(0, 15), Port(1, 0)), None),
        ((Port(0, 16), Port(1, 0)), "port 0.16: a chip has links 0..15"),
        ((Port(0, 0), Port(3, 0)), "port 3.0: the system has 3 chips"),
        ((Port(2, 1), Port(0, 0)), "port 2.1 has two cables"),
        ((Port(0, 2), Port(0, 2)), "port 0.2 has two cables"),
        ((Port(0, 2), Port(0, 3)), "a cable joins chip 0 to itself"),
    ],
)
def test_what_is_no_wiring(cable: tuple[Port, Port], reason: str | None) -> None:
    topology = Topology(((Port(1, 1), Port(2, 1)), cable))
    assert topology.check(SystemSpec(chips=3)) == reason


def plain_hops(topology: Topology, chips: int) -> list[int]:
    """The histogram of hops, by a search from every chip."""
    beside: list[set[int]] = [set() for _ in range(chips)]
    for a, b in topology.cables:
        beside[a.chip].add(b.chip)
        beside[b.chip].add(a.chip)
    found: Counter[int] = Counter()
    for first in range(chips):
        at, seen, count = {first}, {first}, 0
        while at:
            found[count] += len(at)
            at = {b for a in at for b in beside[a]} - seen
            seen |= at
            count += 1
    return [found[i] for i in range(max(found) + 1)]


@pytest.mark.parametrize("kind", ["default", "nodes", "racks", "racks-in-plain-order", "ring"])
@pytest.mark.parametrize("chips", [1, 2, 7, 9, 17, 72, 73, 150, 264])
def test_every_wiring_joins_all_chips_and_has_a_cable_a_port(kind: str, chips: int) -> None:
    if kind.startswith("racks") and 8 < chips < 24:
        pytest.skip("half a rack may lack the chips in whose ports its nodes meet")
    system = SystemSpec(chips=chips, wiring=Wiring(kind))
    topology = Topology.of(system)
    assert topology.check(system) is None
    assert components(topology, chips) == [[*range(chips)]]


@pytest.mark.parametrize(
    ("wiring", "chips"),
    [("default", 20), ("racks", 150), ("ring", 9), ("torus 3 x 4", 12), ("torus 2 x 2 x 5", 20), ("0.0 - 1.0", 3)],
)
def test_hops_are_those_of_a_search(wiring: str, chips: int) -> None:
    topology = Topology.of(SystemSpec(chips=chips, wiring=Wiring.parse(wiring)))
    found = hops(topology, chips)
    assert list(found.histogram) == plain_hops(topology, chips)
    assert sum(found.histogram) + found.unreachable == chips * chips


@pytest.mark.parametrize(
    ("wiring", "chips", "diameter", "mean"),
    [
        ("default", 8, 1, 1.0),
        ("default", 72, 3, 2.070),
        ("default", 264, 3, 2.686),
        ("racks", 72, 3, 2.366),
        ("racks-in-plain-order", 72, 3, 2.577),
        ("ring", 8, 4, 16 / 7),
        ("torus 4 x 4", 16, 4, 32 / 15),
    ],
)
def test_hops_of_known_systems(wiring: str, chips: int, diameter: int, mean: float) -> None:
    found = hops(Topology.of(SystemSpec(chips=chips, wiring=Wiring.parse(wiring))), chips)
    assert (found.diameter, found.unreachable) == (diameter, 0)
    assert found.mean == pytest.approx(mean, abs=5e-4)


def test_the_largest_system() -> None:
    """10,440 chips: 6 hops at most with the order of ports that was searched for; the published structure."""
    system = SystemSpec(chips=10_440)
    topology = Topology.of(system)
    assert topology.check(system) is None
    assert len(topology.cables) == 10_440 * 11 // 2
    found = hops(topology, 10_440)
    assert found.histogram == (10_440, 114_840, 678_600, 3_954_150, 22_259_530, 66_448_280, 15_527_760)
    assert found.mean == pytest.approx(4.843, abs=5e-4)
    assert bisection(topology, [chip // 72 for chip in range(10_440)]) == 72 * 73


def test_the_racks_are_alike() -> None:
    """Turning the racks by one leaves the wiring as it is, so what holds of one rack holds of all."""
    cables = {frozenset(cable) for cable in Topology.of(SystemSpec(chips=10_440)).cables}

    def turned(port: Port) -> Port:
        return Port((port.chip + 72) % 10_440, port.link)

    assert {frozenset(map(turned, cable)) for cable in cables} == cables


def test_the_bisection_of_33_nodes() -> None:
    topology = Topology.of(SystemSpec(chips=264))
    assert bisection(topology, [chip // 8 for chip in range(264)]) == 16 * 17


@pytest.mark.parametrize(
    ("wiring", "chips", "reason"),
    [
        ("nodes", 265, "265 chips are 34 nodes; at most 33 nodes can be joined pairwise"),
        ("torus 3 x 4", 13, "a torus of 3 x 4 is not of 13 chips"),
        ("torus", 4, "a torus of no sizes is not of 4 chips"),
        ("torus 2 x 1 x 1 x 1 x 1 x 1 x 1 x 1 x 1", 2, "a torus of 9 dimensions takes 18 links of 16"),
    ],
)
def test_systems_that_cannot_be_wired_so(wiring: str, chips: int, reason: str) -> None:
    with pytest.raises(LinkError, match=f"^{reason}$"):
        Topology.of(SystemSpec(chips=chips, wiring=Wiring.parse(wiring)))


@pytest.mark.parametrize("wiring", [*(k for k in KINDS if k != "torus"), "torus 2 x 3", "0.0 - 1.15, 2.3 - 1.0"])
def test_a_wiring_is_written_and_read(wiring: str) -> None:
    assert str(Wiring.parse(wiring)) == wiring


FILE = """[system]
chips = 4
wiring = \"\"\"
0.0 - 1.0   # a comment
1.1 - 2.0, 2.1 - 3.0
{}
\"\"\"
"""


@pytest.mark.parametrize(
    ("cable", "reason"),
    [
        ("3.1 - 3.2", "line 6: a cable joins chip 3 to itself"),
        ("3.0 - 0.5", "line 6: port 3.0 has two cables"),
        ("3.1 - 3.1", "line 6: port 3.1 has two cables"),
        ("3.1 - 4.0", "line 6: port 4.0: the system has 4 chips"),
        ("3.1 - 0.16", "line 6: port 0.16: a chip has links 0..15"),
        ("3.1 0.1", "line 6: `3.1 0.1` is no cable; write two ports as `chip.link`: `0.3 - 1.2`"),
        ("3.1 - x.1", "line 6: `3.1 - x.1` is no cable; write two ports as `chip.link`: `0.3 - 1.2`"),
        ("-1.0 - 0.1", "line 6: `-1.0 - 0.1` is no cable; write two ports as `chip.link`: `0.3 - 1.2`"),
    ],
)
def test_files_with_a_bad_cable(cable: str, reason: str) -> None:
    with pytest.raises(TargetError) as e:
        load_toml(FILE.format(cable))
    assert str(e.value) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '[system]\nchips = 4\nwiring = "0.0 - 1.0, 2.0 - 3.0"\n',
            "no way leads from chip 0 to chip 2: the wiring is 2 parts; add cables",
        ),
        ('[system]\nchips = 5\nwiring = "torus 2 x 2"\n', "a torus of 2 x 2 is not of 5 chips"),
        ("[system]\nchips = 5\nwiring = 7\n", "target field `wiring`: expected text, got 7; write `ring`, or cables"),
        ("[system]\nchips = 20000\n", "target field `chips`: 20000 is outside 1..10440 (chips)"),
    ],
)
def test_files_of_no_system(text: str, reason: str) -> None:
    with pytest.raises(TargetError) as e:
        load_toml(text)
    assert str(e.value) == reason
