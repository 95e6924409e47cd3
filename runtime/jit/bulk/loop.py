"""The steps of one group: a loop over vectors, with buffers for a block of them.

All that reads memory comes before all that writes it, so that a round may write the words that it has read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from ..arithmetic import SPECIAL
from ..layout import BLOCK, Finish, Form
from .chains import LANEWISE, VECTORS, WIDTHS, Chain, Link, Memory, Register
from .issues import CHAIN_BYTE, OPERAND_SLOTS, Kind, Shape
from .rows import BLOCK_VECTORS, OPERAND_WORDS, OPERANDS, STEP_WORDS, Op, Step

SPACE_BITS = 48
"""An address is space << SPACE_BITS | offset."""

CHAINED = 256
"""The least vectors of a group whose chains are compiled."""

_BUFFER_BYTES = 24 << 10
"""What a block's buffers may take of the first-level cache."""

_WIDEN = {1: Op.WIDEN_1, 2: Op.WIDEN_2, 4: Op.WIDEN_4}
_SIGN = {Form.SIGNED_8: Op.SIGN_8, Form.SIGNED_16: Op.SIGN_16}
_FINISH = {Finish.SIGN_8: Op.SIGN_8, Finish.SIGN_16: Op.SIGN_16}
_NARROW = {1: Op.NARROW_1, 2: Op.NARROW_2, 4: Op.NARROW_4}


class Space(IntEnum):
    """Where an address lies. From SRAM on there is one for each chip."""

    ZERO = 0
    """A vector of zeros."""
    CONSTANTS = 1
    """Immediates, a block of 32-bit lanes each."""
    BUFFERS = 2
    """Buffers of the group that runs."""
    ENTRIES = 3
    """Accumulators, in wide order."""
    ARRAYS = 4
    """Installed weights, one array for each plane."""
    KEPT = 5
    """Byte planes that leave their group other than to SRAM."""
    SRAM = 6


def place_in(space: int, offset: int) -> int:
    return space << SPACE_BITS | offset


class Place(NamedTuple):
    """Where the vectors of an operand lie. A buffer has its number in `base` and gets its address last."""

    base: int
    outer: int
    inner: int
    buffer: str = ""
    """`wide` or `plane` for a buffer of the group."""


class _Action(NamedTuple):
    op: Op
    mode: int
    operands: tuple[Place, ...]
    """As in a row of `Step`; the first is the result, but of NARROW the source."""


def _chains(action: _Action) -> bool:
    """Whether an action may be part of a chain. Special functions are too long to be compiled for each."""
    return action.op in (*LANEWISE, *WIDTHS) and not (action.op == Op.ALU and action.mode in SPECIAL)


class Source(Protocol):
    """What a loop asks about its segments and their edges, by number."""

    stride: int
    times: list[int]
    counts: list[int]
    producers: list[int]
    """By edge, the segment from which it comes."""
    bytes: list[int]
    """By edge, which byte plane of the result."""
    from_memory: list[bool]
    vectors_of: dict[int, int]
    """By segment of `acc`, the `abc` whose sums it takes."""
    kept: dict[tuple[int, int], Place]
    """Byte planes that leave their group other than to SRAM, by segment and byte."""
    live: set[int]
    """Segments of `acc` whose entries later ones read."""
    planes: int
    """Planes of a chip."""
    chains: dict[Chain, int]
    """The chains of all groups, numbered."""
    buffer_bytes: int
    """The most that a group's buffers have taken."""

    def shape(self, segment: int) -> Shape: ...
    def edges(self, segment: int) -> dict[int, int]: ...
    def memory(self, edge: int) -> Place | None: ...
    def words(self, segment: int) -> Place: ...
    def entries(self, segment: int) -> Place: ...
    def array(self, plane: int) -> int: ...
    def constant(self, bits: int) -> Place: ...


