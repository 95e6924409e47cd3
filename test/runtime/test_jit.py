"""The JIT engine: int8 matrices against numpy on every path, other machines, and what a run leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
from tspc.dialects.errors import HazardError
from tspc.dialects.machine.instruction import ElementType
from tspc.dialects.machine.limits import MOST_CYCLES
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.runtime.jit import JitEngine
from util import (
    Load,
    Maker,
    add_results,
    add_vectors,
    add_weights,
    east,
    every_path,
    get_planes,
    weights_of,
    west,
)

I32 = ElementType.I32


# -- MXM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 23])
@pytest.mark.parametrize("plane", [0, 3])
@every_path
def test_matmul(load: Load, count: int, plane: int) -> None:
    m = Maker()
    at = add_weights(m, plane, 40, range(20))
    add_vectors(m, plane, at, count, 20)
    add_results(m, plane, at + 13, count, 24)
    session = load(m.program())
    sram, base = session.sram(0), 0 if plane < 2 else 44
    sram[base : base + 21, :32] = np.random.default_rng(count).integers(0, 256, (21, 32, 320))
    sram[base, :4] = 128  # rows of -128, and vectors that meet them with -128
    sram[base + 20, 0] = 128
    stats = session.run()
    x = sram[base + 20, :count].view(np.int8).astype(np.int64)
    want = (x @ weights_of(sram, m.chip, base)).astype(np.int32)
    assert np.array_equal(get_planes(sram, range(base + 24, base + 28), count, I32), want)
    numbers = m.chip.queue_numbers
    assert stats.issues[0, numbers[f"MXM.{plane}.activations"]] == count
    assert stats.issues[0, numbers[f"MXM.{plane}.weights"]] == 21


@every_path
def test_rows_not_loaded_are_zero(load: Load) -> None:
    """Weights of one install do not show in the next, which loads other groups, or none."""
    m = Maker()
    at = add_weights(m, 0, 40, range(20))
    at = add_weights(m, 0, at, range(7, 9))
    add_vectors(m, 0, at, 5, 20)
    add_results(m, 0, at + 13, 5, 24)
    session = load(m.program())
    sram = session.sram(0)
    sram[:21, :32] = np.random.default_rng(3).integers(0, 256, (21, 32, 320))
    session.run()
    weights = weights_of(sram, m.chip, 0)
    weights[: 7 * 16] = weights[9 * 16 :] = 0
    want = (sram[20, :5].view(np.int8).astype(np.int64) @ weights).astype(np.int32)
    assert np.array_equal(get_planes(sram, range(24, 28), 5, I32), want)


@every_path
def test_install_between_vectors(load: Load) -> None:
    """Vectors before an install meet the old weights, though their sums are taken after it; empty weights give 0."""
    m = Maker(SystemSpec(chip=ChipSpec(latency_install=3)))
    at = add_weights(m, 0, 40, range(20)) + 2
    m.add("MXM.0.weights", at + 4, "iw")
    add_vectors(m, 0, at, 12, 20)
    add_results(m, 0, at + 13, 12, 24)
    session = load(m.program())
    sram = session.sram(0)
    sram[:21, :32] = np.random.default_rng(4).integers(0, 256, (21, 32, 320))
    session.run()
    want = (sram[20, :12].view(np.int8).astype(np.int64) @ weights_of(sram, m.chip, 0)).astype(np.int32)
    want[7:] = 0
    assert np.array_equal(get_planes(sram, range(24, 28), 12, I32), want)


@every_path
def test_accumulators_wrap(load: Load) -> None:
    m = Maker()
    at = add_weights(m, 0, 40, range(20))
    count = 700
    add_vectors(m, 0, at, count, 20, stream=17)
    unit = "MXM.0.accumulators"
    m.add(unit, at + 13, "acc", 9, 0)
    m.add(unit, at + 14, "acc", 9, 1, loops=[(count - 2, 1, 0)])
    m.add(unit, at + 13 + count - 1, "acc_emit", 9, 1, west(0))
    done = at + 13 + count - 1 + 20
    for i in range(4):
        m.add(f"MEM.E{24 + i}", done + 13 - m.at("MEM.E24"), "write", 0, west(i))
    session = load(m.program())
    sram = session.sram(0)
    sram[:21] = 128
    session.run()
    want = np.array(count * 320 * 128 * 128).astype(np.int32)
    assert want < 0
    assert (get_planes(sram, range(24, 28), 1, I32) == want).all()


# -- other machines ------------------------------------------------------------------------------------------------

MACHINES = {
    "ten tiles": ChipSpec(tiles=10),
    "one slice a hop": ChipSpec(slices_per_hop=1),
    "doubled latencies": ChipSpec(
        latency_array=26, latency_egress=40, latency_install=2, latency_read=2, latency_alu=6
    ),
    "late writes": ChipSpec(latency_write=9),
    "few lanes": ChipSpec(tiles=1, lanes_per_tile=7, weight_streams=7),
    "many lanes": ChipSpec(tiles=64, lanes_per_tile=10, weight_streams=16),
}


@pytest.mark.parametrize("name", MACHINES)
@every_path
def test_other_machines(load: Load, name: str) -> None:
    """Nothing about the machine is compiled in."""
    m, count = Maker(SystemSpec(chip=MACHINES[name])), 9
    chip = m.chip
    at = 400
    at = add_weights(m, 1, at, range(chip.load_cycles)) + chip.latency_install - 1
    add_vectors(m, 1, at, count, 20, stream=30)
    add_results(m, 1, at + chip.latency_array, count, 24)
    session = load(m.program())
    sram = session.sram(0)
    assert sram.shape == (88, 8192, chip.lanes)
    sram[:21, : max(count, chip.load_cycles)] = np.random.default_rng(7).integers(
        0, 256, (21, max(count, chip.load_cycles), chip.lanes)
    )
    stats = session.run()
    want = (sram[20, :count].view(np.int8).astype(np.int64) @ weights_of(sram, chip, 0)).astype(np.int32)
    assert np.array_equal(get_planes(sram, range(24, 28), count, I32), want)
    assert stats.cycles == (session.program.chips[0].cycles,)


# -- runs ----------------------------------------------------------------------------------------------------------


def test_memory_lasts_and_nothing_else() -> None:
    """A second run finds SRAM as it was left, and no stream, chain, weight, accumulator or count from the first."""
    m = Maker()
    m.add("MEM.E0", 0, "read", 0, east(0))
    m.add("MEM.E4", 2, "write", 0, east(0))
    m.add("MEM.E4", 3, "read", 0, west(0))
    m.add("MEM.E0", 5, "write", 1, west(0))
    session = JitEngine().load(m.program())
    for value in (3, 4):
        session.sram(0)[0, 0] = value
        stats = session.run()
        assert (session.sram(0)[0, 1] == value).all()
        assert stats.issues.sum() == 4
    assert not session.sram(0)[5].any()


def test_unread_vectors_do_not_fill_the_machine() -> None:
    """Far more drives than the machine has registers, of vectors that leave the chip or are overwritten."""
    m = Maker()
    for i in range(40):
        m.add(f"MEM.E{i}", 0, "read", 0, east(i % 32) if i < 32 else west(i - 32), loops=[(60_000, 1, 0)])
    stats = JitEngine().load(m.program()).run()
    assert stats.issues.sum() == 40 * 60_000


def test_long_silence() -> None:
    """A cycle far in the future costs nothing, and a value is not there any more."""
    m, late = Maker(), MOST_CYCLES - 10
    m.add("MEM.E0", 0, "read", 0, east(0))
    m.add("MEM.E0", late, "read", 1, east(0))
    m.add("MEM.E8", late + 3, "write", 0, east(0))
    session = JitEngine().load(m.program())
    session.sram(0)[0, 1] = 9
    assert session.run().cycles == (late + 3 + 1 + 20,)
    assert (session.sram(0)[8, 0] == 9).all()
    m = Maker()
    m.add("MEM.E0", 0, "read", 0, east(0))
    m.add("MEM.E8", 4096 * 1024 + 3, "write", 0, east(0))
    with pytest.raises(HazardError, match="stream-empty"):
        JitEngine().load(m.program()).run()


def test_empty_program() -> None:
    stats = JitEngine().load(Maker(SystemSpec(chips=2)).program()).run()
    assert stats.cycles == (20, 20)
    assert not stats.issues.any()


def test_nested_loops() -> None:
    """Three levels of steps, against the record's own enumeration."""
    m = Maker()
    loops = [(3, 2, 5), (4, 11, -2), (2, 60, 100)]
    record = m.add("MEM.E0", 0, "read", 50, east(0), loops=loops)
    m.add("MEM.E4", 2, "write", 50, east(0), loops=loops)
    session = JitEngine().load(m.program())
    sram = session.sram(0)
    sram[0, :200] = np.random.default_rng(8).integers(0, 256, (200, 320))
    session.run()
    touched = sorted({values[0] for _, values in record.issues()})
    assert np.array_equal(sram[4, touched], sram[0, touched])
    assert not np.delete(sram[4], touched, axis=0).any()
