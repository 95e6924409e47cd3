"""save-words: an order of the rigid bodies in which few words are needed at once.

A value keeps its words from the op that writes it first to the last that reads it, in program order. So where words
are scarce, what is computed long before it is used had better be computed later. This pass goes through the program
from its end: of the rigid bodies that nothing left waits for it takes the one that adds the fewest words to those that
are needed there, or gives the most back, and among equals the last of the program. It leaves less to be done at the
same time, so tsp-compile does it only where there was no room for the values in the order of the program.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ....dialects import tsp_stream as ts
from ..analysis.clusters import clusters, with_parts
from ..analysis.timing import writes


@dataclass(frozen=True)
class SaveWordsPass(ModulePass):
    """Moves the rigid bodies of a program so that few words are needed at once."""

    name = "save-words"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        found = clusters(op)
        if not found or any(one.at is not None for cluster in found for one in cluster):
            return
        block = found[0][0].parent_block()
        assert block is not None and block.last_op is not None
        for buffer in reversed([b for b in block.ops if isinstance(b, ts.BufferOp)]):
            buffer.detach()
            Rewriter.insert_op(buffer, InsertPoint.at_start(block))
        end = InsertPoint.before(block.last_op)
        for number in saving_order([Body.of(cluster) for cluster in found]):
            for one in [*with_parts(found[number])]:
                one.detach()
                Rewriter.insert_op(one, end)


@dataclass(frozen=True)
class Visit:
    """Words of a buffer, from the first to the last, that a rigid body visits."""

    low: int
    high: int
    written: bool

    def meets(self, other: Visit) -> bool:
        """Whether the order of both matters."""
        return (self.written or other.written) and self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Body:
    """A rigid body: its visits, by buffer, and the words of each of the buffers, 0 of those that keep them always."""

    visits: dict[SSAValue, list[Visit]]
    words: dict[SSAValue, int]

    @staticmethod
    def of(cluster: Sequence[ts.TimedOp]) -> Body:
        visits: dict[SSAValue, list[Visit]] = defaultdict(list)
        words: dict[SSAValue, int] = {}
        for op in cluster:
            if isinstance(op, ts.AccessOp):
                buffer = cast(ts.BufferOp, op.buffer.owner)
                by_number = isinstance(op, ts.GatherOp | ts.ScatterOp)
                low, high = (0, buffer.type.layout.depth) if by_number else (op.words.data.low, op.words.data.high)
                visits[op.buffer].append(Visit(low, high, writes(op)))
                own = buffer.kind.data in ("scratch", "output") or (buffer.kind.data == "input" and not buffer.returned)
                words[op.buffer] = buffer.type.layout.depth * buffer.type.layout.width * buffer.wanted.copies * own
        return Body(dict(visits), words)

    def writes(self, buffer: SSAValue) -> bool:
        return any(visit.written for visit in self.visits[buffer])


def saving_order(bodies: Sequence[Body]) -> list[int]:
    """The numbers of rigid bodies, which are in the order of a program, in one that needs few words at once."""
    before = _before(bodies)
    waiting = [0] * len(bodies)
    """Of each body those that come behind it and are not taken yet."""
    for those in before:
        for number in those:
            waiting[number] += 1
    users: dict[SSAValue, list[int]] = defaultdict(list)
    writers: dict[SSAValue, int] = defaultdict(int)
    for number, body in enumerate(bodies):
        for buffer in body.visits:
            users[buffer].append(number)
            writers[buffer] += body.writes(buffer)
    needed: set[SSAValue] = set()

    def added(number: int) -> int:
        """Words that are needed before a body and not behind it, less those that are needed behind it alone."""
        total = 0
        for buffer, words in bodies[number].words.items():
            first = bodies[number].writes(buffer) and writers[buffer] == 1
            total += words * ((buffer not in needed) - first)
        return total

    ready = [(added(number), -number) for number in range(len(bodies)) if not waiting[number]]
    heapify(ready)
    taken: list[int] = []
    done = [False] * len(bodies)
    while ready:
        words, number = heappop(ready)
        number = -number
        if done[number] or words != added(number):
            continue  # it is there once more, with what it adds by now
        done[number] = True
        taken.append(number)
        changed: set[int] = set()
        for buffer in bodies[number].visits:
            written = bodies[number].writes(buffer)
            writers[buffer] -= written
            if buffer not in needed or (written and writers[buffer] == 1):
                changed |= {*users[buffer]}
            needed.add(buffer)
        for other in before[number]:
            waiting[other] -= 1
            changed.add(other)
        for other in changed:
            if not waiting[other] and not done[other]:
                heappush(ready, (added(other), -other))
    return taken[::-1]


def _before(bodies: Sequence[Body]) -> list[set[int]]:
    """For each body those that must come before it, since they visit the same words."""
    before: list[set[int]] = [set() for _ in bodies]
    reads: dict[SSAValue, list[tuple[int, Visit]]] = defaultdict(list)
    writes_: dict[SSAValue, list[tuple[int, Visit]]] = defaultdict(list)
    for number, body in enumerate(bodies):
        for buffer, those in body.visits.items():
            earlier = [*writes_[buffer], *(reads[buffer] if body.writes(buffer) else ())]
            before[number] |= {other for other, visit in earlier if any(visit.meets(v) for v in those)}
        for buffer, those in body.visits.items():
            for visit in those:
                (writes_ if visit.written else reads)[buffer].append((number, visit))
    return before
