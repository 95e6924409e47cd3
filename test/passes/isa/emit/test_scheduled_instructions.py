"""Instructions of one queue in_dispatch_order: what is dispatched, and when, stays the same."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.instructions import ReadOp
from tspc.dialects.machine.instruction import Loop
from tspc.passes.isa.emit.scheduled_instructions import ScheduledInstruction, in_dispatch_order
from xdsl.dialects.builtin import ModuleOp

SOURCE = ModuleOp([])


def dispatches(instruction: ScheduledInstruction) -> list[tuple[int, int, int]]:
    """The cycle, address and stream of every dispatch, by nested loops."""
    address, stream = instruction.values
    found = [(instruction.at, address)]
    for count, every, step in instruction.loops:
        found = [(at + i * every, word + i * step) for i in range(count) for at, word in found]
    return [(at, word, stream) for at, word in found]


@st.composite
def instructions_of(draw: st.DrawFn) -> list[ScheduledInstruction]:
    """Reads with pauses, of which no two need the queue in one cycle."""
    made: list[ScheduledInstruction] = []
    taken: set[int] = set()
    for stream in range(draw(st.integers(1, 5))):
        loops, span = list[Loop](), 0
        for _ in range(draw(st.integers(0, 3))):
            count, every = draw(st.integers(2, 4)), span + draw(st.integers(1, 8))
            loops.append(Loop(count, every, draw(st.integers(-3, 3))))
            span += (count - 1) * every
        instruction = ScheduledInstruction(draw(st.integers(35, 90)), ReadOp, (100, stream), tuple(loops), SOURCE)
        cycles = {at for at, _, _ in dispatches(instruction)}
        if taken.isdisjoint(cycles):
            taken |= cycles
            made.append(instruction)
    return made


@given(instructions_of())
def test_instructions_in_dispatch_order_dispatch_the_same_and_keep_the_queue_in_turn(
    before: list[ScheduledInstruction],
) -> None:
    after = in_dispatch_order(before)
    assert sorted(d for instruction in after for d in dispatches(instruction)) == sorted(
        d for x in before for d in dispatches(x)
    )
    for instruction in after:
        assert instruction.last == max(at for at, _, _ in dispatches(instruction))
    assert all(a.last < b.at for a, b in pairwise(after))


@given(instructions_of())
def test_what_is_not_tangled_stays(before: list[ScheduledInstruction]) -> None:
    apart, at = list[ScheduledInstruction](), 35
    for instruction in before:
        apart.append(instruction._replace(at=at))
        at = apart[-1].last + 1
    assert in_dispatch_order(reversed(apart)) == apart
