"""`tsp-run --account`: what each op of the tensor level does in a schedule, and what it takes of the length."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..passes.stream.schedule.account import Account, OpAccount

_PLOT = 40
"""Columns of the plot."""

_SHADES = "·▁▂▃▄▅▆▇█"


def print_account(account: Account, planes: int) -> None:
    """Prints the account to stdout: what the length is made of, and a table with a row per op."""
    console = Console(width=200)
    console.print(_length(account))
    console.print()
    console.print(_ops(account, planes))


def _length(account: Account) -> Table:
    table = Table(title=f"{account.cycles} cycles", title_justify="left", box=None)
    table.add_column("waiting for")
    for name in ("cycles", "of the length"):
        table.add_column(name, justify="right")
    for cause, cycles in sorted(account.causes.items(), key=lambda item: -item[1]):
        table.add_row(cause, str(cycles), f"{cycles / account.cycles:.1%}")
    return table


def _ops(account: Account, planes: int) -> Table:
    table = Table(title="ops of the tensor level", title_justify="left", box=None)
    for name in ("line", "rows", "columns", "passes", "first", "last", "plane cycles", "bound", "length", "over"):
        table.add_column(name, justify="right")
    for name in ("binds", "the length waits for", "planes in use, from the first cycle to the last"):
        table.add_column(name, no_wrap=name.startswith("planes"))
    for op in account.ops:
        binds = max(op.bounds, key=op.bounds.__getitem__, default="")
        waits = ", ".join(f"{cause} {n}" for cause, n in sorted(op.chain.items(), key=lambda c: -c[1]) if n)
        numbers = (op.rows, op.columns, op.passes, op.first, op.last, op.plane_cycles, op.bound, op.on_chain)
        line = "" if op.line is None else str(op.line)
        table.add_row(line, *map(str, numbers), str(op.on_chain - op.bound), binds, waits, plot(op, account, planes))
    return table


def plot(op: OpAccount, account: Account, planes: int) -> str:
    """A bar from the program's first cycle to its last: how much of all planes an op uses while it is at work, and dots
    where it uses none."""
    wide = -(-account.cycles // _PLOT)
    used = [0] * _PLOT
    for start, end in op.beats:
        for column in range(start // wide, (end - 1) // wide + 1):
            used[column] += min(end, (column + 1) * wide) - max(start, column * wide)
    return "".join(
        _SHADES[-(-n * (len(_SHADES) - 1) // (wide * planes))] if op.first // wide <= i <= op.last // wide else " "
        for i, n in enumerate(used)
    ).rstrip()
