"""The JIT engine: each hazard once, and several chips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from tspc.dialects.errors import HazardError
from tspc.dialects.machine.instruction import CHAIN, ElementType, source_alu, source_immediate, source_stream
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.machine.topology import Port, Topology
from tspc.runtime.reference import ReferenceEngine
from util import Load, Maker, add_hop, add_vectors, east, every_path, west

I32 = ElementType.I32


# -- hazards -------------------------------------------------------------------------------------------------------


def collision(m: Maker) -> None:
    """Three reads meet: the two of the lowest queues are named, in whichever order they were dispatched."""
    m.add("MEM.E2", 9, "read", 5, east(4))
    m.add("MEM.E1", 5, "read", 3, east(4), loops=[(3, 2, 1)])
    m.add("MEM.E0", 9, "read", 1, east(4))


def empty_stream(m: Maker) -> None:
    """A value does not travel against its stream's direction, nor sideways."""
    m.add("MEM.E8", 3, "read", 0, east(4))
    m.add("MEM.E0", 4, "write", 7, east(4))


def empty_group(m: Maker) -> None:
    """Three of four streams are there."""
    for i in (0, 1, 3):
        m.add(f"MEM.E{i}", 0, "read", 0, west(i))
    m.add("VXM.1", 2, "copy", I32, source_stream(west(0)), CHAIN)


def empty_chain(m: Maker) -> None:
    m.add("VXM.0", 1, "copy", I32, source_immediate(1), CHAIN)
    m.add("VXM.1", 3, "copy", I32, source_alu(0), CHAIN)


def empty_weights(m: Maker) -> None:
    """The install has not yet taken effect for the first round's vectors."""
    m.add("MXM.0.weights", 40, "iw")
    add_vectors(m, 0, 40, 3, 20)


def half_of_the_weights(m: Maker) -> None:
    """fp16 weights are in two planes; the second has none."""
    m.add("MXM.0.weights", 10, "iw")
    m.add("MXM.2.weights", 10, "iw")
    for i in range(2):
        m.bring(f"MEM.E{i}", 0, east(i), m.at("MXM.0.weights"), 40, [(5, 1, 0)])
    m.add("MXM.0.activations", 40, "abc_f16", 3, east(0))


def missing_result(m: Maker) -> None:
    m.add("MXM.2.accumulators", 17, "acc", 3, 0)


def half_of_the_operand(m: Maker) -> None:
    """The third vector, four cycles after the dispatch, has no high bytes."""
    for plane in (0, 1):
        m.add(f"MXM.{plane}.weights", 10, "iw")
    for i in range(2):
        m.bring(f"MEM.E{i}", 0, east(i), m.at("MXM.0.weights"), 40, [(5 - i, 1, 0)])
    m.add("MXM.0.activations", 40, "abc_f16", 3, east(0), loops=[(2, 6, 0)])


def empty_map(m: Maker) -> None:
    """Of what a gather samples and an SXM moves, all streams are looked at."""
    m.add("MEM.E0", 3, "read", 0, east(1))
    m.add("MEM.E4", 5, "gather", 0, east(2), east(1))
    m.add("SXM.E.permute", 5, "permute", east(2), east(1), west(0))


def lost_result(m: Maker) -> None:
    """The second of three vectors, long after the last dispatch."""
    m.add("MXM.0.weights", 10, "iw")
    add_vectors(m, 0, 60, 3, 20)
    m.add("MXM.0.accumulators", 73, "acc", 0, 0)


def empty_accumulator(m: Maker) -> None:
    m.add("MXM.0.weights", 10, "iw")
    add_vectors(m, 0, 60, 3, 20)
    m.add("MXM.0.accumulators", 73, "acc", 4, 0)
    m.add("MXM.0.accumulators", 74, "acc", 4, 1, loops=[(2, 1, 1)])


