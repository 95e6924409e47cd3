"""For the tests of the engines: parts of programs, and the JIT engine in every form."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from fuzzing.maker import Maker as Maker
from tspc.dialects.elements import dtype_of
from tspc.dialects.machine.instruction import ElementType, stream_code
from tspc.dialects.machine.target import ChipSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import Program
from tspc.dialects.semantics.arithmetic import Array
from tspc.runtime.jit import JitEngine, JitSession
from tspc.runtime.jit.cache import Compiled, available_paths, compile_kernel
from tspc.runtime.reference import ReferenceEngine

Load = Callable[[Program], JitSession]


# -- the JIT engine in every form ----------------------------------------------------------------------------------


@cache
def _baseline() -> Compiled:
    """The plain path for the oldest 64-bit x86, which rounds by calling the C library."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the baseline is that of x86")
    return Compiled(compile_kernel("plain", "x86-64", ""))


LOADERS: dict[str, Load] = {path: JitEngine(path).load for path in available_paths()}
"""What loads a program, by the path of the JIT engine."""
LOADERS["baseline"] = lambda program: JitSession(program, _baseline())

every_path = pytest.mark.parametrize("load", list(LOADERS.values()), ids=list(LOADERS))
"""Runs a test with each of them."""


Fill = Callable[[npt.NDArray[np.uint8]], None]
"""Puts data into the SRAM of the only chip."""


def run_reference(program: Program, fill: Fill) -> npt.NDArray[np.uint8]:
    """The SRAM that the reference engine leaves."""
    session = ReferenceEngine().load(program)
    fill(session.sram(0))
    session.run()
    return session.sram(0)


def agree(load: Load, program: Program, fill: Fill) -> npt.NDArray[np.uint8]:
    """Fails unless the JIT engine leaves the SRAM that the reference engine leaves, which it gives."""
    expected = run_reference(program, fill)
    session = load(program)
    fill(session.sram(0))
    session.run()
    assert np.array_equal(session.sram(0), expected)
    return expected


# -- parts of programs ---------------------------------------------------------------------------------------------


def east(number: int) -> int:
    return stream_code("E", number)


def west(number: int) -> int:
    return stream_code("W", number)


def put_planes(sram: npt.NDArray[np.uint8], slices: range, words: npt.NDArray[np.uint32]) -> None:
    """Lays vectors of 32 bits [vectors, lanes] into slices, a byte plane each."""
    for i, s in enumerate(slices):
        sram[s, : len(words)] = words >> np.uint32(8 * i) & np.uint32(255)


def get_planes(sram: npt.NDArray[np.uint8], slices: range, vectors: int, element: ElementType) -> Array:
    """Vectors of an element type from slices."""
    planes = np.stack([sram[s, :vectors] for s in slices[: element.bytes]], axis=-1)
    return np.ascontiguousarray(planes).view(dtype_of(element))[..., 0]


def add_weights(m: Maker, plane: int, at: int, groups: range, address: int = 0) -> int:
    """Loads row groups from words `address`.. of slices 0.. of the plane's hemisphere, the first at cycle `at`; gives
    the cycle after `iw`."""
    side, code = ("E", east) if plane < m.chip.planes // 2 else ("W", west)
    unit, count = f"MXM.{plane}.weights", len(groups)
    loops = [(count, 1, 1)] if count > 1 else []
    for i in range(m.chip.weight_streams if count else 0):
        start = at - m.chip.latency_read - abs(m.at(unit) - m.at(f"MEM.{side}{i}"))
        m.add(f"MEM.{side}{i}", start, "read", address + groups.start, code(i), loops=loops)
    if count:
        m.add(unit, at, "lw", groups.start, code(0), loops=loops)
    m.add(unit, at + count, "iw")
    return at + count + 1


def add_vectors(m: Maker, plane: int, at: int, count: int, slice_: int, address: int = 0, stream: int = 16) -> None:
    """Feeds words of a slice to a plane, the first in cycle `at`."""
    side, code = ("E", east) if plane < m.chip.planes // 2 else ("W", west)
    name = f"MEM.{side}{slice_}"
    start = at - m.chip.latency_read - abs(m.at(f"MXM.{plane}.weights") - m.at(name))
    m.add(name, start, "read", address, code(stream), loops=[(count, 1, 1)] if count > 1 else [])
    m.add(f"MXM.{plane}.activations", at, "abc", count, code(stream))


def add_results(
    m: Maker, plane: int, at: int, count: int, slice_: int, mode: int = 0, every: int = 1, address: int = 0
) -> None:
    """Emits entries 0.. into words `address`.. of four slices, for sums that arrive from cycle `at` on."""
    side, code = ("E", west) if plane < m.chip.planes // 2 else ("W", east)
    unit, loops = f"MXM.{plane}.accumulators", [(count, every, 1)] if count > 1 else []
    m.add(unit, at, "acc_emit", 0, mode, code(4), loops=loops)
    for i in range(4):
        m.keep(f"MEM.{side}{slice_ + i}", address, code(4 + i), m.at(unit), at + m.chip.latency_egress, loops)


def weights_of(sram: npt.NDArray[np.uint8], chip: ChipSpec, first: int) -> npt.NDArray[np.int64]:
    """The weights that `add_weights` takes from slices `first`.. as [rows, columns]."""
    rows = sram[first : first + chip.weight_streams, : chip.load_cycles]
    return rows.transpose(1, 0, 2).reshape(chip.lanes, chip.lanes).view(np.int8).astype(np.int64)


def add_hop(m: Maker, at: int, count: int, topology: Topology, a: int, b: int, source: int, target: int) -> int:
    """Moves words 0.. of slice `source` on chip a to slice `target` on chip b, both east; gives the cycle after it."""
    chip, every = m.chip, m.system.link_slot
    loops, still = [(count, every, 1)], [(count, every, 0)]
    out, into = topology.direct(a, b)
    m.add(f"MEM.E{source}", at, "read", 0, east(out.link), loops=loops, chip=a)
    at += chip.latency_read + m.at("C2C.0") - m.at(f"MEM.E{source}")
    m.add(f"C2C.{out.link}", at, "send", east(out.link), loops=still, chip=a)
    at += chip.latency_send + m.system.link_latency
    m.add(f"C2C.{into.link}", at, "receive", west(into.link), loops=still, chip=b)
    at += chip.latency_receive + m.at("C2C.0") - m.at(f"MEM.E{target}")
    m.add(f"MEM.E{target}", at - chip.latency_write, "write", 0, west(into.link), loops=loops, chip=b)
    return at + count * every
