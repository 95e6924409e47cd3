"""SECDED: the error code of memory words and stream vectors; corrects one flipped bit of a code word, detects two.

The machine protects every 128 data bits by 9 check bits, made by the producer of a value and checked by its consumer.
Which code it is, is not published; this is the odd-weight-column code of M. Y. Hsiao, "A class of optimal minimum
odd-weight-column SEC-DED codes", IBM J. Res. Dev. 14 (1970): every column of the parity matrix has an odd number of
ones, so one flipped bit gives a syndrome of odd weight and two give one of even weight. The check bits of zeros are
zero, so memory that nobody has written is right as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, islice

import numpy as np
import numpy.typing as npt

from ..dialects.errors import TargetError
from ..dialects.machine.target import ChipSpec

Bytes = npt.NDArray[np.uint8]
Checks = npt.NDArray[np.uint16]

BROKEN = -1
"""What a syndrome says for which no single bit can be to blame."""


@dataclass(frozen=True)
class Checked:
    """What checking code words gave."""

    data: Bytes
    """The corrected data, of the shape that was given."""
    corrected: int
    """Code words in which one bit was flipped back."""
    broken: tuple[int, ...]
    """Indices of the code words with two flipped bits; their data are as they were."""


@cache
def parity_columns(data_bits: int, check_bits: int) -> Checks:
    """The syndrome of each data bit, as a number of `check_bits` bits: distinct, of odd weight of at least 3, the
    lightest first. Raises TargetError where there are not enough."""
    there = (1 << check_bits - 1) - check_bits
    if there < data_bits:
        raise TargetError(
            f"target field `secded_check_bits`: {check_bits} protect at most {max(there, 0)} data bits, and "
            f"`secded_data_bits` is {data_bits}; take more check bits or shorter code words"
        )
    odd = (bits for weight in range(3, check_bits + 1, 2) for bits in combinations(range(check_bits), weight))
    return np.array([sum(1 << b for b in bits) for bits in islice(odd, data_bits)], np.uint16)


class Secded:
    """The code of a chip: vectors of `lanes` bytes as code words of `secded_data_bits` bits, none of which belongs to
    two superlanes. The check bits of a code word are kept in 16 bits.

    Raises TargetError for a machine whose superlanes the code words do not fill, or with too few check bits.
    """

    def __init__(self, chip: ChipSpec):
        self.data_bits, self.check_bits = chip.secded_data_bits, chip.secded_check_bits
        self.data_bytes = self.data_bits // 8
        if self.data_bits % 8 or chip.lanes_per_tile % self.data_bytes:
            raise TargetError(
                f"target field `secded_data_bits`: code words of {self.data_bits} bits do not fill superlanes of "
                f"{chip.lanes_per_tile} bytes; take a divisor of {8 * chip.lanes_per_tile} that is a multiple of 8"
            )
        self.lanes = chip.lanes
        self.words = chip.lanes // self.data_bytes
        """Code words of a vector."""
        self.tile_words = chip.lanes_per_tile // self.data_bytes
        """Code words of a superlane."""
        self.columns = parity_columns(self.data_bits, self.check_bits)
        self.table = self._table()
        """[data_bytes, 256]: what each value of each byte of a code word adds to its check bits."""
        self.verdicts = self._verdicts()
        """[2^check_bits]: by syndrome the flipped bit, check bits after the data bits, or BROKEN; of 0, which says that
        none is, it is BROKEN too."""

    def encode(self, vectors: Bytes) -> Checks:
        """The check bits [..., words] of vectors [..., lanes]."""
        return np.bitwise_xor.reduce(self.table[np.arange(self.data_bytes), self._words(vectors)], axis=-1)

    def check(self, vectors: Bytes, checks: Checks) -> Checked:
        """Checks vectors [..., lanes] against their check bits [..., words], and corrects what can be corrected.

        A flipped check bit counts as corrected too, and leaves the data as they are.
        """
        syndromes = (self.encode(vectors) ^ checks).reshape(-1)
        data = self._words(vectors).reshape(-1, self.data_bytes).copy()
        corrected, broken = 0, list[int]()
        for i in np.flatnonzero(syndromes).tolist():
            bit = int(self.verdicts[syndromes[i]])
            if bit == BROKEN:
                broken.append(i)
                continue
            if bit < self.data_bits:
                data[i, bit // 8] ^= np.uint8(1 << bit % 8)
            corrected += 1
        return Checked(data.reshape(vectors.shape), corrected, tuple(broken))

    def flip(self, vector: Bytes, checks: Checks, bit: int) -> None:
        """Flips a bit of a vector [lanes] or of its check bits [words], in place: data bits are numbered first, lane by
        lane, then check bits, code word by code word."""
        lane, bit_of_lane = divmod(bit, 8)
        if lane < self.lanes:
            vector[lane] ^= np.uint8(1 << bit_of_lane)
        else:
            word, bit_of_word = divmod(bit - 8 * self.lanes, self.check_bits)
            checks[word] ^= np.uint16(1 << bit_of_word)

    # -- vectors kept together with their check bits -----------------------------------------------------------

    def split(self, rows: Bytes, start: int) -> tuple[Bytes, Checks]:
        """The data [..., lanes] and the check bits [..., words] of rows of bytes whose check bits begin with byte
        `start`: views."""
        return rows[..., : self.lanes], rows[..., start : start + 2 * self.words].view(np.uint16)

    def join(self, vectors: Bytes) -> Bytes:
        """Vectors [..., lanes] with the bytes of their check bits behind them: [..., lanes + 2 * words]."""
        return np.concatenate([vectors, self.encode(vectors).view(np.uint8)], axis=-1)

    def lanes_text(self, word: int) -> str:
        """The lanes of a code word of a vector, for messages."""
        first = word * self.data_bytes
        return f"lanes {first} to {first + self.data_bytes - 1}"

    def _words(self, vectors: Bytes) -> Bytes:
        return np.ascontiguousarray(vectors).reshape(*vectors.shape[:-1], self.words, self.data_bytes)

    def _table(self) -> Checks:
        values = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(bool)
        columns = self.columns.reshape(-1, 1, 8)
        return np.bitwise_xor.reduce(np.where(values, columns, np.uint16(0)), axis=-1)

    def _verdicts(self) -> npt.NDArray[np.int16]:
        verdicts = np.full(1 << self.check_bits, BROKEN, np.int16)
        verdicts[self.columns] = np.arange(self.data_bits)
        verdicts[1 << np.arange(self.check_bits)] = self.data_bits + np.arange(self.check_bits)
        return verdicts
