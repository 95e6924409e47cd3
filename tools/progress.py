"""The progress of a tool: a line on a terminal, which is gone at the end; nothing in a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def progress(what: str, steps: int | None = None) -> Generator[Callable[[str], None]]:
    """Shows on stderr, if it is a terminal, what is done and since when. Gives a function that is called after each of
    the `steps`, with its name; without steps it only shows that time passes."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    counted = [] if steps is None else [BarColumn(), MofNCompleteColumn()]
    columns = SpinnerColumn(), TextColumn("{task.description}"), *counted, TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=steps)
        yield lambda name: shown.update(task, advance=1, description=f"{what}: after {name}")
