"""The JIT engine: fp16 matrices and f32 accumulators do what the reference engine does, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from util import Fill, Load, Maker, add_results, add_vectors, add_weights, agree, east, every_path, west

MACHINES = {
    "default": ChipSpec(words=64),
    "ten tiles": ChipSpec(words=64, tiles=10, lanes_per_tile=8),
    "odd": ChipSpec(words=64, tiles=3, lanes_per_tile=5, weight_streams=5),
    "one slice a hop": ChipSpec(words=64, slices_per_hop=1, planes=8),
    "doubled latencies": ChipSpec(
        words=64, latency_array=26, latency_egress=40, latency_install=2, latency_read=2, latency_write=2
    ),
    "quick": ChipSpec(words=64, latency_array=1, latency_egress=1, latency_install=4),
}

EDGES = [0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00]
"""Zeros, subnormals, limits, ones."""
INFINITE = [0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF]


def halves(seed: int, shape: Sequence[int], special: float, infinite: float) -> npt.NDArray[np.uint16]:
    """Random fp16 patterns of numbers of all sizes; a part of them special, and a part infinite or NaN."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 1 << 16, tuple(shape), np.uint16)
    x = np.where(x & 0x7C00 == 0x7C00, x & 0xBBFF, x)  # an exponent less
    x = np.where(rng.random(tuple(shape)) < special, rng.choice(EDGES, tuple(shape)), x)
    return np.where(rng.random(tuple(shape)) < infinite, rng.choice(INFINITE, tuple(shape)), x).astype(np.uint16)


def data(
    chip: ChipSpec, base: int, special: float = 0.0, infinite: float = 0.0, infinite_vectors: float | None = None
) -> Fill:
    """Weights of a pair in slices `base`.., low bytes in words 0.., high bytes in words 32..; vectors in two slices
    behind them. So many weights are infinite that few columns are without one, and vectors likewise unless given."""
    streams = chip.weight_streams

    def fill(sram: npt.NDArray[np.uint8]) -> None:
        weights = halves(1, (streams, chip.load_cycles, chip.lanes), special, infinite / 300)
        vectors = halves(2, (64, chip.lanes), special, infinite / 20 if infinite_vectors is None else infinite_vectors)
        for i in range(2):
            sram[base : base + streams, 32 * i : 32 * i + chip.load_cycles] = weights >> 8 * i & 0xFF
            sram[base + 20 + i] = vectors >> 8 * i & 0xFF

    return fill


def add_half_weights(m: Maker, plane: int, at: int, groups: range, other: range | None = None) -> int:
    """Loads the row groups of both planes of a pair, one plane after the other; gives the cycle after the last `iw`."""
    at = add_weights(m, plane, at, groups)
    return add_weights(m, plane + 1, at + 2, groups if other is None else other, 32)


def add_half_vectors(m: Maker, plane: int, at: int, count: int, address: int = 0) -> None:
    """Feeds words of two slices to a pair, the first in cycle `at`."""
    side, code = ("E", east) if plane < m.chip.planes // 2 else ("W", west)
    where = m.at(f"MXM.{plane}.activations")
    for i in range(2):
        loops = [(count, 2, 1)] if count > 1 else []
        m.bring(f"MEM.{side}{20 + i}", address, code(24 + i), where, at, loops)
    m.add(f"MXM.{plane}.activations", at, "abc_f16", count, code(24))


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 23])
@pytest.mark.parametrize("plane", [0, 2])
@every_path
def test_matmul(load: Load, count: int, plane: int) -> None:
    m = Maker(SystemSpec(chip=MACHINES["default"]))
    at = add_half_weights(m, plane, 60, range(20))
    add_half_vectors(m, plane, at, count)
    add_results(m, plane, at + 13, count, 24, every=2)
    result = agree(load, m.program(), data(m.chip, 0 if plane < 2 else 44))
    assert result[24 if plane < 2 else 68, :count].any()


@pytest.mark.parametrize(("special", "infinite"), [(0.0, 0.0), (0.5, 0.0), (0.3, 1.0)])
@pytest.mark.parametrize("name", MACHINES)
@every_path
def test_other_machines(load: Load, name: str, special: float, infinite: float) -> None:
    m, count = Maker(SystemSpec(chip=MACHINES[name])), 9
    chip = m.chip
    plane = 2 if chip.planes == 8 else 0
    at = add_half_weights(m, plane, 200, range(chip.load_cycles)) + chip.latency_install - 1
    add_half_vectors(m, plane, at, count)
    add_results(m, plane, at + chip.latency_array, count, 24, every=2)
    agree(load, m.program(), data(chip, 0, special, infinite))


