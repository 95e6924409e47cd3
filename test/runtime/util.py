"""Programs built directly from dispatch records, for the tests of the engines."""

from __future__ import annotations

from collections.abc import Sequence

from tspc.dialects.instruction import Loop, Record
from tspc.dialects.program import ChipProgram, Program, check_program, program_length
from tspc.dialects.target import SystemSpec
from tspc.dialects.topology import Topology
from tspc.dialects.tsp_isa import TABLE


class Maker:
    """Collects records and makes a program of them."""

    def __init__(self, system: SystemSpec | None = None):
        self.system = system or SystemSpec()
        self.chip = self.system.chip
        self.records: dict[int, list[Record]] = {}

    def add(
        self,
        queue: str,
        at: int,
        name: str,
        *values: int,
        loops: Sequence[tuple[int, int, int]] = (),
        chip: int = 0,
    ) -> Record:
        """Dispatches an instruction at a cycle; loops are (count, every, step), innermost first."""
        levels = tuple(Loop(*level) for level in loops)
        record = Record(self.chip.queue_numbers[queue], at, TABLE.by_name[name], values, levels)
        self.records.setdefault(chip, []).append(record)
        return record

    def at(self, queue: str) -> int:
        """The position of a queue."""
        return self.chip.queues[self.chip.queue_numbers[queue]].position

    def program(self) -> Program:
        """The checked program, over the wiring that the system has by default. Raises as check_program does."""
        topology = Topology.of(self.system) if self.system.chips > 1 else Topology(())
        chips: list[ChipProgram] = []
        for number, records in sorted(self.records.items()):
            ordered = tuple(sorted(records, key=lambda r: r[:2]))
            length = program_length(max((r.last for r in ordered), default=-1), self.system)
            chips.append(ChipProgram(number, length, ordered, (), {}))
        return check_program(Program(self.system, topology, tuple(chips)))
