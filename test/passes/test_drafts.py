"""Instructions of one queue untangled: what is dispatched, and when, stays the same."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.instruction import Loop
from tspc.dialects.instructions import ReadOp
from tspc.passes.isa.drafts import Draft, untangled
from xdsl.dialects.builtin import ModuleOp

SOURCE = ModuleOp([])


def dispatches(draft: Draft) -> list[tuple[int, int, int]]:
    """The cycle, address and stream of every dispatch, by nested loops."""
    address, stream = draft.values
    found = [(draft.at, address)]
    for count, every, step in draft.loops:
        found = [(at + i * every, word + i * step) for i in range(count) for at, word in found]
    return [(at, word, stream) for at, word in found]


@st.composite
def drafts(draw: st.DrawFn) -> list[Draft]:
    """Reads with pauses, of which no two need the queue in one cycle."""
    made: list[Draft] = []
    taken: set[int] = set()
    for stream in range(draw(st.integers(1, 5))):
        loops, span = list[Loop](), 0
        for _ in range(draw(st.integers(0, 3))):
            count, every = draw(st.integers(2, 4)), span + draw(st.integers(1, 8))
            loops.append(Loop(count, every, draw(st.integers(-3, 3))))
            span += (count - 1) * every
        draft = Draft(draw(st.integers(35, 90)), ReadOp, (100, stream), tuple(loops), SOURCE)
        cycles = {at for at, _, _ in dispatches(draft)}
        if taken.isdisjoint(cycles):
            taken |= cycles
            made.append(draft)
    return made


@given(drafts())
def test_untangled_drafts_dispatch_the_same_and_keep_the_queue_in_turn(before: list[Draft]) -> None:
    after = untangled(before)
    assert sorted(d for draft in after for d in dispatches(draft)) == sorted(d for x in before for d in dispatches(x))
    for draft in after:
        assert draft.last == max(at for at, _, _ in dispatches(draft))
    assert all(a.last < b.at for a, b in pairwise(after))


@given(drafts())
def test_what_is_not_tangled_stays(before: list[Draft]) -> None:
    apart, at = list[Draft](), 35
    for draft in before:
        apart.append(draft._replace(at=at))
        at = apart[-1].last + 1
    assert untangled(reversed(apart)) == apart
