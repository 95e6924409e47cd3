"""When a chip of the reference engine has something to do: the next issue of every record, and cycles to wake up in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from ..dialects.errors import Actor
from ..dialects.machine.instruction import Record, StreamUse
from ..dialects.machine.target import ChipSpec, Queue
from ..dialects.programs.records import actor


@dataclass(frozen=True)
class Issue:
    """One instruction at work in one cycle."""

    record: Record
    dispatched: int
    """The cycle of its dispatch, which for an `abc` is that of its first vector."""
    values: tuple[int, ...]
    reads: tuple[StreamUse, ...]
    """The groups of streams that it samples, in the order of its fields."""
    drives: tuple[StreamUse, ...]
    """The groups that it drives."""

    def actor(self, queues: Sequence[Queue]) -> Actor:
        return actor(self.record, self.dispatched, queues[self.record.queue].name, self.values)


class EventQueue:
    """Records are expanded as time goes on: what it keeps grows with their number, not with that of the issues."""

    def __init__(self, records: Sequence[Record], chip: ChipSpec):
        self.chip = chip
        self._next: list[tuple[int, int, Issue, Iterator[tuple[int, Issue]]]] = []
        """A heap: the cycle in which an issue acts, its record's number, the issue, and those that follow it."""
        self._alarms: list[int] = []
        """A heap of cycles in which something falls due that is no issue."""
        for number, record in enumerate(records):
            self._put_next(number, self._issues(record))

    def _issues(self, record: Record) -> Iterator[tuple[int, Issue]]:
        """The issues of a record, one for each vector of a dispatch, each with the cycle in which it acts."""
        skew, pace = record.instruction.d_skew(self.chip), record.instruction.pace
        reads, drives = (
            tuple(record.instruction.stream_uses(role, record.values, self.chip)) for role in ("read", "drive")
        )
        for cycle, values in record.issues():
            issue = Issue(record, cycle, values, reads, drives)
            for vector in range(record.instruction.vectors(values)):
                yield cycle + skew + vector * pace, issue

    def _put_next(self, number: int, issues: Iterator[tuple[int, Issue]]) -> None:
        if (following := next(issues, None)) is not None:
            heappush(self._next, (following[0], number, following[1], issues))

    def wake(self, cycle: int) -> None:
        """Makes `cycle`, which is still to come, one in which something happens."""
        heappush(self._alarms, cycle)

    def due(self, t: int) -> Iterator[Issue]:
        """The issues that act in cycle t, in the order of their records."""
        while self._next and self._next[0][0] == t:
            _, number, issue, others = heappop(self._next)
            yield issue
            self._put_next(number, others)

    def after(self, t: int) -> int | None:
        """The first cycle after t in which anything happens."""
        while self._alarms and self._alarms[0] <= t:
            heappop(self._alarms)
        return min((*self._alarms[:1], *(entry[0] for entry in self._next[:1])), default=None)
