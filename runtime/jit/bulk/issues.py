"""A program's issues as arithmetic progressions, and the arithmetic of intervals that matching them needs.

Issues are numbered through the whole program: record by record, each in the order of its loops, an `abc` once for each
of its vectors. Nothing here is as long as the number of issues, except where a record's issues are not in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....dialects.effects import ENTERING, STORES, Effect
from ....dialects.instruction import CHAIN, ElementType, Instruction, SourceKind, source_kind, source_payload
from ....dialects.program import Program
from ....dialects.stream_code import group_of, is_stream
from ....dialects.target import ChipSpec, Queue
from ..operations import Operation, immediate, operation

Ints = npt.NDArray[np.int64]

CHAIN_BYTE = -1
"""In place of the number of a byte plane: a whole result, by a chain."""

OPERAND_SLOTS = 4
"""Slots of an ALU operand, one for each byte plane. A chain is in the first."""


MOST = 1 << 22
"""Runs, installs or rows of a program, beyond which planning would take more time and memory than bulk mode saves."""


class Irregular(Exception):
    """The program has a hazard, or something that bulk mode does not do: cycle mode runs it, and names the hazard."""


RESULTS = (Effect.ACCUMULATE, Effect.COMPUTE, Effect.GATHER, Effect.MOVE)
"""What makes vectors of others."""

_DONE = (
    *(*RESULTS, *STORES, *ENTERING, Effect.READ, Effect.LOAD, Effect.INSTALL),
    *(Effect.SEND, Effect.RECEIVE, Effect.FETCH, Effect.CONFIGURE),
)
"""What bulk mode does."""


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
        """`tiles` are the superlanes that are on. Raises Irregular for an effect that bulk mode does not have."""
        self.chip, self.queue, self.instruction, self.values, self.tiles = chip, queue, instruction, values, tiles
        self.kind = instruction.effect
        if self.kind not in _DONE:
            raise Irregular(f"bulk mode does not do `{instruction.name}`")
        self.samples: list[Use] = []
        self.chains: list[Use] = []
        """The chains that it reads."""
        self.immediates: dict[int, int] = {}
        """By operand, its lanes."""
        self.widths: list[int] = []
        """Streams of each operand."""
        self.drives: list[Use] = []
        self.to_chain = False
        self.width = 0
        """Streams of the result."""
        self.does = self._operation() if self.kind == Effect.COMPUTE else None
        """What an ALU does."""
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
        first = OPERAND_SLOTS * operand if self.does else sum(self.widths)
        self.widths.append(width)
        if is_stream(value):
            skew = self.instruction.d_skew(spec)
            self.samples += [Use(code, first + i, skew) for i, code in enumerate(group_of(value, width))]
        elif source_kind(value) == SourceKind.ALU:
            self.chains.append(Use(source_payload(value), first, 0))
        else:
            assert self.does is not None
            self.immediates[operand] = immediate(source_payload(value), self.does.forms[operand]) & 0xFFFFFFFF

    def _operation(self) -> Operation:
        fields = {f.name: v for f, v in zip(self.instruction.fields, self.values, strict=True)}
        element = ElementType(fields["type"])
        return operation(self.instruction.name, element, ElementType(fields.get("result_type", element)))

    def value(self, field: str) -> int:
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
    """All issues of a program. Raises Irregular for an instruction that bulk mode does not do."""

    def __init__(self, program: Program):
        self.program, self.spec = program, program.system.chip
        self.records = [r for c in program.chips for r in c.dispatches]
        self.shapes: list[Shape] = []
        self.shape = np.array(self._shapes(), np.int64)
        """By record."""
        self.kind = np.array([s.kind for s in self.shapes], np.int64)[self.shape]
        """By record."""
        counts, every, steps = self._levels()
        self.sizes = counts.prod(axis=1)
        """By record, the number of its issues."""
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        """By record, the number of its first issue; then the number of all."""
        moving = [r.instruction.stepping for r in self.records]
        values = [0 if i is None else r.values[i] for i, r in zip(moving, self.records, strict=True)]
        self._value, self._at = np.array(values, np.int64), np.array([r.at for r in self.records], np.int64)
        self.last = self._at + counts[:, 0] * every[:, 0] - 1 + ((counts - 1) * every)[:, 1:].sum(axis=1)
        """By record, the last cycle in which it occupies its queue."""
        self.runs = self._progressions(counts, every, steps, True, True)
        """By time and value."""
        self.moves = self._progressions(counts, every, steps, False, True)
        """By value only."""
        self.beats = self._progressions(counts, every, steps, True, False)
        """By time only."""
        of_shape = self.shape[self.beats.record]
        ends = np.cumsum(np.bincount(of_shape, minlength=len(self.shapes)))
        self._beats_of = np.split(np.argsort(of_shape, kind="stable"), ends[:-1])

    def _shapes(self) -> list[int]:
        """The shape of each record; adds those that are new."""
        numbers: list[int] = []
        known: dict[tuple[object, ...], int] = {}
        for chip, chip_program in enumerate(self.program.chips):
            for queue, _, instruction, values, _, tiles in chip_program.dispatches:
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
        limit_number(outer.prod(axis=1))
        sizes = np.cumprod(counts, axis=1) // counts
        record: Ints = np.arange(n, dtype=np.int64)
        columns = [self.offsets[:-1], self._at, self._value]
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


def limit_number(numbers: Ints, most: int = MOST) -> None:
    """Raises Irregular where the sum of some numbers is greater than `most`."""
    if numbers.sum(dtype=np.float64) > most:
        raise Irregular("too many runs, installs or rows")


# -- intervals -----------------------------------------------------------------------------------------------------


def ranges(first: Ints, counts: Ints) -> Ints:
    """first[i], first[i] + 1, ...: counts[i] numbers for each i, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)


