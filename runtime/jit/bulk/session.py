"""Sessions in bulk mode: a plan, its tables and the memory that they name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....dialects.machine.effects import Effect
from ....dialects.programs.issues import Issues
from ....dialects.programs.records import Program, program_length
from ...engine import RunStats
from ...host import HostSession
from ..cache import shared_kernel
from ..dots import DOTS
from ..lanes import QUARTER
from ..layout import BLOCK
from ..memory import address, put_lanes, stride_of, zeros
from ..session import JitSession
from .actions import SPACE_BITS, Space
from .chains import compiled_chain
from .compiled import CompiledBulk
from .emit import Emitter, Tables
from .gemm import array_bytes
from .half_gemm import INPUT_BYTES
from .ifetch import TextImage
from .plan import plan
from .rows import BLOCK_VECTORS, ENV_WORDS, OPERAND_WORDS, OPERANDS, ROWS_WORDS, Env, Group, Op, Operand, Step

_CALL = 1 << 16
"""Vectors of one call to the kernel, between which Python can see an interrupt."""


class BulkSession(HostSession):
    """A program loaded in bulk mode."""

    mode = "bulk"

    def __init__(self, program: Program, compiled: CompiledBulk, cached: bool = True):
        """Plans the program; `cached` says whether its chains are kept on disk. Raises Irregular where it must run in
        cycle mode."""
        self.program, self._compiled, self._cached = program, compiled, cached
        chip = program.system.chip
        dot, stride = DOTS[compiled.path](), stride_of(chip)
        size = -(-array_bytes(chip.lanes, stride, dot.unroll, QUARTER * dot.parts) // BLOCK) * BLOCK
        planned = plan(program)
        emitter = Emitter(planned, dot.unroll, size)
        tables = emitter.tables()
        self._sram = [zeros((2 * chip.slices, chip.words, stride), np.uint8) for _ in program.chips]
        width = max(dot.input_bytes, INPUT_BYTES if tables.sizes[Space.HALVES] else 0)
        self._inputs = zeros((BLOCK_VECTORS + 1, stride * width), np.uint8)
        self._spaces = [*self._own_spaces(tables), *self._sram]
        self._groups = tables.groups
        self._chains = [compiled_chain(c, compiled.path, cached) for c in tables.chains]
        self._rows, self._steps = self._placed(tables)
        self._env = zeros((ENV_WORDS,), np.int64)
        self._lanes = put_lanes(self._env, chip, stride)
        for word, table in ((Env.INPUTS, self._inputs), (Env.GROUPS, self._groups), (Env.STEPS, self._steps)):
            self._env[word] = address(table)
        done = np.cumsum(self._groups[:, Group.COUNT]) // _CALL
        self._calls = [*np.flatnonzero(np.diff(done, prepend=0)).tolist(), len(self._groups)]
        self._stats = _stats(planned.segments.issues)
        super().__init__(program, self._sram)
        self._text = [TextImage(c, chip) for c in program.chips]

    def _own_spaces(self, tables: Tables) -> list[npt.NDArray[np.uint8]]:
        """The memory of all spaces but SRAM, in their order. That of numbers is nowhere."""
        constants = np.repeat(np.array(tables.constants, np.uint32), BLOCK)
        sizes = {**tables.sizes, Space.CONSTANTS: constants.nbytes, Space.LISTS: tables.lists.nbytes, Space.NUMBERS: 0}
        spaces = [zeros((sizes[space],), np.uint8) for space in Space if space < Space.SRAM]
        spaces[Space.CONSTANTS][:] = constants.view(np.uint8)
        return spaces

    def _placed(self, tables: Tables) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows of installs and the steps, with addresses; puts the lists in their space."""
        bases = np.array([address(s) for s in self._spaces], np.int64)
        bases[Space.NUMBERS] = 0
        low = (1 << SPACE_BITS) - 1

        def place(words: npt.NDArray[np.int64]) -> None:
            words[...] = bases[words >> SPACE_BITS] + (words & low)

        rows, steps = tables.rows, tables.steps
        place(rows[:, ROWS_WORDS:])
        place(tables.lists)
        self._spaces[Space.LISTS][:] = tables.lists.view(np.uint8)
        calls = steps[:, Step.OP] == Op.CALL
        chains = np.array([c.address for c in self._chains], np.int64)
        steps[calls, Step.MODE] = chains[steps[calls, Step.MODE]]
        packs = np.isin(steps[:, Step.OP], (Op.PACK, Op.PACK_BYTES))
        from_rows = Step.OPERANDS + OPERAND_WORDS + Operand.BASE
        installs = steps[packs, from_rows]
        for operand in range(OPERANDS):
            place(steps[:, Step.OPERANDS + OPERAND_WORDS * operand + Operand.BASE])
        steps[packs, from_rows] = address(rows) + installs * rows.shape[1] * rows.itemsize
        return rows, steps

    def _run(self) -> RunStats:
        """The program has no hazard, unless its text in SRAM has been changed."""
        if not all(text.lies_in(sram) for text, sram in zip(self._text, self._sram, strict=True)):
            return self._run_by_cycle()
        first = 0
        for end in self._calls:
            self._compiled(address(self._env), first, end)
            first = end
        return RunStats(self._stats.cycles, self._stats.issues.copy())

    def _run_by_cycle(self) -> RunStats:
        """A run in cycle mode, which names the ifetch that takes what it must not."""
        session = JitSession(self.program, shared_kernel(self._compiled.path, self._cached))
        chips = range(len(self._sram))
        for i in chips:
            session.sram(i)[:] = self.sram(i)
        stats = session.run()
        for i in chips:
            self.sram(i)[:] = session.sram(i)
        return stats


def _stats(issues: Issues) -> RunStats:
    """What a run of a program without hazards does."""
    program = issues.program
    spec = program.system.chip
    counts = np.zeros((len(program.chips), len(spec.queues)), np.int64)
    last = np.full(len(program.chips), -1)
    places: npt.NDArray[np.int64] = np.array(
        [(s.chip, spec.queue_numbers[s.queue.name]) for s in issues.shapes], np.int64
    ).reshape(-1, 2)
    counted = issues.kind != Effect.FETCH
    chip, queue = places[issues.shape[counted]].T
    np.add.at(counts, (chip, queue), issues.sizes[counted])
    np.maximum.at(last, chip, issues.last[counted])
    return RunStats(tuple(program_length(cycle, program.system) for cycle in last.tolist()), counts)
