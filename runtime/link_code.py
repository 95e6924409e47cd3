"""The error code of links: a packet of a vector, 16 bits of header and a check of 48 bits, 328 bytes in all.

The machine's packet has 328 bytes for a vector of 320; its code is not published, so this one is ours. The check is a
cyclic redundancy check: the packet, as a polynomial with coefficients of one bit, is a multiple of GENERATOR = (x +
1) p(x). What arrives gives a syndrome that depends on the flipped bits alone: 0 for none. All single bits of a packet
have syndromes of their own, so one flipped bit is repaired. The factor x + 1 makes the syndromes of an even number of
flipped bits differ from all of those, so two are always noticed; so is every burst of at most 48 bits that is not a
single one. Any other pattern is accepted, or repaired wrongly, in 2,625 of 2^48 cases.

Bits are numbered from 0 on: 8 * byte + bit of the byte; bytes are the vector, the header, the check. Bit 0 is the
coefficient of the highest power, as it goes over the wire first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

GENERATOR = 0x172881E283523
"""(x + 1) p(x) of degree 48; found by trying random p until all single and double errors of a packet of 2,624 bits have
syndromes of their own (test/runtime/test_link_code.py proves that they do)."""

CHECK_BITS = 48
HEADER_BYTES = 2

INTACT, REPAIRED, DAMAGED = 0, 1, 2
"""What a receiver says of a packet: no flipped bit, one that was flipped back, or more than can be repaired."""


@dataclass(frozen=True)
class Received:
    """What a receiver makes of packets."""

    state: Bytes
    """[packets]: INTACT, REPAIRED or DAMAGED."""
    vectors: Bytes
    """[packets, lanes], repaired where that is possible."""
    headers: Bytes
    """[packets, 2], likewise."""


@dataclass(frozen=True)
class LinkCode:
    """The code for vectors of `lanes` bytes."""

    lanes: int = 320

    @property
    def packet_bytes(self) -> int:
        """The bytes of a packet."""
        return self.lanes + HEADER_BYTES + CHECK_BITS // 8

    @cached_property
    def syndromes(self) -> Words:
        """[bits of a packet]: the syndrome of each single flipped bit."""
        bits = 8 * self.packet_bytes
        found, value = np.zeros(bits, np.uint64), 1
        for i in reversed(range(bits)):
            found[i] = value
            value <<= 1
            if value >> CHECK_BITS:
                value ^= GENERATOR
        return found

    @cached_property
    def _by_byte(self) -> Words:
        """[bytes of a packet, 256]: the syndrome of a byte's value at its place."""
        values = np.arange(256)
        table = np.zeros((self.packet_bytes, 256), np.uint64)
        of_bits = self.syndromes.reshape(-1, 8)
        for bit in range(8):
            table[:, (values >> bit & 1).astype(np.bool_)] ^= of_bits[:, bit, None]
        return table

    @cached_property
    def _ascending(self) -> tuple[Words, npt.NDArray[np.int64]]:
        """The single bits' syndromes, ascending, and their bits."""
        order = np.argsort(self.syndromes)
        return self.syndromes[order], order

    def syndrome(self, packets: Bytes) -> Words:
        """The syndromes of packets [..., packet bytes], or of the patterns of flipped bits in them."""
        return np.bitwise_xor.reduce(self._by_byte[np.arange(self.packet_bytes), packets], axis=-1)

    def pack(self, vectors: Bytes, headers: Bytes) -> Bytes:
        """[packets, packet bytes] of vectors [packets, lanes] and their headers [packets, 2]."""
        packets = np.zeros((len(vectors), self.packet_bytes), np.uint8)
        packets[:, : self.lanes] = vectors
        packets[:, self.lanes : self.lanes + HEADER_BYTES] = headers
        # what the check must be, bit by bit: the syndrome of the rest, since its own bits are the lowest powers
        rest = self.syndrome(packets)
        for byte in range(CHECK_BITS // 8):
            for bit in range(8):
                place = self.lanes + HEADER_BYTES + byte
                power = CHECK_BITS - 1 - 8 * byte - bit
                packets[:, place] |= ((rest >> np.uint64(power)) & np.uint64(1)).astype(np.uint8) << bit
        return packets

    def judge(self, syndromes: Words) -> tuple[Bytes, npt.NDArray[np.int64]]:
        """What a receiver says of packets with these syndromes, and the bit that it flips back, -1 for none."""
        ascending, bits = self._ascending
        at = np.minimum(np.searchsorted(ascending, syndromes), len(ascending) - 1)
        single = ascending[at] == syndromes
        state = np.where(syndromes == 0, INTACT, np.where(single, REPAIRED, DAMAGED)).astype(np.uint8)
        return state, np.where(single, bits[at], -1)

    def unpack(self, packets: Bytes) -> Received:
        """What a receiver makes of packets [packets, packet bytes]; damaged ones stay as they came."""
        state, bits = self.judge(self.syndrome(packets))
        repaired = packets.copy()
        (some,) = np.nonzero(bits >= 0)
        repaired[some, bits[some] // 8] ^= (1 << bits[some] % 8).astype(np.uint8)
        end = self.lanes + HEADER_BYTES
        return Received(state, repaired[:, : self.lanes], repaired[:, self.lanes : end])