def distinct(values: Ints) -> Ints:
    """The different ones of some values, ascending."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The different ones of some pairs of numbers from 0 on."""
    size = int(second.max(initial=0)) + 1
    first, second = np.divmod(distinct(first * size + second), size)
    return first, second


def cover(start: Ints, count: Ints, bounds: Ints) -> tuple[Ints, Ints]:
    """The elements of intervals [start, start + count) whose ends are all among the ascending `bounds`: for every
    interval the elements between neighbouring bounds that it covers, as the interval's index and the element's."""
    low = np.searchsorted(bounds, start)
    lengths = np.searchsorted(bounds, start + count) - low
    return np.repeat(np.arange(len(start)), lengths), ranges(low, lengths)


def join(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def split(start: Ints, count: Ints, cuts: Ints) -> tuple[Ints, Ints, Ints]:
    """Intervals [start, start + count) cut at the ascending `cuts`: for every piece the interval's index, where in the
    interval it begins, and its length."""
    low = np.searchsorted(cuts, start, "right")
    inside = np.searchsorted(cuts, start + count, "left") - low
    if not inside.any():
        return np.arange(len(start)), np.zeros(len(start), np.int64), count
    pieces = np.repeat(np.arange(len(start)), inside + 1)
    number = ranges(np.zeros(len(start), np.int64), inside + 1)
    at = low[pieces] + number
    padded = np.append(cuts, 0)
    begin = np.where(number == 0, 0, padded[at - 1] - start[pieces])
    end = np.where(number == inside[pieces], count[pieces], padded[at] - start[pieces])
    return pieces, begin, end - begin


@dataclass(frozen=True)
class Edges:
    """Vectors that flow: issues c, c + 1, ... sample at `slot` what issues p, p + 1, ... drive as byte plane `byte`, so
    many as `count` says, and of them the first `tiles` superlanes. [edges] each."""

    c: Ints
    p: Ints
    count: Ints
    slot: Ints
    byte: Ints
    tiles: Ints

    @staticmethod
    def concatenate(parts: Sequence[Edges]) -> Edges:
        return Edges(*(join([getattr(e, name) for e in parts]) for name in Edges.__dataclass_fields__))

    def take(self, chosen: npt.NDArray[np.bool_] | Ints) -> Edges:
        return Edges(*(getattr(self, name)[chosen] for name in Edges.__dataclass_fields__))

    def split(self, cuts: Ints, by_producer: bool = False) -> Edges:
        """The same flow, cut where the consumers' numbers, or the producers', pass one of the ascending `cuts`."""
        pieces, begin, count = split(self.p if by_producer else self.c, self.count, cuts)
        if len(pieces) == len(self.c):
            return self
        c, p, slot, byte, tiles = (a[pieces] for a in (self.c, self.p, self.slot, self.byte, self.tiles))
        return Edges(c + begin, p + begin, count, slot, byte, tiles)
