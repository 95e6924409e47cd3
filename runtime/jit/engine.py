"""The JIT engine: sessions that hold chips' memory and run programs on the compiled kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from ...dialects.errors import TargetError, earliest
from ...dialects.program import Program, program_length
from ...dialects.topology import Port
from ..engine import RunStats
from .bulk.compiled import shared_bulk_kernel
from .bulk.issues import Irregular
from .bulk.session import BulkSession
from .cache import Compiled, choose_path, shared_kernel
from .decode import Decoder
from .hazards import Report, Site
from .layout import Activity, Chip, Link, Op, Row
from .memory import ChipMemory, Inboxes, address, stride_of, zeros

MODES = ("cycle", "bulk")
"""The ways to run a program."""

_CALL = 1 << 18
"""Cycles of one call to the kernel, between which Python can see an interrupt."""


class JitEngine:
    """Executes programs on a kernel compiled for the host's CPU."""

    def __init__(self, path: str = "auto", cache: bool = True, mode: str = "cycle"):
        """`path` is one of `PATHS`, or `auto` for the best that the host has; without `cache` the kernel is compiled
        anew in every process. In `mode` `cycle` everything is done in its cycle, with all checks; in mode `bulk`
        results are matched with those who take them when the program is loaded, and it runs as loops over vectors.
        Raises TargetError for others."""
        self.path = choose_path(path)
        """The way to compute."""
        if mode not in MODES:
            raise TargetError(f"mode `{mode}` of the JIT engine is unknown; there are {', '.join(MODES)}")
        self.mode, self._cache = mode, cache

    def load(self, program: Program) -> JitSession | BulkSession:
        """A session with all SRAM zero. Its `mode` is `cycle` where bulk mode cannot run the program, or where the
        program has a hazard, which the run then reports."""
        if self.mode == "bulk":
            with suppress(Irregular):
                return BulkSession(program, shared_bulk_kernel(self.path, self._cache), self._cache)
        return JitSession(program, shared_kernel(self.path, self._cache))


class JitSession:
    """A program loaded into the JIT engine in cycle mode."""

    mode = "cycle"

    def __init__(self, program: Program, compiled: Compiled):
        self.program, self._compiled = program, compiled
        chip = program.system.chip
        decoder = Decoder(chip)
        self._decoded = {c.chip: decoder.decode(c.records) for c in program.chips}
        shape = (2 * chip.slices, chip.words, stride_of(chip))
        self._sram = {c.chip: zeros(shape, np.uint8) for c in program.chips}
        cables = dict(self._cables())
        sends = [self._decoded[port.chip].issues(Op.SEND, port.link) for port in cables]
        self._inboxes = Inboxes(len(cables), max(sends, default=0), program.system)
        self._memory = {
            number: ChipMemory(decoded, program.system, self._sram[number], self._inboxes)
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
            for link in sorted({*decoded.rows[decoded.rows[:, Row.OP] == Op.SEND, Row.UNIT].tolist()}):
                port = Port(number, link)
                yield port, self.program.peers[port]

    def sram(self, index: int) -> npt.NDArray[np.uint8]:
        """The SRAM of chip program `index` as [2 * slices, words, lanes], the east's slices first."""
        return self._sram[self.program.chips[index].chip][:, :, : self.program.system.chip.lanes]

    def run(self) -> RunStats:
        """Runs from cycle 0. Raises HazardError for the earliest hazard; SRAM is undefined then."""
        self._inboxes.reset()
        for memory in self._memory.values():
            memory.reset()
        t = 0
        while t < self._end and not any(len(m.hazards) for m in self._memory.values()):
            t = self._compiled(address(self._tables), len(self._tables), t, min(t + _CALL, self._end), self._window)
        self._check()
        return self._stats()

    def _check(self) -> None:
        """Raises HazardError if a chip has stopped."""
        sites = {
            number: Site(number, memory.decoded, int(memory.words[Chip.STOPPED]), memory.hazards)
            for number, memory in self._memory.items()
        }
        if any(len(site.faults) for site in sites.values()):
            raise earliest(Report(sites, self.program.peers, self.program.system.chip).hazards())

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
                issues[i, memory.decoded.records[record].queue] += activity[Activity.ISSUES]
                last = max(last, int(activity[Activity.LAST] - memory.decoded.skews[record]))
            cycles.append(program_length(last, system))
        return RunStats(tuple(cycles), issues)
