"""Dispatch records as the kernel reads them: a row of words each, and the activities that step through them.

A queue's records with different `d_skew` become cursors of their own, each moved by its skew, so that in the kernel
everything an issue does happens in its own cycle or later. So do its ifetches, which count neither as issues nor for
the length of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...dialects.errors import MalformedProgram
from ...dialects.instruction import (
    CHAIN,
    ElementType,
    FieldKind,
    Instruction,
    Record,
    SourceKind,
    source_kind,
    source_payload,
)
from ...dialects.packed import IFETCH
from ...dialects.program import ChipProgram
from ...dialects.supply import Word
from ...dialects.target import ChipSpec
from ..flips import Register
from .layout import ACTIVITY_WORDS, LEVELS, NEVER, ROW_WORDS, SOURCES, Activity, Finish, Op, Row, Source
from .operations import immediate, operation

Words = npt.NDArray[np.int64]

_SOURCES = {
    SourceKind.STREAM: Source.STREAM,
    SourceKind.ALU: Source.CHAIN,
    SourceKind.IMMEDIATE: Source.IMMEDIATE,
}

_OPS: dict[str, Op] = {
    "config": Op.CONFIG,
    "read": Op.READ,
    "write": Op.WRITE,
    "gather": Op.GATHER,
    "scatter": Op.SCATTER,
    "lw": Op.LOAD_WEIGHTS,
    "iw": Op.INSTALL_WEIGHTS,
    "abc": Op.ACTIVATIONS,
    "abc_f16": Op.HALF_ACTIVATIONS,
    "acc": Op.ACCUMULATE,
    "acc_emit": Op.ACCUMULATE,
    "shift": Op.SHIFT,
    "lane_select": Op.LANE_SELECT,
    "permute": Op.PERMUTE,
    "distribute": Op.DISTRIBUTE,
    "rotate3": Op.ROTATE,
    "rotate4": Op.ROTATE,
    "transpose": Op.TRANSPOSE,
    "send": Op.SEND,
    "receive": Op.RECEIVE,
    "ifetch": Op.FETCH,
}

_BESIDE_TEXT = {Op.WRITE: Op.WRITE_BESIDE_TEXT, Op.SCATTER: Op.SCATTER_BESIDE_TEXT}
"""What stands for an operation on a slice that holds program text."""


def ring_size(entries: int) -> int:
    """The least power of two that holds so many."""
    return 1 << max(0, entries - 1).bit_length()


@dataclass(frozen=True)
class Decoded:
    """What a chip does."""

    rows: Words
    """[rows, ROW_WORDS]: dispatch records, then the machine's own activities."""
    records: Sequence[Record]
    """The record behind each row, so far as there is one."""
    skews: Words
    """By record, how far its row is moved."""
    activities: Words
    """[activities, ACTIVITY_WORDS] as they start: installs by plane, cursors, sums by plane, arrivals by link."""
    times: Words
    """[activities, padded to eights]: the first cycle of each."""
    cursors: range
    """Which activities are cursors."""
    ring: int
    """Slots of a stream's ring of diagonals."""
    last: int
    """The last cycle in which an issue acts, or -1."""
    width: int
    """Most drives of a cycle."""
    flights: int
    """Most vectors between issue and drive."""
    fetched: Sequence[bytes]
    """By ifetch, the text that it must take."""
    text: Sequence[Word]
    """The words that hold program text."""

    @property
    def delay(self) -> int:
        """The greatest number of cycles from an issue to its drive."""
        return int(self.rows[:, Row.DELAY].max())

    def issues(self, op: Op, unit: int) -> int:
        """How often a unit does an operation."""
        rows = self.rows[(self.rows[:, Row.OP] == op) & (self.rows[:, Row.UNIT] == unit)]
        return int(_issues(rows).sum())

    def slots(self, register: Register, chip: ChipSpec) -> tuple[int, int]:
        """The first slot of a register's stream, and what to add to a cycle for its diagonal there."""
        return _slots(*register, self.ring, chip)

    def stream(self, slot: int, chip: ChipSpec) -> int:
        """The code of the stream to which a slot belongs."""
        west, number = divmod(slot // self.ring, chip.streams)
        return west << 7 | number


def _slots(code: int, position: int, ring: int, chip: ChipSpec) -> tuple[int, int]:
    """The first slot of a stream, and what to add to a cycle for its diagonal at a position."""
    west = code >> 7 & 1
    return ((code & 0x7F) + west * chip.streams) * ring, position if west else -position


class Decoder:
    """Decodes the records of chips."""

    def __init__(self, chip: ChipSpec):
        self.chip = chip
        self.queues = chip.queues
        self.ring = ring_size(2 * chip.mxm_distance + 1)
        self.timing: dict[str, tuple[int, int]] = {}
        """By mnemonic: skew, and cycles from what happens then to the drive."""

    def decode(self, program: ChipProgram) -> Decoded:
        """Everything about the dispatches of one chip. Raises MalformedProgram for an instruction without a handler."""
        chip, records = self.chip, program.dispatches
        text = sorted(program.text_image(chip))
        fetched = {(f.record.queue, f.record.at): i for i, f in enumerate(program.fetches)}
        for name, instruction in {r.instruction.name: r.instruction for r in records}.items():
            skew = instruction.d_skew(chip)
            self.timing[name] = skew, instruction.d_func(chip) - skew
        ordered = sorted(records, key=lambda r: (self.timing[r.instruction.name][0], r.queue, is_fetch(r), r.at))
        skews = np.array([self.timing[r.instruction.name][0] for r in ordered], np.int64)
        own = [(Op.INSTALL, chip.planes), (Op.LOSE_SUMS, chip.planes), (Op.LOSE_VECTOR, chip.links)]
        rows = np.zeros((len(ordered) + sum(count for _, count in own), ROW_WORDS), np.int64)
        if ordered:
            rows[: len(ordered)] = [self._row(r) for r in ordered]
            _put_loops(rows, ordered)
            if text:
                _put_text(rows, ordered, fetched, {word.unit(chip) for word in text})
        rows[len(ordered) :, [Row.OP, Row.UNIT]] = [(op, unit) for op, count in own for unit in range(count)]
        queues = np.array([r.queue for r in ordered], np.int64)
        fresh = np.zeros(len(ordered), bool)
        fresh[:1] = True
        fetches = np.array([is_fetch(r) for r in ordered], bool)
        for of in (queues, skews, fetches):
            fresh[1:] |= of[1:] != of[:-1]
        activities, times, cursors = _activities(rows, np.flatnonzero(fresh), len(ordered), chip.planes)
        last = max((r.last + self.timing[r.instruction.name][0] for r in ordered), default=-1)
        width, flights = _drives(rows[: len(ordered)], np.cumsum(fresh))
        texts = [f.text for f in program.fetches]
        return Decoded(rows, ordered, skews, activities, times, cursors, self.ring, last, width, flights, texts, text)

    def _row(self, record: Record) -> list[int]:
        """The words of a record, without its loops."""
        instruction, values = record.instruction, record.values
        queue = self.queues[record.queue]
        skew, delay = self.timing[instruction.name]
        row = [0] * ROW_WORDS
        row[Row.AT] = record.at + skew
        row[Row.OP] = _operation(instruction)
        row[Row.UNIT] = queue.unit
        row[Row.TILES] = record.tiles if record.tiles < self.chip.tiles else 0
        row[Row.KIND : Row.KIND + SOURCES] = [Source.NONE] * SOURCES
        operand = 0
        for field, value in zip(instruction.fields, values, strict=True):
            if field.steps:
                row[Row.VALUE] = value
            elif field.role == "read":
                self._put_source(row, operand, field.kind, value, queue.position)
                operand += 1
            elif field.role == "drive" and value != CHAIN:
                row[Row.TARGET], row[Row.TARGET_SHIFT] = self._stream(value, queue.position)
                row[Row.TARGET_WIDTH] = instruction.group_width(field, values, self.chip)
                row[Row.DELAY] = delay
        if row[Row.OP] == Op.ALU:
            _put_operation(row, record)
        else:
            row[Row.MODE] = detail(instruction, values, self.chip)
        return row

    def _put_source(self, row: list[int], operand: int, kind: FieldKind, value: int, position: int) -> None:
        source, shift = source_payload(value), 0
        what = source_kind(value) if kind == FieldKind.SOURCE else SourceKind.STREAM
        if what == SourceKind.STREAM:
            source, shift = self._stream(value, position)
        row[Row.KIND + operand] = _SOURCES[what]
        row[Row.SOURCE + operand] = source
        row[Row.SHIFT + operand] = shift

    def _stream(self, code: int, position: int) -> tuple[int, int]:
        return _slots(code, position, self.ring, self.chip)


def detail(instruction: Instruction, values: Sequence[int], chip: ChipSpec) -> int:
    """What an instruction that is not the VXM's does in detail."""
    fields = {f.name: v for f, v in zip(instruction.fields, values, strict=True)}
    match instruction.name:
        case "acc" | "acc_emit":
            return fields["mode"]
        case "shift":
            count = min(fields["count"], chip.lanes)
            return count if fields["way"] else -count
        case "rotate3" | "rotate4":
            return int(instruction.name[-1])
        case _:
            return 0


def _operation(instruction: Instruction) -> Op:
    if instruction.kinds == ("VXM",):
        return Op.ALU
    if instruction.name not in _OPS:
        raise MalformedProgram(f"the JIT engine does not execute `{instruction.name}`")
    return _OPS[instruction.name]


def _put_operation(row: list[int], record: Record) -> None:
    """What an ALU instruction does with its operands, whose sources are in the row."""
    fields = _fields(record)
    element = ElementType(fields["type"])
    does = operation(record.instruction.name, element, ElementType(fields.get("result_type", element)))
    row[Row.MODE] = does.alu
    if does.finish == Finish.HALF or row[Row.TARGET_WIDTH] == 0:  # a stream takes the low bytes only
        row[Row.FINISH] = does.finish
    for i, form in enumerate(does.forms):
        if row[Row.KIND + i] == Source.IMMEDIATE:
            row[Row.SOURCE + i] = immediate(row[Row.SOURCE + i], form)
        else:
            row[Row.KIND + i] += form


def _fields(record: Record) -> dict[str, int]:
    """The values of a record by the names of their fields."""
    return {f.name: v for f, v in zip(record.instruction.fields, record.values, strict=True)}


def _put_loops(rows: Words, records: Sequence[Record]) -> None:
    """The loop levels; the vectors of one dispatch are the innermost."""
    once = (1, 1, 0)
    levels = [
        [(r.instruction.vectors(r.values), r.instruction.pace, 0), *r.loops, *[once] * (LEVELS - 1 - len(r.loops))]
        for r in records
    ]
    count, every, step = np.moveaxis(np.array(levels, np.int64), 2, 0)
    for word, per_round in ((Row.TIME, every), (Row.STEP, step)):
        inner = np.cumsum((count - 1) * per_round, axis=1) - (count - 1) * per_round
        rows[: len(records), word : word + LEVELS] = per_round - inner
    rows[: len(records), Row.COUNT : Row.COUNT + LEVELS] = count


def _put_text(rows: Words, records: Sequence[Record], fetched: Mapping[tuple[int, int], int], units: set[int]) -> None:
    """Numbers the ifetches, by queue and cycle, and has writes to the slices `units` look for text."""
    for row, record in zip(rows, records, strict=False):
        if is_fetch(record):
            row[Row.MODE] = fetched[record.queue, record.at]
        elif row[Row.UNIT] in units and (beside := _BESIDE_TEXT.get(Op(row[Row.OP]))) is not None:
            row[Row.OP] = beside


def is_fetch(record: Record) -> bool:
    return record.instruction.opcode == IFETCH


def _issues(rows: Words) -> Words:
    """By row, the cycles in which it acts."""
    return rows[:, Row.COUNT : Row.COUNT + LEVELS].prod(axis=1)


def _activities(rows: Words, firsts: Words, records: int, planes: int) -> tuple[Words, Words, range]:
    """The table of activities, their times, and which are cursors; `firsts` are the first rows of the cursors."""
    before = np.arange(records, records + planes)
    after = np.arange(records + planes, len(rows))
    cursors = range(planes, planes + len(firsts))
    activities = np.zeros((len(before) + len(firsts) + len(after), ACTIVITY_WORDS), np.int64)
    starts = np.concatenate([before, firsts, after])
    activities[:, Activity.RECORD] = starts
    activities[:, Activity.END] = np.concatenate([before + 1, firsts[1:], [records] * min(1, len(firsts)), after + 1])
    activities[:, Activity.VALUE] = rows[starts, Row.VALUE]
    activities[:, Activity.LAST] = -1
    times = np.full(-(-len(activities) // 8) * 8, NEVER)
    times[planes : planes + len(firsts)] = rows[firsts, Row.AT]
    return activities, times, cursors


def _drives(rows: Words, cursors: Words) -> tuple[int, int]:
    """The most drives of a cycle, and the most vectors between issue and drive; `cursors` is the cursor of each row.

    A cursor issues once a cycle, so its drives after one delay fall due in different cycles.
    """
    driving = rows[:, Row.TARGET_WIDTH] > 0
    rows, cursors = rows[driving], cursors[driving]
    kinds, kind = np.unique(np.stack([cursors, rows[:, Row.DELAY]]), axis=1, return_inverse=True)
    width, issues = np.zeros((2, kinds.shape[1]), np.int64)
    np.maximum.at(width, kind.ravel(), rows[:, Row.TARGET_WIDTH])
    np.add.at(issues, kind.ravel(), _issues(rows))
    return int(width.sum()), int((width * np.minimum(kinds[1], issues)).sum())