def link_reads(m: Maker, count: int, every: int) -> int:
    """Feeds C2C.0 of chip 0 from a slice; gives the cycle of the first vector."""
    at = 2 + m.chip.latency_read + m.at("C2C.0") - m.at("MEM.E0")
    m.add("MEM.E0", 2, "read", 0, east(0), loops=[(count, every, 1)] if count > 1 else [])
    return at


def busy_link(m: Maker) -> None:
    """Of the two before it, the directly preceding send is named."""
    at = link_reads(m, 48, 1)
    m.add("C2C.0", at, "send", east(0), loops=[(2, 24, 0)])
    m.add("C2C.0", at + 47, "send", east(0))


def empty_link(m: Maker) -> None:
    """One cycle too early."""
    at = link_reads(m, 1, 1)
    m.add("C2C.0", at, "send", east(0))
    m.add("C2C.0", at + 431, "receive", east(0), chip=1)


def lost_vector(m: Maker) -> None:
    """The hazard is the receiver's, the issue the sender's."""
    at = link_reads(m, 2, 24)
    m.add("C2C.0", at, "send", east(0), loops=[(2, 24, 0)])
    m.add("C2C.0", at + 432, "receive", east(0), chip=1)


@dataclass(frozen=True)
class Provoked:
    """How to provoke a hazard, and what is reported."""

    make: Callable[[Maker], None]
    kind: str
    resource: str
    cycle: int
    first: str
    second: str = ""
    chips: int = 1
    chip: int = 0


PROVOKED = [
    Provoked(
        collision,
        "stream-collision",
        "stream E4 at position +1",
        10,
        "`read address 1 stream E4` (MEM.E0, cycle 9)",
        "`read address 5 stream E4` (MEM.E1, cycle 9)",
    ),
    Provoked(
        empty_stream, "stream-empty", "stream E4 at position +1", 4, "`write address 7 stream E4` (MEM.E0, cycle 4)"
    ),
    Provoked(
        empty_group, "stream-empty", "stream W2 at position +0", 2, "`copy type i32 a W0 to chain` (VXM.1, cycle 2)"
    ),
    Provoked(empty_chain, "chain-empty", "chain of ALU 0", 3, "`copy type i32 a alu0 to chain` (VXM.1, cycle 3)"),
    Provoked(empty_weights, "weights-empty", "plane 0", 40, "`abc count 3 stream E16` (MXM.0.activations, cycle 40)"),
    Provoked(
        half_of_the_weights,
        "weights-empty",
        "plane 0",
        40,
        "`abc_f16 count 3 stream E0` (MXM.0.activations, cycle 40)",
    ),
    Provoked(
        half_of_the_operand,
        "stream-empty",
        "stream E1 at position +13",
        44,
        "`abc_f16 count 3 stream E0` (MXM.0.activations, cycle 40)",
    ),
    Provoked(
        empty_map,
        "stream-empty",
        "stream E1 at position +12",
        5,
        "`permute map E2 stream E1 to W0` (SXM.E.permute, cycle 5)",
    ),
    Provoked(missing_result, "result-missing", "plane 2", 17, "`acc entry 3 mode set` (MXM.2.accumulators, cycle 17)"),
    Provoked(lost_result, "result-lost", "plane 0", 74, "`abc count 3 stream E16` (MXM.0.activations, cycle 60)"),
    Provoked(
        empty_accumulator,
        "accumulator-empty",
        "accumulator 5 of plane 0",
        75,
        "`acc entry 5 mode add` (MXM.0.accumulators, cycle 75)",
    ),
    Provoked(
        busy_link,
        "link-busy",
        "link 0",
        61,
        "`send stream E0` (C2C.0, cycle 38)",
        "`send stream E0` (C2C.0, cycle 61)",
        chips=2,
    ),
    Provoked(empty_link, "link-empty", "link 0", 445, "`receive stream E0` (C2C.0, cycle 445)", chips=2, chip=1),
    Provoked(lost_vector, "link-lost", "link 0", 470, "`send stream E0` (C2C.0, cycle 38)", chips=2, chip=1),
]


