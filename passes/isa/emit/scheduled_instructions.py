"""Instructions of scheduled ops before they are written down, and how those of one queue are in_dispatch_order.

A repeated instruction keeps its queue from its first issue to its last. Two ops may use one queue in turn, each in the
pauses of the other: then the loops with the pauses are taken apart.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xdsl.ir import Operation

from ....dialects.instructions import InstructionOp
from ....dialects.machine.instruction import Loop
from ....dialects.machine.layout import Run


class ScheduledInstruction(NamedTuple):
    """An instruction of a queue."""

    at: int
    """The cycle of its dispatch."""
    kind: type[InstructionOp]
    values: tuple[int, ...]
    loops: tuple[Loop, ...]
    source: Operation
    """The op that it comes from."""

    @property
    def last(self) -> int:
        """The last cycle in which it keeps its queue."""
        spans = sum((loop.count - 1) * loop.every for loop in self.loops)
        return self.at + spans + self.kind.INSTRUCTION.occupancy(self.values) - 1

    def rounds(self) -> Iterable[ScheduledInstruction]:
        """The rounds of its outermost loop, one by one."""
        *inner, outer = self.loops
        field = self.kind.INSTRUCTION.stepping
        for i in range(outer.count):
            values = list(self.values)
            if field is not None:
                values[field] += i * outer.step
            yield self._replace(at=self.at + i * outer.every, values=tuple(values), loops=tuple(inner))


def scheduled(
    kind: type[InstructionOp], at: int, values: Sequence[int], run: Run, op: Operation
) -> ScheduledInstruction:
    """An instruction that starts a run after `at` and follows its loops."""
    return ScheduledInstruction(at + run.at, kind, tuple(values), tuple(Loop(*loop) for loop in run.loops), op)


def in_dispatch_order(instructions: Iterable[ScheduledInstruction]) -> list[ScheduledInstruction]:
    """The instructions of a queue in the order of time, with the loops taken apart in which others have their turn.

    Instructions that need the queue in one cycle stay as they are; reading the program reports them.
    """
    heap = [(instruction.at, i, instruction) for i, instruction in enumerate(instructions)]
    heapq.heapify(heap)
    number = len(heap)
    result: list[ScheduledInstruction] = []
    while heap:
        _, _, instruction = heapq.heappop(heap)
        if heap and heap[0][0] <= instruction.last and instruction.loops:
            for piece in instruction.rounds():
                number += 1
                heapq.heappush(heap, (piece.at, number, piece))
        else:
            result.append(instruction)
    return result
