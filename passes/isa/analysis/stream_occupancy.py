"""Where on the streams of a chip there is room for one more value: what is driven and what is sampled, by matching.

A value stays on its diagonal and passes the registers of its stream in one order, the flow. So (diagonal, place in the
flow) makes one number, a key, by which drives and samples of a stream are sorted; a sample takes the last drive at or
before its key. A new value must meet no drive on its way, and take the place of no value that is still sampled.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ....dialects.machine.instruction import Record
from ....dialects.machine.stream_code import StreamCode, place_of
from ....dialects.machine.target import ChipSpec

Ints = npt.NDArray[np.int64]


class _Keys:
    """Sorted keys: those of the program, and some more."""

    def __init__(self, program: Sequence[Ints]):
        self.program = np.sort(np.concatenate(program)) if program else np.zeros(0, np.int64)
        self.added: list[int] = []

    def before(self, key: int) -> int:
        """The greatest that is less than `key`, or -1."""
        return max(_before(self.program, key), _before(self.added, key))

    def after(self, key: int, none: int) -> int:
        """The least that is greater than `key`, or `none`."""
        found = none
        for keys in (self.program, self.added):
            i = bisect_right(keys, key)
            if i < len(keys):
                found = min(found, int(keys[i]))
        return found


def _before(keys: Ints | list[int], key: int) -> int:
    i = bisect_left(keys, key)
    return int(keys[i - 1]) if i else -1


class StreamOccupancy:
    """The streams of a chip with all that a program drives and samples."""

    def __init__(self, records: Iterable[Record], chip: ChipSpec):
        self.chip = chip
        self.distance = chip.mxm_distance
        self.stations = 2 * self.distance + 1
        drives: dict[StreamCode, list[Ints]] = defaultdict(list)
        samples: dict[StreamCode, list[Ints]] = defaultdict(list)
        for first, starts in _alike(records):
            cycles = None
            for role, keys in (("drive", drives), ("read", samples)):
                for use in first.instruction.stream_uses(role, first.values, chip):
                    cycles = (starts[:, None] + issue_cycles(first)).reshape(-1) if cycles is None else cycles
                    position = chip.queues[first.queue].position
                    for code in use.codes:
                        keys[code].append(self._key(code, position, 0) + (cycles + use.offset) * self.stations)
        self._drives = {code: _Keys(keys) for code, keys in drives.items()}
        self._samples = {code: _Keys(keys) for code, keys in samples.items()}
        self._nothing = _Keys(())

    def place(self, code: StreamCode, position: int) -> int:
        """The place of a position in the flow of a stream, from 0 on."""
        return place_of(code, position, self.distance)

    def _key(self, code: StreamCode, position: int, cycle: int) -> int:
        place = self.place(code, position)
        return (cycle - place + self.stations) * self.stations + place

    def farthest(self, code: StreamCode, position: int, cycle: int) -> int | None:
        """The least place at which a value may be driven that is sampled at `position` in `cycle`: on its way nothing
        else is driven, and up to the next drive nobody samples what it takes the place of. None where there is none."""
        drives = self._drives.get(code, self._nothing)
        key = self._key(code, position, cycle)
        first = key - self.place(code, position)  # of the diagonal
        upstream = drives.before(key + 1)
        downstream = drives.after(key, first + self.stations)
        sampled = self._samples.get(code, self._nothing).before(min(downstream, first + self.stations))
        least = max(upstream + 1, sampled + 1, first)
        return least - first if least <= key else None

    def add(self, code: StreamCode, driver: int, sampler: int, cycle: int) -> None:
        """A value that is driven at the position `driver` and sampled at `sampler` in `cycle`."""
        driven, sampled = self._keys(code, driver, sampler, cycle)
        insort(self._samples.setdefault(code, _Keys(())).added, sampled)
        insort(self._drives.setdefault(code, _Keys(())).added, driven)

    def remove(self, code: StreamCode, driver: int, sampler: int, cycle: int) -> None:
        """Takes back what `add` did."""
        driven, sampled = self._keys(code, driver, sampler, cycle)
        self._samples[code].added.remove(sampled)
        self._drives[code].added.remove(driven)

    def _keys(self, code: StreamCode, driver: int, sampler: int, cycle: int) -> tuple[int, int]:
        """The keys of a drive and of the sample that takes its value."""
        there = self._key(code, sampler, cycle)
        return there - (self.place(code, sampler) - self.place(code, driver)), there


def _alike(records: Iterable[Record]) -> Iterator[tuple[Record, Ints]]:
    """Records that differ in nothing but their times and the field that `repeat` moves: the first of each kind, and how
    many cycles after it each of them begins, its own 0 included."""
    kinds: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        queue, _, instruction, values, loops, _ = record
        if (i := instruction.stepping) is not None:
            values = (*values[:i], *values[i + 1 :])
        kinds[queue, instruction.opcode, values, tuple([loop[:2] for loop in loops])].append(record)
    for alike in kinds.values():
        yield alike[0], np.array([record.at for record in alike], np.int64) - alike[0].at


def issue_cycles(record: Record) -> Ints:
    """The cycles in which a record dispatches, one for each vector of a dispatch that takes several."""
    instruction = record.instruction
    return _progression(
        record.at, [(instruction.vectors(record.values), instruction.pace), *(loop[:2] for loop in record.loops)]
    )


def stepped(record: Record) -> Ints:
    """The values of the field that `repeat` moves, of all dispatches."""
    moving = record.instruction.stepping
    assert moving is not None
    return _progression(record.values[moving], [(loop.count, loop.step) for loop in record.loops])


def _progression(first: int, levels: Sequence[tuple[int, int]]) -> Ints:
    terms = np.array([first], np.int64)
    for count, stride in levels:
        if count > 1:
            terms = (np.arange(count, dtype=np.int64)[:, None] * stride + terms).reshape(-1)
    return terms
