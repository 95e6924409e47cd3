"""Programs for the benches, made of dispatch records as a good schedule would have them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import (
    CHAIN,
    ElementType,
    Loop,
    Record,
    source_alu,
    source_immediate,
    stream_code,
)
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, check_program, program_length
from tspc.runtime.engine import Session

CHIP = DEFAULT_SYSTEM.chip
SIDE = CHIP.lanes
PART = CHIP.accumulators
"""Rows of the activations that a plane takes between two installs: as many as it has accumulators."""

_WEIGHTS, _ACTIVATIONS, _RESULTS = 0, CHIP.weight_streams, 24
"""The first slices of each, in both hemispheres."""


@dataclass
class Maker:
    """Collects records of one chip."""

    records: list[Record] = field(default_factory=list[Record])

    def add(self, queue: str, at: int, name: str, *values: int, loops: tuple[tuple[int, int, int], ...] = ()) -> None:
        """Dispatches at a cycle; loops are (count, every, step), innermost first."""
        levels = tuple(Loop(*level) for level in loops if level[0] > 1)
        self.records.append(Record(CHIP.queue_numbers[queue], at, TABLE.by_name[name], values, levels))

    def program(self) -> Program:
        self.records.sort(key=lambda r: (r.queue, r.at))
        cycles = program_length(max(r.last for r in self.records), DEFAULT_SYSTEM)
        chip = ChipProgram(0, cycles, tuple(self.records), (), {})
        return check_program(Program(DEFAULT_SYSTEM, Topology(()), (chip,)))


def position(queue: str) -> int:
    return CHIP.queues[CHIP.queue_numbers[queue]].position


def hops(a: str, b: str) -> int:
    return abs(position(a) - position(b))


@dataclass(frozen=True)
class Gemm:
    """int8 activations [m, k] by int8 weights [k, n] to int32 [m, n], on all planes at once.

    A job is PART rows by two tiles of columns, on the two planes of a hemisphere, which share the activations; it
    adds up all tiles of k in the accumulators. Both hemispheres hold all operands and take the jobs in turn.
    """

    m: int
    k: int
    n: int

    @property
    def macs(self) -> int:
        return self.m * self.k * self.n

    @property
    def deep(self) -> int:
        """Tiles of k."""
        return self.k // SIDE

    @property
    def per_slice(self) -> int:
        """Tiles of k whose activations fit into a slice."""
        return CHIP.words // self.m

    def jobs(self) -> list[tuple[int, int]]:
        """The part of the rows and the pair of column tiles of each job, in order; even ones in the east."""
        return [(i, j) for j in range(self.n // SIDE // 2) for i in range(self.m // PART)]

    def program(self) -> Program:
        maker = Maker()
        for number, (part, pair) in enumerate(self.jobs()):
            turn, side = divmod(number, 2)
            start = 200 + turn * self.deep * PART
            for k in range(self.deep):
                slice_ = f"MEM.{'EW'[side]}{_ACTIVATIONS + k // self.per_slice}"
                at = start + k * PART - CHIP.latency_read - hops(slice_, f"MXM.{2 * side}.weights")
                address = k % self.per_slice * self.m + part * PART
                maker.add(slice_, at, "read", address, stream_code("EW"[side], 16), loops=((PART, 1, 1),))
            self._weights(maker, start, side, pair)
            for half in range(2):
                self._plane(maker, start, side, half, turn)
        return maker.program()

    def _weights(self, maker: Maker, start: int, side: int, pair: int) -> None:
        """The weights of both planes of a job, one after the other on the same streams; each `lw` follows its reads."""
        out, cycles, deep = "EW"[side], CHIP.load_cycles, self.deep
        first = start - 1 - 2 * cycles
        for i in range(CHIP.weight_streams):
            slice_ = f"MEM.{out}{_WEIGHTS + i}"
            at = first - CHIP.latency_read - hops(slice_, f"MXM.{2 * side}.weights")
            loops = ((cycles, 1, 1), (2, cycles, deep * cycles), (deep, PART, cycles))
            maker.add(slice_, at, "read", 2 * pair * deep * cycles, stream_code(out, i), loops=loops)
        for half in range(2):
            for k in range(deep):
                unit, at = f"MXM.{2 * side + half}.weights", first + half * cycles + k * PART
                maker.add(unit, at, "lw", 0, stream_code(out, 0), loops=((cycles, 1, 1),))
                maker.add(unit, start + k * PART - 1, "iw")

    def _plane(self, maker: Maker, start: int, side: int, half: int, turn: int) -> None:
        """One plane's part of a job whose first vector enters in cycle `start`."""
        unit, out, back, deep = f"MXM.{2 * side + half}", "EW"[side], "WE"[side], self.deep
        maker.add(unit + ".activations", start, "abc", PART, stream_code(out, 16), loops=((deep, PART, 0),))
        taken, rows, last = start + CHIP.latency_array, (PART, 1, 1), deep - 1
        accumulators, group = unit + ".accumulators", stream_code(back, 4 * half)
        if last:
            maker.add(accumulators, taken, "acc", 0, 0, loops=(rows,))
        if last > 1:
            maker.add(accumulators, taken + PART, "acc", 0, 1, loops=(rows, (last - 1, PART, 0)))
        emitted = taken + last * PART
        maker.add(accumulators, emitted, "acc_emit", 0, int(last > 0), group, loops=(rows,))
        first, address = self.result(half, turn)
        for i in range(4):
            slice_ = f"MEM.{out}{first + i}"
            at = emitted + CHIP.latency_egress + hops(slice_, accumulators) - CHIP.latency_write
            maker.add(slice_, at, "write", address, group + i, loops=(rows,))

    def result(self, half: int, turn: int) -> tuple[int, int]:
        """The first of four slices, and the first word, of a job's result."""
        slot = turn * PART
        return _RESULTS + 8 * half + slot // CHIP.words * 4, slot % CHIP.words

    def fill(self, session: Session, x: np.ndarray, w: np.ndarray) -> None:
        """Puts the operands into SRAM: weights [k, n] by tiles, activations [m, k]."""
        sram, width = session.sram(0), CHIP.weight_streams
        tiles = w.reshape(self.deep, CHIP.load_cycles, width, self.n // SIDE, SIDE)
        words = tiles.transpose(2, 3, 0, 1, 4).reshape(width, -1, SIDE).view(np.uint8)
        for side in range(2):
            base = side * CHIP.slices
            sram[base + _WEIGHTS : base + _WEIGHTS + width, : words.shape[1]] = words
            for k in range(self.deep):
                address = k % self.per_slice * self.m
                tile = x[:, k * SIDE : (k + 1) * SIDE].view(np.uint8)
                sram[base + _ACTIVATIONS + k // self.per_slice, address : address + self.m] = tile

    def fetch(self, session: Session) -> np.ndarray:
        """The result [m, n] from SRAM."""
        sram, result = session.sram(0), np.zeros((self.m, self.n), np.int32)
        for number, (part, pair) in enumerate(self.jobs()):
            turn, side = divmod(number, 2)
            for half in range(2):
                first, address = self.result(half, turn)
                first += side * CHIP.slices
                planes = sram[first : first + 4, address : address + PART]
                column = (2 * pair + half) * SIDE
                tile = np.ascontiguousarray(planes.transpose(1, 2, 0)).view(np.int32)[..., 0]
                result[part * PART : (part + 1) * PART, column : column + SIDE] = tile
        return result


@dataclass(frozen=True)
class Elementwise:
    """Requantisation of int32 [vectors, lanes]: eight ALUs from four streams to four streams, read to write."""

    vectors: int

    def program(self) -> Program:
        maker, start, alu = Maker(), 100, CHIP.latency_alu
        loops, still = ((self.vectors, 1, 1),), ((self.vectors, 1, 0),)
        for i in range(4):
            slice_ = f"MEM.E{i}"
            at = start - CHIP.latency_read - hops(slice_, "VXM.0")
            maker.add(slice_, at, "read", 0, stream_code("W", i), loops=loops)
        i32, f32 = ElementType.I32, ElementType.F32
        last = stream_code("W", 8)
        chain: list[tuple[str, tuple[int, ...]]] = [
            ("convert", (i32, stream_code("W", 0), f32, CHAIN)),
            ("mul", (f32, source_alu(0), _bits(0.001), CHAIN)),
            ("add", (f32, source_alu(1), _bits(0.5), CHAIN)),
            ("max", (f32, source_alu(2), _bits(-100.0), CHAIN)),
            ("min", (f32, source_alu(3), _bits(100.0), CHAIN)),
            ("mul", (f32, source_alu(4), source_alu(4), CHAIN)),
            ("round", (f32, source_alu(5), CHAIN)),
            ("convert", (f32, source_alu(6), i32, last)),
        ]
        for i, (name, values) in enumerate(chain):
            maker.add(f"VXM.{i}", start + i * alu, name, *values, loops=still)
        driven = start + CHIP.latency_vxm_entry + len(chain) * alu
        for i in range(4):
            slice_ = f"MEM.W{i}"
            maker.add(slice_, driven + hops(slice_, "VXM.0") - CHIP.latency_write, "write", 0, last + i, loops=loops)
        return maker.program()

    @staticmethod
    def expected(x: np.ndarray) -> np.ndarray:
        """The same in numpy, on int32 [vectors, lanes]."""
        y = x.astype(np.float32) * np.float32(0.001) + np.float32(0.5)
        y = np.minimum(np.maximum(y, np.float32(-100)), np.float32(100))
        return np.rint(y * y).astype(np.int32)


@dataclass(frozen=True)
class HalfGemm:
    """fp16 activations [m, k] by fp16 weights [k, n] to float32 [m, n], on both pairs of planes at once.

    A job is PART rows by one tile of columns; it adds up all tiles of k in the accumulators. Both hemispheres hold all
    operands, a slice for each byte, and take the jobs in turn.
    """

    m: int
    k: int
    n: int

    @property
    def macs(self) -> int:
        return self.m * self.k * self.n

    @property
    def deep(self) -> int:
        """Tiles of k."""
        return self.k // SIDE

    def jobs(self) -> list[tuple[int, int]]:
        """The part of the rows and the column tile of each job, in order; even ones in the east."""
        return [(i, j) for j in range(self.n // SIDE) for i in range(self.m // PART)]

    def program(self) -> Program:
        maker, period, load, deep = Maker(), 2 * PART, CHIP.load_cycles, self.deep
        for number, (part, tile) in enumerate(self.jobs()):
            turn, side = divmod(number, 2)
            start, out, back = 200 + turn * deep * period, "EW"[side], "WE"[side]
            low, rows = f"MXM.{2 * side}", (PART, 2, 1)
            for i in range(2):
                slice_ = f"MEM.{out}{_ACTIVATIONS + i}"
                at = start - CHIP.latency_read - hops(slice_, f"{low}.weights")
                loops = (rows, (deep, period, self.m))
                maker.add(slice_, at, "read", part * PART, stream_code(out, 16 + i), loops=loops)
            first = start - 1 - 2 * load
            for i in range(CHIP.weight_streams):
                slice_ = f"MEM.{out}{_WEIGHTS + i}"
                at = first - CHIP.latency_read - hops(slice_, f"{low}.weights")
                loops = ((2 * load, 1, 1), (deep, period, 2 * load))
                maker.add(slice_, at, "read", 2 * tile * deep * load, stream_code(out, i), loops=loops)
            for byte, k in itertools.product(range(2), range(deep)):
                unit, at = f"MXM.{2 * side + byte}.weights", first + byte * load + k * period
                maker.add(unit, at, "lw", 0, stream_code(out, 0), loops=((load, 1, 1),))
                maker.add(unit, start + k * period - 1, "iw")
            maker.add(f"{low}.activations", start, "abc_f16", PART, stream_code(out, 16), loops=((deep, period, 0),))
            for k in range(deep):
                name, group = ("acc", ()) if k < deep - 1 else ("acc_emit", (stream_code(back, 4),))
                at = start + CHIP.latency_array + k * period
                maker.add(f"{low}.accumulators", at, name, 0, int(k > 0), *group, loops=(rows,))
            for i in range(4):
                slice_ = f"MEM.{out}{_RESULTS + i}"
                written = at + CHIP.latency_egress + hops(slice_, f"{low}.accumulators") - CHIP.latency_write
                maker.add(slice_, written, "write", turn * PART, stream_code(back, 4) + i, loops=(rows,))
        return maker.program()

    def fill(self, session: Session, x: np.ndarray, w: np.ndarray) -> None:
        """Puts the operands into SRAM: weights [k, n] by tiles, activations [m, k]."""
        sram, width, deep = session.sram(0), CHIP.weight_streams, self.deep
        tiles = w.view(np.uint8).reshape(deep, CHIP.load_cycles, width, self.n // SIDE, SIDE, 2)
        words = tiles.transpose(2, 3, 0, 5, 1, 4).reshape(width, -1, SIDE)
        planes = x.view(np.uint8).reshape(self.m, deep, SIDE, 2).transpose(3, 1, 0, 2).reshape(2, -1, SIDE)
        for base in (0, CHIP.slices):
            sram[base + _WEIGHTS : base + _WEIGHTS + width, : words.shape[1]] = words
            sram[base + _ACTIVATIONS : base + _ACTIVATIONS + 2, : planes.shape[1]] = planes

    def fetch(self, session: Session) -> np.ndarray:
        """The result [m, n] from SRAM."""
        sram, result = session.sram(0), np.zeros((self.m, self.n), np.float32)
        for number, (part, tile) in enumerate(self.jobs()):
            turn, side = divmod(number, 2)
            first = _RESULTS + side * CHIP.slices
            planes = sram[first : first + 4, turn * PART : (turn + 1) * PART]
            sums = np.ascontiguousarray(planes.transpose(1, 2, 0)).view(np.float32)[..., 0]
            result[part * PART : (part + 1) * PART, tile * SIDE : (tile + 1) * SIDE] = sums
        return result

    @staticmethod
    def expected(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """One row of the result: f64 sums in ascending k, rounded after each tile, added in float32."""
        total = np.zeros(w.shape[1], np.float32)
        for tile in range(0, len(x), SIDE):
            sums = np.zeros(w.shape[1], np.float64)
            for k in range(tile, tile + SIDE):
                sums = sums + np.float64(x[k]) * w[k].astype(np.float64)
            total = total + sums.astype(np.float32) if tile else sums.astype(np.float32)
        return total


@dataclass(frozen=True)
class Chains:
    """Chains of passes as convolutions have them: on every plane, each pass installs weights, takes `rows` rows of
    `columns` vectors out of rows of a larger image, and adds its sums to those of the passes before; the last one's go
    through three ALUs as int8 to rows of another image. Both planes of a hemisphere share the activations."""

    rows: int
    columns: int
    deep: int
    """Passes of a chain."""
    chains: int
    """Chains of each plane, one after the other."""
    start: int = 400

    @property
    def vectors(self) -> int:
        return self.rows * self.columns

    @property
    def macs(self) -> int:
        return 4 * self.chains * self.deep * self.vectors * SIDE * SIDE

    @property
    def period(self) -> int:
        """Cycles of a pass: those of its vectors, or of the weights of both planes."""
        return max(self.vectors, 2 * CHIP.load_cycles + 2)

    @property
    def cycles(self) -> int:
        return self.chains * self.deep * self.period

    def add(self, maker: Maker) -> None:
        for side in range(2):
            for number in range(self.chains * self.deep):
                self._pass(maker, side, number)

    def program(self) -> Program:
        maker = Maker()
        self.add(maker)
        return maker.program()

    def _image(self) -> tuple[tuple[int, int, int], ...]:
        """The loops over rows of an image that is as wide again."""
        return (self.columns, 1, 1), (self.rows, self.columns, 2 * self.columns)

    def _pass(self, maker: Maker, side: int, number: int) -> None:
        out, back, load = "EW"[side], "WE"[side], CHIP.load_cycles
        chain, k = divmod(number, self.deep)
        start, unit = self.start + number * self.period, f"MXM.{2 * side}.weights"
        slot = number % (CHIP.words // (2 * load)) * 2 * load
        for i in range(CHIP.weight_streams):
            slice_ = f"MEM.{out}{i}"
            at = start - 2 * load - 1 - CHIP.latency_read - hops(slice_, unit)
            maker.add(slice_, at, "read", slot, stream_code(out, i), loops=((load, 1, 1), (2, load, load)))
        slice_ = f"MEM.{out}{16 + k % 8}"
        at = start - CHIP.latency_read - hops(slice_, unit)
        image = 2 * self.vectors
        maker.add(slice_, at, "read", chain % 4 * image + k % 3, stream_code(out, 16), loops=self._image())
        for half in range(2):
            plane, group = f"MXM.{2 * side + half}", stream_code(back, 4 * half)
            maker.add(
                f"{plane}.weights", start - (2 - half) * load - 1, "lw", 0, stream_code(out, 0), loops=((load, 1, 1),)
            )
            maker.add(f"{plane}.weights", start - 1, "iw")
            maker.add(f"{plane}.activations", start, "abc", self.vectors, stream_code(out, 16))
            taken, entries = start + CHIP.latency_array, ((self.vectors, 1, 1),)
            if k < self.deep - 1:
                maker.add(f"{plane}.accumulators", taken, "acc", 0, int(k > 0), loops=entries)
                continue
            maker.add(f"{plane}.accumulators", taken, "acc_emit", 0, int(k > 0), group, loops=entries)
            at = taken + CHIP.latency_egress + hops(f"{plane}.accumulators", "VXM.0")
            still, alu = ((self.vectors, 1, 0),), 8 * side + 4 * half
            i32, f32, i8 = ElementType.I32, ElementType.F32, ElementType.I8
            result = stream_code(back, 8 + half)
            steps = (
                ("convert", (i32, group, f32, CHAIN)),
                ("mul", (f32, source_alu(alu), _bits(0.0007), CHAIN)),
                ("convert", (f32, source_alu(alu + 1), i8, result)),
            )
            for i, (name, values) in enumerate(steps):
                maker.add(f"VXM.{alu + i}", at + i * CHIP.latency_alu, name, *values, loops=still)
            slice_ = f"MEM.{back}{24 + 2 * (chain % 4) + half}"
            at += CHIP.latency_vxm_entry + 3 * CHIP.latency_alu + hops(slice_, "VXM.0") - CHIP.latency_write
            maker.add(slice_, at, "write", 0, result, loops=self._image())


def _bits(value: float) -> int:
    return source_immediate(int(np.float32(value).view(np.uint32)))
