"""What an engine is: something that loads a program, owns the chips' SRAM, and runs the program from cycle 0."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..dialects.programs.records import Program


@dataclass(frozen=True)
class RunStats:
    """What a run did."""

    cycles: tuple[int, ...]
    """The executed length of each chip's program, in cycles, in the order of `Program.chips`."""
    issues: npt.NDArray[np.int64]
    """[chips, queues]: cycles in which each queue dispatched; an `abc` of n vectors counts n, an `ifetch` nothing."""
    corrected: tuple[int, ...] | None = None
    """Code words that the units of each chip have corrected, in the same order; None without SECDED."""
    corrected_by_host: int = 0
    """Code words that the host has corrected when it read the outputs after the run."""


class Session(Protocol):
    """A loaded program and its chips' memory. Threads may share it: its methods wait for each other."""

    mode: str
    """How it runs: `cycle`, one cycle after the other with all checks, or `bulk`, as loops over vectors."""
    lock: RLock
    """What the methods hold. Hold it to do several things as one: to write inputs, run and read outputs, or to use what
    `sram` gives while other threads might run."""

    def sram(self, index: int) -> npt.NDArray[np.uint8]:
        """The SRAM of chip program `index` as [2 * slices, words, lanes], the east first; writes go through."""
        ...

    def write(self, index: int, unit: int, address: int, vectors: npt.NDArray[np.uint8]) -> None:
        """Puts vectors [count, lanes] into words `address`.. of a slice, with check bits where the session has them."""
        ...

    def read(self, index: int, unit: int, address: int, count: int) -> tuple[npt.NDArray[np.uint8], int]:
        """The vectors [count, lanes] in words `address`.. of a slice, and how many code words had to be corrected.

        Raises FlipError for a code word that cannot be.
        """
        ...

    def run(self) -> RunStats:
        """Runs from cycle 0. SRAM keeps what was written; streams, planes, accumulators and links start empty.

        Raises HazardError for the earliest hazard, FlipError for flipped bits that come first.
        """
        ...


class Engine(Protocol):
    """A way to execute programs."""

    def load(self, program: Program) -> Session: ...
