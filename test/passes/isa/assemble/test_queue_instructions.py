"""The text of a queue while fetches and reads are put into it and taken back: as if it were written anew each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import Loop, Record
from tspc.dialects.machine.target import ChipSpec
from tspc.passes.isa.assemble.fold import MAX_NOP
from tspc.passes.isa.assemble.queue_instructions import QueueInstructions

CHIP = ChipSpec(queue_bytes=16 * 12, fetch_bytes=16 * 4)
QUEUE, RELEASE, PROLOGUE = CHIP.queues[0], 35, 1
READ, IFETCH = TABLE.by_name["read"], TABLE.by_name["ifetch"]
GAPS = st.one_of(st.integers(0, 3), st.sampled_from([MAX_NOP - 1, MAX_NOP, MAX_NOP + 1, 3 * MAX_NOP]))


@st.composite
def queues(draw: st.DrawFn) -> list[Record]:
    """Reads, some of them repeated, with gaps between them."""
    records: list[Record] = []
    at = RELEASE
    for _ in range(draw(st.integers(0, 12))):
        at += draw(GAPS)
        loops = (Loop(draw(st.integers(2, 4)), draw(st.integers(1, 3))),) if draw(st.booleans()) else ()
        records.append(Record(0, at, READ, (0, 4), loops))
        at = records[-1].last + 1
    return records


def text_of(records: list[Record]) -> QueueInstructions:
    return QueueInstructions(QUEUE, records, PROLOGUE, RELEASE, CHIP)


def what_it_says(text: QueueInstructions) -> list[object]:
    """All that others ask of a text."""
    cycles = {c for r in text.records for c in range(r.at - 2, r.last + 3)} | {RELEASE, 10 * MAX_NOP}
    return [
        text.records,
        text.size,
        text.spare,
        text.fetches,
        text.window,
        text.opening,
        [text.growth(c) for c in sorted(cycles)],
        [text.cycle_of(slot) for slot in range(text.size + 2)],
        list(text.openings())[:50],
        list(text.openings(eager=True))[:50],
    ]


@given(queues(), st.data())
def test_a_text_that_is_changed_is_the_text_of_what_it_then_has(records: list[Record], data: st.DataObject) -> None:
    text, added = text_of(records), list[Record]()
    for _ in range(data.draw(st.integers(0, 12))):
        if added and data.draw(st.booleans()):
            text.remove(added.pop())
        elif data.draw(st.booleans()) and (openings := list(text.openings())[:20]):
            cycle, wait = data.draw(st.sampled_from(openings))
            added.append(Record(0, cycle, IFETCH, (0,)))
            text.insert(added[-1], wait)
        elif free := [c for r in text.records for c in (r.at - 1, r.last + 1) if text.growth(c) is not None]:
            added.append(Record(0, data.draw(st.sampled_from(free)), READ, (1, 4)))
            grown = text.size + (text.growth(added[-1].at) or 0)
            text.insert(added[-1])
            assert text.size == grown
        if not text.pads:  # a pad is no part of the records
            assert what_it_says(text) == what_it_says(text_of(text.records))
    while added:
        text.remove(added.pop())
    assert not text.pads
    assert what_it_says(text) == what_it_says(text_of(records))
