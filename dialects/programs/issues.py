"""A program's issues as arithmetic progressions: what planner and profiler know of them.

Issues are numbered through the whole program: record by record, each in the order of its loops, an `abc` once for each
of its vectors. Nothing here is as long as the number of issues, except where a record's issues are not in a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..machine.effects import Effect
from ..machine.instruction import CHAIN, Instruction, Record, SourceKind, source_kind, source_payload
from ..machine.intervals import Ints, Limit, join, ranges, unlimited
from ..machine.stream_code import group_of, is_stream
from ..machine.target import ChipSpec, Queue
from .records import Program

OPERAND_SLOTS = 4
"""Slots of an ALU operand, one for each byte plane. A chain is in the first."""


@dataclass(frozen=True)
class Use:
    """A stream, or an ALU's chain, that an issue samples or drives."""

    code: int
    """The stream's code, or the number of the ALU."""
    slot: int
    """Which of the streams that it samples, or which byte of its result."""
    offset: int
    """Cycles from the dispatch."""


class Shape:
    """Records of one queue that differ only in their times and in the field that `repeat` moves."""

    def __init__(
        self, chip: int, queue: Queue, instruction: Instruction, values: tuple[int, ...], tiles: int, spec: ChipSpec
    ):
        """`tiles` are the superlanes that are on."""
        self.chip, self.queue, self.instruction, self.values, self.tiles = chip, queue, instruction, values, tiles
        self.kind = instruction.effect
        self.samples: list[Use] = []
        self.chains: list[Use] = []
        """The chains that it reads."""
        self.immediates: dict[int, int] = {}
        """By operand, its 32 bits."""
        self.widths: list[int] = []
        """Streams of each operand."""
        self.drives: list[Use] = []
        self.to_chain = False
        self.width = 0
        """Streams of the result."""
        operand = 0
        for field, value in zip(instruction.fields, values, strict=True):
            if field.role == "read":
                self._add_operand(operand, value, instruction.group_width(field, values, spec), spec)
                operand += 1
            elif field.role == "drive":
                self.to_chain = value == CHAIN
                self.width = 0 if self.to_chain else instruction.group_width(field, values, spec)
                offset = instruction.d_func(spec)
                self.drives += [Use(value + i, i, offset) for i in range(self.width)]

    def _add_operand(self, operand: int, value: int, width: int, spec: ChipSpec) -> None:
        first = OPERAND_SLOTS * operand if self.kind == Effect.COMPUTE else sum(self.widths)
        self.widths.append(width)
        if is_stream(value):
            skew = self.instruction.d_skew(spec)
            self.samples += [Use(code, first + i, skew) for i, code in enumerate(group_of(value, width))]
        elif source_kind(value) == SourceKind.ALU:
            self.chains.append(Use(source_payload(value), first, 0))
        else:
            self.immediates[operand] = source_payload(value)

    def value(self, field: str) -> int:
        """The value of a field that does not move."""
        return self.values[self.instruction.index(field)]


@dataclass(frozen=True)
class Runs:
    """Issues of one record in a row whose times, or whose moved values, or both, are arithmetic progressions: [runs]
    each."""

    record: Ints
    first: Ints
    """The number of the first issue."""
    count: Ints
    time: Ints
    """The cycle of the first."""
    every: Ints
    """Cycles to the next, if times are progressions."""
    value: Ints
    """The moved field's value in the first, 0 without such a field."""
    step: Ints
    """To the next one's, if values are progressions."""

    def of(self, issue: Ints) -> Ints:
        """The runs of issues."""
        return np.searchsorted(self.first, issue, "right") - 1


