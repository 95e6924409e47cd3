"""The registers of a stream in the order of its flow, and the issues that drive or sample it: what the proofs about
streams share."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ...dialects.stream_code import StreamCode
from .issues import ChipIssues, Group, Ints, Issues


@dataclass(frozen=True)
class Stations:
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

    def places(self, stations: Stations) -> Ints:
        """The place in the flow of each issue: [issues]."""
        return np.repeat(stations.place(self.positions), self.issues.sizes)

    def keys(self, stations: Stations) -> Ints:
        """The key of the register and cycle that each issue drives or samples: [issues]."""
        chip, records = self.issues.chip, self.issues.records
        first = stations.key(chip.at[records] + self.offsets, stations.place(self.positions))
        return self.issues.progression(first, chip.every[records] * stations.count)


def stream_uses(chip: ChipIssues, role: str) -> dict[StreamCode, StreamUses]:
    """By stream code all issues of a chip that drive (`role` "drive") or sample ("read") the stream."""
    uses: dict[StreamCode, list[tuple[Group, int]]] = defaultdict(list)
    for group in chip.groups:
        for use in group.instruction.stream_uses(role, group.values, chip.spec):
            for code in use.codes:
                uses[code].append((group, use.offset))

    def per_record(values: list[int], of: list[tuple[Group, int]]) -> Ints:
        return np.repeat(np.array(values, np.int64), [len(group.records) for group, _ in of])

    return {
        code: StreamUses(
            Issues(chip, np.concatenate([group.records for group, _ in of])),
            per_record([offset for _, offset in of], of),
            per_record([group.queue.position for group, _ in of], of),
        )
        for code, of in uses.items()
    }


def newest(drives: StreamUses, samples: StreamUses, stations: Stations) -> Ints:
    """For each sample of a stream the index of the issue whose drive it takes, or -1 where its diagonal is empty."""
    keys, wanted = drives.keys(stations), samples.keys(stations)
    order = np.argsort(keys, kind="stable")
    found = np.searchsorted(keys[order], wanted, "right") - 1
    driver = order[np.maximum(found, 0)]
    there = (found >= 0) & (keys[driver] >= wanted - samples.places(stations))
    return np.where(there, driver, -1)
