"""What the steps of a group do, and where: places, actions, chains of them, and the rows that the kernel reads.

A group's steps do not depend on where its memory lies, so that groups that differ only in that share them: places in
memory are numbered, and filled in for each group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from ..arithmetic import SPECIAL
from .chains import LANEWISE, VECTORS, Chain, Link, Memory, Register
from .rows import BLOCK_VECTORS, NARROWS, OPERAND_WORDS, OPERANDS, STEP_WORDS, WIDENS, Op, Step

SPACE_BITS = 48
"""An address is space << SPACE_BITS | offset."""

_BUFFER_BYTES = 24 << 10
"""What a block's buffers may take of the first-level cache."""


class Space(IntEnum):
    """Where an address lies. From SRAM on there is one for each chip."""

    ZERO = 0
    """A vector of zeros."""
    NUMBERS = 1
    """Nowhere: the offset is a number."""
    CONSTANTS = 2
    """Immediates, a block of 32-bit lanes each."""
    BUFFERS = 3
    """Buffers of the group that runs."""
    LISTS = 4
    """Addresses of vectors."""
    ENTRIES = 5
    """Accumulators, in wide order."""
    ARRAYS = 6
    """Installed weights, one array for each plane."""
    BYTES = 7
    """Installed rows of the bytes of fp16 weights, for each plane."""
    HALVES = 8
    """Weights of a pair of planes as f32, for each plane that is the first of a pair."""
    KEPT = 9
    """Byte planes that leave their group other than to SRAM."""
    SRAM = 10


def place_in(space: int, offset: int) -> int:
    return space << SPACE_BITS | offset


class Place(NamedTuple):
    """Where the vectors of an operand lie."""

    base: int
    """The address of the first; or the number of a buffer, or of a place that every group has of its own."""
    outer: int = 0
    inner: int = 0
    kind: str = ""
    """`wide` or `plane` for a buffer of the group, `given` for a place of its own."""

    @property
    def buffer(self) -> bool:
        return self.kind in ("wide", "plane")


class Action(NamedTuple):
    op: int
    mode: int
    operands: tuple[Place, ...]
    """As in a row of `Step`."""


class Steps(NamedTuple):
    """The steps of groups that differ only in their places."""

    rows: list[list[int]]
    """[steps, STEP_WORDS]"""
    given: list[tuple[int, int, int]]
    """What is filled in: row, first word of the operand, number of the place."""
    block: int
    """Most vectors of a block; 0 for all."""
    buffer_bytes: int


def _chains(action: Action) -> bool:
    """Whether an action may be part of a chain. Special functions are too long to be compiled for each."""
    return action.op in (*LANEWISE, *WIDENS, *NARROWS) and not (action.op == Op.ALU and action.mode in SPECIAL)


def chained(actions: Sequence[Action], immediates: Mapping[Place, int], chains: dict[Chain, int]) -> list[Action]:
    """The actions, those in a row that work lane by lane being one chain. `immediates` are the bits of some places;
    new chains get numbers in `chains`."""
    result: list[Action] = []
    start = 0
    while start < len(actions):
        end = start
        while end < len(actions) and _chains(actions[end]):
            end += 1
        if end - start > 1:
            later = {p for a in actions[end:] for p in a.operands if p.buffer}
            result.append(_chain(actions[start:end], later, immediates, chains))
        else:
            end = start + 1
            result.append(actions[start])
        start = end
    return result


def _chain(
    actions: Sequence[Action], later: set[Place], immediates: Mapping[Place, int], chains: dict[Chain, int]
) -> Action:
    """Some actions as a chain; `later` are the buffers that are used after it."""
    places: dict[Place, Memory] = {}
    registers: dict[Place, Register] = {}

    def operand(place: Place) -> Register | Memory:
        bits = immediates.get(place, VECTORS)
        return registers.get(place) or places.setdefault(place, Memory(len(places), bits))

    def memory(place: Place) -> Memory:
        return places.setdefault(place, Memory(len(places)))

    links: list[Link] = []
    for op, mode, (first, *others) in actions:
        inputs = [operand(p) if op in LANEWISE else memory(p) for p in others]
        if op in NARROWS:
            links.append(Link(op, mode, (operand(first), *inputs)))
        else:
            registers[first] = Register(len(registers))
            links.append(Link(op, mode, (registers[first], *inputs)))
    for place, register in registers.items():
        if place in later:
            links.append(Link(Op.COPY, 0, (register, memory(place))))
    number = chains.setdefault(tuple(links), len(chains))
    return Action(Op.CALL, number, tuple(places))


def steps(actions: Sequence[Action], stride: int) -> Steps:
    """The rows of some actions, with buffers that take turns. `stride` is that of a byte plane."""
    last = {p: i for i, a in enumerate(actions) for p in a.operands if p.buffer}
    free: dict[str, list[int]] = {"wide": [], "plane": []}
    used = {"wide": 0, "plane": 0}
    index: dict[Place, int] = {}
    for i, action in enumerate(actions):
        for p in action.operands:
            if p.buffer and p not in index:
                if not free[p.kind]:
                    free[p.kind].append(used[p.kind])
                    used[p.kind] += 1
                index[p] = free[p.kind].pop()
        for p in {*action.operands}:
            if p.buffer and last[p] == i:
                free[p.kind].append(index[p])
    per_vector = stride * (4 * used["wide"] + used["plane"])
    block = _block(actions, per_vector)
    planes_from = used["wide"] * 4 * stride * block
    rows: list[list[int]] = []
    given: list[tuple[int, int, int]] = []
    for action in actions:
        first = len(rows)
        rows += [[Op.MORE] + [0] * (STEP_WORDS - 1) for _ in range(-(-len(action.operands) // OPERANDS) or 1)]
        rows[first][Step.OP], rows[first][Step.MODE] = action.op, action.mode
        for i, p in enumerate(action.operands):
            row, word = first + i // OPERANDS, Step.OPERANDS + OPERAND_WORDS * (i % OPERANDS)
            base = p.base
            if p.kind == "given":
                given.append((row, word, p.base))
                continue
            if p.buffer:
                offset = index[p] * p.inner * block + (planes_from if p.kind == "plane" else 0)
                base = place_in(Space.BUFFERS, offset)
            rows[row][word : word + OPERAND_WORDS] = base, p.outer, p.inner
    return Steps(rows, given, block, block * per_vector)


def _block(actions: Sequence[Action], per_vector: int) -> int:
    """The vectors of a block whose buffers take so many bytes a vector."""
    if any(a.op in (Op.MULTIPLY, Op.MULTIPLY_HALF) for a in actions):
        return BLOCK_VECTORS
    return max(1, min(BLOCK_VECTORS, _BUFFER_BYTES // per_vector)) if per_vector else 0
