"""Folding runs into repeat: what a queue dispatches stays, its text shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tspc.dialects.instructions import TABLE, check_record
from tspc.dialects.machine.instruction import Loop, Record
from tspc.dialects.machine.target import SystemSpec
from tspc.passes.isa.assemble.fold import fold, fold_tight, nops, size

READ, IW, ABC = (TABLE.by_name[name] for name in ("read", "iw", "abc"))
LEVELS = SystemSpec().chip.loop_levels


def reads(*issues: tuple[int, int]) -> list[Record]:
    """Reads onto E4, by cycle and address."""
    return [Record(0, at, READ, (address, 4)) for at, address in issues]


def expanded(records: Sequence[Record]) -> list[tuple[int, tuple[int, ...]]]:
    return [issue for record in records for issue in record.issues()]


def text(records: Sequence[Record]) -> int:
    """Instructions of the queue's text after the first record's cycle."""
    waits = [nops(b.at - a.last - 1) for a, b in pairwise(records)]
    return sum(map(size, records)) + sum(waits)


def test_a_run_is_one_record() -> None:
    assert fold(reads((40, 7), (45, 5), (50, 3)), LEVELS) == [Record(0, 40, READ, (7, 4), (Loop(3, 5, -2),))]


def test_runs_of_runs_nest() -> None:
    """Two words in a row, three times: the inner run is found first, although pairs across it are as near."""
    issues = [(40 + 10 * i + j, 100 * i + j) for i in range(3) for j in range(2)]
    assert fold(reads(*issues), LEVELS) == [Record(0, 40, READ, (0, 4), (Loop(2, 1, 1), Loop(3, 10, 100)))]


def test_a_level_that_only_goes_on_is_joined() -> None:
    """Tile after tile of a tensor: 360 words, and the next 360 directly after them."""
    runs = [Record(0, 40 + 360 * i, READ, (360 * i, 4), (Loop(360, 1, 1),)) for i in range(3)]
    assert fold(runs, LEVELS) == [Record(0, 40, READ, (0, 4), (Loop(1080, 1, 1),))]


def test_the_cut_with_the_least_text() -> None:
    """The read in cycle 40 makes a pair with the next; alone it leaves the others their run."""
    folded = fold(reads((40, 0), (50, 1), (52, 4), (54, 7), (56, 10)), LEVELS)
    assert [(r.at, r.loops) for r in folded] == [(40, ()), (50, (Loop(4, 2, 3),))]


def test_instructions_without_a_field_to_move() -> None:
    installs = [Record(0, at, IW, ()) for at in (40, 60, 80)]
    assert fold(installs, LEVELS) == [Record(0, 40, IW, (), (Loop(3, 20),))]
    bursts = [Record(0, at, ABC, (4, 16)) for at in (40, 44, 48)]
    assert fold(bursts, LEVELS) == [Record(0, 40, ABC, (4, 16), (Loop(3, 4),))]


@pytest.mark.parametrize(
    "issues", [[(40, 0), (41, 1), (45, 2)], [(40, 0), (70_000, 1), (139_960, 2)], [(40, 0), (41, 40_000)]]
)
def test_what_is_no_run(issues: list[tuple[int, int]]) -> None:
    """No even spacing, more cycles than a repeat holds, a longer step than it holds."""
    assert all(loop.every < 65536 and abs(loop.step) < 32768 for r in fold(reads(*issues), LEVELS) for loop in r.loops)
    assert expanded(fold(reads(*issues), LEVELS)) == expanded(reads(*issues))


def test_a_tight_fold_leaves_the_queue_free() -> None:
    issues = reads((40, 0), (41, 1), (50, 10), (51, 11))
    assert fold_tight(issues, LEVELS) == [
        Record(0, at, READ, (a, 4), (Loop(2, 1, 1),)) for at, a in ((40, 0), (50, 10))
    ]
    assert len(fold(issues, LEVELS)) == 1


def test_no_more_levels_than_the_chip_has() -> None:
    issues = [(40 + 4 * i + j, 9 * i + j) for i in range(3) for j in range(2)]
    assert all(len(r.loops) <= 1 for r in fold(reads(*issues), 1))


@st.composite
def queues(draw: DrawFn) -> list[Record]:
    """Records of one queue: nests and single reads, written out or already under loops."""
    records: list[Record] = []
    clock = 40
    for _ in range(draw(st.integers(1, 8))):
        clock += draw(st.integers(0, 4))
        address, stream = draw(st.integers(500, 600)), draw(st.sampled_from((4, 5)))
        loops: list[Loop] = []
        for _ in range(draw(st.integers(0, 3))):
            span = 1 + sum((loop.count - 1) * loop.every for loop in loops)
            every = span + draw(st.integers(0, 3))
            loops.append(Loop(draw(st.integers(2, 3)), every, draw(st.integers(-3, 3))))
        nest = Record(0, clock, READ, (address, stream), tuple(loops))
        if draw(st.booleans()):
            records += [Record(0, at, READ, values) for at, values in nest.issues()]
        else:
            records.append(nest)
        clock = nest.last + 1
    return records


@given(queues())
def test_folding_changes_no_dispatch(records: list[Record]) -> None:
    system = SystemSpec()
    for how in (fold, fold_tight):
        folded = how(records, LEVELS)
        assert expanded(folded) == expanded(records)
        assert all(check_record(r, system) is None for r in folded)
        assert text(folded) <= text(records)
        assert how(folded, LEVELS) == folded
    assert text(fold(records, LEVELS)) <= text(fold_tight(records, LEVELS))
    assert fold(fold_tight(records, LEVELS), LEVELS) == fold(records, LEVELS)
    assert fold_tight(fold(records, LEVELS), LEVELS) == fold(records, LEVELS)
