"""The registers of a stream in the order of its flow, and the issues that drive or sample it: what the proofs about
streams share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....dialects.machine.stream_code import StreamCode, is_westward
from .issues import ChipIssues, Group, Ints, Issues


@dataclass(frozen=True)
class StreamRegisters:
    """The registers of one stream of one chip, in the order in which a value passes them: the flow.

    A value stays on its diagonal, so (diagonal, place in the flow) orders the drives of a diagonal by time, and a
    sample sees the last drive of its diagonal that stands before it or with it in that order. Both numbers make one
    key: diagonal * stations + place.
    """

    westward: bool
    distance: int
    """Hops from the VXM to the last register."""

    @property
    def count(self) -> int:
        return 2 * self.distance + 1

    def place(self, position: Ints) -> Ints:
        """The place in the flow of a position, from 0 on."""
        return self.distance + (-position if self.westward else position)

    def key(self, cycle: Ints, place: Ints) -> Ints:
        """The key of a register in a cycle; linear in the cycle with slope `count`."""
        return (cycle - place + self.count) * self.count + place

    def cycle(self, key: Ints) -> Ints:
        return key // self.count + key % self.count - self.count

    def position(self, key: Ints) -> Ints:
        place = key % self.count - self.distance
        return -place if self.westward else place


@dataclass(frozen=True)
class StreamUses:
    """The issues that drive one stream of a chip, or those that sample it."""

    issues: Issues
    offsets: Ints
    """Cycles from an issue to its drive or sample: [records]."""
    positions: Ints
    """Where each record's unit stands: [records]."""
    groups: Ints
    """Which of the groups of streams that its instruction samples, or drives, the stream is of: [records]."""
    members: Ints
    """The number of the stream in that group: [records]."""

    def places(self, stations: StreamRegisters) -> Ints:
        """The place in the flow of each issue: [issues]."""
        return np.repeat(stations.place(self.positions), self.issues.sizes)

    def keys(self, stations: StreamRegisters) -> Ints:
        """The key of the register and cycle that each issue drives or samples: [issues]."""
        chip, records = self.issues.chip, self.issues.records
        first = stations.key(chip.at[records] + self.offsets, stations.place(self.positions))
        return self.issues.progression(first, chip.every[records] * stations.count)


def stream_uses(chip: ChipIssues, role: str) -> dict[StreamCode, StreamUses]:
    """By stream code all issues of a chip that drive (`role` "drive") or sample ("read") the stream."""
    uses: dict[StreamCode, list[tuple[Group, tuple[int, int, int, int]]]] = defaultdict(list)
    for group in chip.groups:
        for number, use in enumerate(group.instruction.stream_uses(role, group.values, chip.spec)):
            for member, code in enumerate(use.codes):
                uses[code].append((group, (use.offset, group.queue.position, number, member)))
    found: dict[StreamCode, StreamUses] = {}
    for code, of in uses.items():
        sizes = [len(group.records) for group, _ in of]
        columns = np.repeat(np.array([said for _, said in of], np.int64), sizes, axis=0).T
        found[code] = StreamUses(Issues(chip, np.concatenate([group.records for group, _ in of])), *columns)
    return found


@dataclass(frozen=True)
class Matched:
    """One stream of a chip: what drives it, what samples it, and which drive each sample takes."""

    code: StreamCode
    stations: StreamRegisters
    drives: StreamUses | None
    samples: StreamUses | None

    @cached_property
    def driven(self) -> Ints:
        """The keys of all drives: [drives]."""
        return _NONE if self.drives is None else self.drives.keys(self.stations)

    @cached_property
    def ascending(self) -> Ints:
        """The same, ascending."""
        return np.sort(self.driven)

    @cached_property
    def sampled(self) -> Ints:
        """The keys of all samples: [samples]."""
        return _NONE if self.samples is None else self.samples.keys(self.stations)

    @cached_property
    def _newest(self) -> Ints:
        """For each sample the place of the last drive before it or with it among the ascending ones; -1 for none."""
        return np.searchsorted(self.ascending, self.sampled, "right") - 1

    @cached_property
    def empty(self) -> Ints:
        """The samples before which nothing drives their diagonal."""
        if self.samples is None or self.drives is None:
            return np.arange(len(self.sampled))
        key = np.where(self._newest < 0, -1, self.ascending[self._newest])
        return np.flatnonzero(key < self.sampled - self.samples.places(self.stations))

    @cached_property
    def drivers(self) -> Ints:
        """For each sample the index of the issue whose drive it takes, or -1 where its diagonal is empty."""
        found = np.argsort(self.driven)[self._newest] if self.drives is not None else np.full(len(self.sampled), -1)
        found[self.empty] = -1
        return found


_NONE = np.zeros(0, np.int64)


def matched(chip: ChipIssues) -> Iterator[Matched]:
    """The streams of a chip, one after the other."""
    drives, samples = stream_uses(chip, "drive"), stream_uses(chip, "read")
    for code in sorted(drives.keys() | samples.keys()):
        stations = StreamRegisters(is_westward(code), chip.spec.mxm_distance)
        yield Matched(code, stations, drives.get(code), samples.get(code))
