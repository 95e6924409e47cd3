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

from ...dialects.machine.effects import STORES, Effect
from ...dialects.machine.instruction import ElementType, Record, SourceKind, source_kind, source_payload
from ...dialects.machine.instruction_fetch import Word
from ...dialects.machine.stream_code import StreamCode, code_of, diagonal_of, is_stream, is_westward, number_of
from ...dialects.machine.target import ChipSpec
from ...dialects.programs.records import ChipProgram
from ..flips import Register
from .layout import ACTIVITY_WORDS, LEVELS, NEVER, ROW_WORDS, SOURCES, Activity, Finish, Op, Row, Source
from .operations import immediate, operation
from .semantics import opcodes_of, pack_fields

Words = npt.NDArray[np.int64]

_SOURCES = {
    SourceKind.STREAM: Source.STREAM,
    SourceKind.ALU: Source.CHAIN,
    SourceKind.IMMEDIATE: Source.IMMEDIATE,
}


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

    def units(self, effect: Effect) -> list[int]:
        """The units with instructions of an effect, ascending."""
        return sorted({*self.rows[np.isin(self.rows[:, Row.OP], opcodes_of(effect)), Row.UNIT].tolist()})

    def issues(self, effect: Effect, unit: int) -> int:
        """How often a unit executes instructions of an effect."""
        rows = self.rows[np.isin(self.rows[:, Row.OP], opcodes_of(effect)) & (self.rows[:, Row.UNIT] == unit)]
        return int(_issues(rows).sum())

    def slots(self, register: Register, chip: ChipSpec) -> tuple[int, int]:
        """The first slot of a register's stream, and what to add to a cycle for its diagonal there."""
        return _slots(*register, self.ring, chip)

    def stream(self, slot: int, chip: ChipSpec) -> StreamCode:
        """The code of the stream to which a slot belongs."""
        west, number = divmod(slot // self.ring, chip.streams)
        return code_of(bool(west), number)


def _slots(code: StreamCode, position: int, ring: int, chip: ChipSpec) -> tuple[int, int]:
    """The first slot of a stream, and what to add to a cycle for its diagonal at a position."""
    first = number_of(code) + is_westward(code) * chip.streams
    return first * ring, diagonal_of(code, position, 0)


class Decoder:
    """Decodes the records of chips."""

    def __init__(self, chip: ChipSpec):
        self.chip = chip
        self.queues = chip.queues
        self.ring = ring_size(2 * chip.mxm_distance + 1)
        self.timing: dict[str, tuple[int, int]] = {}
        """By mnemonic: skew, and cycles from what happens then to the drive."""

    def decode(self, program: ChipProgram) -> Decoded:
        """Everything about the dispatches of one chip."""
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
        row[Row.OP] = instruction.opcode
        row[Row.UNIT] = queue.unit
        row[Row.TILES] = record.tiles if record.tiles < self.chip.tiles else 0
        row[Row.KIND : Row.KIND + SOURCES] = [Source.NONE] * SOURCES
        operand = 0
        for field, value in zip(instruction.fields, values, strict=True):
            if field.steps:
                row[Row.VALUE] = value
            elif field.role == "read":
                self._put_source(row, operand, value, queue.position)
                operand += 1
            elif field.role == "drive" and is_stream(value):
                row[Row.TARGET], row[Row.TARGET_SHIFT] = self._stream(value, queue.position)
                row[Row.TARGET_WIDTH] = instruction.group_width(field, values, self.chip)
                row[Row.DELAY] = delay
        if instruction.effect is Effect.COMPUTE:
            _put_operation(row, record)
        else:
            row[Row.MODE] = pack_fields(instruction, values)
        return row

    def _put_source(self, row: list[int], operand: int, value: int, position: int) -> None:
        source, shift, what = source_payload(value), 0, SourceKind.STREAM
        if is_stream(value):
            source, shift = self._stream(value, position)
        else:
            what = source_kind(value)
        row[Row.KIND + operand] = _SOURCES[what]
        row[Row.SOURCE + operand] = source
        row[Row.SHIFT + operand] = shift

    def _stream(self, code: StreamCode, position: int) -> tuple[int, int]:
        return _slots(code, position, self.ring, self.chip)


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
        elif row[Row.UNIT] in units and record.instruction.effect in STORES:
            row[Row.OP] += Op.BESIDE_TEXT


def is_fetch(record: Record) -> bool:
    return record.instruction.effect is Effect.FETCH


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
