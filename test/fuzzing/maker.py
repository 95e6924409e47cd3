"""Programs built directly from dispatch records."""

from __future__ import annotations

from collections.abc import Sequence

from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import Loop, Record
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.records import ChipProgram, Program, check_program, configured, program_length


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

    def bring(
        self,
        slice_: str,
        address: int,
        code: int,
        where: int,
        when: int,
        loops: Sequence[tuple[int, int, int]] = (),
        chip: int = 0,
    ) -> None:
        """Reads words so that the first is at position `where` in cycle `when`."""
        at = when - self.chip.latency_read - abs(where - self.at(slice_))
        self.add(slice_, at, "read", address, code, loops=loops, chip=chip)

    def keep(
        self,
        slice_: str,
        address: int,
        code: int,
        where: int,
        when: int,
        loops: Sequence[tuple[int, int, int]] = (),
        chip: int = 0,
    ) -> None:
        """Writes the vectors of which the first is at position `where` in cycle `when`."""
        at = when + abs(where - self.at(slice_)) - self.chip.latency_write
        self.add(slice_, at, "write", address, code, loops=loops, chip=chip)

    def delay(self, name: str) -> int:
        """Cycles from the dispatch of an instruction to its result."""
        return TABLE.by_name[name].d_func(self.chip)

    def program(self, topology: Topology | None = None) -> Program:
        """The checked program of all chips, over the default wiring unless given. Raises as check_program does."""
        topology = topology or (Topology.of(self.system) if self.system.chips > 1 else Topology(()))
        chips: list[ChipProgram] = []
        for number in range(self.system.chips):
            ordered = configured(sorted(self.records.get(number, []), key=lambda r: r[:2]))
            length = program_length(max((r.last for r in ordered), default=-1), self.system)
            chips.append(ChipProgram(number, length, ordered, (), {}))
        return check_program(Program(self.system, topology, tuple(chips)))
