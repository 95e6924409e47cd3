"""From a plan to the kernel's tables: the steps of every group, its buffers, and the rows of every install.

Addresses are a space and an offset in it until a session says where its memory is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from ..layout import BLOCK, GROUP
from ..memory import stride_of
from .chains import SPECIAL, Chain, generic
from .issues import Ints, Irregular, Kind, Shape, limit_number, ranges
from .loop import SPACE_BITS, Loop, Place, Space, place_in
from .plan import Plan
from .rows import OPERAND_WORDS, ROWS_WORDS, STEP_WORDS, Op, Step

MOST_KEPT = 1 << 28
"""Bytes of vectors that pass from group to group other than through SRAM, beyond which cycle mode runs the program."""


@dataclass
class Tables:
    """What the kernel runs."""

    groups: Ints
    """[groups, GROUP_WORDS]"""
    steps: Ints
    """[steps, STEP_WORDS], bases as spaces and offsets."""
    rows: Ints
    """[installs, words of `Rows`], addresses likewise."""
    constants: list[int]
    """The immediates."""
    chains: list[Chain]
    """The chains, by the number in the mode of a CALL."""
    sizes: dict[Space, int]
    """Bytes of the spaces but SRAM and constants."""


class Emitter:
    """Emits the tables of a plan."""

    def __init__(self, plan: Plan, unroll: int, array_size: int):
        """`unroll` and `array_size` are those of the kernel's path: groups of rows at a time, bytes of an array."""
        self.plan, self.segments = plan, plan.segments
        self.issues = plan.segments.issues
        self.spec = self.issues.spec
        self.stride = stride_of(self.spec)
        self.unroll, self.array_size = unroll, array_size
        self.live, self.planes = plan.live, self.spec.planes
        self.constants: dict[int, int] = {}
        self.chains: dict[Chain, int] = {}
        self.kept: dict[tuple[int, int], Place] = {}
        """Byte planes that leave their group, by producing segment and byte."""
        self.kept_bytes = self.buffer_bytes = 0
        self._prepare()

    def _prepare(self) -> None:
        """The columns of edges and segments as lists."""
        segments, issues = self.segments, self.issues
        edges = segments.flow.edges
        run = issues.run_of(edges.p)
        record = issues.record_of(edges.p)
        units: Ints = np.array([(s.chip, s.queue.unit) for s in issues.shapes], np.int64).reshape(-1, 2)
        chip, unit = units[issues.shape[record], 0], units[issues.shape[record], 1]
        word = unit * self.spec.words + issues.value_of(edges.p)
        self.from_memory = (issues.kind[record] == Kind.READ).tolist()
        self.memory_base = (Space.SRAM + chip << SPACE_BITS) + word * self.stride
        self.memory_step = issues.runs.step[run] * self.stride
        captured, producer = np.flatnonzero(self.plan.captured), segments.of(edges.p)
        for edge, segment in zip(captured.tolist(), producer[captured].tolist(), strict=True):
            place = self._keep(segment, 0)
            self.memory_base[edge] = place.base + (edges.p[edge] - segments.first[segment]) * self.stride
            self.memory_step[edge] = self.stride
        self._memory = list(zip(self.memory_base.tolist(), self.memory_step.tolist(), strict=True))
        self.producers, self.bytes, self.slots = producer.tolist(), edges.byte.tolist(), edges.slot.tolist()
        first = segments.first
        self._edge_range: list[int] = np.searchsorted(edges.c, np.append(first, issues.offsets[-1])).tolist()
        self._shapes = [issues.shape_of(record) for record in issues.record_of(first).tolist()]
        self.counts, self.times = segments.count.tolist(), segments.time.tolist()
        self._values, steps = issues.value_of(first).tolist(), issues.runs.step[issues.run_of(first)]
        self._value_steps = steps.tolist()
        sums = segments.flow.sums
        self.vectors_of = dict(zip(segments.of(sums.c).tolist(), segments.of(sums.p).tolist(), strict=True))

    def shape(self, segment: int) -> Shape:
        return self._shapes[segment]

    def edges(self, segment: int) -> dict[int, int]:
        """The edges that a segment samples, by slot."""
        return {self.slots[e]: e for e in range(self._edge_range[segment], self._edge_range[segment + 1])}

    def memory(self, edge: int) -> Place | None:
        """The words from which an edge comes, or None if it does not come from memory."""
        if not self.from_memory[edge]:
            return None
        base, step = self._memory[edge]
        return Place(base, step, step)

    def words(self, segment: int) -> Place:
        """The words that a segment of reads or writes names."""
        shape, step = self.shape(segment), self._value_steps[segment] * self.stride
        word = shape.queue.unit * self.spec.words + self._values[segment]
        return Place(place_in(Space.SRAM + shape.chip, word * self.stride), step, step)

    def entries(self, segment: int) -> Place:
        """The accumulators that a segment sets or adds to."""
        shape, size = self.shape(segment), 4 * self.stride
        plane = shape.chip * self.spec.planes + shape.queue.unit
        entry = plane * self.spec.accumulators + self._values[segment]
        step = self._value_steps[segment] * size
        return Place(place_in(Space.ENTRIES, entry * size), step, step)

    def array(self, plane: int) -> int:
        """The address of a plane's array; `plane` is chip * planes + plane."""
        return place_in(Space.ARRAYS, plane * self.array_size)

    def constant(self, bits: int) -> Place:
        offset = self.constants.setdefault(bits, len(self.constants)) * 4 * BLOCK
        return Place(place_in(Space.CONSTANTS, offset), 0, 0)

    def tables(self) -> Tables:
        plan = self.plan
        members: list[list[int]] = [[] for _ in range(plan.groups)]
        for segment in np.flatnonzero(plan.group >= 0).tolist():
            members[int(plan.group[segment])].append(segment)
        rows = self._rows()
        used = set(self.segments.flow.entries.slot.tolist())
        kept: dict[int, list[int]] = defaultdict(list)
        for segment, byte in self.kept:
            kept[segment].append(byte)
        groups: list[tuple[int, int, int, int]] = []
        steps: list[list[int]] = []
        for node in plan.nodes:
            start = len(steps)
            if node >= plan.groups:
                if (install := node - plan.groups) in used:
                    steps.append(self._pack(install))
                    groups.append((start, start + 1, 1, 1))
                continue
            block = Loop(self, members[node], kept, node in plan.updates).emit(steps)
            if len(steps) > start:
                groups.append((start, len(steps), self.counts[members[node][0]], block))
        sizes = {
            Space.ZERO: self.stride,
            Space.BUFFERS: self.buffer_bytes,
            Space.ENTRIES: len(self.issues.program.chips) * self.spec.planes * self.spec.accumulators * 4 * self.stride,
            Space.ARRAYS: len(self.issues.program.chips) * self.spec.planes * self.array_size,
            Space.KEPT: self.kept_bytes,
        }
        table = np.array(steps, np.int64).reshape(-1, STEP_WORDS)
        chains = list(self.chains)
        if len(chains) > SPECIAL:
            chains = [generic(c) for c in chains]
        return Tables(
            np.array(groups, np.int64).reshape(-1, 4), table, rows, list(self.constants), list(self.chains), sizes
        )

    # -- weights -----------------------------------------------------------------------------------------------

    def _pack(self, install: int) -> list[int]:
        """The step of an install. Its second operand is the number of its rows."""
        row = [0] * STEP_WORDS
        row[Step.OP] = Op.PACK
        row[Step.OPERANDS] = self.array(int(self.segments.flow.installs.plane[install]))
        row[Step.OPERANDS + OPERAND_WORDS] = install
        return row

    def _rows(self) -> Ints:
        """The rows of all installs; keeps what goes to them other than from memory."""
        issues, edges = self.issues, self.segments.flow.edges
        load = np.flatnonzero(issues.kind_of(edges.c) == Kind.LOAD)
        install = self.segments.flow.loads[issues.record_of(edges.c[load])]
        load, install = load[install >= 0], install[install >= 0]
        base, step = self.memory_base[load], self.memory_step[load]
        for i in np.flatnonzero(issues.kind_of(edges.p[load]) != Kind.READ).tolist():
            segment = self.producers[load[i]]
            place = self._keep(segment, self.bytes[load[i]])
            base[i] = place.base + (edges.p[load[i]] - self.segments.first[segment]) * self.stride
            step[i] = self.stride
        width = self.spec.weight_streams
        count = edges.count[load]
        limit_number(count)
        owner, i = np.repeat(np.arange(len(load)), count), ranges(0 * count, count)
        group = issues.value_of(edges.c[load])[owner] + i * issues.runs.step[issues.run_of(edges.c[load])][owner]
        groups = -(-self.spec.lanes // GROUP) + self.unroll
        table = np.full((len(self.segments.flow.installs.issue), groups * GROUP), place_in(Space.ZERO, 0))
        table[install[owner], group * width + edges.slot[load][owner]] = base[owner] + i * step[owner]
        return self._used(table.reshape(len(table), groups, GROUP))

    def _used(self, table: Ints) -> Ints:
        """The rows [installs, groups, GROUP] without the groups of zeros before and after."""
        filled = (table != place_in(Space.ZERO, 0)).any(axis=2)
        groups = table.shape[1]
        rows = np.zeros((len(table), ROWS_WORDS + groups * GROUP), np.int64)
        for row, own, used in zip(rows, table, filled, strict=True):
            numbers = np.flatnonzero(used)
            if len(numbers):
                first = int(numbers[0])
                count = -(-(int(numbers[-1]) + 1 - first) // self.unroll) * self.unroll
                row[0], row[1] = count, first
                taken = own[first : first + count].ravel()
                row[ROWS_WORDS : ROWS_WORDS + len(taken)] = taken
        return rows

    def _keep(self, segment: int, byte: int) -> Place:
        """Room for a byte plane that leaves its group."""
        if (segment, byte) not in self.kept:
            self.kept[segment, byte] = Place(place_in(Space.KEPT, self.kept_bytes), self.stride, self.stride)
            self.kept_bytes += int(self.segments.count[segment]) * self.stride
            if self.kept_bytes > MOST_KEPT:
                raise Irregular("too many vectors between groups")
        return self.kept[segment, byte]
