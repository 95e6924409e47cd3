"""What tsp-run prints: the short table after a run, and the tables of `--profile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from string import digits
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ..dialects.programs.records import Program
from ..runtime.engine import RunStats

if TYPE_CHECKING:
    from ..runtime.interface import Array, Signature
    from .profile import Profile, UnitUse

_MOST_BOUNDS = 12
"""Bounds that are printed: those that come nearest to the length."""


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
    if stats.corrected is not None:
        by_units = f"{sum(stats.corrected)} by units"
        if len(stats.corrected) > 1:
            by_units += f" ({', '.join(f'{c.chip}: {n}' for c, n in zip(program.chips, stats.corrected, strict=True))})"
        table.add_row("flips corrected", f"{by_units}, {stats.corrected_by_host} in the outputs")
    table.add_row("host time", f"compile {compiled:.3f} s, simulate {simulated:.3f} s ({engine})")
    Console(width=120).print(table)


def json_report(
    program: Program,
    outputs: Mapping[str, Signature],
    compiled: float,
    stats: RunStats | None = None,
    engine: str = "",
    mode: str = "",
    simulated: float = 0.0,
) -> dict[str, Any]:
    """The result for another program to read: cycles, times, for each kind of unit the share of its cycles in which it
    dispatched, from 0 to 1, and the outputs. Without `stats` of a program that was not run."""
    clock = program.system.chip.clock_mhz
    result: dict[str, Any] = {
        "cycles": program.cycles,
        "cycles_per_chip": {str(c.chip): c.cycles for c in program.chips},
        "clock_mhz": clock,
        "time_us": program.cycles / clock,
        "program_bytes": sum(len(data) for c in program.chips for data in c.packed.values()),
        "compile_seconds": compiled,
        "run": stats is not None,
        "outputs": json_tensors(outputs),
    }
    if stats is not None:
        result |= {"engine": engine, "mode": mode, "simulate_seconds": simulated, "busy": utilisation(program, stats)}
        if stats.corrected is not None:
            result["flips_corrected"] = {"by_units": sum(stats.corrected), "in_outputs": stats.corrected_by_host}
    return result


def json_tensors(tensors: Mapping[str, Signature | Array]) -> dict[str, Any]:
    """Names with shapes and numpy's names of the element types."""
    return {name: {"shape": list(t.shape), "type": str(t.dtype)} for name, t in tensors.items()}


# -- the profile ---------------------------------------------------------------------------------------------------


def print_profile(profile: Profile) -> None:
    """Prints the tables of a profile to stdout. Shares are of the program's length."""
    console = Console(width=120)
    cycles = profile.cycles
    kinds = _table("kinds of unit", "kind", ">units", ">used", ">busy cycles", ">share", "busiest", ">busy", ">share")
    for k in profile.kinds:
        shares = f"{k.busy / (k.units * cycles):.1%}", f"{k.busiest.busy / cycles:.1%}"
        numbers = str(k.units), str(k.used), str(k.busy), shares[0]
        kinds.add_row(k.kind, *numbers, k.busiest.name, str(k.busiest.busy), shares[1])
    units = _table("units", ">chip", "units", ">busy cycles each", ">share")
    for same in _alike(profile.units):
        name = same[0].name if len(same) == 1 else f"{same[0].name} to {same[-1].name}"
        units.add_row(str(same[0].chip), name, str(same[0].busy), f"{same[0].busy / cycles:.1%}")
    bounds = _table(f"bounds of the length of {cycles} cycles", "resource", "work", ">cycles", ">length", ">of it")
    for b in profile.bounds[:_MOST_BOUNDS]:
        bounds.add_row(b.resource, b.work, str(b.cycles), str(b.length), f"{b.length / cycles:.1%}")
    path = _table("critical path", ">cycle", ">earliest", ">waits", "queue", "record", "after")
    several = len({u.chip for u in profile.units}) > 1
    for s in profile.path.steps:
        times = str(s.at), str(s.earliest), str(s.waits)
        path.add_row(*times, f"{s.chip}: {s.queue}" if several else s.queue, s.text, s.after)
    for table in (kinds, units, bounds, path, _rest(profile)):
        console.print(table)
        console.print()


def _table(title: str, *columns: str) -> Table:
    """A table; columns that begin with `>` are of numbers."""
    table = Table(title=title, title_justify="left", box=None)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def _rest(profile: Profile) -> Table:
    """What the length is made of: the binding bound, and every part of the difference."""
    binding = profile.binding
    table = _table(f"{binding.resource} binds: where the cycles go", "part", ">cycles")
    table.add_row("start, from the notify to the first dispatch", str(profile.path.start))
    table.add_row(f"{binding.resource}: {binding.work}", str(binding.cycles))
    for part, cycles in binding.rest:
        if cycles:
            table.add_row(part, str(cycles))
    table.add_row("the tiles, once", str(binding.length - profile.path.start - binding.cycles))
    table.add_row("length", str(profile.cycles))
    return table


def _alike(units: Sequence[UnitUse]) -> Iterator[list[UnitUse]]:
    """Units that stand side by side and are equally busy."""
    ranked = enumerate(units)
    for _, same in groupby(ranked, key=lambda u: (u[1].chip, u[1].name.rstrip(digits), u[1].number - u[0], u[1].busy)):
        yield [unit for _, unit in same]
