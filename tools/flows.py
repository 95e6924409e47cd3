"""Which record takes what another record gives: found from the records alone, without running anything.

Whatever one record gives to another rests in a register that moves: a stream, the chain of an ALU, the array of a
plane, a link. A value there keeps its diagonal (the cycle minus its place along the way), and whoever takes a value
takes the one that was given last on its diagonal. Values of consecutive diagonals are one run, so that the work grows
with the number of records and not with the number of vectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..dialects.instruction import CHAIN, FieldKind, SourceKind, source_kind, source_payload
from ..dialects.program import Program
from ..dialects.stream_code import place_of
from ..dialects.target import SystemSpec
from ..dialects.topology import Port
from ..passes.isa.issues import ChipIssues, Group

Ints = npt.NDArray[np.int64]


class Register(NamedTuple):
    """Where values rest between two records of a chip."""

    kind: str
    """`stream`, `chain`, `array` or `link`."""
    number: int
    """The stream's code, or the number of the ALU, plane or link."""


@dataclass(frozen=True)
class Runs:
    """Values on consecutive diagonals that one record gives to a register, or takes from it: [runs] each."""

    record: Ints
    """The index of the record in its chip's program."""
    start: Ints
    """The first diagonal."""
    length: Ints
    """Diagonals, and values."""
    place: Ints
    """How far along the way its unit stands, from 0 on."""
    lead: Ints
    """A value's diagonal minus the cycle of its dispatch."""


@dataclass(frozen=True)
class Pieces:
    """Consecutive values that one run takes from one other: [pieces] each."""

    giver: Ints
    """The index of the run that gives."""
    taker: Ints
    """The index of the run that takes."""
    start: Ints
    """The first diagonal."""
    length: Ints
    """Diagonals, and values."""


@dataclass(frozen=True)
class Flows:
    """Pairs of records of which one takes what the other gives, each pair once: [pairs] in every array."""

    kind: str
    """The kind of register between them."""
    giver_chip: int
    """The index of the chip program with the records that give."""
    taker_chip: int
    """The index of the chip program with the records that take."""
    giver: Ints
    """The index of the record that gives."""
    taker: Ints
    """The index of the record that takes."""
    given: Ints
    """The cycle in which the giver dispatches the first value of the pair."""
    taken: Ints
    """The cycle in which the taker dispatches what takes it."""
    vectors: Ints
    """Values in all: vectors of one byte per lane on streams and links, of 32 bits in chains and arrays."""
    number: Ints
    """The number of the register of that first value, the taker's for a link."""


def stretches(start: Ints, length: Ints, counts: Ints, every: Ints) -> tuple[Ints, Ints, Ints]:
    """Rounds of a stretch of `length` from `start` on, with those that touch joined to one.

    `start` and `length` are [records], `counts` and `every` [records, levels], innermost first. Gives for each joined
    stretch the index of its record, its start and its length.
    """
    counts, length = counts.copy(), length.copy()
    joins = np.ones(len(start), np.bool_)
    for level in range(counts.shape[1]):
        joins &= (counts[:, level] == 1) | (every[:, level] == length)
        length[joins] *= counts[joins, level]
        counts[joins, level] = 1
    owner = np.arange(len(start))
    for level in reversed(range(counts.shape[1])):
        rounds = counts[owner, level]
        before = np.repeat(np.cumsum(rounds) - rounds, rounds)
        start = np.repeat(start, rounds)
        owner = np.repeat(owner, rounds)
        start += (np.arange(len(owner)) - before) * every[owner, level]
    return owner, start, length[owner]


class _Use(NamedTuple):
    """Records that give to a register, or take from it, alike."""

    group: Group
    lead: int
    place: int


class ChipFlows:
    """What the records of one chip program give to its registers, and take from them."""

    def __init__(self, issues: ChipIssues, system: SystemSpec):
        self.issues, self.system = issues, system
        self._gives: dict[Register, list[_Use]] = defaultdict(list)
        self._takes: dict[Register, list[_Use]] = defaultdict(list)
        for group in issues.groups:
            self._streams(group)
            self._others(group)

    def _streams(self, group: Group) -> None:
        chip, position = self.system.chip, group.queue.position
        for role, uses in (("drive", self._gives), ("read", self._takes)):
            for use in group.instruction.stream_uses(role, group.values, chip):
                place = place_of(use.code, position, chip.mxm_distance)
                for code in use.codes:
                    uses[Register("stream", code)].append(_Use(group, use.offset - place, place))

    def _others(self, group: Group) -> None:
        chip, unit, instruction = self.system.chip, group.queue.unit, group.instruction
        for field, value in zip(instruction.fields, group.values, strict=True):
            if field.kind is FieldKind.TARGET and value == CHAIN:
                self._gives[Register("chain", unit)].append(_Use(group, instruction.d_func(chip), 0))
            if field.kind is FieldKind.SOURCE and source_kind(value) is SourceKind.ALU:
                chain = Register("chain", source_payload(value))
                self._takes[chain].append(_Use(group, chip.latency_vxm_entry, 0))
        match instruction.name:
            case "abc" | "abc_f16":
                self._gives[Register("array", unit)].append(_Use(group, chip.latency_array, 0))
            case "acc" | "acc_emit":
                self._takes[Register("array", unit)].append(_Use(group, 0, 0))
            case "send":
                on_the_way = chip.latency_send + self.system.link_latency
                self._gives[Register("link", unit)].append(_Use(group, on_the_way, 0))
            case "receive":
                self._takes[Register("link", unit)].append(_Use(group, 0, 0))
            case _:
                pass

    def gives(self, register: Register) -> Runs:
        """What is given to a register."""
        return self._runs(self._gives.get(register, []))

    def takes(self, register: Register) -> Runs:
        """What is taken from a register."""
        return self._runs(self._takes.get(register, []))

    @cached_property
    def shared(self) -> list[Register]:
        """The registers within the chip that some record gives to and some record takes from."""
        return sorted(r for r in self._gives.keys() & self._takes.keys() if r.kind != "link")

    def _runs(self, uses: list[_Use]) -> Runs:
        sizes = [len(use.group.records) for use in uses]
        records = np.concatenate([np.zeros(0, np.int64), *(use.group.records for use in uses)])
        lead = np.repeat(np.array([use.lead for use in uses], np.int64), sizes)
        place = np.repeat(np.array([use.place for use in uses], np.int64), sizes)
        issues = self.issues
        first = issues.at[records] + lead
        one = np.ones(len(records), np.int64)
        owner, start, length = stretches(first, one, issues.counts[records], issues.every[records])
        return Runs(records[owner], start, length, place[owner], lead[owner])


