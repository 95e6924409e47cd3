"""The short table after a run: cycles, time at the chip's clock, how busy each kind of unit was, and what it took."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.table import Table

from ..dialects.program import Program
from ..runtime.engine import RunStats


def utilisation(program: Program, stats: RunStats) -> dict[str, float]:
    """For each kind of unit, the share of its queues' cycles in which they dispatched, over the whole system."""
    queues = program.system.chip.queues
    busy: dict[str, int] = defaultdict(int)
    there: dict[str, int] = defaultdict(int)
    for issues in stats.issues:
        for queue, count in zip(queues, issues, strict=True):
            busy[queue.kind] += int(count)
            there[queue.kind] += program.cycles
    return {kind: busy[kind] / there[kind] for kind in there}


def text_cost(program: Program) -> str:
    """What the supply of the queues with text takes: issue slots for ifetch and the reads that feed it, and SRAM."""
    chip = program.system.chip
    size = sum(len(data) for c in program.chips for data in c.packed.values())
    fetches = sum(len(c.fetches) for c in program.chips)
    words = sum(len(c.text_image(chip)) for c in program.chips)
    slots = len(chip.queues) * sum(c.cycles for c in program.chips)
    memory = 2 * chip.slices * chip.words * len(program.chips)
    shares = f"{3 * fetches / slots:.3%} of the issue slots, {words / memory:.3%} of the SRAM"
    return f"{size} bytes, {fetches} fetches: {shares}"


def print_report(program: Program, stats: RunStats, engine: str, compiled: float, simulated: float) -> None:
    """Prints the table to stdout."""
    clock = program.system.chip.clock_mhz
    table = Table(show_header=False, box=None)
    table.add_row("cycles", f"{max(stats.cycles)}")
    table.add_row("time at the clock", f"{max(stats.cycles) / clock:.2f} us at {clock} MHz (model cycles)")
    if len(stats.cycles) > 1:
        lengths = ", ".join(f"{c.chip}: {n}" for c, n in zip(program.chips, stats.cycles, strict=True))
        table.add_row("cycles per chip", lengths)
    shares = ", ".join(f"{kind} {share:.1%}" for kind, share in utilisation(program, stats).items() if share)
    table.add_row("busy", shares)
    table.add_row("program text", text_cost(program))
    table.add_row("host time", f"compile {compiled:.3f} s, simulate {simulated:.3f} s ({engine})")
    Console(width=120).print(table)
