"""How tensors lie in SRAM, and the patterns in which words are visited."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from tspc.dialects.layout import AccessPattern, Layout
from tspc.dialects.target import ChipSpec

SMALL = ChipSpec(tiles=2, lanes_per_tile=4, streams=16, weight_streams=4)
"""8 lanes, and weights that come 4 rows at a time: tensors of a few elements have several tiles."""

DTYPES = [np.int8, np.int16, np.int32, np.float16, np.float32]

any_tensor = st.sampled_from(DTYPES).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=3, max_side=20))
)
int8_matrix = stn.arrays(np.int8, st.tuples(st.integers(1, 20), st.integers(1, 20)))


# -- rows ----------------------------------------------------------------------------------------------------------


@given(any_tensor)
def test_unpack_is_the_inverse_of_pack(array: np.ndarray) -> None:
    block = Layout.ROWS.pack(array, SMALL)
    slices, depth = Layout.ROWS.slices(array.dtype.itemsize, SMALL), Layout.ROWS.depth(array.shape, SMALL)
    assert block.shape == (slices, depth, SMALL.lanes)
    back = Layout.ROWS.unpack(block, array.shape, array.dtype, SMALL)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert back.tobytes() == array.tobytes()


def test_rows_of_a_matrix() -> None:
    """3 rows of 10 columns are two tiles of 8 lanes: first the left part of all rows, then the right, zero-padded.
    The two bytes of an element lie in two slices, the lower in the first."""
    array = np.arange(30, dtype=np.int16).reshape(3, 10) + 0x100
    low, high = Layout.ROWS.pack(array, SMALL)
    assert low.tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [10, 11, 12, 13, 14, 15, 16, 17],
        [20, 21, 22, 23, 24, 25, 26, 27],
        [8, 9, 0, 0, 0, 0, 0, 0],
        [18, 19, 0, 0, 0, 0, 0, 0],
        [28, 29, 0, 0, 0, 0, 0, 0],
    ]
    assert set(high[:3].flat) == {1}


@pytest.mark.parametrize(
    ("shape", "depth"),
    [((), 1), ((5,), 1), ((320,), 1), ((321,), 2), ((4, 320), 4), ((4, 5, 6), 20), ((4, 5, 700), 60)],
)
def test_the_depth_of_rows(shape: tuple[int, ...], depth: int) -> None:
    assert Layout.ROWS.depth(shape, ChipSpec()) == depth


# -- weights -------------------------------------------------------------------------------------------------------


def weights_by_definition(array: np.ndarray, chip: ChipSpec) -> np.ndarray:
    """Every weight where the layout says: row k of a tile in slice k % weight_streams at address k // weight_streams,
    tiles one after the other along N first, then along K; a last tile of few rows takes few addresses."""
    k_size, n_size = array.shape
    lanes, side = chip.lanes, chip.weight_streams
    n_tiles = -(-n_size // lanes)
    block = np.zeros((side, Layout.WEIGHTS.depth(array.shape, chip), lanes), np.uint8)
    for k in range(k_size):
        for n in range(n_size):
            k_tile, row = divmod(k, lanes)
            n_tile, lane = divmod(n, lanes)
            rows_of_tile = min(lanes, k_size - k_tile * lanes)
            address = k_tile * n_tiles * (lanes // side) + n_tile * -(-rows_of_tile // side) + row // side
            block[row % side, address, lane] = int(array[k, n]) & 0xFF
    return block


@given(int8_matrix)
def test_weights_against_their_definition(array: np.ndarray) -> None:
    assert np.array_equal(Layout.WEIGHTS.pack(array, SMALL), weights_by_definition(array, SMALL))


@given(int8_matrix)
def test_a_tile_of_weights_is_loaded_from_consecutive_words(array: np.ndarray) -> None:
    """What the MXM does: it takes one word from every slice a step, a row of weights from each."""
    block, (k_size, n_size), lanes = Layout.WEIGHTS.pack(array, SMALL), array.shape, SMALL.lanes
    for k in range(0, k_size, lanes):
        for n in range(0, n_size, lanes):
            first = Layout.WEIGHTS.weight_offset(array.shape, k // lanes, n // lanes, SMALL)
            part = array[k : k + lanes, n : n + lanes]
            steps = -(-len(part) // SMALL.weight_streams)
            rows = block[:, first : first + steps].transpose(1, 0, 2).reshape(-1, lanes).view(np.int8)
            assert np.array_equal(rows[: len(part), : part.shape[1]], part)
            assert not rows[len(part) :].any()


def test_the_weights_of_a_full_plane_take_20_words_of_16_slices() -> None:
    chip = ChipSpec()
    assert (Layout.WEIGHTS.slices(1, chip), Layout.WEIGHTS.depth((320, 320), chip)) == (16, 20)


# -- patterns ------------------------------------------------------------------------------------------------------

patterns = st.builds(
    AccessPattern,
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(1, 4), st.integers(-5, 5)), max_size=4).map(tuple),
)


def words_by_loops(pattern: AccessPattern) -> list[int]:
    """The visited words by nested loops, the innermost level first."""
    words = [pattern.offset]
    for count, step in pattern.levels:
        words = [i * step + word for i in range(count) for word in words]
    return words


@given(patterns)
def test_the_words_of_a_pattern(pattern: AccessPattern) -> None:
    words = pattern.words().tolist()
    assert words == words_by_loops(pattern)
    assert pattern.count == len(words)
    assert (pattern.low, pattern.high) == (min(words), max(words))


@given(patterns)
def test_canonicalize_keeps_the_words(pattern: AccessPattern) -> None:
    canonical = pattern.canonicalize()
    assert canonical.words().tolist() == pattern.words().tolist()
    assert canonical.canonicalize() == canonical
    assert len(canonical.levels) <= len(pattern.levels)
    assert all(count > 1 for count, _ in canonical.levels)


@given(st.integers(0, 9), st.lists(st.integers(1, 4), max_size=4))
def test_a_contiguous_walk_is_one_level(offset: int, counts: list[int]) -> None:
    levels = tuple((count, prod(counts[:i])) for i, count in enumerate(counts))
    assert AccessPattern(offset, levels).canonicalize() == AccessPattern.run(offset, prod(counts))


def test_some_canonical_patterns() -> None:
    def canonical(*levels: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        return AccessPattern(0, levels).canonicalize().levels

    assert canonical((4, 2), (3, 8)) == ((12, 2),)
    assert canonical((4, 0), (3, 0)) == ((12, 0),)
    assert canonical((4, 1), (1, 99), (3, 4)) == ((12, 1),)
    assert canonical((3, 1), (2, 0)) == ((3, 1), (2, 0))
    assert canonical((1, 7)) == ()