class Loop:
    """The steps of one group."""

    def __init__(self, source: Source, members: Sequence[int], kept: Mapping[int, list[int]], updates: bool):
        """`kept` holds, by segment, the byte planes that leave the group other than to memory; `updates` says that a
        round writes what it reads."""
        self.source, self.kept, self.updates = source, kept, updates
        self.members = sorted(members, key=lambda s: (source.times[s], s))
        self.blocks = source.stride // BLOCK
        self.actions: list[_Action] = []
        self.values: dict[int, Place] = {}
        """By segment, its result in wide order."""
        self.planes: dict[int, list[Place]] = {}
        """By segment, its result as byte planes in buffers."""
        self.widened: dict[tuple[object, ...], Place] = {}
        """Operands in wide order, by where their byte planes come from."""
        self.immediates: dict[Place, int] = {}
        """Bits, by where they lie."""
        self.buffers = 0

    def emit(self, steps: list[list[int]]) -> int:
        """Appends the steps; gives the vectors of a block."""
        of = self.source
        writes = [s for s in self.members if of.shape(s).kind == Kind.WRITE]
        results = [s for s in self.members if of.shape(s).kind in (Kind.ACCUMULATE, Kind.ALU)]
        wanted = self._wanted(results, writes)
        for segment in results:
            if of.shape(segment).kind == Kind.ACCUMULATE:
                self._accumulate(segment, segment in wanted)
            elif segment in wanted:
                self._alu(segment)
        self._write(writes, [s for s in results if s in wanted])
        return self._append(steps)

    def _wanted(self, results: Sequence[int], writes: Sequence[int]) -> set[int]:
        """The segments whose results are used."""
        wanted = {s for s in results if s in self.kept}
        for segment in writes:
            wanted.update(self._producers(segment))
        for segment in reversed(results):
            if self.source.shape(segment).kind == Kind.ACCUMULATE:
                wanted.update(self._producers(self.source.vectors_of[segment]))
            elif segment in wanted:
                wanted.update(self._producers(segment))
        return wanted

    def _producers(self, segment: int) -> Iterable[int]:
        of = self.source
        return [of.producers[e] for e in of.edges(segment).values() if not of.from_memory[e]]

    # -- operands ----------------------------------------------------------------------------------------------

    def _wide_buffer(self) -> Place:
        self.buffers += 1
        return Place(self.buffers, 0, 4 * self.source.stride, "wide")

    def _plane_buffer(self) -> Place:
        self.buffers += 1
        return Place(self.buffers, 0, self.source.stride, "plane")

    def _act(self, op: Op, mode: int, *operands: Place) -> None:
        self.actions.append(_Action(op, mode, operands))

    def _plane(self, edge: int) -> Place:
        """The byte plane that an edge brings."""
        if (place := self.source.memory(edge)) is not None:
            return place
        segment = self.source.producers[edge]
        if segment not in self.planes:
            self.planes[segment] = [self._plane_buffer() for _ in range(self.source.shape(segment).width)]
            self._narrow(segment, self.planes[segment])
        return self.planes[segment][self.source.bytes[edge]]

    def _narrow(self, segment: int, planes: Sequence[Place]) -> None:
        self._act(_NARROW[len(planes)], 0, self.values[segment], *planes)

    def _operand(self, segment: int, operand: int, form: Form) -> Place:
        """An operand of an ALU: in wide order without gaps, or an immediate."""
        of, shape = self.source, self.source.shape(segment)
        if operand in shape.immediates:
            place = of.constant(shape.immediates[operand])
            self.immediates[place] = shape.immediates[operand]
            return place
        by_slot = of.edges(segment)
        first = OPERAND_SLOTS * operand
        if of.bytes[by_slot[first]] == CHAIN_BYTE:
            return self._signed(of.producers[by_slot[first]], form)
        edges = [by_slot[first + i] for i in range(shape.widths[operand])]
        producer = of.producers[edges[0]]
        one = all(not of.from_memory[e] and of.producers[e] == producer for e in edges)
        if one and [of.bytes[e] for e in edges] == list(range(len(edges))):
            return self._signed(producer, form)
        planes = [self._plane(e) for e in edges]
        key = tuple(planes)
        if key not in self.widened:
            self.widened[key] = self._wide_buffer()
            self._act(_WIDEN[len(planes)], 0, self.widened[key], *planes)
        return self.widened[key]

    def _signed(self, segment: int, form: Form) -> Place:
        """A result as an operand of a form that takes its low bits."""
        place = self._dense(segment)
        if form == Form.WORD:
            return place
        key = (form, place)
        if key not in self.widened:
            self.widened[key] = self._wide_buffer()
            self._act(_SIGN[form], 0, self.widened[key], place)
        return self.widened[key]

    def _dense(self, segment: int) -> Place:
        """A result in wide order without gaps."""
        place = self.values[segment]
        if place.inner == 4 * self.source.stride:
            return place
        key = ("dense", segment)
        if key not in self.widened:
            self.widened[key] = self._wide_buffer()
            self._act(Op.COPY, 4 * self.blocks, self.widened[key], place)
        return self.widened[key]

    # -- results -----------------------------------------------------------------------------------------------

    def _alu(self, segment: int) -> None:
        shape = self.source.shape(segment)
        assert shape.does is not None
        operands = [self._operand(segment, i, form) for i, form in enumerate(shape.does.forms)]
        result = self.values[segment] = self._wide_buffer()
        self._act(Op.ALU, shape.does.alu, result, *operands)
        if shape.to_chain and shape.does.finish != Finish.NONE:  # a stream takes the low bytes only
            self.values[segment] = self._wide_buffer()
            self._act(_FINISH[shape.does.finish], 0, self.values[segment], result)

    def _accumulate(self, segment: int, wanted: bool) -> None:
        of, shape = self.source, self.source.shape(segment)
        adds, live = shape.value("mode"), segment in of.live
        if not (wanted or live):
            return
        vectors = of.vectors_of[segment]
        (edge,) = of.edges(vectors).values()
        x = self._plane(edge)
        target = of.entries(segment) if adds or live else self._wide_buffer()
        array = Place(of.array(shape.chip * of.planes + shape.queue.unit), 0, 0)
        self._act(Op.MULTIPLY, adds, target, x, array)
        self.values[segment] = target

    def _write(self, writes: Sequence[int], results: Sequence[int]) -> None:
        """What goes to memory."""
        of = self.source
        targets: dict[int, dict[int, list[Place]]] = {s: {} for s in results}
        copies: list[tuple[Place, Place]] = []
        for segment in writes:
            (edge,) = of.edges(segment).values()
            if (place := of.memory(edge)) is not None:
                copies.append((of.words(segment), place))
            else:
                targets[of.producers[edge]].setdefault(of.bytes[edge], []).append(of.words(segment))
        for segment in results:
            for byte in self.kept.get(segment, ()):
                targets[segment].setdefault(byte, []).append(of.kept[segment, byte])
        for segment, by_byte in targets.items():
            self._store(segment, by_byte)
        for segment in self.members:
            if of.shape(segment).kind == Kind.READ:
                copies.append((of.kept[segment, 0], of.words(segment)))
        if self.updates:  # what is copied is read before anything is written
            for i, (target, source) in enumerate(copies):
                copies[i] = target, self._plane_buffer()
                self.actions.insert(i, _Action(Op.COPY, self.blocks, (copies[i][1], source)))
        for target, source in copies:
            self._act(Op.COPY, self.blocks, target, source)

    def _store(self, segment: int, targets: Mapping[int, list[Place]]) -> None:
        """Stores the byte planes of a result at one or more places each."""
        width = self.source.shape(segment).width
        for i in range(max((len(places) for places in targets.values()), default=0)):
            planes = {byte: places[i] for byte, places in targets.items() if i < len(places)}
            if len(planes) < width:  # what nobody wants goes to a buffer
                nowhere = self._plane_buffer()
                planes = {byte: planes.get(byte, nowhere) for byte in range(width)}
            self._narrow(segment, [planes[byte] for byte in range(width)])

    # -- chains ------------------------------------------------------------------------------------------------

    def _chained(self) -> list[_Action]:
        """The actions, those in a row that work lane by lane being one chain."""
        actions: list[_Action] = []
        start = 0
        while start < len(self.actions):
            end = start
            while end < len(self.actions) and _chains(self.actions[end]):
                end += 1
            if end - start > 1:
                later = {p.base for a in self.actions[end:] for p in a.operands if p.buffer}
                actions.append(self._chain(self.actions[start:end], later))
            else:
                end = start + 1
                actions.append(self.actions[start])
            start = end
        return actions

    def _chain(self, actions: Sequence[_Action], later: set[int]) -> _Action:
        """Some actions as a chain; `later` are the buffers that are used after it."""
        places: dict[Place, Memory] = {}
        registers: dict[Place, Register] = {}

        def operand(place: Place) -> Register | Memory:
            bits = self.immediates.get(place, VECTORS)
            return registers.get(place) or places.setdefault(place, Memory(len(places), bits))

        def memory(place: Place) -> Memory:
            return places.setdefault(place, Memory(len(places)))

        links: list[Link] = []
        for op, mode, (first, *others) in actions:
            inputs = [operand(p) if op in LANEWISE else memory(p) for p in others]
            if op in (Op.NARROW_1, Op.NARROW_2, Op.NARROW_4):
                links.append(Link(op, mode, (operand(first), *inputs)))
            else:
                registers[first] = Register(len(registers))
                links.append(Link(op, mode, (registers[first], *inputs)))
        for place, register in registers.items():
            if place.base in later:
                links.append(Link(Op.COPY, 0, (register, memory(place))))
        number = self.source.chains.setdefault(tuple(links), len(self.source.chains))
        return _Action(Op.CALL, number, tuple(places))

    # -- buffers -----------------------------------------------------------------------------------------------

    def _append(self, steps: list[list[int]]) -> int:
        """Gives buffers their addresses and appends the rows; gives the vectors of a block."""
        if self.source.counts[self.members[0]] >= CHAINED:
            self.actions = self._chained()
        last = {p.base: i for i, a in enumerate(self.actions) for p in a.operands if p.buffer}
        free: dict[str, list[int]] = {"wide": [], "plane": []}
        used = {"wide": 0, "plane": 0}
        index: dict[int, int] = {}
        for i, action in enumerate(self.actions):
            for p in action.operands:
                if p.buffer and p.base not in index:
                    if not free[p.buffer]:
                        free[p.buffer].append(used[p.buffer])
                        used[p.buffer] += 1
                    index[p.base] = free[p.buffer].pop()
            done = {p.base: p.buffer for p in action.operands if p.buffer and last[p.base] == i}
            for number, kind in done.items():
                free[kind].append(index[number])
        per_vector = self.source.stride * (4 * used["wide"] + used["plane"])
        block = self._block(per_vector)
        self.source.buffer_bytes = max(self.source.buffer_bytes, block * per_vector)
        planes_from = used["wide"] * 4 * self.source.stride * block
        for action in self.actions:
            rows = [[0] * STEP_WORDS for _ in range(-(-len(action.operands) // OPERANDS))]
            for row in rows:
                row[Step.OP] = Op.MORE
            rows[0][Step.OP], rows[0][Step.MODE] = action.op, action.mode
            for i, p in enumerate(action.operands):
                base = p.base
                if p.buffer:
                    offset = index[p.base] * p.inner * block + (planes_from if p.buffer == "plane" else 0)
                    base = place_in(Space.BUFFERS, offset)
                word = Step.OPERANDS + OPERAND_WORDS * (i % OPERANDS)
                rows[i // OPERANDS][word : word + OPERAND_WORDS] = base, p.outer, p.inner
            steps += rows
        return block

    def _block(self, per_vector: int) -> int:
        """The vectors of a block whose buffers take so many bytes a vector."""
        count = self.source.counts[self.members[0]]
        if any(a.op == Op.MULTIPLY for a in self.actions):
            return BLOCK_VECTORS
        if not per_vector:
            return count
        return max(1, min(BLOCK_VECTORS, _BUFFER_BYTES // per_vector))