class Issues:
    """All issues of a program."""

    def __init__(self, program: Program, fetches: bool = True, limit: Limit = unlimited):
        """`fetches` says whether those of ifetch count among them; `limit` sees the runs of every record."""
        self.program, self.spec, self._limit = program, program.system.chip, limit
        of_chips = [c.dispatches if fetches else c.records for c in program.chips]
        self.records = [r for records in of_chips for r in records]
        self.chips = np.cumsum([0, *map(len, of_chips)])
        """By chip program, its first record; then the number of all."""
        self.shapes: list[Shape] = []
        self.shape = np.array(self._shapes(of_chips), np.int64)
        """By record."""
        self.kind = np.array([s.kind for s in self.shapes], np.int64)[self.shape]
        """By record."""
        counts, every, steps = self._levels()
        self.counts, self.every = counts, every
        """By record the rounds of each level, the vectors of a dispatch being the innermost, and the cycles from one to
        the next: [records, levels]."""
        self.sizes = counts.prod(axis=1)
        """By record, the number of its issues."""
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        """By record, the number of its first issue; then the number of all."""
        moving = [r.instruction.stepping for r in self.records]
        values = [0 if i is None else r.values[i] for i, r in zip(moving, self.records, strict=True)]
        self._value, self.at = np.array(values, np.int64), np.array([r.at for r in self.records], np.int64)
        self.last = self.at + counts[:, 0] * every[:, 0] - 1 + ((counts - 1) * every)[:, 1:].sum(axis=1)
        """By record, the last cycle in which it occupies its queue."""
        self.runs = self._progressions(counts, every, steps, True, True)
        """By time and value."""
        self.moves = self._progressions(counts, every, steps, False, True)
        """By value only."""
        self.beats = self._progressions(counts, every, steps, True, False)
        """By time only."""
        self._beats_of = self._by_shape(self.shape[self.beats.record])
        self._on_unit: dict[tuple[Effect, int, int], list[int]] = defaultdict(list)
        for number, shape in enumerate(self.shapes):
            self._on_unit[shape.kind, shape.chip, shape.queue.unit].append(number)

    def _by_shape(self, shape: Ints) -> list[Ints]:
        """By shape, which of some numbers of shapes are its own."""
        ends = np.cumsum(np.bincount(shape, minlength=len(self.shapes)))
        return np.split(np.argsort(shape, kind="stable"), ends[:-1])

    def _shapes(self, of_chips: Sequence[Sequence[Record]]) -> list[int]:
        """The shape of each record; adds those that are new."""
        numbers: list[int] = []
        known: dict[tuple[object, ...], int] = {}
        for chip, records in enumerate(of_chips):
            for queue, _, instruction, values, _, tiles in records:
                moving = instruction.stepping
                fixed = values if moving is None else (*values[:moving], 0, *values[moving + 1 :])
                key = (chip, queue, instruction.opcode, fixed, tiles)
                number = known.get(key)
                if number is None:
                    number = known[key] = len(self.shapes)
                    on = tiles or self.spec.tiles
                    self.shapes.append(Shape(chip, self.spec.queues[queue], instruction, fixed, on, self.spec))
                numbers.append(number)
        return numbers

    def _levels(self) -> tuple[Ints, Ints, Ints]:
        """Counts, spacings and steps of all records, innermost level first: [records, levels]."""
        levels = 1 + self.spec.loop_levels
        flat: list[int] = []
        for r in self.records:
            flat += (r.instruction.vectors(r.values), r.instruction.pace, 0)
            for loop in r.loops:
                flat += loop
            flat += (1, 1, 0) * (levels - 1 - len(r.loops))
        table = np.array(flat, np.int64).reshape(len(self.records), levels, 3)
        table[[r.instruction.stepping is None for r in self.records], :, 2] = 0
        return table[..., 0], table[..., 1], table[..., 2]

    def _progressions(self, counts: Ints, every: Ints, steps: Ints, by_time: bool, by_value: bool) -> Runs:
        """The longest runs: levels that go on as the ones inside them are one."""
        n, levels = counts.shape
        inner = [np.ones(n, np.int64), np.ones(n, np.int64), np.zeros(n, np.int64)]
        outer, closed = counts.copy(), np.zeros(n, np.bool_)
        for level in range(levels):
            count, spacing, step = counts[:, level], every[:, level], steps[:, level]
            fresh = inner[0] == 1
            goes_on = np.ones(n, np.bool_)
            if by_time:
                goes_on &= spacing == inner[1] * inner[0]
            if by_value:
                goes_on &= step == inner[2] * inner[0]
            joins = ~closed & ((count == 1) | fresh | goes_on)
            takes = joins & fresh & (count > 1)
            inner[1], inner[2] = np.where(takes, spacing, inner[1]), np.where(takes, step, inner[2])
            inner[0] = np.where(joins, inner[0] * count, inner[0])
            outer[joins, level] = 1
            closed |= ~joins
        self._limit(outer.prod(axis=1))
        sizes = np.cumprod(counts, axis=1) // counts
        record: Ints = np.arange(n, dtype=np.int64)
        columns = [self.offsets[:-1], self.at, self._value]
        for level in reversed(range(levels)):
            rounds = outer[record, level]
            if (rounds != 1).any():
                of_round = ranges(np.zeros(len(rounds), np.int64), rounds)
                record = np.repeat(record, rounds)
                moves = (sizes[record, level], every[record, level], steps[record, level])
                columns = [np.repeat(c, rounds) + of_round * m for c, m in zip(columns, moves, strict=True)]
        first, time, moved = columns
        return Runs(record, first, inner[0][record], time, inner[1][record], moved, inner[2][record])

    def beats_of(self, shape: int) -> Ints:
        """The runs by time of the records of a shape."""
        return self._beats_of[shape]

    def record_of(self, issue: Ints) -> Ints:
        """The records of issues."""
        return np.searchsorted(self.offsets, issue, "right") - 1

    def shapes_on(self, effect: Effect, chip: int, unit: int) -> Sequence[int]:
        """The numbers of the shapes with an effect on a unit of a chip program, which is given by its index."""
        return self._on_unit.get((effect, chip, unit), ())

    def of(self, shapes: Sequence[int]) -> Ints:
        """The issues of some shapes, in the order of their numbers."""
        records = np.sort(join([self._records_of[shape] for shape in shapes]))
        return ranges(self.offsets[records], self.sizes[records])

    @cached_property
    def _records_of(self) -> list[Ints]:
        """The records of each shape."""
        return self._by_shape(self.shape)

    def shape_of(self, record: int) -> Shape:
        return self.shapes[int(self.shape[record])]

    def kind_of(self, issue: Ints) -> Ints:
        return self.kind[self.record_of(issue)]

    def time_of(self, issue: Ints) -> Ints:
        """The cycles in which issues are dispatched."""
        run = self.beats.of(issue)
        return self.beats.time[run] + (issue - self.beats.first[run]) * self.beats.every[run]

    def value_of(self, issue: Ints) -> tuple[Ints, Ints]:
        """The values of the moved field, and how they go on to the next issue of the same run by value."""
        run = self.moves.of(issue)
        step = self.moves.step[run]
        return self.moves.value[run] + (issue - self.moves.first[run]) * step, step
