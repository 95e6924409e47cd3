"""The instructions of one queue while they are written: records, the gaps between them, and the index of each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from functools import cached_property

from ....dialects.machine.effects import Effect
from ....dialects.machine.instruction import Record
from ....dialects.machine.instruction_fetch import room
from ....dialects.machine.target import ChipSpec, Queue
from ...policy import Policy
from .fold import MAX_NOP, nops, size


class QueueInstructions:
    """The records of a queue in the order of their cycles, and the indices of its ifetches."""

    def __init__(self, queue: Queue, records: Sequence[Record], prologue: int, release: int, chip: ChipSpec):
        self.queue = queue
        self.number = chip.queue_numbers[queue.name]
        self.records = sorted(records, key=_at)
        self.pads: dict[int, int] = {}
        """By the cycle of an ifetch, the nops that stand before it where fewer would do: so many that there is room."""
        self._queue_slots, self._fetch_slots, self._chip = chip.queue_slots, chip.fetch_slots, chip
        # Gap i, before record i, begins in cycle _begins[i] at instruction _slots[i]; record i itself is at
        # _slots[i] + _wait(i). The last gap comes after all records and has no end.
        self._begins, self._slots = [release], [prologue]
        self._ats = [record.at for record in self.records]
        self._fetches: list[tuple[int, int]] = []
        """The cycles of the ifetches, and their indices among the instructions."""
        for i, record in enumerate(self.records):
            if record.instruction.effect is Effect.FETCH:
                self._fetches.append((record.at, self._slots[i] + self._wait(i)))
            self._begins.append(record.last + 1)
            self._slots.append(self._slots[i] + self._wait(i) + size(record))

    def _wait(self, i: int) -> int:
        """The nops before record i."""
        at = self._ats[i]
        return self.pads[at] if at in self.pads else nops(at - self._begins[i])

    @property
    def size(self) -> int:
        """The number of instructions."""
        return self._slots[-1]

    @property
    def fetches(self) -> int:
        """Ifetches that it has."""
        return len(self._fetches)

    @property
    def spare(self) -> int:
        """Instructions that may be added before one more fetch is needed; negative when one is already."""
        return self._queue_slots + len(self._fetches) * self._fetch_slots - self._slots[-1]

    @property
    def window(self) -> range:
        """The indices that the next ifetch may have."""
        return room(self.fetches, self._chip)

    def cycle_of(self, slot: int) -> int:
        """The cycle in which the queue comes to instruction `slot`; that of the last record before a `repeat`."""
        i = max(0, bisect_right(self._slots, slot) - 1)
        begin, inside = self._begins[i], max(0, slot - self._slots[i])
        if i == len(self.records):
            return begin
        wait = self.records[i].at - begin
        return begin + min(wait, inside * MAX_NOP) if inside < nops(wait) else self.records[i].at

    @cached_property
    def opening(self) -> int:
        """The first cycle in which the next ifetch may be dispatched, or 0 if there is none."""
        return next(self.openings(), (0, 0))[0]

    def openings(self, eager: bool = False) -> Iterator[tuple[int, int]]:
        """The free cycles in which the next ifetch may be dispatched, as early as there is room, each with the nops
        before it: of each gap between two records first the ends, where it costs the fewest instructions, then what is
        between them. After all of them, those that come too early in the queue, if their nops are split. In place of
        the last cycle of a gap an `eager` queue has one that leaves room for the fetches that follow."""
        window = self.window
        first = max(0, bisect_left(self._slots, window.start) - 1)
        for i in range(first, len(self.records)):
            begin, end, slot = self._begins[i], self._ats[i], self._slots[i]
            if slot >= window.stop:
                break
            if not self._is_open(i):
                continue
            last = max(begin, end - 1 - (self._following(slot + nops(end - 1 - begin)) if eager else 0))
            inner = range(begin + 1, min(end, begin + 1 + Policy.fetch_tries))
            cycles = (begin, *({last} - {begin}), *(c for c in inner if c != last))
            for cycle in cycles:
                if slot + nops(cycle - begin) in window:
                    yield cycle, nops(cycle - begin)
        for i in range(min(first, len(self.records) - 1), -1, -1):
            begin, end, wait = self._begins[i], self._ats[i], window.start - self._slots[i]
            if wait > 1 and self._is_open(i):
                cycles = range(begin + wait, min(end, begin + MAX_NOP))
                yield from ((cycle, wait) for cycle in (*cycles[-1:], *cycles[:-1][: Policy.fetch_tries]))

    def _following(self, place: int) -> int:
        """How many of the fetches that are still wanted after one at an index there is room for at once."""
        gain = max(1, self._fetch_slots - 1)
        wanted = -(-(1 - self.spare) // gain) - 1
        return max(0, min(wanted, (place - self.window.start) // gain))

    def _is_open(self, gap: int) -> bool:
        """Whether a gap has a cycle, and lies after the last ifetch."""
        begin = self._begins[gap]
        return begin < self._ats[gap] and (not self._fetches or begin > self._fetches[-1][0])

    def growth(self, cycle: int) -> int | None:
        """How many instructions one more in a cycle adds, with nops; None when the queue is not free then, or when
        an ifetch after it would come too late."""
        i = bisect_right(self._ats, cycle)
        begin, slot = self._begins[i], self._slots[i]
        if cycle < begin or (i < len(self._ats) and self._ats[i] in self.pads):
            return None
        growth = nops(cycle - begin) + 1
        if i < len(self._ats):
            end = self._ats[i]
            growth += nops(end - cycle - 1) - nops(end - begin)
        for number in range(len(self._fetches)):
            at, place = self._fetches[number]
            if at > cycle and place >= slot and place + growth not in room(number, self._chip):
                return None
        return growth

    def insert(self, record: Record, wait: int | None = None) -> None:
        """Adds a record in a free cycle, with `wait` nops before it in place of as few as will do."""
        i = bisect_right(self._ats, record.at)
        if wait is not None and wait > nops(record.at - self._begins[i]):
            self.pads[record.at] = wait
        self.records.insert(i, record)
        self._ats.insert(i, record.at)
        place = self._slots[i] + self._wait(i)
        self._begins.insert(i + 1, record.last + 1)
        self._slots.insert(i + 1, place + size(record))
        self._shift(i + 1)
        if record.instruction.effect is Effect.FETCH:
            insort(self._fetches, (record.at, place))

    def remove(self, record: Record) -> None:
        """Takes back what `insert` did."""
        i = bisect_left(self._ats, record.at)
        self.pads.pop(record.at, None)
        for of_records in (self.records, self._ats):
            del of_records[i]
        for of_gaps in (self._begins, self._slots):
            del of_gaps[i + 1]
        self._fetches = [fetch for fetch in self._fetches if fetch[0] != record.at]
        self._shift(i)

    def _shift(self, i: int) -> None:
        """Moves the instructions from record i on to where the gap before it says."""
        self.__dict__.pop("opening", None)
        if i == len(self.records):
            return
        by = self._slots[i] + self._wait(i) + size(self.records[i]) - self._slots[i + 1]
        if by:
            self._slots[i + 1 :] = [slot + by for slot in self._slots[i + 1 :]]
            since = self._ats[i]
            self._fetches = [(at, place + by if at >= since else place) for at, place in self._fetches]


def _at(record: Record) -> int:
    return record.at
