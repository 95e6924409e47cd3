"""The error code: one flipped bit is corrected, two are detected, wherever they are."""

from itertools import combinations

import numpy as np
import pytest
from tspc.dialects.errors import TargetError
from tspc.dialects.machine.target import ChipSpec
from tspc.runtime.flips import bits_of
from tspc.runtime.secded import Secded, parity_columns

CODE = Secded(ChipSpec())
WORD = 128
CHECKS = 9


def flipped(bits: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A vector, and it and its check bits with bits of its third code word flipped; from 128 on they are check bits."""
    vector = np.random.default_rng(7).integers(0, 256, 320).astype(np.uint8)
    checks = CODE.encode(vector)
    damaged = vector.copy()
    for bit in bits:
        if bit < WORD:
            damaged[2 * 16 + bit // 8] ^= 1 << bit % 8
        else:
            checks[2] ^= 1 << (bit - WORD)
    return vector, damaged, checks


def test_a_vector_has_20_code_words_and_checks_clean() -> None:
    vectors = np.random.default_rng(1).integers(0, 256, (3, 5, 320)).astype(np.uint8)
    checks = CODE.encode(vectors)
    assert checks.shape == (3, 5, 20)
    assert (checks < 1 << CHECKS).all()
    result = CODE.check(vectors, checks)
    assert (result.data == vectors).all()
    assert (result.corrected, result.broken) == (0, ())


def test_columns_are_distinct_and_of_odd_weight() -> None:
    columns = parity_columns(WORD, CHECKS).tolist()
    assert len(set(columns)) == WORD
    assert all(c.bit_count() % 2 == 1 and c.bit_count() >= 3 for c in columns)


@pytest.mark.parametrize("bit", range(WORD + CHECKS))
def test_one_flip_is_corrected(bit: int) -> None:
    vector, damaged, checks = flipped((bit,))
    result = CODE.check(damaged, checks)
    assert (result.data == vector).all()
    assert (result.corrected, result.broken) == (1, ())


def test_every_double_flip_is_detected() -> None:
    """All pairs at once: the syndromes of two bits are never zero and never those of one."""
    single = [*parity_columns(WORD, CHECKS).tolist(), *(1 << b for b in range(CHECKS))]
    assert all((a ^ b).bit_count() % 2 == 0 and a != b for a, b in combinations(single, 2))
    for pair in ((0, 1), (5, 127), (3, 130), (128, 136)):
        _, damaged, checks = flipped(pair)
        result = CODE.check(damaged, checks)
        assert (result.corrected, result.broken) == (0, (2,))


def test_machines_that_the_code_does_not_fit_are_refused() -> None:
    with pytest.raises(TargetError, match="7 protect at most 57 data bits"):
        Secded(ChipSpec(secded_check_bits=7))
    with pytest.raises(TargetError, match="do not fill superlanes of 16 bytes; take a divisor of 128"):
        Secded(ChipSpec(secded_data_bits=256))
    with pytest.raises(TargetError, match="do not fill superlanes"):
        Secded(ChipSpec(secded_data_bits=12))


@pytest.mark.parametrize(("data_bits", "check_bits"), [(32, 7), (64, 8), (128, 9), (128, 16), (40, 7)])
def test_other_code_words(data_bits: int, check_bits: int) -> None:
    """Every bit of a vector and of its check bits, flipped alone, is corrected; every bit with its successor is not."""
    machine = {"secded_data_bits": data_bits, "secded_check_bits": check_bits}
    chip = ChipSpec(tiles=2, lanes_per_tile=data_bits // 8, weight_streams=data_bits // 8, **machine)
    code = Secded(chip)
    vector = np.random.default_rng(3).integers(0, 256, chip.lanes).astype(np.uint8)
    rows = code.join(np.stack([vector] * bits_of(chip)))
    for bit, row in enumerate(rows):
        code.flip(*code.split(row, chip.lanes), bit)
    found = code.check(*code.split(rows, chip.lanes))
    assert (found.data == vector).all()
    assert (found.corrected, found.broken) == (len(rows), ())
    for bit, row in enumerate(rows[:data_bits]):
        code.flip(*code.split(row, chip.lanes), (bit + 1) % data_bits)
    found = code.check(*code.split(rows[:data_bits], chip.lanes))
    assert (found.corrected, len(found.broken)) == (0, data_bits)


def test_zeros_have_zero_check_bits() -> None:
    assert not CODE.encode(np.zeros(320, np.uint8)).any()
