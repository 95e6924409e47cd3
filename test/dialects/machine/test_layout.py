"""How tensors lie in SRAM, and the patterns in which words are visited."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from tspc.dialects.machine.layout import BYTE, AccessPattern, Axis, Layout, Limits, Run, fold, rows, runs, weights

LANES, STREAMS = 8, 4
"""Weights that come 4 rows at a time: tensors of a few elements have several tiles."""

DTYPES = [np.int8, np.int16, np.int32, np.float16, np.float32]

any_tensor = st.sampled_from(DTYPES).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=3, max_side=20))
)


# -- layouts -------------------------------------------------------------------------------------------------------


def places(axes: tuple[Axis, ...]) -> Iterator[dict[int, int]]:
    """What each place of some axes adds to the dimensions, the last axis fastest."""
    for numbers in product(*(range(axis.extent) for axis in axes)):
        moved: dict[int, int] = {}
        for number, axis in zip(numbers, axes, strict=True):
            for dim, step in axis.steps:
                moved[dim] = moved.get(dim, 0) + number * step
        yield moved


def packed_by_definition(array: np.ndarray, layout: Layout, lanes: int) -> np.ndarray:
    """Every byte on its own: where the axes lead, or zero outside the part of the tensor that is meant."""
    size = array.dtype.itemsize
    data = array.reshape(array.shape).tobytes()
    sides, words, columns = (list(places(axes)) for axes in (layout.side, layout.words, layout.lanes))
    block = np.zeros((len(sides), len(words), lanes), np.uint8)
    part = layout.within or [(0, n) for n in array.shape]
    for (s, side), (w, word), (n, lane) in product(enumerate(sides), enumerate(words), enumerate(columns)):
        at = [
            (layout.start[d] if d < len(layout.start) else 0) + sum(m.get(d, 0) for m in (side, word, lane))
            for d in range(array.ndim)
        ]
        byte = sum(m.get(BYTE, 0) for m in (side, word, lane))
        if 0 <= byte < size and all(
            max(0, a) <= i < min(b, n) for i, (a, b), n in zip(at, part, array.shape, strict=True)
        ):
            element = int(np.ravel_multi_index(at, array.shape)) if at else 0
            block[s, w, n] = data[element * size + byte]
    return block


@st.composite
def layouts(draw: st.DrawFn, rank: int) -> Layout:
    """Any affine layout: axes that overlap, go backward, walk along several dimensions, repeat or leave the tensor, of
    which all or a part is meant."""
    step = st.tuples(st.integers(BYTE, rank - 1), st.integers(-3, 4))
    axis = st.builds(Axis, st.integers(1, 3), st.lists(step, max_size=2).map(tuple))
    axes = st.lists(axis, max_size=3).map(tuple)
    start = tuple(draw(st.lists(st.integers(-3, 4), max_size=rank)))
    ends = st.tuples(st.integers(0, 3), st.integers(1, 6)).filter(lambda e: e[0] < e[1])
    within = tuple(draw(st.one_of(st.just([]), st.lists(ends, min_size=rank, max_size=rank))))
    layout = Layout(draw(axes), draw(axes), draw(axes), start, within)
    assume(layout.fault(rank, LANES) is None)
    return layout


small_tensor = st.sampled_from(DTYPES).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=3, max_side=5))
)


@given(small_tensor, st.data())
def test_any_layout_against_its_definition(array: np.ndarray, data: st.DataObject) -> None:
    layout = data.draw(layouts(array.ndim))
    assert np.array_equal(layout.pack(array, LANES), packed_by_definition(array, layout, LANES))


@given(small_tensor, st.data())
def test_unpack_gives_back_what_the_layout_shows(array: np.ndarray, data: st.DataObject) -> None:
    """Elements that lie nowhere are zero; packed again it is the same block."""
    layout = data.draw(layouts(array.ndim))
    block = layout.pack(array, LANES)
    back = layout.unpack(block, array.shape, array.dtype)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert np.array_equal(layout.pack(back, LANES), block)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (Layout((Axis.of(0, 0),), (), ()), "axis `0 of d0` has no extent"),
        (Layout((Axis.of(2, 2),), (), ()), "axis `2 of d2` walks along d2, the tensor has 2 dimensions"),
        (Layout((), (), (Axis.of(9, 1),)), "9 elements side by side do not fit into 8 lanes"),
        (Layout((), (), (), (0, 0, 0)), "there are 3 starts, the tensor has 2 dimensions"),
        (Layout((), (), (), (), ((0, 2),)), "`within` names no part of a tensor of 2 dimensions"),
        (Layout((), (), (), (), ((0, 2), (3, 3))), "`within` names no part of a tensor of 2 dimensions"),
    ],
)
def test_a_layout_that_makes_no_sense(layout: Layout, reason: str) -> None:
    assert layout.fault(2, LANES) == reason


# -- rows ----------------------------------------------------------------------------------------------------------


@given(any_tensor, st.data())
def test_rows_hold_everything_once(array: np.ndarray, data: st.DataObject) -> None:
    pads = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=max(0, array.ndim - 1)))
    layout = rows(array.shape, array.dtype.itemsize, LANES, pads)
    block = layout.pack(array, LANES)
    assert block.shape == (layout.width, layout.depth, LANES)
    assert layout.unpack(block, array.shape, array.dtype).tobytes() == array.tobytes()
    assert np.count_nonzero(block) == np.count_nonzero(np.frombuffer(array.tobytes(), np.uint8))


def test_rows_of_a_matrix() -> None:
    """3 rows of 10 columns are two tiles of 8 lanes: first the left part of all rows, then the right, zero-padded.
    The two bytes of an element lie in two slices, the lower in the first."""
    array = np.arange(30, dtype=np.int16).reshape(3, 10) + 0x100
    low, high = rows(array.shape, 2, LANES).pack(array, LANES)
    assert low.tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        [10, 11, 12, 13, 14, 15, 16, 17],
        [20, 21, 22, 23, 24, 25, 26, 27],
        [8, 9, 0, 0, 0, 0, 0, 0],
        [18, 19, 0, 0, 0, 0, 0, 0],
        [28, 29, 0, 0, 0, 0, 0, 0],
    ]
    assert set(high[:3].flat) == {1}


def test_rows_with_a_border_of_zeros() -> None:
    """One row before and two after."""
    array = np.array([[1, 2], [3, 4]], np.int8)
    (block,) = rows(array.shape, 1, LANES, [(1, 2)]).pack(array, LANES)
    assert block[:, :2].tolist() == [[0, 0], [1, 2], [3, 4], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("shape", "depth"),
    [((), 1), ((5,), 1), ((320,), 1), ((321,), 2), ((4, 320), 4), ((4, 5, 6), 20), ((4, 5, 700), 60)],
)
def test_the_depth_of_rows(shape: tuple[int, ...], depth: int) -> None:
    assert rows(shape, 1, 320).depth == depth


# -- weights -------------------------------------------------------------------------------------------------------


@st.composite
def stationary(draw: st.DrawFn) -> tuple[np.ndarray, bool]:
    """Weights [taps, k, n], or [taps, n, k] where they are said to be transposed."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)))
    dtype = draw(st.sampled_from([np.int8, np.float16]))
    return draw(stn.arrays(dtype, shape)), draw(st.booleans())


