"""The chips' SRAM as the host uses it: plain, or with check bits that the host makes as a producer and checks as a
consumer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from threading import RLock

import numpy as np

from ..dialects.errors import Actor, FlipError
from ..dialects.machine.instruction_fetch import word_of
from ..dialects.programs.records import Program
from .engine import RunStats
from .secded import Bytes, Checks, Secded


class HostMemory:
    """The SRAM of one chip."""

    def __init__(self, data: Bytes):
        """`data` is [2 * slices, words, lanes], the east's slices first; it is used, not copied."""
        self._data = data

    def lend(self) -> Bytes:
        """All of it, to read and to write."""
        return self._data

    def write(self, unit: int, address: int, vectors: Bytes) -> None:
        """Puts vectors [count, lanes] into words `address`.. of a slice."""
        self._data[unit, address : address + len(vectors)] = vectors

    def read(self, unit: int, address: int, count: int) -> tuple[Bytes, int]:
        """The vectors [count, lanes] in words `address`.. of a slice, and how many code words of them had to be
        corrected."""
        return self._data[unit, address : address + count].copy(), 0

    def seal(self) -> None:
        """Before a run: what was lent is the program's from now on."""


class GuardedMemory(HostMemory):
    """The SRAM of one chip that keeps check bits."""

    def __init__(self, code: Secded, data: Bytes, checks: Checks, chip: int, program: Program):
        """`checks` is [2 * slices, words, code words]; `chip` is the chip's number, for errors."""
        super().__init__(data)
        self._code, self._checks, self._chip, self._program = code, checks, chip, program
        self._lent = False

    def lend(self) -> Bytes:
        """All of it, unchecked. The host is the producer of all that is there when the next run begins."""
        self._lent = True
        return self._data

    def write(self, unit: int, address: int, vectors: Bytes) -> None:
        super().write(unit, address, vectors)
        self._checks[unit, address : address + len(vectors)] = self._code.encode(vectors)

    def read(self, unit: int, address: int, count: int) -> tuple[Bytes, int]:
        """Raises FlipError. What is corrected is what the host gets; the memory keeps its flipped bits."""
        words = slice(address, address + count)
        found = self._code.check(self._data[unit, words], self._checks[unit, words])
        if found.broken:
            vector, word = divmod(found.broken[0], self._code.words)
            place = word_of(unit, address + vector, self._program.system.chip)
            resource, cycle = f"word {place}, {self._code.lanes_text(word)}", self._program.cycles
            raise FlipError(self._chip, resource, cycle, Actor("read", "host", cycle))
        return found.data, found.corrected

    def seal(self) -> None:
        """Makes the check bits of memory that was lent; of words that are zero and were, nothing is touched."""
        if self._lent:
            for data, checks in zip(self._data, self._checks, strict=True):
                used = np.flatnonzero(data.any(axis=1) | checks.any(axis=1))
                checks[used] = self._code.encode(data[used])
        self._lent = False


class HostSession(ABC):
    """What sessions of all engines are to the host: the memories of their chips, and runs that one thread makes at a
    time. A run uses the memory, the streams and the tables of the session, of which there is one of each."""

    def __init__(self, program: Program, srams: Sequence[Bytes], code: Secded | None = None, start: int = 0):
        """`srams` are those of the chip programs, in their order: [2 * slices, words, bytes], of which the first are
        the lanes; with a code those from number `start` on are the check bits."""
        self.lock = RLock()
        """What a thread holds that uses the session."""
        self.memories: list[HostMemory] = []
        """By chip program."""
        for sram, chip in zip(srams, program.chips, strict=True):
            if code is None:
                self.memories.append(HostMemory(sram[..., : program.system.chip.lanes]))
            else:
                self.memories.append(GuardedMemory(code, *code.split(sram, start), chip.chip, program))

    def run(self) -> RunStats:
        """Runs from cycle 0. SRAM keeps what was written; streams, planes, accumulators and links start empty.

        Raises HazardError for the earliest hazard, FlipError for flipped bits that come first; SRAM is undefined then.
        """
        with self.lock:
            self.seal()
            return self._run()

    @abstractmethod
    def _run(self) -> RunStats:
        """A run, by the thread that holds the session, of memory that is the program's."""

    def seal(self) -> None:
        """Before a run: memory that was lent is the program's from now on."""
        for memory in self.memories:
            memory.seal()

    def sram(self, index: int) -> Bytes:
        """The SRAM of chip program `index` as [2 * slices, words, lanes], the east's slices first; writes go through.

        With SECDED nothing is checked here, and what is there at the next run is taken as the host's word: all check
        bits are made anew. Take it again before writing after a run.
        """
        with self.lock:
            return self.memories[index].lend()

    def write(self, index: int, unit: int, address: int, vectors: Bytes) -> None:
        """Puts vectors [count, lanes] into words `address`.. of a slice of chip program `index`, and makes their check
        bits; `unit` counts the slices, the east's first."""
        with self.lock:
            self.memories[index].write(unit, address, vectors)

    def read(self, index: int, unit: int, address: int, count: int) -> tuple[Bytes, int]:
        """The vectors [count, lanes] in words `address`.. of a slice of chip program `index`, and how many code words
        had to be corrected. Raises FlipError for one that cannot be."""
        with self.lock:
            return self.memories[index].read(unit, address, count)
