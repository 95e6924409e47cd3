"""From a plan to the kernel's tables: the steps of every group, its buffers, and the rows of every install.

Addresses are a space and an offset in it until a session says where its memory is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....dialects.machine.effects import Effect
from ....dialects.machine.intervals import Ints, join, ranges, split
from ....dialects.programs.issues import Shape
from ..layout import BLOCK, GROUP
from ..memory import stride_of
from .actions import SPACE_BITS, Place, Space, Steps, place_in
from .chains import SPECIAL, Chain, generic
from .half_gemm import weight_bytes
from .irregular import Irregular, limit_number
from .loop import Input, Kept, Loop, Member
from .plan import Plan
from .rows import LISTED, OPERAND_WORDS, ROWS_WORDS, STEP_WORDS, Op, Step

CHAINED = 256
"""The least vectors of a group whose chains are compiled."""

MOST_KEPT = 1 << 28
"""Bytes of vectors that pass from group to group other than through SRAM, beyond which cycle mode runs the program."""

MOST_LISTED = 1 << 24
"""Vectors whose addresses are listed."""


@dataclass
class Tables:
    """What the kernel runs."""

    groups: Ints
    """[groups, GROUP_WORDS]"""
    steps: Ints
    """[steps, STEP_WORDS], bases as spaces and offsets."""
    rows: Ints
    """[installs, words of `Rows`], addresses likewise."""
    lists: Ints
    """Addresses, likewise."""
    constants: list[int]
    """The immediates."""
    chains: list[Chain]
    """The chains, by the number in the mode of a CALL."""
    sizes: dict[Space, int]
    """Bytes of the spaces but SRAM, constants and lists."""


class _Places:
    """Where the vectors of operands lie: [operands] bases and, from one vector to the next, bytes."""

    def __init__(self, owner: Ints, base: Ints, step: Ints, count: Ints, listed: list[Ints]):
        """Parts of operands, ascending by `owner`: so many vectors from a base on. What has several parts is listed;
        `listed` are the lists so far."""
        heads = np.flatnonzero(np.diff(owner, prepend=-1))
        parts = np.diff(np.append(heads, len(owner)))
        self.base, self.inner = base[heads], step[heads]
        self.outer = self.inner.copy()
        several = parts > 1
        inside = np.repeat(several, parts)
        limit_number(count[inside], MOST_LISTED)
        part = np.repeat(np.flatnonzero(inside), count[inside])
        number = ranges(0 * count[inside], count[inside])
        sizes = np.add.reduceat(count, heads)[several] if len(heads) else count
        first = sum(len(own) for own in listed) + np.cumsum(sizes) - sizes
        self.base[several], self.outer[several] = (Space.LISTS << SPACE_BITS) + 8 * first, 8
        self.inner[several] = LISTED
        listed.append(base[part] + number * step[part])

    def words(self) -> list[tuple[int, int, int]]:
        """As the words of an operand."""
        return list(zip(self.base.tolist(), self.outer.tolist(), self.inner.tolist(), strict=True))


class Emitter:
    """Emits the tables of a plan."""

    def __init__(self, plan: Plan, unroll: int, array_size: int):
        """`unroll` and `array_size` are those of the kernel's path: groups of rows at a time, bytes of an array."""
        self.plan, self.segments = plan, plan.segments
        self.issues = plan.segments.issues
        self.spec = self.issues.spec
        self.stride = stride_of(self.spec)
        self.unroll, self.array_size = unroll, array_size
        self.constants: dict[int, int] = {}
        self.chains: dict[Chain, int] = {}
        self.kept: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
        """Addresses of byte planes that leave their group, by producing segment, byte and superlanes."""
        self.lists: list[Ints] = []
        self.kept_bytes = self.buffer_bytes = 0
        self._steps: dict[tuple[object, ...], Steps] = {}
        self._prepare_edges()
        self._prepare_segments()

    # -- what loops ask ----------------------------------------------------------------------------------------

    def shape(self, number: int) -> Shape:
        return self.issues.shapes[number]

    def weights(self, shape: Shape) -> Place:
        plane = shape.chip * self.spec.planes + shape.queue.unit
        if shape.kind == Effect.ENTER:
            return Place(self._array(plane))
        return Place(place_in(Space.HALVES, plane * weight_bytes(self.spec.lanes, self.stride)))

    def constant(self, bits: int) -> Place:
        return Place(place_in(Space.CONSTANTS, self.constants.setdefault(bits, len(self.constants)) * 4 * BLOCK))

    def _array(self, plane: int) -> int:
        """The address of a plane's array; `plane` is chip * planes + plane."""
        return place_in(Space.ARRAYS, plane * self.array_size)

    # -- preparation -------------------------------------------------------------------------------------------

    def _words(self, issue: Ints) -> tuple[Ints, Ints]:
        """The addresses of the words that issues of MEM name, and the bytes to the next issue's."""
        units: Ints = np.array([(s.chip, s.queue.unit) for s in self.issues.shapes], np.int64).reshape(-1, 2)
        chip, unit = units[self.issues.shape[self.issues.record_of(issue)]].T
        value, step = self.issues.value_of(issue)
        return (Space.SRAM + chip << SPACE_BITS) + (unit * self.spec.words + value) * self.stride, step * self.stride

    def _prepare_edges(self) -> None:
        """Where edges come from, and the inputs of segments: all edges of a slot."""
        segments, issues = self.segments, self.issues
        edges = segments.flow.edges
        producer, consumer = segments.of(edges.p), segments.of(edges.c)
        from_memory = issues.kind_of(edges.p) == Effect.READ
        self.base, self.step = np.zeros((2, len(edges.p)), np.int64)
        self.base[from_memory], self.step[from_memory] = self._words(edges.p[from_memory])
        for edge in np.flatnonzero(self.plan.captured).tolist():
            tiles = int(edges.tiles[edge]) if issues.kind_of(edges.c[[edge]])[0] == Effect.LOAD else self.spec.tiles
            place = self._keep(int(producer[edge]), 0, tiles)
            self.base[edge] = place + (edges.p[edge] - segments.first[producer[edge]]) * self.stride
            self.step[edge] = self.stride
        taken = np.flatnonzero(issues.kind_of(edges.c) != Effect.LOAD)
        key = consumer[taken] * (1 << 16) + edges.slot[taken]
        heads = taken[np.diff(key, prepend=-1) != 0]
        owner = np.cumsum(np.diff(key, prepend=-1) != 0) - 1
        places = _Places(owner, self.base[taken], self.step[taken], edges.count[taken], self.lists)
        self._places = places.words()
        columns = (edges.slot, np.where(from_memory, -1, producer), edges.byte, edges.tiles)
        self._inputs = list(zip(*(column[heads].tolist() for column in columns), strict=True))
        self._input_range = np.searchsorted(consumer[heads], np.arange(len(segments.first) + 1)).tolist()

    def _prepare_segments(self) -> None:
        """What segments name: words, entries, or a slice and numbers; and which sums and weights meet."""
        segments, issues, spec = self.segments, self.issues, self.spec
        kind, flow = segments.kind, segments.flow
        self._shapes = issues.shape[issues.record_of(segments.first)].tolist()
        self._target: dict[int, tuple[int, int, int]] = {}
        named = np.flatnonzero(np.isin(kind, (Effect.READ, Effect.WRITE)))
        piece, begin, count = split(segments.first[named], segments.count[named], issues.moves.first)
        base, step = self._words(segments.first[named][piece] + begin)
        words = _Places(piece, base, step, count, self.lists).words()
        self._target.update(zip(named.tolist(), words, strict=True))
        mapped = np.flatnonzero(np.isin(kind, (Effect.GATHER, Effect.SCATTER)))
        value, step = issues.value_of(segments.first[mapped])
        self._number = {
            segment: (place_in(Space.NUMBERS, number), move, move)
            for segment, number, move in zip(mapped.tolist(), value.tolist(), step.tolist(), strict=True)
        }
        takers = np.flatnonzero(kind == Effect.ACCUMULATE)
        value, step = issues.value_of(segments.first[takers])
        for segment in mapped.tolist():
            shape = self.shape(self._shapes[segment])
            place = place_in(Space.SRAM + shape.chip, shape.queue.unit * spec.words * self.stride)
            self._target[segment] = place, 0, 0
        size = 4 * self.stride
        for segment, entry, move in zip(takers.tolist(), value.tolist(), step.tolist(), strict=True):
            shape = self.shape(self._shapes[segment])
            plane = shape.chip * spec.planes + shape.queue.unit
            place = place_in(Space.ENTRIES, (plane * spec.accumulators + entry) * size)
            self._target[segment] = place, move * size, move * size
        self._counts = segments.count.tolist()
        self._vectors = dict(zip(segments.of(flow.sums.c).tolist(), segments.of(flow.sums.p).tolist(), strict=True))
        entries = flow.entries
        half = np.isin(issues.kind_of(entries.c), Effect.ENTER_PAIR)
        self._pairs: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        """By segment of fp16 vectors, the installs of low and high bytes that they meet."""
        of = (segments.of(entries.c[half]).tolist(), entries.byte[half].tolist(), entries.slot[half].tolist())
        for segment, byte, install in zip(*of, strict=True):
            self._pairs[segment][byte] = install
        self._bytes, self._arrays = {*entries.slot[half].tolist()}, {*entries.slot[~half].tolist()}
        """Installs whose weights fp16 vectors meet, and those whose weights int8 vectors do."""

    def _keep(self, segment: int, byte: int, tiles: int) -> int:
        """The address of the room for a byte plane that leaves its group."""
        kept = self.kept[segment]
        if (byte, tiles) not in kept:
            kept[byte, tiles] = place_in(Space.KEPT, self.kept_bytes)
            self.kept_bytes += int(self.segments.count[segment]) * self.stride
            if self.kept_bytes > MOST_KEPT:
                raise Irregular("too many vectors between groups")
        return kept[byte, tiles]

    # -- all ---------------------------------------------------------------------------------------------------

    def tables(self) -> Tables:
        plan, spec = self.plan, self.spec
        rows = self._rows()
        order = np.lexsort((self.segments.first, self.segments.time, plan.group))
        bounds = np.searchsorted(plan.group[order], np.arange(plan.groups + 1)).tolist()
        members: list[int] = order.tolist()
        groups: list[tuple[int, int, int, int]] = []
        table: list[list[int]] = []
        self._paired: dict[int, tuple[int, ...]] = {}

        def add(step: list[int]) -> None:
            table.append(step)
            groups.append((len(table) - 1, len(table), 1, 1))

        for node in plan.nodes:
            if node >= plan.groups:
                for step in self._install(node - plan.groups):
                    add(step)
                continue
            group = members[bounds[node] : bounds[node + 1]]
            for step in self._pair(group):
                add(step)
            self._group(group, (node in plan.updates, node in plan.rewrites), table, groups)
        chips, planes = len(self.issues.program.chips), len(self.issues.program.chips) * spec.planes
        halves = planes if self._pairs else 0
        sizes = {
            Space.ZERO: self.stride,
            Space.BUFFERS: self.buffer_bytes,
            Space.ENTRIES: chips * spec.planes * spec.accumulators * 4 * self.stride,
            Space.ARRAYS: planes * self.array_size,
            Space.BYTES: halves * self._bytes_size,
            Space.HALVES: halves * weight_bytes(spec.lanes, self.stride),
            Space.KEPT: self.kept_bytes,
        }
        chains = list(self.chains)
        if len(chains) > SPECIAL:
            chains = [generic(c) for c in chains]
        steps = np.array(table, np.int64).reshape(-1, STEP_WORDS)
        groups_ = np.array(groups, np.int64).reshape(-1, 4)
        return Tables(groups_, steps, rows, join(self.lists), list(self.constants), chains, sizes)

    def _group(
        self,
        members: list[int],
        writes: tuple[bool, bool],
        table: list[list[int]],
        groups: list[tuple[int, int, int, int]],
    ) -> None:
        """Appends the steps of a group, its members being in the order of time. `writes` says whether a round writes
        what it reads, and whether it writes a word more than once."""
        count = self._counts[members[0]]
        places: list[tuple[int, int, int]] = []
        key = (self._members(members, places), *writes, count >= CHAINED)
        steps = self._steps.get(key)
        if steps is None:
            steps = self._steps[key] = Loop(self, *key).steps()
            self.buffer_bytes = max(self.buffer_bytes, steps.buffer_bytes)
        if steps.rows:
            first = len(table)
            table += [row.copy() for row in steps.rows]
            for row, word, number in steps.given:
                table[first + row][word : word + OPERAND_WORDS] = places[number]
            blocks = -(-count // (steps.block or count))
            groups.append((first, len(table), count, -(-count // blocks)))

    def _members(self, segments: Sequence[int], places: list[tuple[int, int, int]]) -> tuple[Member, ...]:
        """Segments as members of a group; appends the places that are the group's own."""
        numbers: dict[tuple[int, int, int], int] = {}
        of = {segment: i for i, segment in enumerate(segments)}

        def number(place: tuple[int, int, int]) -> int:
            if place not in numbers:
                numbers[place] = len(places)
                places.append(place)
            return numbers[place]

        members: list[Member] = []
        for segment in segments:
            inputs: list[Input] = []
            for i in range(self._input_range[segment], self._input_range[segment + 1]):
                slot, producer, byte, tiles = self._inputs[i]
                if producer < 0:
                    inputs.append(Input(slot, -1, number(self._places[i]), tiles))
                else:
                    inputs.append(Input(slot, of[producer], byte, tiles))
            target, added, vectors, live, dense = -1, -1, -1, False, False
            if (place := self._target.get(segment)) is not None:
                target, dense = number(place), place[2] == 4 * self.stride
            if (place := self._number.get(segment)) is not None:
                added = number(place)
            if (taken := self._vectors.get(segment)) is not None:
                vectors, live = of[taken], segment in self.plan.live
            kept: list[Kept] = []
            for (byte, tiles), address in self.kept[segment].items() if segment in self.kept else ():
                kept.append(Kept(byte, tiles, number((address, self.stride, self.stride))))
            members.append(
                Member(self._shapes[segment], tuple(inputs), target, added, vectors, live, dense, tuple(kept))
            )
        return tuple(members)

    # -- weights -----------------------------------------------------------------------------------------------

    @property
    def _bytes_size(self) -> int:
        """Bytes of the rows of a plane's weights."""
        return -(-self.spec.lanes // GROUP) * GROUP * self.stride

    def _bytes_of(self, plane: int) -> int:
        return place_in(Space.BYTES, plane * self._bytes_size)

    def _step(self, op: Op, *operands: int) -> list[int]:
        row = [0] * STEP_WORDS
        row[Step.OP] = op
        for i, base in enumerate(operands):
            row[Step.OPERANDS + OPERAND_WORDS * i] = base
        return row

    def _install(self, install: int) -> list[list[int]]:
        """The steps of an install, whose rows are named by its number."""
        plane = int(self.segments.flow.installs.plane[install])
        steps: list[list[int]] = []
        if install in self._arrays:
            steps.append(self._step(Op.PACK, self._array(plane), install))
        if install in self._bytes:
            steps.append(self._step(Op.PACK_BYTES, self._bytes_of(plane), install))
        return steps

    def _pair(self, group: Sequence[int]) -> list[list[int]]:
        """The steps that make the fp16 weights of a group, unless they are made."""
        steps: list[list[int]] = []
        for segment in group:
            if segment in self._pairs:
                shape, pair = self.shape(self._shapes[segment]), tuple(self._pairs[segment])
                weights = self.weights(shape).base
                if self._paired.get(weights) != pair:
                    self._paired[weights] = pair
                    planes = [int(self.segments.flow.installs.plane[install]) for install in pair]
                    steps.append(self._step(Op.PAIR, weights, *map(self._bytes_of, planes)))
        return steps

    def _rows(self) -> Ints:
        """The rows of all installs; keeps what goes to them other than from memory."""
        issues, edges = self.issues, self.segments.flow.edges
        load = np.flatnonzero(issues.kind_of(edges.c) == Effect.LOAD)
        install = self.segments.flow.loads[issues.record_of(edges.c[load])]
        load, install = load[install >= 0], install[install >= 0]
        base, step = self.base[load], self.step[load]
        for i in np.flatnonzero(issues.kind_of(edges.p[load]) != Effect.READ).tolist():
            edge = load[i]
            segment = int(self.segments.of(edges.p[[edge]])[0])
            place = self._keep(segment, int(edges.byte[edge]), int(edges.tiles[edge]))
            base[i] = place + (edges.p[edge] - self.segments.first[segment]) * self.stride
            step[i] = self.stride
        width = self.spec.weight_streams
        count = edges.count[load]
        limit_number(count)
        owner, i = np.repeat(np.arange(len(load)), count), ranges(0 * count, count)
        group, move = issues.value_of(edges.c[load])
        groups = -(-self.spec.lanes // GROUP) + self.unroll
        table = np.full((len(self.segments.flow.installs.issue), groups * GROUP), place_in(Space.ZERO, 0))
        row = (group[owner] + i * move[owner]) * width + edges.slot[load][owner]
        table[install[owner], row] = base[owner] + i * step[owner]
        return self._used_rows(table.reshape(len(table), groups, GROUP))

    def _used_rows(self, table: Ints) -> Ints:
        """The rows [installs, groups, GROUP] without the groups of zeros before and after."""
        filled = np.any(table != place_in(Space.ZERO, 0), axis=2)
        groups = table.shape[1]
        rows = np.zeros((len(table), ROWS_WORDS + groups * GROUP), np.int64)
        first: Ints = np.argmax(filled, axis=1)
        end: Ints = np.where(np.any(filled, axis=1), groups - np.argmax(filled[:, ::-1], axis=1), first)
        count = -(-(end - first) // self.unroll) * self.unroll
        rows[:, 0], rows[:, 1] = count, first
        number: Ints = np.arange(groups, dtype=np.int64)
        taken: Ints = (first[:, None] + number).clip(max=groups - 1)
        rows[:, ROWS_WORDS:] = table[np.arange(len(table))[:, None], taken].reshape(len(table), groups * GROUP)
        return rows