def match(gives: Runs, takes: Runs) -> Pieces:
    """Who takes what from whom in one register. What is taken and was never given is left out.

    Along a run of the taker its giver changes only on diagonals on which a run of a giver begins or ends, so the run
    is cut there, and each cut asks once: the giver with the greatest place up to the taker's own.
    """
    ends = gives.start + gives.length
    cuts = np.unique(np.concatenate([gives.start, ends]))
    low = np.searchsorted(cuts, takes.start, "right")
    high = np.searchsorted(cuts, takes.start + takes.length, "left")
    counts = np.maximum(high - low, 0) + 1
    taker = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(taker)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = takes.start[taker]
    inner = rank > 0
    start[inner] = cuts[(low[taker] + rank - 1)[inner]]
    end = (takes.start + takes.length)[taker]
    end[:-1] = np.where(taker[1:] == taker[:-1], start[1:], end[:-1])
    giver = np.full(len(taker), -1)
    for place in np.unique(gives.place):
        there = np.flatnonzero(gives.place == place)
        there = there[np.argsort(gives.start[there], kind="stable")]
        newest = there[np.maximum(np.searchsorted(gives.start[there], start, "right") - 1, 0)]
        hit = (gives.start[newest] <= start) & (start < ends[newest]) & (takes.place[taker] >= place)
        giver[hit] = newest[hit]
    found = giver >= 0
    return Pieces(giver[found], taker[found], start[found], (end - start)[found])


def chip_flows(program: Program) -> list[ChipFlows]:
    """The flows within each chip program, in their order."""
    return [ChipFlows(ChipIssues(c.chip, c.records, program.system.chip), program.system) for c in program.chips]


def flows(program: Program, chips: list[ChipFlows]) -> Iterator[Flows]:
    """All pairs of records of a program that are joined by a register. `chips` is `chip_flows(program)`."""
    for c, chip in enumerate(chips):
        for kind in ("stream", "chain", "array"):
            matched = [(r.number, chip.gives(r), chip.takes(r)) for r in chip.shared if r.kind == kind]
            yield _pairs(kind, c, c, matched)
    index = {chip.chip: c for c, chip in enumerate(program.chips)}
    for source, target in program.peers.items():
        if source.chip in index and target.chip in index:
            yield _link(source, target, index, chips)


def _link(source: Port, target: Port, index: dict[int, int], chips: list[ChipFlows]) -> Flows:
    giver, taker = index[source.chip], index[target.chip]
    gives = chips[giver].gives(Register("link", source.link))
    takes = chips[taker].takes(Register("link", target.link))
    return _pairs("link", giver, taker, [(target.link, gives, takes)])


def _pairs(kind: str, giver_chip: int, taker_chip: int, matched: list[tuple[int, Runs, Runs]]) -> Flows:
    """The pairs of all registers of a kind, each pair once, with what passes first."""
    columns: list[list[Ints]] = [[np.zeros(0, np.int64)] for _ in range(6)]
    for number, gives, takes in matched:
        pieces = match(gives, takes)
        given = pieces.start - gives.lead[pieces.giver]
        taken = pieces.start - takes.lead[pieces.taker]
        parts = (gives.record[pieces.giver], takes.record[pieces.taker], given, taken, pieces.length)
        for column, part in zip(columns, (*parts, np.full(len(given), number)), strict=True):
            column.append(part)
    giver, taker, given, taken, vectors, numbers = (np.concatenate(c) for c in columns)
    order = np.lexsort((numbers, taken, taker, giver))
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(giver[order]) != 0) | (np.diff(taker[order]) != 0)
    totals = np.bincount(np.cumsum(new) - 1, weights=vectors[order]).astype(np.int64)
    first = order[new]
    return Flows(
        kind, giver_chip, taker_chip, giver[first], taker[first], given[first], taken[first], totals, numbers[first]
    )