@given(stationary())
def test_a_tile_of_weights_is_loaded_from_consecutive_words(what: tuple[np.ndarray, bool]) -> None:
    """What the MXM does: it takes one word from every slice a step, a row of weights from each; first all low bytes of
    a tile, then all high ones. Tiles follow each other along k, then along the taps, then along n."""
    array, transposed = what
    matrices = array.transpose(0, 2, 1) if transposed else array
    taps, k_size, n_size = matrices.shape
    size = array.dtype.itemsize
    layout = weights((taps,), k_size, n_size, size, LANES, STREAMS, transposed)
    block = layout.pack(array, LANES)
    words = iter(range(layout.depth))
    for n, tap, k in product(range(0, n_size, LANES), range(taps), range(0, k_size, LANES)):
        part = np.ascontiguousarray(matrices[tap, k : k + LANES, n : n + LANES])
        planes = part.view(np.uint8).reshape(*part.shape, size)
        for byte in range(size):
            groups = -(-min(k_size, LANES) // STREAMS)
            loaded = np.concatenate([block[:, next(words)] for _ in range(groups)])
            assert np.array_equal(loaded[: len(part), : part.shape[1]], planes[..., byte])
            assert not loaded[len(part) :].any() and not loaded[:, part.shape[1] :].any()
    assert next(words, None) is None


def test_the_weights_of_a_full_plane_take_20_words_of_16_slices() -> None:
    layout = weights((), 320, 320, 1, 320, 16)
    assert (layout.width, layout.depth) == (16, 20)


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


# -- runs ----------------------------------------------------------------------------------------------------------

ANY = Limits(levels=3, rounds=1 << 16, cycles=1 << 16, words=1 << 16)
TIGHT = st.builds(Limits, st.integers(1, 3), st.integers(2, 5), st.integers(1, 20), st.integers(0, 20))


def visits(run: Run) -> list[tuple[int, int]]:
    """The cycle and the word of every visit, by nested loops."""
    found = [(run.at, run.word)]
    for count, cycles, step in run.loops:
        found = [(at + i * cycles, word + i * step) for i in range(count) for at, word in found]
    return found


@st.composite
def visits_of_words(draw: st.DrawFn) -> tuple[AccessPattern, AccessPattern, list[int]]:
    """Words and cycles of the same count whose levels divide each other, the cycles ascending; and starts of parts."""
    counts = draw(st.lists(st.integers(1, 4), max_size=4))
    words = AccessPattern(0, tuple((count, draw(st.integers(-6, 6))) for count in counts))
    words = AccessPattern(-words.low, words.levels)
    cut = draw(st.integers(0, len(counts)))
    levels, span = list[tuple[int, int]](), 0
    for count in (prod(counts[:cut]), prod(counts[cut:])):
        step = span + draw(st.integers(1, 3))
        levels.append((count, step))
        span += (count - 1) * step
    starts = sorted({0, *draw(st.lists(st.integers(1, max(1, words.high)), max_size=3))})
    return words, AccessPattern(draw(st.integers(0, 3)), tuple(levels)), starts


@given(visits_of_words(), TIGHT)
def test_runs_visit_every_word_at_its_time(
    what: tuple[AccessPattern, AccessPattern, list[int]], limits: Limits
) -> None:
    words, cycles, starts = what
    expected: dict[int, list[tuple[int, int]]] = {}
    for at, word in zip(words_by_loops(cycles), words_by_loops(words), strict=True):
        part = max(i for i, first in enumerate(starts) if first <= word)
        expected.setdefault(part, []).append((at, word - starts[part]))
    found: dict[int, list[tuple[int, int]]] = {}
    last = 0
    for part, run in runs(words, cycles, starts, limits):
        assert part >= last
        assert limits.hold(run.loops)
        found.setdefault(part, []).extend(visits(run))
        last = part
    assert found == expected


def test_a_run_that_one_instruction_holds_is_one() -> None:
    words, cycles = AccessPattern(2, ((4, 1), (3, 10))), AccessPattern(0, ((4, 1), (3, 64)))
    assert runs(words, cycles, (0,), ANY) == [(0, Run(0, 2, ((4, 1, 1), (3, 64, 10))))]


def test_words_and_cycles_that_have_no_common_loops() -> None:
    with pytest.raises(ValueError, match="have no common loops"):
        runs(AccessPattern(0, ((4, 1), (3, 9))), AccessPattern(0, ((6, 1), (2, 9))), (0,), ANY)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-2, 2)), max_size=30), TIGHT)
