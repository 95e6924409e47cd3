"""Dispatch records as the kernel reads them: a row of words each, and the activities that step through them.

A queue's records with different `d_skew` become cursors of their own, each moved by its skew, so that in the kernel
everything an issue does happens in its own cycle or later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from ...dialects.errors import MalformedProgram
from ...dialects.instruction import (
    CHAIN,
    ElementType,
    FieldKind,
    Instruction,
    Loop,
    Record,
    SourceKind,
    source_kind,
    source_payload,
)
from ...dialects.target import ChipSpec
from .layout import ACTIVITY_WORDS, LEVELS, NEVER, ROW_WORDS, SOURCES, Activity, Alu, Op, Row, Source

Words = npt.NDArray[np.int64]

_OPS: dict[str, Op] = {
    "read": Op.READ,
    "write": Op.WRITE,
    "lw": Op.LOAD_WEIGHTS,
    "iw": Op.INSTALL_WEIGHTS,
    "abc": Op.ACTIVATIONS,
    "acc": Op.ACCUMULATE,
    "acc_emit": Op.ACCUMULATE,
    "send": Op.SEND,
    "receive": Op.RECEIVE,
}

_SIGN = {1: Alu.SIGN_8, 2: Alu.SIGN_16, 4: Alu.COPY}


def ring_size(entries: int) -> int:
    """The least power of two that holds so many."""
    return 1 << max(0, entries - 1).bit_length()


@dataclass(frozen=True)
class Decoded:
    """What a chip does. Rows of `records` beyond `sources` are the machine's own activities."""

    records: Words
    """[records, ROW_WORDS]"""
    sources: Sequence[Record]
    """The record behind each row."""
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
    delay: int
    """The greatest number of cycles from an issue to its drive."""
    width: int
    """Most drives of a cycle."""
    flights: int
    """Most vectors between issue and drive."""
    installs: Sequence[int]
    """By plane, how many installs are dispatched."""
    sends: int
    """How many sends are dispatched."""


