"""The instructions of a queue while fetches and reads are put in and taken back: as if written anew each time."""

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


def queue_of(records: list[Record]) -> QueueInstructions:
    return QueueInstructions(QUEUE, records, PROLOGUE, RELEASE, CHIP)


def what_it_says(queue: QueueInstructions) -> list[object]:
    """All that others ask of a queue."""
    cycles = {c for r in queue.records for c in range(r.at - 2, r.last + 3)} | {RELEASE, 10 * MAX_NOP}
    return [
        queue.records,
        queue.size,
        queue.spare,
        queue.fetches,
        queue.window,
        queue.opening,
        [queue.growth(c) for c in sorted(cycles)],
        [queue.cycle_of(slot) for slot in range(queue.size + 2)],
        list(queue.openings())[:50],
        list(queue.openings(eager=True))[:50],
    ]


@given(queues(), st.data())
def test_a_queue_that_is_changed_is_the_queue_of_what_it_then_has(records: list[Record], data: st.DataObject) -> None:
    queue, added = queue_of(records), list[Record]()
    for _ in range(data.draw(st.integers(0, 12))):
        if added and data.draw(st.booleans()):
            queue.remove(added.pop())
        elif data.draw(st.booleans()) and (openings := list(queue.openings())[:20]):
            cycle, wait = data.draw(st.sampled_from(openings))
            added.append(Record(0, cycle, IFETCH, (0,)))
            queue.insert(added[-1], wait)
        elif free := [c for r in queue.records for c in (r.at - 1, r.last + 1) if queue.growth(c) is not None]:
            added.append(Record(0, data.draw(st.sampled_from(free)), READ, (1, 4)))
            grown = queue.size + (queue.growth(added[-1].at) or 0)
            queue.insert(added[-1])
            assert queue.size == grown
        if not queue.pads:  # a pad is no part of the records
            assert what_it_says(queue) == what_it_says(queue_of(queue.records))
    while added:
        queue.remove(added.pop())
    assert not queue.pads
    assert what_it_says(queue) == what_it_says(queue_of(records))
