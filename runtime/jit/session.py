"""Sessions in cycle mode: they hold the chips' memory and run programs on the compiled kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...dialects.errors import earliest_in_run
from ...dialects.machine.effects import Effect
from ...dialects.machine.topology import Port
from ...dialects.programs.records import Program, program_length
from ..engine import RunStats
from ..flips import Flip, flips_by_chip
from ..host import HostSession
from ..secded import Secded
from .cache import Compiled
from .decode import Decoder, is_fetch
from .hazards import Report, Site
from .layout import Activity, Chip, Link
from .memory import ChipMemory, Inboxes, address, stride_of, zeros

_CALL = 1 << 18
"""Cycles of one call to the kernel, between which Python can see an interrupt."""


class JitSession(HostSession):
    """A program loaded into the JIT engine in cycle mode."""

    mode = "cycle"

    def __init__(self, program: Program, compiled: Compiled, secded: bool = False, flips: Sequence[Flip] = ()):
        """`compiled` is a kernel with SECDED or without, as `secded` says."""
        self.program, self._compiled = program, compiled
        self._flips = flips_by_chip(flips, secded, program)
        chip = program.system.chip
        self._code = Secded(chip) if secded else None
        decoder = Decoder(chip)
        self._decoded = {c.chip: decoder.decode(c) for c in program.chips}
        stride = stride_of(chip, self._code)
        sram = {c.chip: zeros((2 * chip.slices, chip.words, stride), np.uint8) for c in program.chips}
        super().__init__(program, list(sram.values()), self._code, stride_of(chip))
        cables = dict(self._cables())
        sends = [self._decoded[port.chip].issues(Effect.SEND, port.link) for port in cables]
        self._inboxes = Inboxes(len(cables), max(sends, default=0), program.system, stride)
        self._memory = {
            number: ChipMemory(decoded, program.system, sram[number], self._inboxes, self._code)
            for number, decoded in self._decoded.items()
        }
        for i, (here, there) in enumerate(cables.items()):
            self._memory[here.chip].connect(here.link, Link.OUTBOX, self._inboxes.address(i))
            self._memory[there.chip].connect(there.link, Link.INBOX, self._inboxes.address(i))
        self._tables = np.array([address(m.words) for m in self._memory.values()], np.int64)
        drain = max(chip.latency_array, self._inboxes.flight, *(d.delay for d in self._decoded.values()))
        self._end = max(d.last for d in self._decoded.values()) + 1 + drain
        # No chip may get ahead of another by more than a vector is in flight.
        self._window = self._inboxes.flight if cables else self._end

    def _cables(self) -> Iterator[tuple[Port, Port]]:
        """The ports over which vectors are sent, each with the other end of its cable."""
        for number, decoded in self._decoded.items():
            for link in decoded.units(Effect.SEND):
                port = Port(number, link)
                yield port, self.program.peers[port]

    def _run(self) -> RunStats:
        self._inboxes.reset()
        for memory in self._memory.values():
            memory.reset()
        t = 0
        for cycle in sorted({cycle for flips in self._flips.values() for cycle in flips}):
            t = self._advance(t, cycle)
            for chip, flips in self._flips.items():
                for flip in flips.get(cycle, ()):
                    self._memory[chip].flip(flip)
        self._advance(t, self._end)
        return self._stats()

    def _advance(self, t: int, end: int) -> int:
        """The cycles from t to `end` - 1; gives the first from `end` on in which anything happens."""
        while t < end:
            t = self._compiled(address(self._tables), len(self._tables), t, min(t + _CALL, end), self._window)
            self._check()
        return t

    def _check(self) -> None:
        """Raises HazardError or FlipError if a chip has stopped."""
        sites = {
            number: Site(number, memory.decoded, int(memory.words[Chip.STOPPED]), memory.hazards)
            for number, memory in self._memory.items()
        }
        if any(len(site.faults) for site in sites.values()):
            raise earliest_in_run(Report(sites, self.program.peers, self.program.system.chip).hazards())

    def _stats(self) -> RunStats:
        system = self.program.system
        issues = np.zeros((len(self.program.chips), len(system.chip.queues)), np.int64)
        cycles: list[int] = []
        for i, chip in enumerate(self.program.chips):
            memory = self._memory[chip.chip]
            last = -1
            for cursor in memory.decoded.cursors:
                activity = memory.activities[cursor]
                record = int(activity[Activity.RECORD])
                if is_fetch(memory.decoded.records[record]):
                    continue
                issues[i, memory.decoded.records[record].queue] += activity[Activity.ISSUES]
                last = max(last, int(activity[Activity.LAST] - memory.decoded.skews[record]))
            cycles.append(program_length(last, system))
        corrected = tuple(int(self._memory[c.chip].words[Chip.CORRECTED]) for c in self.program.chips)
        return RunStats(tuple(cycles), issues, corrected if self._code else None)
