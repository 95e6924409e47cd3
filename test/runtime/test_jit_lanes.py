"""The JIT engine: what moves bytes between lanes and words, and superlanes that are off, against the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from tspc.dialects.machine.instruction import CHAIN, ElementType, source_alu, source_immediate, source_stream
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.runtime.jit import JitEngine
from util import Load, Maker, add_results, add_vectors, add_weights, agree, east, every_path, west

I8 = ElementType.I8

MACHINES = {
    "default": ChipSpec(words=64),
    "ten tiles": ChipSpec(words=64, tiles=10),
    "eight lanes a tile": ChipSpec(words=64, lanes_per_tile=8),
    "odd": ChipSpec(words=62, tiles=7, lanes_per_tile=11, weight_streams=7, slices_per_hop=1),
    "wide tiles": ChipSpec(words=64, tiles=5, lanes_per_tile=64, streams=64),
    "doubled latencies": ChipSpec(
        words=64,
        latency_read=2,
        latency_gather=3,
        latency_write=2,
        latency_sxm_io=4,
        latency_shift=8,
        latency_select=8,
        latency_distribute=4,
        latency_rotate=8,
        latency_transpose=40,
        latency_permute=48,
    ),
    "two planes": ChipSpec(words=64, planes=2, slices_per_hop=1),
}

on_every_machine = pytest.mark.parametrize("chip", MACHINES.values(), ids=MACHINES)


def random_fill(seed: int, below: int = 256) -> Callable[[npt.NDArray[np.uint8]], None]:
    """Random bytes in all of SRAM; in slice E0, where maps come from, `below` a limit."""

    def fill(sram: npt.NDArray[np.uint8]) -> None:
        rng = np.random.default_rng(seed)
        sram[:] = rng.integers(0, 256, sram.shape, np.uint8)
        sram[0] = rng.integers(0, below, sram[0].shape, np.uint8)

    return fill


# -- SXM -----------------------------------------------------------------------------------------------------------


def slice_of(side: str, number: int) -> str:
    """Slices of one hemisphere, then those of the other, whose streams pass through it, too."""
    other = "E" if side == "W" else "W"
    return f"MEM.{side}{number}" if number < 44 else f"MEM.{other}{number - 44}"


def add_move(m: Maker, unit: str, name: str, values: list[int], sources: list[int], width: int) -> None:
    """Three issues of an SXM instruction on the streams 0, 1.. of the unit's hemisphere, whose vectors are words 2.. of
    the slices `sources`; results, from stream 0 on the way back, go to words 40.. of slices 0.. ."""
    side = unit[4]
    when, loops = 100, [(3, 1, 1)]
    out, back = (east, west) if side == "E" else (west, east)
    for i, number in enumerate(sources):
        m.bring(slice_of(side, number), 2, out(i), m.at(unit), when, loops)
    m.add(unit, when, name, *values, loops=[(3, 1, 0)])
    for i in range(width):
        m.keep(slice_of(side, i), 40, back(i), m.at(unit), when + m.delay(name), loops)


SHIFTS = [(0, 0), (1, 0), (1, 1), (63, 0), (64, 1), (65, 0), (76, 1), (77, 1), (319, 0), (320, 1), (4095, 0)]


@pytest.mark.parametrize(("count", "way"), SHIFTS)
@on_every_machine
@every_path
def test_shift(load: Load, chip: ChipSpec, count: int, way: int) -> None:
    m = Maker(SystemSpec(chip=chip))
    add_move(m, "SXM.E.shift", "shift", [count, way, east(0), west(0)], [1], 1)
    agree(load, m.program(), random_fill(count))


@on_every_machine
@every_path
def test_lane_select(load: Load, chip: ChipSpec) -> None:
    m = Maker(SystemSpec(chip=chip))
    add_move(m, "SXM.E.shift", "lane_select", [east(0), east(1), east(2), west(0)], [0, 1, 2], 1)
    agree(load, m.program(), random_fill(1, below=3))


@pytest.mark.parametrize("below", [2, 256])
@on_every_machine
@every_path
def test_permute(load: Load, chip: ChipSpec, below: int) -> None:
    """With high bytes of 0 and 1 most lanes are there, with random ones few."""
    m = Maker(SystemSpec(chip=chip))
    add_move(m, "SXM.E.permute", "permute", [east(0), east(2), west(0)], [1, 0, 2], 1)
    agree(load, m.program(), random_fill(2, below))


@pytest.mark.parametrize("below", [6, 18, 256])
@on_every_machine
@every_path
def test_distribute(load: Load, chip: ChipSpec, below: int) -> None:
    m = Maker(SystemSpec(chip=chip))
    add_move(m, "SXM.E.distribute", "distribute", [east(0), east(1), west(0)], [0, 1], 1)
    agree(load, m.program(), random_fill(3, below))


@pytest.mark.parametrize("n", [3, 4])
@on_every_machine
@every_path
def test_rotate(load: Load, chip: ChipSpec, n: int) -> None:
    m = Maker(SystemSpec(chip=chip))
    add_move(m, "SXM.W.rotate", f"rotate{n}", [west(0), east(0)], list(range(n)), n * n)
    agree(load, m.program(), random_fill(4))


@on_every_machine
@every_path
def test_transpose(load: Load, chip: ChipSpec) -> None:
    m = Maker(SystemSpec(chip=chip))
    side = chip.lanes_per_tile
    add_move(m, "SXM.W.transpose1", "transpose", [west(0), east(0)], list(range(side)), side)
    agree(load, m.program(), random_fill(5))


# -- words of their own for every tile -----------------------------------------------------------------------------


@pytest.mark.parametrize("below", [5, 256])
@pytest.mark.parametrize("tiles", [0, 3])
@on_every_machine
@every_path
def test_gather_and_scatter(load: Load, chip: ChipSpec, below: int, tiles: int) -> None:
    """Both with the map from slice E0, whose numbers are near the end of a slice, and beyond it."""
    m = Maker(SystemSpec(chip=chip))
    when, loops = 100, [(5, 1, 2)]
    later = when + m.at("MEM.E5") - m.at("MEM.E4")
    for unit in ("MEM.E4", "MEM.E5"):
        if tiles:
            m.add(unit, 0, "config", tiles)
    m.bring("MEM.E0", 3, east(0), m.at("MEM.E4"), when, loops)
    m.bring("MEM.E1", 3, east(1), m.at("MEM.E5"), later, loops)
    m.add("MEM.E4", when, "gather", chip.words - 11, east(0), east(2), loops=loops)
    m.add("MEM.E5", later - chip.latency_write, "scatter", chip.words - 13, east(0), east(1), loops=loops)
    m.keep("MEM.E8", 0, east(2), m.at("MEM.E4"), when + m.delay("gather"), loops)
    agree(load, m.program(), random_fill(6, below))


# -- superlanes that are off ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiles", [1, 2, 4])
@pytest.mark.parametrize("queue", ["MEM.E0", "MEM.E4", "VXM.0", "VXM.1"])
@on_every_machine
@every_path
def test_config_of_alus_and_memory(load: Load, chip: ChipSpec, queue: str, tiles: int) -> None:
    """A vector is read, taken from 1 in a chain, moved by 7, and written: any of the four with superlanes off. A chain
    is not masked, but what an ALU samples is. Before the `config` and after one that turns all on, all lanes pass."""
    m = Maker(SystemSpec(chip=chip))
    entry, alu = chip.latency_vxm_entry, chip.latency_alu
    when, every = 60, 40
    for i in range(3):
        t = when + i * every
        m.bring("MEM.E0", i, west(0), 0, t)
        m.add("VXM.0", t, "sub", I8, source_immediate(1), source_stream(west(0)), CHAIN)
        m.add("VXM.1", t + alu, "add", I8, source_alu(0), source_immediate(7), east(0))
        m.keep("MEM.E4", i, east(0), 0, t + alu + entry + alu)
    m.add(queue, when + every // 2 - 1, "config", tiles)
    m.add(queue, when + 3 * every // 2, "config", chip.tiles)
    result = agree(load, m.program(), random_fill(7))
    assert (result[4, [0, 2]] == 8 - result[0, [0, 2]]).all()
    assert (result[4, 1] != 8 - result[0, 1]).any()


@pytest.mark.parametrize("part", ["weights", "activations", "accumulators"])
@every_path
def test_config_of_planes(load: Load, part: str) -> None:
    """Accumulators are not masked themselves: only what they emit is."""
    m, count = Maker(SystemSpec(chip=ChipSpec(words=64))), 6
    at = add_weights(m, 0, 40, range(20))
    add_vectors(m, 0, at, count, 20)
    add_results(m, 0, at + 13, count, 24)
    m.add(f"MXM.0.{part}", 0, "config", 3)
    agree(load, m.program(), random_fill(8))


@pytest.mark.parametrize("tiles", [1, 3])
@pytest.mark.parametrize(
    ("unit", "name", "values", "sources", "width"),
    [
        ("shift", "shift", [77, 1, east(0), west(0)], [1], 1),
        ("shift", "lane_select", [east(0), east(1), east(2), west(0)], [0, 1, 2], 1),
        ("permute", "permute", [east(0), east(2), west(0)], [1, 0, 2], 1),
        ("distribute", "distribute", [east(0), east(1), west(0)], [0, 1], 1),
        ("rotate", "rotate3", [east(0), west(0)], [0, 1, 2], 9),
        ("transpose0", "transpose", [east(0), west(0)], list(range(16)), 16),
    ],
)
@every_path
def test_config_of_lanes(
    load: Load, unit: str, name: str, values: list[int], sources: list[int], width: int, tiles: int
) -> None:
    m = Maker(SystemSpec(chip=ChipSpec(words=64)))
    m.add(f"SXM.E.{unit}", 0, "config", tiles)
    add_move(m, f"SXM.E.{unit}", name, values, sources, width)
    agree(load, m.program(), random_fill(9, below=3))


def test_config_counts_as_a_dispatch() -> None:
    m = Maker(SystemSpec(chip=ChipSpec(words=64)))
    m.add("MEM.E0", 5, "config", 20)
    stats = JitEngine().load(m.program()).run()
    assert stats.cycles == (5 + 1 + 20,)
    assert stats.issues.sum() == 1
