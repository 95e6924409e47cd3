"""`tsp-run --trace`: a program's timeline in the Chrome trace event format, which Perfetto and chrome://tracing open.

Everything in it follows from the timed records, so nothing is run. A chip is a process and a queue a thread; a record
is a slice from its first dispatch to its last, and what one record gives to another is an arrow between their slices.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..dialects.machine.intervals import Ints
from ..dialects.machine.stream_code import StreamCode, stream_text
from ..dialects.machine.target import ChipSpec
from ..dialects.programs.issues import Issues
from ..dialects.programs.records import ChipProgram, Program
from .flows import Flows, Pairs, stretches


class _Clock:
    """Cycles as the decimal microseconds of the format.

    Perfetto keeps whole nanoseconds. Both ends of a slice are cut to them in the same way, so that slices neither
    overlap nor lose the ends of their arrows; a clock of more than 1000 MHz gets the digits that it needs.
    """

    def __init__(self, clock_mhz: int):
        self.mhz = clock_mhz
        self.digits = 3
        while 10**self.digits < clock_mhz:
            self.digits += 3
        self.scale = 10**self.digits

    def ticks(self, cycle: int) -> int:
        return cycle * self.scale // self.mhz

    def text(self, ticks: int) -> str:
        whole, rest = divmod(ticks, self.scale)
        return f"{whole}.{rest:0{self.digits}d}"

    def at(self, cycle: int) -> str:
        """The time of a cycle's beginning."""
        return self.text(self.ticks(cycle))

    def span(self, first: int, end: int) -> str:
        """The time from the beginning of cycle `first` to that of cycle `end`."""
        return self.text(self.ticks(end) - self.ticks(first))


def write_trace(program: Program, path: Path) -> None:
    """Writes the timeline of a program to a file, event by event."""
    with path.open("w", encoding="utf-8") as file:
        system = program.system
        about = {"clock_mhz": system.chip.clock_mhz, "cycles": program.cycles, "chips": len(program.chips)}
        file.write(f'{{"displayTimeUnit": "ns", "otherData": {json.dumps(about)}, "traceEvents": [')
        separator = "\n"
        for event in trace_events(program):
            file.write(separator + event)
            separator = ",\n"
        file.write("\n]}\n")


def trace_events(program: Program) -> Iterator[str]:
    """The events as JSON: names, slices, arrows, counters."""
    clock = _Clock(program.system.chip.clock_mhz)
    found = Flows(program)
    for chip in program.chips:
        yield from _names(chip, program.system.chip)
        yield from _slices(chip, clock)
    number = 0
    for pairs in found.pairs():
        yield from _arrows(pairs, program, clock, number)
        number += len(pairs.giver)
    for number, chip in enumerate(program.chips):
        yield from _counters(chip, number, found.issues, program.system.chip, clock)


def _process(chip: ChipProgram) -> int:
    """The process of a chip: not its number, since process and thread 0 stand for an idle processor in Perfetto."""
    return chip.chip + 1


def _names(chip: ChipProgram, spec: ChipSpec) -> Iterator[str]:
    """The chip's name, and the names of the queues that do something, sorted from west to east."""
    process = _process(chip)
    yield _metadata(process, 0, "process_name", "name", f"chip {chip.chip}")
    yield _metadata(process, 0, "process_sort_index", "sort_index", chip.chip)
    used = sorted({r.queue for r in chip.records}, key=lambda q: (spec.queues[q].position, q))
    for rank, queue in enumerate(used):
        yield _metadata(process, queue + 1, "thread_name", "name", spec.queues[queue].name)
        yield _metadata(process, queue + 1, "thread_sort_index", "sort_index", rank)


def _metadata(process: int, thread: int, name: str, key: str, value: str | int) -> str:
    return json.dumps({"ph": "M", "pid": process, "tid": thread, "ts": 0, "name": name, "args": {key: value}})


def _slices(chip: ChipProgram, clock: _Clock) -> Iterator[str]:
    process = _process(chip)
    for record in chip.records:
        name = record.instruction.name
        end = record.last + 1
        yield (
            f'{{"ph": "X", "pid": {process}, "tid": {record.queue + 1}, "ts": {clock.at(record.at)}, '
            f'"dur": {clock.span(record.at, end)}, "name": "{name}", "cat": "instruction", '
            f'"args": {{"assembly": "{record.text}", "issues": {record.dispatches}, '
            f'"cycle": {record.at}, "cycles": {end - record.at}}}}}'
        )


def _register_name(kind: str, number: int) -> str:
    return stream_text(StreamCode(number)) if kind == "stream" else f"{kind} {number}"


def _arrows(pairs: Pairs, program: Program, clock: _Clock, first: int) -> Iterator[str]:
    """An arrow for each pair of records, numbered from `first` on: from the dispatch that gives to the one that takes.

    On a machine whose instructions sample long after their dispatch the latter can be the earlier; the arrow then
    stands upright.
    """
    giver_chip: ChipProgram = program.chips[pairs.giver_chip]
    taker_chip: ChipProgram = program.chips[pairs.taker_chip]
    columns = (pairs.giver, pairs.taker, pairs.given, pairs.taken, pairs.vectors, pairs.number)
    rows: list[list[int]] = np.stack(columns, axis=1).tolist()
    for i, (giver, taker, given, taken, vectors, number) in enumerate(rows, first):
        common = f'"id": {i}, "name": "{_register_name(pairs.kind, number)}", "cat": "{pairs.kind}"'
        yield (
            f'{{"ph": "s", {common}, "pid": {_process(giver_chip)}, "tid": {giver_chip.records[giver].queue + 1}, '
            f'"ts": {clock.at(given)}, "args": {{"cycle": {given}, "vectors": {vectors}}}}}'
        )
        yield (
            f'{{"ph": "f", "bp": "e", {common}, "pid": {_process(taker_chip)}, '
            f'"tid": {taker_chip.records[taker].queue + 1}, "ts": {clock.at(max(given, taken))}, '
            f'"args": {{"cycle": {taken}}}}}'
        )


def _counters(chip: ChipProgram, number: int, issues: Issues, spec: ChipSpec, clock: _Clock) -> Iterator[str]:
    """For each kind of unit how many are busy, whenever the number changes."""
    units: dict[str, int] = defaultdict(int)
    for queue in spec.queues:
        units[queue.kind] += 1
    first, end = issues.chips[number : number + 2].tolist()
    records: dict[str, list[int]] = defaultdict(list)
    for record in range(first, end):
        records[issues.shape_of(record).queue.kind].append(record)
    process = _process(chip)
    for kind, of in records.items():
        for cycle, busy in busy_units(issues, np.array(of, np.int64)):
            yield (
                f'{{"ph": "C", "pid": {process}, "tid": 0, "ts": {clock.at(cycle)}, '
                f'"name": "{kind} busy (of {units[kind]})", "args": {{"units": {busy}}}}}'
            )


def busy_units(issues: Issues, records: Ints) -> Iterator[tuple[int, int]]:
    """How many of the records' units are busy: the cycle of every change, and the number from there on."""
    occupied = issues.counts[records, 0] * issues.every[records, 0]
    outer = issues.counts[records, 1:], issues.every[records, 1:]
    _, start, length = stretches(issues.at[records], occupied, *outer)
    cycles, place = np.unique(np.concatenate([start, start + length]), return_inverse=True)
    change = np.zeros(len(cycles), np.int64)
    np.add.at(change, place[: len(start)], 1)
    np.add.at(change, place[len(start) :], -1)
    busy = np.cumsum(change)
    kept = change != 0
    yield from zip(cycles[kept].tolist(), busy[kept].tolist(), strict=True)
