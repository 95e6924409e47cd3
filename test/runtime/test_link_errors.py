"""Bits that flip in packets: every engine and mode repairs one, reports two, and counts by link."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from tspc.dialects.errors import FlipError, InputError, LinkError
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Port, Topology
from tspc.dialects.programs.records import Program
from tspc.runtime.engine import Engine
from tspc.runtime.flips import Flip, Packet
from tspc.runtime.jit import JitEngine
from tspc.runtime.link_code import LinkCode
from tspc.runtime.reference import ReferenceEngine
from util import Maker, add_hop

SYSTEM = SystemSpec(chips=2)
SLOT = SYSTEM.link_slot
Make = Callable[..., Engine]
every_engine = pytest.mark.parametrize(
    "make", [ReferenceEngine, JitEngine, partial(JitEngine, mode="bulk")], ids=["reference", "cycle", "bulk"]
)


def transfer(count: int = 4) -> Program:
    """Words 0.. of slice E0 of chip 0 go to slice E1 of chip 1."""
    maker = Maker(SYSTEM)
    add_hop(maker, 0, count, Topology.of(SYSTEM), 0, 1, 0, 1)
    return maker.program()


def first_send(program: Program) -> int:
    """The cycle in which the first vector leaves."""
    (record,) = [r for r in program.chips[0].records if r.instruction.name == "send"]
    return record.at


def flip(cycle: int, bit: int, chip: int = 0, link: int = 0) -> Flip:
    return Flip(chip, cycle, Packet(link), bit)


@every_engine
def test_one_bit_of_a_packet_is_repaired_and_counted(make: Make) -> None:
    program = transfer()
    at = first_send(program)
    flips = [flip(at, 5), flip(at + 2 * SLOT, 8 * 320 + 3), flip(at + 3 * SLOT, 8 * 322 + 47)]
    session = make(flips=flips).load(program)
    words = np.random.default_rng(0).integers(0, 256, (4, 320), np.uint8)
    session.write(0, 0, 0, words)
    stats = session.run()
    assert stats.repaired == {Port(1, 0): 3}
    np.testing.assert_array_equal(session.read(1, 1, 0, 4)[0], words)


@every_engine
def test_flips_do_not_change_the_mode(make: Make) -> None:
    program = transfer()
    assert make(flips=[flip(first_send(program), 0)]).load(program).mode == make().load(program).mode


@every_engine
def test_without_flips_nothing_is_counted(make: Make) -> None:
    assert make().load(transfer()).run().repaired == {}


@every_engine
def test_two_bits_of_a_packet_are_reported_where_it_arrives(make: Make) -> None:
    program = transfer()
    at = first_send(program) + SLOT
    session = make(flips=[flip(at, 7), flip(at, 900), flip(at + SLOT, 1), flip(at + SLOT, 2)]).load(program)
    with pytest.raises(FlipError) as e:
        session.run()
    assert e.value.key == (1, "link 0", at + SYSTEM.chip.latency_send + SYSTEM.link_latency)
    assert "`send stream" in str(e.value)


def test_a_bit_that_flips_twice_is_as_it_was() -> None:
    program = transfer()
    at = first_send(program)
    assert ReferenceEngine(flips=[flip(at, 7), flip(at, 7)]).load(program).run().repaired == {}


def test_flips_that_no_receiver_would_see_are_refused() -> None:
    """A packet whose flipped bits make another packet: a multiple of the generator."""
    program, code = transfer(), LinkCode()
    at = first_send(program)
    zero, one = np.zeros((1, 320), np.uint8), np.zeros((1, 320), np.uint8)
    one[0, 0] = 1
    header = np.zeros((1, 2), np.uint8)
    differing = np.unpackbits((code.pack(zero, header) ^ code.pack(one, header))[0], bitorder="little")
    flips = [flip(at, int(bit)) for bit in np.flatnonzero(differing)]
    with pytest.raises(InputError, match="its receiver would take it for another"):
        ReferenceEngine(flips=flips).load(program)
    with pytest.raises(InputError, match="its receiver would take it for another"):
        ReferenceEngine(flips=flips[1:] if len(flips) > 2 else flips).load(program)


@pytest.mark.parametrize(
    ("wrong", "error", "reason"),
    [
        (flip(1, 0), InputError, "flip in a packet on link 0 of chip 0: none leaves in cycle 1"),
        (flip(1, 0, link=3), InputError, "flip in a packet on link 3 of chip 0: none leaves in cycle 1"),
        (flip(1, 0, chip=1), InputError, "flip in a packet on link 0 of chip 1: none leaves in cycle 1"),
        (flip(1, 0, chip=2), LinkError, "flip on chip 2: it has no program; the chips that have one: 0, 1"),
        (flip(1, 2624), InputError, "flip of bit 2624 of a packet, which has 0..2623"),
    ],
)
def test_flips_of_packets_that_there_are_not(wrong: Flip, error: type[Exception], reason: str) -> None:
    with pytest.raises(error) as e:
        ReferenceEngine(flips=[wrong]).load(transfer())
    assert str(e.value) == reason
