"""A program's instruction issues as arrays of integers.

A record under `repeat` dispatches in cycles that form nested arithmetic progressions. The proof never loops over
issues: it picks the records that concern one resource, and asks for the cycles of all their issues at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ....dialects.errors import Actor
from ....dialects.machine.instruction import Instruction, Record
from ....dialects.machine.target import ChipSpec, Queue
from ....dialects.programs.records import Program, actor

Ints = npt.NDArray[np.int64]


class Group(NamedTuple):
    """Records of one queue that differ only in their times and in the field that `repeat` moves."""

    queue: Queue
    instruction: Instruction
    values: tuple[int, ...]
    """The values of the first of them."""
    records: Ints
    """Their indices in the chip's program, ascending."""


class ChipIssues:
    """The records of one chip as arrays.

    `counts`, `every` and `steps` are [records, levels]. Level 0 counts the vectors of one dispatch, which an `abc`
    takes one after the other; the others are the record's loops, innermost first, filled up with loops of one round.
    """

    def __init__(self, number: int, records: Sequence[Record], spec: ChipSpec):
        self.number = number
        self.spec = spec
        self.records = records
        self.at = np.array([r.at for r in self.records], np.int64)
        self.counts, self.every, self.steps = _levels(self.records, 1 + spec.loop_levels)
        self.groups = [self._group(members) for members in _alike(self.records)]

    def _group(self, members: Sequence[int]) -> Group:
        first = self.records[members[0]]
        return Group(self.spec.queues[first.queue], first.instruction, first.values, np.array(members, np.int64))

    @cached_property
    def _by_unit(self) -> dict[tuple[str, int], list[Group]]:
        groups: dict[tuple[str, int], list[Group]] = defaultdict(list)
        for group in self.groups:
            groups[group.queue.kind, group.queue.unit].append(group)
        return groups

    def dispatches(self, kind: str, unit: int, *names: str) -> Issues:
        """The issues of the named instructions on one unit's queue, in the order of their cycles."""
        return self.issues([g.records for g in self._by_unit.get((kind, unit), ()) if g.instruction.name in names])

    def issues(self, records: Sequence[Ints]) -> Issues:
        """The issues of several groups of records, in the order of the program."""
        return Issues(self, np.sort(np.concatenate(records)) if records else np.zeros(0, np.int64))


def issues_of(program: Program) -> list[ChipIssues]:
    """The issues of each chip of a program, those of `ifetch` among them."""
    return [ChipIssues(chip.chip, chip.dispatches, program.system.chip) for chip in program.chips]


def _levels(records: Sequence[Record], levels: int) -> tuple[Ints, Ints, Ints]:
    """The counts, spacings and steps of all records: [records, levels] each."""
    flat: list[int] = []
    for record in records:
        flat += (record.instruction.vectors(record.values), record.instruction.pace, 0)
        for loop in record.loops:
            flat += loop
        flat += (1, 1, 0) * (levels - 1 - len(record.loops))
    table = np.array(flat, np.int64).reshape(len(records), levels, 3)
    return table[..., 0], table[..., 1], table[..., 2]


def _alike(records: Sequence[Record]) -> list[list[int]]:
    """The indices of the records of each group."""
    members: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, (queue, _, instruction, values, _, _) in enumerate(records):
        moving = instruction.stepping
        fixed = values if moving is None else (*values[:moving], *values[moving + 1 :])
        members[queue, instruction.opcode, fixed].append(i)
    return list(members.values())


@dataclass(frozen=True)
class Issues:
    """All issues of some records of a chip, one for each vector of an `abc`: record by record, each in order of time.

    Where all records are of one queue, that is the order of time throughout.
    """

    chip: ChipIssues
    records: Ints
    """Indices of the records in the chip's program; any order, repetitions allowed."""

    def cycles(self) -> Ints:
        """The cycle of each issue: [issues]."""
        return self.progression(self.chip.at[self.records], self.chip.every[self.records])

    def field(self, name: str) -> Ints:
        """The value of a field in each record: [records]."""
        return np.array([r.values[r.instruction.index(name)] for r in self._records], np.int64)

    def is_named(self, name: str) -> npt.NDArray[np.bool_]:
        """Which records are of the instruction `name`: [records]."""
        return np.array([r.instruction.name == name for r in self._records], np.bool_)

    def moved(self, name: str) -> Ints:
        """The value of the field that `repeat` moves in each issue: [issues]."""
        return self.progression(self.field(name), self.chip.steps[self.records])

    def progression(self, first: Ints, strides: Ints) -> Ints:
        """Of each record the values `first` + the sum over levels of round * `strides`, in the order of its issues.

        `first` is [records], `strides` [records, levels], the result [issues].
        """
        counts = self.chip.counts[self.records]
        for level in reversed(range(counts.shape[1])):
            rounds = counts[:, level]
            if (rounds != 1).any():
                first = _runs(first, rounds, strides[:, level])
                counts, strides = (np.repeat(a[:, :level], rounds, axis=0) for a in (counts, strides))
        return first

    @cached_property
    def sizes(self) -> Ints:
        """The number of issues of each record: [records]."""
        return self.chip.counts[self.records].prod(axis=1)

    @cached_property
    def _ends(self) -> Ints:
        return np.cumsum(self.sizes)

    @cached_property
    def _records(self) -> list[Record]:
        return [self.chip.records[i] for i in self.records.tolist()]

    def _row(self, issue: int) -> int:
        return int(np.searchsorted(self._ends, issue, "right"))

    def record(self, issue: int) -> Record:
        """The record of the issue with this index."""
        return self._records[self._row(issue)]

    def values(self, issue: int) -> tuple[int, ...]:
        """The values of the issue with this index, as moved by the steps."""
        return self._dispatch(issue)[1]

    def queue(self, issue: int) -> int:
        """The number of the queue that dispatches the issue with this index."""
        return self._records[self._row(issue)].queue

    def actor(self, issue: int) -> Actor:
        """The issue with this index as a party of a hazard: one vector of an `abc` is its whole dispatch."""
        record = self.record(issue)
        cycle, values = self._dispatch(issue)
        return actor(record, cycle, self.chip.spec.queues[record.queue].name, values)

    def _dispatch(self, issue: int) -> tuple[int, tuple[int, ...]]:
        """The cycle and the values with which the issue with this index was dispatched."""
        row = self._row(issue)
        record = self._records[row]
        dispatch = (issue - int(self._ends[row] - self.sizes[row])) // record.instruction.vectors(record.values)
        return record.issue(dispatch)


def _runs(first: Ints, lengths: Ints, strides: Ints) -> Ints:
    """first[i], first[i] + strides[i], ...: lengths[i] >= 1 terms for each i, one after the other."""
    jumps = first.copy()
    jumps[1:] -= first[:-1] + (lengths[:-1] - 1) * strides[:-1]
    terms = np.repeat(strides, lengths)
    terms[np.cumsum(lengths) - lengths] = jumps
    return np.cumsum(terms, out=terms)
