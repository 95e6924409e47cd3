"""A chip's tables in memory, and the words that tell the kernel where they are.

Everything is allocated once, as zeros that the system provides when they are first touched; a run resets what must
not outlive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...dialects.machine.effects import Effect
from ...dialects.machine.instruction import MOST_OPERANDS
from ...dialects.machine.target import ChipSpec, SystemSpec
from ..flips import Flip, Register
from ..secded import Secded
from .decode import Decoded, Words, ring_size
from .layout import (
    ARRIVAL_WORDS,
    BLOCK,
    CHIP_WORDS,
    DUE_WORDS,
    FAULT_WORDS,
    GROUP,
    INBOX_WORDS,
    LINK_WORDS,
    LIST,
    LONG_AGO,
    NO_DIAGONAL,
    PLANE_WORDS,
    RUNS,
    SLOT_WORDS,
    SOURCES,
    Chip,
    Due,
    Link,
    Plane,
    Slot,
)

Bytes = npt.NDArray[np.uint8]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def zeros(shape: Sequence[int], dtype: type[_Scalar]) -> npt.NDArray[_Scalar]:
    """An aligned array of zeros, none of which occupies memory before it is touched."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + BLOCK, np.uint8)
    start = -raw.ctypes.data % BLOCK
    return raw[start : start + size].view(dtype).reshape(shape)


def address(array: npt.NDArray[Any]) -> int:
    return array.ctypes.data


