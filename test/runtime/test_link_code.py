"""The code of links: what it repairs, what it notices, against a division of polynomials bit by bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from tspc.runtime.link_code import CHECK_BITS, DAMAGED, GENERATOR, INTACT, REPAIRED, Bytes, LinkCode

CODE = LinkCode()
BITS = 8 * CODE.packet_bytes


def remainder(packet: Bytes) -> int:
    """The packet as a polynomial, bit 0 first, divided by the generator: what is left."""
    value = 0
    for bit in np.unpackbits(packet, bitorder="little").tolist():
        value = value << 1 | bit
        if value >> CHECK_BITS:
            value ^= GENERATOR
    return value


def some_packets(count: int, seed: int = 0) -> tuple[Bytes, Bytes, Bytes]:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(0, 256, (count, CODE.lanes), np.uint8)
    headers = rng.integers(0, 256, (count, 2), np.uint8)
    return vectors, headers, CODE.pack(vectors, headers)


def flipped(packets: Bytes, bits: npt.NDArray[np.int64]) -> Bytes:
    """Packets with one bit flipped in each."""
    result = packets.copy()
    result[np.arange(len(bits)), bits // 8] ^= (1 << bits % 8).astype(np.uint8)
    return result


def test_a_packet_has_the_size_of_the_machine() -> None:
    assert (CODE.packet_bytes, BITS) == (328, 2624)


def test_packets_are_multiples_of_the_generator() -> None:
    vectors, headers, packets = some_packets(5)
    assert [remainder(packet) for packet in packets] == [0] * 5
    received = CODE.unpack(packets)
    assert (received.state == INTACT).all()
    np.testing.assert_array_equal(received.vectors, vectors)
    np.testing.assert_array_equal(received.headers, headers)


def test_syndromes_are_remainders() -> None:
    packets = np.random.default_rng(1).integers(0, 256, (20, CODE.packet_bytes), np.uint8)
    assert CODE.syndrome(packets).tolist() == [remainder(packet) for packet in packets]


def test_every_single_bit_is_repaired() -> None:
    vectors, headers, packets = some_packets(BITS)
    received = CODE.unpack(flipped(packets, np.arange(BITS)))
    assert (received.state == REPAIRED).sum() == 2624
    np.testing.assert_array_equal(received.vectors, vectors)
    np.testing.assert_array_equal(received.headers, headers)


def test_every_two_bits_are_noticed() -> None:
    """The syndrome depends on the flipped bits alone, so all pairs of bits say all."""
    first, second = np.triu_indices(BITS, 1)
    state, bits = CODE.judge(CODE.syndromes[first] ^ CODE.syndromes[second])
    assert (state == DAMAGED).sum() == 3_441_376
    assert (bits == -1).all()


def test_two_pairs_of_bits_never_look_alike() -> None:
    """So up to four flipped bits are never taken for none."""
    first, second = np.triu_indices(BITS, 1)
    pairs = np.sort(CODE.syndromes[first] ^ CODE.syndromes[second])
    assert (pairs[1:] != pairs[:-1]).all()


def bursts(count: int, shortest: int, longest: int, seed: int) -> npt.NDArray[np.uint64]:
    """The syndromes of random bursts: their first and last bit are flipped, those in between or not."""
    rng = np.random.default_rng(seed)
    length = rng.integers(shortest, longest + 1, count)
    start = (rng.random(count) * (BITS - length + 1)).astype(np.int64)
    syndromes = np.zeros(count, np.uint64)
    for k in range(int(length.max())):
        flips = (k < length) & ((k == 0) | (k == length - 1) | (rng.random(count) < 0.5))
        syndromes ^= np.where(flips, CODE.syndromes[np.minimum(start + k, BITS - 1)], np.uint64(0))
    return syndromes


def test_a_million_bursts_are_noticed() -> None:
    state, _ = CODE.judge(bursts(1_000_000, 3, 64, seed=2))
    assert (state == DAMAGED).all()


def test_long_bursts_are_noticed() -> None:
    state, _ = CODE.judge(bursts(50_000, 65, 300, seed=3))
    assert (state == DAMAGED).all()


@pytest.mark.parametrize("lanes", [4, 16, 64, 320, 1024])
def test_vectors_of_other_chips(lanes: int) -> None:
    code, rng = LinkCode(lanes), np.random.default_rng(lanes)
    vectors, headers = rng.integers(0, 256, (50, lanes), np.uint8), rng.integers(0, 256, (50, 2), np.uint8)
    packets = code.pack(vectors, headers)
    received = code.unpack(flipped(packets, rng.integers(0, 8 * code.packet_bytes, 50)))
    assert (received.state == REPAIRED).all()
    np.testing.assert_array_equal(received.vectors, vectors)
    np.testing.assert_array_equal(received.headers, headers)
