"""The JIT engine: every ALU instruction on every type does what the reference engine does, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import CHAIN, ElementType, FieldKind, source_alu, source_immediate, source_stream
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.programs.records import Program
from util import Load, Maker, east, every_path, get_planes, put_planes, run_reference, west

I8, I16, I32, F16, F32 = ElementType

WIDE = SystemSpec(chip=ChipSpec(tiles=64, lanes_per_tile=64, slices=16, words=32, planes=2))
"""4096 lanes, so that all pairs of bytes, or all halves, are 16 vectors."""


def floats(dtype: type[np.floating], numbers: list[float]) -> list[int]:
    """The patterns of numbers."""
    array = np.array(numbers, dtype)
    return array.view(f"u{array.itemsize}").tolist()


TIES = [0.5, -0.5, 1.5, 2.5, -2.5, 127.5, 127.49, -128.5, -129, 127, 1, -1, 3, 2049, 2051, 2.0**-14, 2.0**-24]
LARGE = [32767.5, -32768.5, 2.0**31, -(2.0**31), 2147483520.0, 3.4e38, 65504, 65519.996, 65520]
SPECIAL: dict[ElementType, list[int]] = {
    I16: [0, 1, 2, 7, 15, 16, 17, 127, 128, 255, 256, 0x7FFF, 0x8000, 0x8001, 0xFF7F, 0xFF80, 0xFFFF],
    I32: [
        *(0, 1, 7, 15, 16, 31, 32, 33, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 65504, 65519, 65520, 1 << 24),
        *(0x1000001, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0xFFFF8000, 0xFFFFFF7F, 0xFFFF7FFF),
    ],
    F16: [
        *(0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x8400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFE55, 0xFFFF),
        *floats(np.float16, [*TIES, 32768]),
    ],
    F32: [
        *(0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF),
        *floats(np.float32, [*TIES, *LARGE, 2.0**-25, 3 * 2.0**-26]),
    ],
}
"""Limits, what lies on both sides of them, ties, subnormals, infinities, NaNs with payloads."""


@cache
def operands(element: ElementType) -> npt.NDArray[np.uint32]:
    """Pairs of patterns as [2, vectors, lanes], whose bits above the type's are random: all pairs of bytes; for the
    other types all pairs of special ones, random ones, and every pattern of 16 bits."""
    lanes = WIDE.chip.lanes
    random = np.random.default_rng(element).integers(0, 1 << 32, (2, 20 * lanes), np.uint32)
    bits = 8 * element.bytes
    if element == I8:
        pairs = np.stack([x.ravel() for x in np.meshgrid(np.arange(256), np.arange(256))])
    else:
        pairs = np.stack([x.ravel() for x in np.meshgrid(SPECIAL[element], SPECIAL[element])])
    first = random[:, : pairs.shape[1]]
    first[:] = pairs | (first << np.uint32(bits) if bits < 32 else 0)
    if bits == 16:
        last = random[0, -(1 << 16) :]
        last[:] = np.arange(1 << 16) | last << np.uint32(16)
    return random.reshape(2, -1, lanes)


@cache
def alu_program(name: str, types: tuple[ElementType, ElementType]) -> Program:
    """Results in slices E8..E11 from streams to streams, E4..E7 through a chain, W8..W11 from chains, and W12..W15
    from immediates. The operands come from E0..E3, W0..W3, and the condition from W4..W7."""
    m, instruction = Maker(WIDE), TABLE.by_name[name]
    vectors = operands(types[0]).shape[1]
    still, loops, when = [(vectors, 1, 0)], [(vectors, 1, 1)], 20
    alu = m.chip.latency_alu
    done = when + m.chip.latency_vxm_entry + alu

    def values(sources: Sequence[int], to: int) -> list[int]:
        a, b, condition = sources
        named = {"type": types[0], "result_type": types[1], "a": a, "b": b, "condition": condition, "to": to}
        return [named[f.name] for f in instruction.fields]

    for i in range(4):
        m.bring(f"MEM.E{i}", 0, west(i), 0, when, loops)
        m.bring(f"MEM.W{i}", 0, east(i), 0, when, loops)
        m.bring(f"MEM.W{i + 4}", 0, east(i + 4), 0, when, loops)
    streams = [source_stream(code) for code in (west(0), east(0), east(4))]
    immediates = [streams[0], source_immediate(0x8000C181), source_immediate(0xFFFFFF00)]
    m.add("VXM.0", when, name, *values(streams, east(8)), loops=still)
    m.add("VXM.1", when, name, *values(streams, CHAIN), loops=still)
    m.add("VXM.2", when + alu, "copy", I32, source_alu(1), east(12), loops=still)
    for unit, code in zip((3, 4, 5), streams, strict=True):
        m.add(f"VXM.{unit}", when, "copy", I32, code, CHAIN, loops=still)
    m.add("VXM.6", when + alu, name, *values([source_alu(u) for u in (3, 4, 5)], west(8)), loops=still)
    m.add("VXM.7", when, name, *values(immediates, west(12)), loops=still)
    for i in range(4):
        m.keep(f"MEM.E{4 + i}", 0, east(12) + i, 0, done + alu, loops)
    for i in range(instruction.group_width(instruction.fields[-1], values(streams, east(8)), m.chip)):
        m.keep(f"MEM.E{8 + i}", 0, east(8) + i, 0, done, loops)
        m.keep(f"MEM.W{8 + i}", 0, west(8) + i, 0, done + alu, loops)
        m.keep(f"MEM.W{12 + i}", 0, west(12) + i, 0, done, loops)
    return m.program()


def fill(element: ElementType, sram: npt.NDArray[np.uint8]) -> None:
    a, b = operands(element)
    side = WIDE.chip.slices
    put_planes(sram, range(0, 4), a)
    put_planes(sram, range(side, side + 4), b)
    put_planes(sram, range(side + 4, side + 8), np.roll(b, 1) & np.uint32(0xFFFFFF01))


@cache
def expected(name: str, types: tuple[ElementType, ElementType]) -> npt.NDArray[np.uint8]:
    with np.errstate(all="ignore"):
        return run_reference(alu_program(name, types), lambda sram: fill(types[0], sram))


def cases() -> Iterator[tuple[str, tuple[ElementType, ElementType]]]:
    for instruction in TABLE.by_name.values():
        if instruction.kinds == ("VXM",):
            types = {f.name: f.types for f in instruction.fields if f.kind == FieldKind.TYPE}
            for element in types["type"]:
                for result in types.get("result_type", (element,)):
                    yield instruction.name, (element, result)


@pytest.mark.parametrize(("name", "types"), list(cases()), ids=lambda v: v if isinstance(v, str) else v[0].text)
@every_path
def test_every_operation(load: Load, name: str, types: tuple[ElementType, ElementType]) -> None:
    session = load(alu_program(name, types))
    fill(types[0], session.sram(0))
    session.run()
    wrong = np.argwhere(session.sram(0) != expected(name, types))
    assert not len(wrong), wrong[0]


@every_path
def test_chain_and_immediates(load: Load) -> None:
    """(x * 0.5 + x) of int8, rounded, through four ALUs; a chain is read twice in one issue, and its low byte alone."""
    m = Maker()
    loops, n = [(5, 1, 0)], 5
    m.add("MEM.E0", 0, "read", 0, west(3), loops=[(n, 1, 1)])
    m.add("VXM.0", 2, "convert", I8, source_stream(west(3)), F32, CHAIN, loops=loops)
    m.add("VXM.15", 5, "mul", F32, source_immediate(0x3FC00000), source_alu(0), CHAIN, loops=loops)
    m.add("VXM.1", 8, "add", F32, source_alu(15), source_alu(15), CHAIN, loops=loops)
    m.add("VXM.2", 11, "convert", F32, source_alu(1), I16, CHAIN, loops=loops)
    m.add("VXM.3", 14, "convert", I8, source_alu(2), I32, east(0), loops=loops)
    for i in range(4):
        m.add(f"MEM.E{4 + i}", 14 + 4 + 2, "write", 0, east(i), loops=[(n, 1, 1)])
    session = load(m.program())
    sram = session.sram(0)
    sram[0, :n] = np.random.default_rng(2).integers(0, 256, (n, 320))
    session.run()
    x = sram[0, :n].view(np.int8).astype(np.int32)
    assert np.array_equal(get_planes(sram, range(4, 8), n, I32), (3 * x).astype(np.int8).astype(np.int32))