class Decoder:
    """Decodes the records of one chip."""

    def __init__(self, chip: ChipSpec):
        self.chip = chip
        self.ring = ring_size(2 * chip.mxm_distance + 1)

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Everything about the records. Raises MalformedProgram for an instruction without a handler."""
        chip = self.chip
        skews = {r.instruction.name: r.instruction.d_skew(chip) for r in records}
        sources = sorted(records, key=lambda r: (skews[r.instruction.name], r.queue, r.at))
        rows = [self._row(r, skews[r.instruction.name]) for r in sources]
        cursors: list[tuple[int, int]] = []
        width = flights = first = 0
        for _, group in groupby(sources, key=lambda r: (skews[r.instruction.name], r.queue)):
            end = first + len(list(group))
            for delay, streams, issues in _drives(rows[first:end]):
                width, flights = width + streams, flights + streams * min(delay, issues)
            cursors.append((first, end))
            first = end
        planes, links = chip.planes, chip.links
        own = [(Op.INSTALL, planes), (Op.LOSE_SUMS, planes), (Op.LOSE_VECTOR, links)]
        rows += [_own_row(op, unit) for op, count in own for unit in range(count)]
        installs, losses = range(first, first + planes), range(first + planes, len(rows))
        spans = [*((i, i + 1) for i in installs), *cursors, *((i, i + 1) for i in losses)]
        words = np.array(rows, np.int64)
        activities = np.zeros((len(spans), ACTIVITY_WORDS), np.int64)
        activities[:, [Activity.RECORD, Activity.END]] = spans
        activities[:, Activity.VALUE] = words[activities[:, Activity.RECORD], Row.VALUE]
        activities[:, Activity.LAST] = -1
        ops, units = words[:, Row.OP], words[:, Row.UNIT]
        times = np.full(-(-len(spans) // 8) * 8, NEVER)
        steps = range(planes, planes + len(cursors))
        times[steps.start : steps.stop] = [rows[first][Row.AT] for first, _ in cursors]
        return Decoded(
            words,
            sources,
            activities,
            times,
            steps,
            self.ring,
            last=max((r.last + skews[r.instruction.name] for r in sources), default=-1),
            delay=max((row[Row.DELAY] for row in rows), default=0),
            width=width,
            flights=flights,
            installs=[sum(map(_issues, words[(ops == Op.INSTALL_WEIGHTS) & (units == p)])) for p in range(planes)],
            sends=sum(map(_issues, words[ops == Op.SEND])),
        )

    def _row(self, record: Record, skew: int) -> list[int]:
        instruction, values, chip = record.instruction, record.values, self.chip
        queue = chip.queues[record.queue]
        row = [0] * ROW_WORDS
        row[Row.AT] = record.at + skew
        row[Row.OP] = _operation(instruction)
        row[Row.UNIT] = queue.unit
        _put_loops(row, record)
        if instruction.stepping is not None:
            row[Row.VALUE] = values[instruction.stepping]
        row[Row.KIND : Row.KIND + SOURCES] = [Source.NONE] * SOURCES
        operand = 0
        for field, value in zip(instruction.fields, values, strict=True):
            if field.role == "read":
                self._put_source(row, operand, field.kind, value, queue.position)
                row[Row.WIDTH] = instruction.group_width(field, values, chip)
                operand += 1
            elif field.role == "drive" and value != CHAIN:
                row[Row.TARGET], row[Row.TARGET_SHIFT] = self._stream(value, queue.position)
                row[Row.TARGET_WIDTH] = instruction.group_width(field, values, chip)
                row[Row.DELAY] = instruction.d_func(chip) - skew
        row[Row.MODE] = _mode(instruction, values)
        return row

    def _put_source(self, row: list[int], operand: int, kind: FieldKind, value: int, position: int) -> None:
        source, shift = source_payload(value), 0
        what = source_kind(value) if kind == FieldKind.SOURCE else SourceKind.STREAM
        if what == SourceKind.STREAM:
            source, shift = self._stream(value, position)
        row[Row.KIND + operand] = what
        row[Row.SOURCE + operand] = source
        row[Row.SHIFT + operand] = shift

    def _stream(self, code: int, position: int) -> tuple[int, int]:
        """The first slot of a stream, and what to add to a cycle for its diagonal at a position."""
        west = code >> 7 & 1
        return ((code & 0x7F) + west * self.chip.streams) * self.ring, position if west else -position


def stream_of(slot: int, decoded: Decoded, chip: ChipSpec) -> int:
    """The code of the stream to which a slot belongs."""
    west, number = divmod(slot // decoded.ring, chip.streams)
    return west << 7 | number


def _operation(instruction: Instruction) -> Op:
    if instruction.kinds == ("VXM",):
        return Op.ALU
    if instruction.name not in _OPS:
        raise MalformedProgram(f"the JIT engine does not execute `{instruction.name}`")
    return _OPS[instruction.name]


def _mode(instruction: Instruction, values: Sequence[int]) -> int:
    """The ALU operation, or the mode of an accumulator."""
    fields = {f.name: v for f, v in zip(instruction.fields, values, strict=True)}
    if instruction.kinds != ("VXM",):
        return fields.get("mode", 0)
    return alu_operation(instruction.name, ElementType(fields["type"]), fields.get("result_type"))


def alu_operation(name: str, element: ElementType, result: int | None) -> Alu:
    """The operation on 32-bit lanes for an ALU instruction."""
    bits = 8 * element.bytes
    match name:
        case "wrap":
            return _SIGN[min(element.bytes, ElementType(result or 0).bytes)]
        case "convert":
            to = ElementType(result or 0)
            floats = element == ElementType.F32, to == ElementType.F32
            if all(floats):
                return Alu.CANONICAL
            if any(floats):
                return Alu[f"FIX_{8 * to.bytes}" if floats[0] else f"FLOAT_{bits}"]
            return _SIGN[element.bytes] if to.bytes >= element.bytes else Alu[f"CLAMP_{bits}_{8 * to.bytes}"]
        case "copy" | "round" | "trunc":
            return Alu[name.upper()]
        case _:
            return Alu[f"{name.upper()}_{'F' if element == ElementType.F32 else 'I'}"]


def _put_loops(row: list[int], record: Record) -> None:
    """The loop levels; the vectors of one dispatch are the innermost."""
    vectors = record.instruction.occupancy(record.values)
    levels = [*([Loop(vectors)] if vectors > 1 else []), *record.loops]
    time = step = 0
    for i in range(LEVELS):
        loop = levels[i] if i < len(levels) else Loop(1)
        row[Row.COUNT + i] = loop.count
        row[Row.TIME + i] = loop.every - time
        row[Row.STEP + i] = loop.step - step
        time, step = time + (loop.count - 1) * loop.every, step + (loop.count - 1) * loop.step


def _issues(row: Sequence[int] | Words) -> int:
    """Cycles in which a record acts."""
    return math.prod(int(n) for n in row[Row.COUNT : Row.COUNT + LEVELS])


def _drives(rows: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """For each delay among a cursor's records: the delay, the greatest number of streams, and the issues."""
    found: dict[int, tuple[int, int]] = {}
    for row in rows:
        if (streams := row[Row.TARGET_WIDTH]) > 0:
            most, issues = found.get(row[Row.DELAY], (0, 0))
            found[row[Row.DELAY]] = max(most, streams), issues + _issues(row)
    return [(delay, *drives) for delay, drives in found.items()]


def _own_row(op: Op, unit: int) -> list[int]:
    """The row of an activity of the machine itself."""
    row = [0] * ROW_WORDS
    row[Row.OP], row[Row.UNIT] = op, unit
    return row