def test_folding_keeps_the_visits(moves: list[tuple[int, int]], limits: Limits) -> None:
    pieces, at, word = list[Run](), 0, 100
    for cycles, step in moves:
        at, word = at + cycles, word + step
        pieces.append(Run(at, word, ()))
    folded = fold(pieces, limits)
    assert [v for run in folded for v in visits(run)] == [v for run in pieces for v in visits(run)]
    assert all(limits.hold(run.loops) for run in folded)
    assert len(folded) <= len(pieces)


def test_what_folds_completely() -> None:
    pieces = [Run(100 * i + 7 * j + k, 10 * i + j, ()) for i in range(4) for j in range(3) for k in range(5)]
    assert fold(pieces, ANY) == [Run(0, 0, ((5, 1, 0), (3, 7, 1), (4, 100, 10)))]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 12)), max_size=3),
    st.integers(0, 9),
    st.integers(1, 9),
)
def test_the_busy_cycles_of_a_run(levels: list[tuple[int, int]], at: int, gap: int) -> None:
    """Intervals in ascending order that hold every visit, and of each pause that is long enough nothing."""
    loops, span = list[tuple[int, int, int]](), 0
    for count, pause in levels:
        loops.append((count, span + pause, 0))
        span += (count - 1) * (span + pause)
    run = Run(at, 0, tuple(loops))
    times = sorted(t for t, _ in visits(run))
    busy = list(run.busy(gap))
    assert all(a < b for a, b in busy) and all(b < c for (_, b), (c, _) in pairwise(busy))
    held = {t for a, b in busy for t in range(a, b)}
    assert held.issuperset(times) and (busy[0][0], busy[-1][1]) == (times[0], times[-1] + 1)
    for before, after in pairwise(times):
        idle = range(before + 1, after)
        assert not held.intersection(idle) if len(idle) >= gap else held.issuperset(idle)


def test_a_step_that_is_never_taken_may_be_of_any_size() -> None:
    layout = Layout((Axis(1, ((0, 1 << 62),)), Axis.of(3, 0)), (Axis(1),), (Axis.of(4, 1),))
    array = np.arange(12, dtype=np.int8).reshape(3, 4)
    assert np.array_equal(layout.unpack(layout.pack(array, 8), (3, 4), np.int8), array)