@pytest.mark.parametrize("case", PROVOKED, ids=lambda case: case.make.__name__)
@every_path
def test_hazard(load: Load, case: Provoked) -> None:
    """Twice: a run leaves nothing behind that could hide the hazard from the next."""
    m = Maker(SystemSpec(chips=case.chips))
    case.make(m)
    program = m.program()
    session = load(program)
    for _ in range(2):
        with pytest.raises(HazardError) as found:
            session.run()
        assert found.value.key == (case.kind, case.chip, case.resource, case.cycle)
        assert str(found.value.first) == case.first
        assert str(found.value.second or "") == case.second
    with pytest.raises(HazardError) as expected:
        ReferenceEngine().load(program).run()
    assert str(found.value) == str(expected.value)


@every_path
def test_earliest_over_chips(load: Load) -> None:
    """Chips advance in windows of a flight's length; a hazard that a later chip has earlier in a window wins."""
    m = Maker(SystemSpec(chips=3))
    m.add("MEM.E0", 4000, "write", 1, east(0), chip=2)
    m.add("MEM.E1", 4001, "write", 2, east(0), chip=0)
    m.add("VXM.0", 3999, "copy", I32, source_alu(0), CHAIN, chip=1)
    m.add("VXM.1", 3999, "copy", I32, source_stream(west(0)), CHAIN, chip=2)
    link_reads(m, 1, 1)
    m.add("C2C.0", 14, "send", east(0))
    m.add("C2C.0", 14 + 432, "receive", east(0), chip=1)
    session = load(m.program())
    with pytest.raises(HazardError) as found:
        session.run()
    assert found.value.key == ("stream-empty", 2, "stream W0 at position +0", 3999)


# -- several chips -------------------------------------------------------------------------------------------------


FAST = SystemSpec(
    chip=ChipSpec(latency_send=0, latency_receive=1, latency_write=2), chips=4, link_latency=1, wire_bytes=10
)
"""Vectors arrive in the cycle after they are sent, one a cycle."""


@pytest.mark.parametrize("system", [SystemSpec(chips=4), FAST], ids=["default", "fast"])
@every_path
def test_ring_of_chips(load: Load, system: SystemSpec) -> None:
    """Words go round four chips while others go the other way, and come back to the first."""
    m, count = Maker(system), 30
    topology = Topology.of(system)
    forth = back = 0
    for i in range(4):
        forth = add_hop(m, forth, count, topology, i, (i + 1) % 4, i, i + 1)
        back = add_hop(m, back, count, topology, -i % 4, (-i - 1) % 4, 10 + i, 11 + i)
    session = load(m.program())
    first = session.sram(0)
    first[[0, 10], :count] = np.random.default_rng(5).integers(0, 256, (2, count, 320))
    stats = session.run()
    assert np.array_equal(first[[4, 14], :count], first[[0, 10], :count])
    assert len(stats.cycles) == 4
    assert max(stats.cycles) == max(c.cycles for c in session.program.chips)


@every_path
def test_cable_from_a_chip_to_itself(load: Load) -> None:
    m, count = Maker(), 50
    topology = Topology(((Port(0, 0), Port(0, 1)),))
    add_hop(m, 0, count, topology, 0, 0, 0, 1)
    session = load(m.program(topology))
    session.sram(0)[0, :count] = np.random.default_rng(6).integers(0, 256, (count, 320))
    session.run()
    assert np.array_equal(session.sram(0)[1, :count], session.sram(0)[0, :count])


@every_path
def test_links_keep_full_rate(load: Load) -> None:
    """A vector in every cycle, so that as many are in flight as can be."""
    m, count = Maker(SystemSpec(chips=2, wire_bytes=10)), 1500
    add_hop(m, 0, count, Topology.of(m.system), 1, 0, 0, 1)
    session = load(m.program())
    session.sram(1)[0, :count] = np.random.default_rng(0).integers(0, 256, (count, 320))
    session.run()
    assert np.array_equal(session.sram(0)[1, :count], session.sram(1)[0, :count])
