"""A chip's tables in memory, and the words that tell the kernel where they are.

Everything is allocated once, as zeros that the system provides when they are first touched; a run resets what must
not outlive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...dialects.target import ChipSpec, SystemSpec
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
    Link,
    Op,
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


def stride_of(chip: ChipSpec) -> int:
    """Bytes from one vector to the next: the lanes, padded to whole blocks."""
    return -(-chip.lanes // BLOCK) * BLOCK


class Inboxes:
    """The inboxes of all ports at which vectors can arrive."""

    def __init__(self, count: int, sends: int, system: SystemSpec):
        """`sends` is the greatest number of sends to one of them. One inbox more, to which nothing is ever sent,
        serves all other ports."""
        self.flight = system.chip.latency_send + system.link_latency
        # A port is at most one window behind or ahead of its peer, and a window is at most one flight.
        # Four arrivals fill a block, so that the vectors behind them are aligned.
        self.ring = ring_size(max(4, min(2 * self.flight // system.link_slot + 3, sends + 1)))
        size = INBOX_WORDS * 8 + self.ring * (ARRIVAL_WORDS * 8 + stride_of(system.chip))
        self._boxes = zeros((count + 1, -(-size // BLOCK) * BLOCK), np.uint8)

    def address(self, index: int | None) -> int:
        """The address of an inbox; of the one for all other ports without an index."""
        return address(self._boxes[-1 if index is None else index])

    def reset(self) -> None:
        self._boxes[:, : INBOX_WORDS * 8] = 0


def put_lanes(words: npt.NDArray[np.int64], chip: ChipSpec) -> list[npt.NDArray[Any]]:
    """Sets the words of `Chip` about vectors and what moves their lanes; gives what must live as long as they."""
    stride = stride_of(chip)
    stage, numbers, starts = zeros((3, stride), np.uint8), zeros((stride,), np.uint16), zeros((stride,), np.uint16)
    vectors = zeros((2, max(chip.lanes_per_tile, RUNS[-1] ** 2)), np.int64)
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
        Chip.BLOCKS: stride // BLOCK,
        Chip.LANES: chip.lanes,
        Chip.TILES: chip.tiles,
        Chip.TILE_LANES: chip.lanes_per_tile,
        Chip.STREAMS: chip.streams,
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

    def __init__(self, decoded: Decoded, system: SystemSpec, sram: Bytes, inboxes: Inboxes):
        """`sram` is [2 * slices, words, stride]."""
        chip = system.chip
        self.decoded, self.chip_spec = decoded, chip
        self.stride = stride_of(chip)
        self.words = zeros((CHIP_WORDS,), np.int64)
        self._kept: list[npt.NDArray[Any]] = [sram]
        self._put_streams()
        self._put_activities()
        self._put_planes()
        self._kept += put_lanes(self.words, chip)
        self._put_links(system, inboxes)
        self._set(Chip.SRAM, sram)
        self._set(Chip.ZERO, self._new((self.stride,), np.uint8))
        self._set(Chip.SCRATCH, self._new((SOURCES + 1, self.stride), np.int32))
        self._set(Chip.MASKED, self._new((SOURCES * chip.streams, self.stride), np.uint8))
        samples = max(chip.weight_streams, chip.lanes_per_tile, 4 * SOURCES)
        rows = decoded.width + len(decoded.cursors) * (samples + 4) + chip.planes + chip.links
        self.faults = zeros((rows + 1, FAULT_WORDS), np.int64)
        self._set(Chip.HAZARDS, self.faults)
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
        self._set(Chip.POOL, self._new((vectors, self.stride), np.uint8))
        self._set(Chip.POOL_LAST, vectors - 1)
        self._set(Chip.FREE, self._new((vectors,), np.int64))
        self._set(Chip.CALENDAR, self._new((days, decoded.width, DUE_WORDS), np.int64))
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
            arrays = ring_size(min(chip.latency_install, self.decoded.issues(Op.INSTALL_WEIGHTS, n)) + 1)
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
        self._set(Chip.WEIGHT_STREAMS, chip.weight_streams)
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

    def connect(self, link: int, end: Link, box: int) -> None:
        """Gives a link its inbox or its outbox, by the address of the inbox."""
        self._links[link, end] = box

    def reset(self) -> None:
        """The state in which a run begins."""
        for word in (Chip.POOL_NEXT, Chip.FREE_COUNT, Chip.CALENDAR_PENDING, Chip.HAZARD_COUNT):
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