@pytest.mark.parametrize("infinite", [0.0, 1.0])
@every_path
def test_rows_not_loaded_are_zero(load: Load, infinite: float) -> None:
    """In each plane others: what is left of a weight is a byte. Zero times infinity is NaN."""
    m, count = Maker(SystemSpec(chip=MACHINES["default"])), 8
    at = add_half_weights(m, 0, 60, range(20))
    at = add_half_weights(m, 0, at, range(3, 9), range(5, 12))
    add_half_vectors(m, 0, at, count)
    add_results(m, 0, at + 13, count, 24, every=2)
    agree(load, m.program(), data(m.chip, 0, 0.2, infinite))


@pytest.mark.parametrize("infinite", [0.0, 0.5])
@every_path
def test_accumulators_add(load: Load, infinite: float) -> None:
    """Several vectors to one entry; weights that make it infinite with both signs, so that their sum is NaN."""
    m, count = Maker(SystemSpec(chip=MACHINES["default"])), 12
    at = add_half_weights(m, 0, 60, range(20))
    add_half_vectors(m, 0, at, count)
    m.add("MXM.0.accumulators", at + 13, "acc", 0, 0, loops=[(3, 2, 1)])
    m.add("MXM.0.accumulators", at + 13 + 6, "acc", 0, 1, loops=[(3, 2, 1), (2, 6, 0)])
    add_results(m, 0, at + 13 + 18, 3, 24, mode=1, every=2)
    agree(load, m.program(), data(m.chip, 0, 0.1, infinite, 0))


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("install", [1, 3])
@every_path
def test_install_between_vectors(load: Load, part: int, install: int) -> None:
    """Of either plane of the pair: vectors before it meet the old weights, though their sums are taken after it."""
    m, count = Maker(SystemSpec(chip=ChipSpec(words=64, latency_install=install))), 12
    at = add_half_weights(m, 0, 60, range(20)) + install - 1
    m.add(f"MXM.{part}.weights", at + 9, "iw")
    add_half_vectors(m, 0, at, count)
    add_results(m, 0, at + 13, count, 24, every=2)
    agree(load, m.program(), data(m.chip, 0))


@every_path
def test_both_types_in_turn(load: Load) -> None:
    """int8 and fp16 vectors on one plane while int8 vectors are on the other. Sums are added in the type in which they
    arrive, to what bits the entry has; when they do, vectors of the other type have entered."""
    m, count = Maker(SystemSpec(chip=MACHINES["default"])), 3
    first = at = add_half_weights(m, 0, 60, range(20))
    for i, (half, mode) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0), (1, 1), (0, 0), (0, 1), (1, 1)]):
        if half:
            add_half_vectors(m, 0, at, count, address=count * i)
        else:
            add_vectors(m, 0, at, count, 22, address=count * i, stream=26)
        add_results(m, 0, at + 13, count, 24, mode, every=1 + half, address=count * i)
        at += count * (1 + half)
    add_vectors(m, 1, first, 9, 23, stream=27)
    m.add("MXM.1.accumulators", first + 13, "acc", 0, 0, loops=[(9, 1, 1)])
    put = data(m.chip, 0, 0.2)

    def fill(sram: npt.NDArray[np.uint8]) -> None:
        put(sram)
        sram[22, :32] = np.random.default_rng(3).integers(0, 256, (32, 320))

    result = agree(load, m.program(), fill)
    assert all(result[24, word].any() for word in range(8 * count))


@every_path
def test_planes_in_parallel(load: Load) -> None:
    """Both hemispheres' pairs at once."""
    m, count = Maker(SystemSpec(chip=MACHINES["default"])), 10
    for plane in (0, 2):
        at = add_half_weights(m, plane, 60, range(20))
        add_half_vectors(m, plane, at, count)
        add_results(m, plane, at + 13, count, 24, every=2)
    east_data, west_data = data(m.chip, 0, 0.1), data(m.chip, 44)

    def fill(sram: npt.NDArray[np.uint8]) -> None:
        east_data(sram)
        west_data(sram)

    agree(load, m.program(), fill)
