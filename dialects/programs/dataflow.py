"""What a program is meant to do, as digests that it carries: which issue takes each of its operands from which.

An issue is known by its queue and its number there, in order; `nop`, `sync`, `repeat`, `ifetch` and reads of program
text do not count. So moving things in time or writing loops otherwise changes no number. What it takes comes from other
issues: streams from what drove them, words of SRAM from what last wrote them, chains, weights, sums, accumulators and
vectors from links from what gave them; a word that nothing has written is a source of its own. convert-stream-to-isa
works this relation out from the stream ops alone, isa-verify from the cycles, streams and addresses of the finished
records, each with its own code. Here is only how the relation is named and summed up.

A source is a number, linear in the number of its issue. A digest is the sum over the operands of some issues of a
coefficient of (issue, operand), which is as good as random, times the source, modulo 2**64. So two relations that
differ hardly ever have the same digests, and where one operand alone is another, the difference of the digests says
which it should be. This guards against mistakes, not against forgery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..machine.instruction import FieldKind, Instruction, SourceKind, source_kind
from ..machine.target import ChipSpec
from ..placement import Place

Ints = npt.NDArray[np.int64]
Sources = npt.NDArray[np.uint64]


class Reach(NamedTuple):
    """The words of a slice that a gather or a scatter of its queue may touch."""

    issue: int
    """The number of the first issue of which this is said; it holds until the next one."""
    low: int
    high: int
    """One past the last word."""


@dataclass(frozen=True)
class QueueDataflow:
    """What the issues of one queue are meant to be and to take."""

    issues: int
    block: int
    """Issues to a digest, a power of two."""
    digests: tuple[int, ...]
    """The digest of each block, the last block being what is left: 64 bits each."""
    final: int = 0
    """The digest of what the words of the queue's slice hold at the end, if something writes to it, and of where inputs
    and outputs lie in it."""
    reaches: tuple[Reach, ...] = ()

    def fault(self) -> str | None:
        """Why this is no queue's dataflow, or None."""
        if self.block < 1 or self.block & (self.block - 1):
            return f"{self.block} issues to a digest; their number is a power of two"
        wanted = -(-self.issues // self.block)
        if self.issues < 0 or len(self.digests) != wanted:
            return f"{self.issues} issues in blocks of {self.block} have {wanted} digests, not {len(self.digests)}"
        if not all(0 <= digest <= _MASK for digest in (*self.digests, self.final)):
            return "a digest has 64 bits"
        if any(not 0 <= reach.low < reach.high for reach in self.reaches):
            return "words that an instruction may touch are a first and one past the last"
        if [r.issue for r in self.reaches] != sorted({r.issue for r in self.reaches}):
            return "the issues from which on words may be touched ascend"
        return None


def block_size(issues: int, records: int) -> int:
    """Issues to a digest, for a queue of so many issues in so many instructions: about one digest for each instruction
    of a short queue, fewer for those of a long one, so that a program is not much longer for them."""
    block = 1
    while -(-issues // block) > 16 + records // 8 or -(-issues // block) > records:
        block *= 2
    return block


# -- names ---------------------------------------------------------------------------------------------------------

_MASK = (1 << 64) - 1
_QUEUES, _STREAMS, _PORTS = 1 << 14, 1 << 8, 1 << 10
_INITIAL = 1 << 42
_ODD, _CONSUMER, _FINISH = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0xBF58476D1CE4E5B9


def issue_source(chip: int, queue: int) -> int:
    """The source that is issue 0 of a queue; that of issue n is greater by n."""
    return ((chip * _QUEUES + queue) * _STREAMS + 1) * _ODD & _MASK


def of_stream(members: Ints) -> Sources:
    """By how much the sources of the streams of a group, from 0 on, are greater than their issue's."""
    return members.astype(np.uint64) * np.uint64(_ODD)


TEXT = _STREAMS - 1
"""In place of the number of a stream: what a read of program text drives."""


def word_sources(unit: int, addresses: Ints) -> Sources:
    """The sources that words of a slice are as long as nothing writes to them."""
    return addresses.astype(np.uint64) + np.uint64((_INITIAL + unit) * _ODD & _MASK)


class Port:
    """What an issue takes, by number: besides streams, which come first, `stream_port` each."""

    CHAIN = 512
    """The first of those for chains, one for each field."""
    OPERATION = 600
    """What the instruction is."""
    ROW = 601
    """The rows of a plane that it loads."""
    MEMORY = 602
    """The word, or words, that it reads."""
    WEIGHTS = 603
    """The weights that are installed; those of the other plane of a pair are the next."""
    LOADED = 605
    """The weights that it installs."""
    SUMS = 606
    """The sums that come from the array."""
    ENTRY = 607
    """The accumulator entry to which it adds."""
    LINK = 608
    """The vector that comes over the link."""


_Number = TypeVar("_Number", int, Ints)
Places = slice | Ints
"""Some issues, by their places among all: mostly they follow each other."""


def stream_port(group: _Number, stream: _Number) -> _Number:
    """The operand that is one stream of the instruction's group with this number, among those that it samples."""
    return group * 64 + stream


_COMPARED = (FieldKind.NUMBER, FieldKind.TYPE, FieldKind.FLAG)
_RELATIVE = ("address", "entry", "row", "count")
"""Numbers that only say which word, entry, rows or vectors: those are in the relation."""


_operations: dict[tuple[int, tuple[int, ...]], int] = {}
"""What `operation_source` has given before, by opcode and values."""


def operation_source(instruction: Instruction, values: tuple[int, ...]) -> int:
    """What an instruction is, apart from where its operands come from, as a source; with all superlanes on."""
    key = instruction.opcode, values
    if (known := _operations.get(key)) is not None:
        return known
    number = instruction.opcode
    for f, value in zip(instruction.fields, values, strict=True):
        if f.kind is FieldKind.SOURCE:
            kind = source_kind(value)
            value = value if kind is SourceKind.IMMEDIATE else int(kind) << 32
        elif f.kind not in _COMPARED or (f.name in _RELATIVE and (f.steps or instruction.duration == f.name)):
            continue
        number = number * _ODD + value + 1 & _MASK
    if len(_operations) >= _MOST_OPERATIONS:
        _operations.clear()
    _operations[key] = number
    return number


_MOST_OPERATIONS = 1 << 16
"""Operations that are remembered at most."""


def tiles_source(tiles: Ints) -> Sources:
    """By how much the sources of instructions are greater where a `config` has left only some superlanes on, 0 for
    all."""
    return tiles.astype(np.uint64) * np.uint64(_FINISH)


# -- sums ----------------------------------------------------------------------------------------------------------


def _coefficients(keys: Sources) -> Sources:
    """Odd numbers, otherwise as good as random, for keys, which are changed."""
    keys *= np.uint64(_CONSUMER)
    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(_FINISH)
    keys ^= keys >> np.uint64(29)
    keys |= np.uint64(1)
    return keys


def coefficient(chip: int, queue: int, port: int, issue: int) -> int:
    """The coefficient of one operand of one issue; odd, so it has an inverse."""
    of_issue = _coefficients(np.array([issue], np.uint64) + _key(chip, queue))
    return int((of_issue * FACTORS[port])[0])


def _key(chip: int, queue: int) -> np.uint64:
    """The key of a queue's issue 0; that of issue n is greater by n."""
    return np.uint64(chip * _QUEUES + queue << 32)


FACTORS = _coefficients(np.arange(_PORTS, dtype=np.uint64) + np.uint64(1 << 60))
"""By port, the part of it in the coefficient of an operand; the other part is that of the issue."""


class Digests:
    """The sums for the queues of one chip."""

    def __init__(self, chip: int, sizes: Mapping[int, tuple[int, int]]):
        """`sizes`: by the number of a queue, its issues and how many of them make a block."""
        self.chip, self.sizes = chip, sizes
        self.first: dict[int, int] = {}
        """By queue, how many issues the queues before it have: the place of its own first one among all."""
        total = 0
        for queue, (issues, _) in sizes.items():
            self.first[queue] = total
            total += issues
        self._taken = np.zeros(total, np.uint64)
        self._final: dict[int, int] = {}

    def add(self, places: Places, port: int, sources: Sources) -> None:
        """Adds what some issues, each once, take at one port: `places` among all issues and `sources` are [issues]."""
        self._taken[places] += sources * FACTORS[port]

    def add_each(self, places: Ints, ports: Ints, sources: Sources) -> None:
        """Adds what issues take, each at a port of its own: all are [issues]."""
        np.add.at(self._taken, places, sources * FACTORS[ports])

    def add_final(self, queue: int, number: int) -> None:
        """Adds what holds of the slice of a queue at the end."""
        self._final[queue] = self._final.get(queue, 0) + number & _MASK

    def of(self, queue: int) -> tuple[int, ...]:
        """The digests of a queue."""
        issues, block = self.sizes[queue]
        if not issues:
            return ()
        summed = _coefficients(np.arange(issues, dtype=np.uint64) + _key(self.chip, queue))
        summed *= self._taken[self.first[queue] :][:issues]
        return tuple(np.add.reduceat(summed, np.arange(0, issues, block)).tolist())

    def final(self, queue: int) -> int:
        return self._final.get(queue, 0)


# -- memory --------------------------------------------------------------------------------------------------------


class Visit(IntEnum):
    """How an issue touches a slice."""

    READ = 0
    WRITE = 1
    GATHER = 2
    SCATTER = 3


class Memory:
    """The words of one slice, each with the source that it holds, while its visits happen one after the other."""

    def __init__(self, unit: int, chip: ChipSpec):
        self.words = word_sources(unit, np.arange(chip.words))
        """By word the source of what it holds."""
        self._weights = _word_weights(chip.words)

    @property
    def state(self) -> int:
        """What all words hold, in one number."""
        return int(self._state(0, len(self.words)))

    def _state(self, low: int, high: int) -> np.uint64:
        return (self._weights[low:high] * self.words[low:high]).sum(dtype=np.uint64)

    def visit(self, kinds: Ints, addresses: Ints, sources: Sources, lows: Ints, highs: Ints) -> Sources:
        """What each of some visits takes, in their order; 0 for a write.

        All are [visits]: `sources` what they are themselves, `lows` and `highs` the words that a gather or a scatter
        may touch. Such a one takes all of them together, at its address, and each word that a scatter may touch is a
        source of its own from then on.
        """
        taken = np.zeros(len(kinds), np.uint64)
        for begin, end in _alike(np.where(kinds <= Visit.WRITE, 0, kinds)):
            some = slice(begin, end)
            if kinds[begin] <= Visit.WRITE:
                taken[some] = self._plain(kinds[some] == Visit.WRITE, addresses[some], sources[some])
                continue
            seen: dict[tuple[int, int], np.uint64] = {}
            for i in range(begin, end):
                low, high = int(lows[i]), int(highs[i])
                if (low, high) not in seen:
                    seen[low, high] = self._state(low, high)
                taken[i] = seen[low, high]
                if kinds[i] == Visit.SCATTER:
                    self.words[low:high] = self._weights[low:high] + sources[i]
                    seen.clear()
            taken[some] += self._weights[addresses[some]]
        return taken

    def _plain(self, writes: npt.NDArray[np.bool_], addresses: Ints, sources: Sources) -> Sources:
        """What reads take, among writes."""
        if not writes.any():
            return self.words[addresses]
        order = np.argsort(addresses.astype(np.uint16), kind="stable")  # a radix sort
        words, written = addresses[order], writes[order]
        last = np.maximum.accumulate(np.where(written, np.arange(len(order)), -1))
        there = (last >= 0) & (words[last] == words)
        held = np.where(there, sources[order][last], self.words[words])
        taken = np.empty(len(order), np.uint64)
        taken[order] = np.where(written, np.uint64(0), held)
        ends = np.append(words[1:] != words[:-1], True) & there
        self.words[words[ends]] = held[ends]
        return taken


@lru_cache(4)
def _word_weights(words: int) -> Sources:
    """By word, its coefficient in what several words hold together."""
    return _coefficients(np.arange(words, dtype=np.uint64) + np.uint64(_INITIAL))


def _alike(kinds: Ints) -> Iterable[tuple[int, int]]:
    """The runs [begin, end) of equal numbers."""
    edges = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(kinds)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


def reach_of(reaches: Sequence[Reach], issues: Ints, words: int) -> tuple[Ints, Ints]:
    """The first words, and those one past the last, that issues of a queue may touch: all where nothing is said."""
    said = [Reach(-1, 0, words), *reaches]
    which = np.searchsorted(np.array([r.issue for r in said]), issues, side="right") - 1
    lows, highs = np.array([r.low for r in said]), np.minimum(np.array([r.high for r in said]), words)
    return lows[which], highs[which]


def bound_words(kind: str, name: str, place: Place, depth: int, chip: ChipSpec) -> Iterator[tuple[int, int]]:
    """For every slice of an input or an output the queue, and a number for where it lies there. Other tensors are not
    in a `.tspx` file by their names."""
    if kind not in ("input", "output"):
        return
    for index, (slice_, address) in enumerate(zip(place.slices, place.addresses, strict=True)):
        text = f"{kind} {name} {index} {address} {place.depth_of(depth)}"
        yield chip.queue_numbers[slice_.queue], int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
