"""The kinds of case, by seed: `CASES[kind](seed)` raises where something does not hold, and says what happened."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType

from tspc.dialects.programs.records import Program
from tspc.runtime.jit.cache import available_paths

from .checks import agree
from .graph_checks import check_graph
from .hostile import check_file, check_text
from .large_graphs import check_large_graph
from .mutations import mutated_program
from .programs import long_program, noise, overlapping_program, plain_program, random_program
from .supplied import supplied_program

MOST_SECONDS = 60
"""Time after which a case counts as a hang."""

MOST_MEMORY = 6 << 30
"""Bytes of address space that a case may ask for; SRAM that is never touched counts. More is a MemoryError."""

_MAKERS: tuple[Callable[[int], Program | None], ...] = (
    random_program,
    random_program,
    plain_program,
    overlapping_program,
    long_program,
    noise,
    supplied_program,
    supplied_program,
)


def valid(seed: int) -> str:
    """Engines, modes and verifier agree on a program as it was generated, in every byte of SRAM or on its hazard."""
    make = _MAKERS[seed % len(_MAKERS)]
    program = next(p for s in count(seed, 1 << 32) if (p := make(s)) is not None)
    return _agree(program, seed)


def mutated(seed: int) -> str:
    """The same of a mutated one, where it is not refused before it could run."""
    program = mutated_program(seed)
    return "refused" if program is None else _agree(program, seed)


def _agree(program: Program, seed: int) -> str:
    paths = available_paths()
    mode, kind = agree(program, seed, [paths[seed % len(paths)]])
    return f"right, in {mode} mode" if kind == "right" else kind


def damaged(seed: int) -> str:
    """A damaged file or text is refused, or is a program."""
    return check_file(seed) if seed % 2 else check_text(seed)


CASES: dict[str, Callable[[int], str]] = {
    "valid": valid,
    "mutated": mutated,
    "bytes": damaged,
    "graph": check_graph,
    "large": check_large_graph,
}

SLOW = {"large": 2}
"""Kinds whose cases may take that many times as long."""


class Hang(BaseException):
    """A case takes too long. No Exception, so that nothing takes it for an error of its own."""


def run(kind: str, seed: int) -> str:
    """Runs a case within its limits; on the main thread only. Raises Hang, or what does not hold."""
    with _within(MOST_SECONDS * SLOW.get(kind, 1)), _with_memory(MOST_MEMORY):
        return CASES[kind](seed)


@contextmanager
def _with_memory(size: int) -> Iterator[None]:
    """Gives the body so much more address space than the process has; no limit where the system does not tell."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    used = int(status.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises Hang where the body takes longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