def stride_of(chip: ChipSpec, code: Secded | None = None) -> int:
    """Bytes from one vector to the next: the lanes, padded to whole blocks, and with a code 16 check bits for each code
    word, likewise."""
    parts = (chip.lanes, 0 if code is None else 2 * code.words)
    return sum(-(-part // BLOCK) * BLOCK for part in parts)


class Inboxes:
    """The inboxes of all ports at which vectors can arrive."""

    def __init__(self, count: int, sends: int, system: SystemSpec, stride: int):
        """`sends` is the greatest number of sends to one of them, `stride` the bytes of a vector. One inbox more, to
        which nothing is ever sent, serves all other ports."""
        self.flight = system.chip.latency_send + system.link_latency
        # A port is at most one window behind or ahead of its peer, and a window is at most one flight.
        # Four arrivals fill a block, so that the vectors behind them are aligned.
        self.ring = ring_size(max(4, min(2 * self.flight // system.link_slot + 3, sends + 1)))
        size = INBOX_WORDS * 8 + self.ring * (ARRIVAL_WORDS * 8 + stride)
        self._boxes = zeros((count + 1, -(-size // BLOCK) * BLOCK), np.uint8)

    def address(self, index: int | None) -> int:
        """The address of an inbox; of the one for all other ports without an index."""
        return address(self._boxes[-1 if index is None else index])

    def reset(self) -> None:
        self._boxes[:, : INBOX_WORDS * 8] = 0


def put_lanes(words: npt.NDArray[np.int64], chip: ChipSpec, stride: int) -> list[npt.NDArray[Any]]:
    """Sets the words of `Chip` about vectors, from one to the next of which it is `stride` bytes, and what moves their
    lanes; gives what must live as long as they."""
    stage, numbers, starts = zeros((3, stride), np.uint8), zeros((stride,), np.uint16), zeros((stride,), np.uint16)
    vectors = zeros((MOST_OPERANDS + 1, chip.streams), np.int64)
    lanes = np.arange(stride)
    starts[:] = lanes - lanes % chip.lanes_per_tile
    rotations = zeros((len(RUNS), max(RUNS), 2, stride), np.uint8)
    for table, n in zip(rotations, RUNS, strict=True):
        lane = lanes % chip.lanes_per_tile
        in_run = lane < chip.lanes_per_tile // n * n
        for amount in range(n):
            stays = lane % n + amount < n
            table[amount, :, :] = np.where([in_run & stays, in_run & ~stays], 255, 0)
    values: dict[Chip, int] = {
        Chip.STRIDE: stride,
        Chip.BLOCKS: stride_of(chip) // BLOCK,
        Chip.LANES: chip.lanes,
        Chip.TILES: chip.tiles,
        Chip.TILE_LANES: chip.lanes_per_tile,
        Chip.STREAMS: chip.streams,
        Chip.WEIGHT_STREAMS: chip.weight_streams,
        Chip.SRAM_WORDS: chip.words,
        Chip.SLICE_BYTES: chip.words * stride,
        Chip.ROW_GROUPS: -(-chip.lanes // GROUP),
        Chip.STAGE: address(stage[1]),
        Chip.NUMBERS: address(numbers),
        Chip.VECTORS: address(vectors),
        Chip.TILE_STARTS: address(starts),
        Chip.ROTATIONS: address(rotations),
    }
    for word, value in values.items():
        words[word] = value
    return [stage, numbers, starts, vectors, rotations]


class ChipMemory:
    """The tables of one chip."""

    def __init__(self, decoded: Decoded, system: SystemSpec, sram: Bytes, inboxes: Inboxes, code: Secded | None = None):
        """`sram` is [2 * slices, words, stride]; with a code vectors have their check bits behind their blocks."""
        chip = system.chip
        self.decoded, self.chip_spec, self._sram, self._code = decoded, chip, sram, code
        self.stride: int = sram.shape[2]
        self.words = zeros((CHIP_WORDS,), np.int64)
        self._kept: list[npt.NDArray[Any]] = [sram]
        self._put_streams()
        self._put_activities()
        self._put_planes()
        self._kept += put_lanes(self.words, chip, self.stride)
        self._put_links(system, inboxes)
        self._put_text()
        self._set(Chip.SRAM, sram)
        self._set(Chip.ZERO, self._new((self.stride,), np.uint8))
        self._set(Chip.SCRATCH, self._new((SOURCES + 1, self.stride), np.int32))
        self._set(Chip.MASKED, self._new((SOURCES * chip.streams, self.stride), np.uint8))
        samples = max(chip.weight_streams, chip.lanes_per_tile, 4 * SOURCES) + chip.tiles
        rows = decoded.width + len(decoded.cursors) * (samples + 4) + chip.planes + chip.links
        self.faults = zeros((rows + 1, FAULT_WORDS), np.int64)
        self._set(Chip.HAZARDS, self.faults)
        if code is not None:
            self._put_code(code)
        self._set(Chip.HAZARD_LAST, rows)

    def _set(self, word: Chip, value: int | npt.NDArray[Any]) -> None:
        self.words[word] = value if isinstance(value, int) else address(value)

    def _new(self, shape: Sequence[int], dtype: type[_Scalar]) -> npt.NDArray[_Scalar]:
        """Zeros that live as long as the chip."""
        array = zeros(shape, dtype)
        self._kept.append(array)
        return array

    def _put_streams(self) -> None:
        decoded = self.decoded
        slots = 2 * self.chip_spec.streams * decoded.ring
        vectors = slots + decoded.flights + 1
        days = ring_size(decoded.delay + 1)
        self._slots = zeros((slots, SLOT_WORDS), np.int64)
        self._counts = zeros((days,), np.int64)
        self._set(Chip.SLOTS, self._slots)
        self._set(Chip.DIAGONAL_MASK, decoded.ring - 1)
        self._pool = self._new((vectors, self.stride), np.uint8)
        self._set(Chip.POOL, self._pool)
        self._set(Chip.POOL_LAST, vectors - 1)
        self._set(Chip.FREE, self._new((vectors,), np.int64))
        self._calendar = self._new((days, decoded.width, DUE_WORDS), np.int64)
        self._set(Chip.CALENDAR, self._calendar)
        self._set(Chip.CALENDAR_COUNT, self._counts)
        self._set(Chip.CALENDAR_MASK, days - 1)
        self._set(Chip.CALENDAR_WIDTH, decoded.width)

    def _put_activities(self) -> None:
        decoded, chip = self.decoded, self.chip_spec
        self._times = zeros(decoded.times.shape, np.int64)
        self.activities = zeros(decoded.activities.shape, np.int64)
        self._set(Chip.TIMES, self._times)
        self._set(Chip.TIMES_BLOCKS, len(self._times) // 8)
        self._set(Chip.SUM_TIMES, self._times[decoded.cursors.stop :])
        self._set(Chip.LINK_TIMES, self._times[decoded.cursors.stop + chip.planes :])
        self._set(Chip.ACTIVITIES, self.activities)
        self._set(Chip.RECORDS, decoded.rows)
        ring = ring_size(chip.latency_alu + 1)
        self._tags = zeros((chip.alus, ring), np.int64)
        self._set(Chip.CHAINS, self._new((chip.alus, ring, self.stride), np.int32))
        self._set(Chip.CHAIN_TAGS, self._tags)
        self._set(Chip.CHAIN_MASK, ring - 1)
        self._set(Chip.ALU_LATENCY, chip.latency_alu)

    def _put_planes(self) -> None:
        chip, stride = self.chip_spec, self.stride
        groups = -(-chip.lanes // GROUP)
        bias = -(-(LIST + 4 * (groups + GROUP)) // BLOCK) * BLOCK
        weights = bias + 4 * stride
        size = weights + 2 * stride * GROUP * (groups + GROUP)  # up to 16 bits a weight
        ring = ring_size(chip.latency_array + 2)
        self._planes = zeros((chip.planes, PLANE_WORDS), np.int64)
        self._loaded = zeros((chip.planes, stride), np.uint8)
        self._is_set = zeros((chip.planes, chip.accumulators), np.uint8)
        self._nothing = self._new((size,), np.uint8)
        tables: dict[Plane, tuple[tuple[int, ...], type[np.generic]]] = {
            Plane.BUFFER: ((groups * GROUP, stride), np.int8),
            Plane.INPUTS: ((ring, stride), np.int16),
            Plane.SUMS: ((ring, stride), np.int32),
            Plane.ENTERED: ((ring,), np.int64),
            Plane.ENTERED_BY: ((ring,), np.int64),
            Plane.ACCUMULATORS: ((chip.accumulators, stride), np.int32),
            Plane.HALF_INPUTS: ((ring, stride), np.float64),
            Plane.HALF_WEIGHTS: ((chip.lanes, stride), np.float32),
        }
        for n, plane in enumerate(self._planes):
            for word, (shape, dtype) in tables.items():
                plane[word] = address(self._new(shape, dtype))
            arrays = ring_size(min(chip.latency_install, self.decoded.issues(Effect.INSTALL, n)) + 1)
            plane[Plane.ARRAYS] = address(self._new((arrays, -(-size // BLOCK) * BLOCK), np.uint8))
            plane[Plane.EFFECTIVE] = address(self._new((arrays,), np.int64))
            plane[Plane.ARRAY_MASK] = arrays - 1
            plane[Plane.LOADED] = address(self._loaded[n])
            plane[Plane.IS_SET] = address(self._is_set[n])
            if (high := chip.paired_plane(n)) is not None:
                plane[Plane.HIGH] = address(self._planes[high])
                self._planes[high, Plane.LOW] = address(plane)
        self._set(Chip.PLANES, self._planes)
        self._set(Chip.ARRAY_LATENCY, chip.latency_array)
        self._set(Chip.INSTALL_LATENCY, chip.latency_install)
        self._set(Chip.WEIGHTS_BYTES, -(-size // BLOCK) * BLOCK)
        self._set(Chip.BIAS, bias)
        self._set(Chip.WEIGHTS, weights)
        self._set(Chip.SUM_MASK, ring - 1)
        self._set(Chip.INPUT_BYTES, 2 * stride)
        self._set(Chip.HALF_BYTES, self._new((2, groups * GROUP, stride), np.uint8))

    def _put_links(self, system: SystemSpec, inboxes: Inboxes) -> None:
        self._links = zeros((system.chip.links, LINK_WORDS), np.int64)
        self._links[:, [Link.INBOX, Link.OUTBOX]] = inboxes.address(None)
        self._set(Chip.LINKS, self._links)
        self._set(Chip.LINK_COUNT, system.chip.links)
        self._set(Chip.LINK_MASK, inboxes.ring - 1)
        self._set(Chip.FLIGHT, inboxes.flight)
        self._set(Chip.LINK_SLOT, system.link_slot)

    def _put_code(self, code: Secded) -> None:
        for word, number in ((Chip.CODE_WORDS, code.words), (Chip.CODE_BYTES, code.data_bytes)):
            self._set(word, number)
        self._set(Chip.CODE_TILE, 2 * code.tile_words)
        self._set(Chip.CODE_TABLE, code.table)
        self._set(Chip.VERDICTS, code.verdicts)

    def flip(self, flip: Flip) -> None:
        """Flips a bit before the flip's cycle, when all cycles before it are done."""
        assert self._code is not None
        if isinstance(flip.place, Register):
            vector = self._vector_in(flip.place, flip.cycle)
            if vector is None:
                return
            row = self._pool[vector]
        else:
            row = self._sram[flip.place.unit(self.chip_spec), flip.place.address]
        self._code.flip(*self._code.split(row, stride_of(self.chip_spec)), flip.bit)

    def _vector_in(self, register: Register, t: int) -> int | None:
        """The number of the vector that will be in a stream register in cycle t: it is driven there in this cycle, or
        has been driven before."""
        first, shift = self.decoded.slots(register, self.chip_spec)
        diagonal = t + shift
        day = t & len(self._counts) - 1
        for due in self._calendar[day, : self._counts[day]]:
            if due[Due.SLOTS] == first and t + due[Due.SHIFT] == diagonal:
                return int(due[Due.VECTOR])
        slot = self._slots[first + (diagonal & self.decoded.ring - 1)]
        return int(slot[Slot.VECTOR]) if slot[Slot.DIAGONAL] == diagonal else None

    def _put_text(self) -> None:
        """What ifetches must take, and where program text lies."""
        decoded, chip = self.decoded, self.chip_spec
        lanes, size = chip.lanes, chip.fetch_slots * chip.instruction_bytes
        fetched = self._new((len(decoded.fetched), 2, self.stride), np.uint8)
        for vectors, text in zip(fetched, decoded.fetched, strict=True):
            vectors[:, :lanes] = np.frombuffer(text.ljust(2 * lanes, b"\0"), np.uint8).reshape(2, lanes)
        self._set(Chip.FETCHED, fetched)
        self._set(Chip.FETCH_FIRST, min(size, lanes))
        self._set(Chip.FETCH_SECOND, max(0, size - lanes))
        holds = self._new((2 * chip.slices if decoded.text else 0, chip.words), np.uint8)
        for word in decoded.text:
            holds[word.unit(chip), word.address] = 1
        self._set(Chip.TEXT, holds)

    def connect(self, link: int, end: Link, box: int) -> None:
        """Gives a link its inbox or its outbox, by the address of the inbox."""
        self._links[link, end] = box

    def reset(self) -> None:
        """The state in which a run begins."""
        for word in (Chip.POOL_NEXT, Chip.FREE_COUNT, Chip.CALENDAR_PENDING, Chip.HAZARD_COUNT, Chip.CORRECTED):
            self.words[word] = 0
        self._slots[:, Slot.DIAGONAL] = NO_DIAGONAL
        self._slots[:, Slot.VECTOR] = -1
        self._counts[:] = 0
        self._times[:] = self.decoded.times
        self.activities[:] = self.decoded.activities
        self._tags[:] = NO_DIAGONAL
        self._planes[:, [Plane.INSTALLED, Plane.ISSUED, Plane.TAKEN, Plane.SUMMED, Plane.FED]] = 0
        self._planes[:, [Plane.IS_HALF, Plane.LOW_MADE_OF, Plane.HIGH_MADE_OF]] = 0
        self._planes[:, Plane.ACTIVE] = address(self._nothing)
        self._loaded[:] = 0
        self._is_set[:] = 0
        self._links[:, Link.LAST_SEND] = LONG_AGO

    @property
    def hazards(self) -> Words:
        """[hazards, FAULT_WORDS] of the cycle in which the chip stopped; none after a run without any."""
        return self.faults[: self.words[Chip.HAZARD_COUNT]]
