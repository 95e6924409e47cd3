"""Who takes whose result: matching intervals is matching their values one by one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Topology
from tspc.dialects.programs.def_use import Line, Lines
from tspc.dialects.programs.issues import Issues
from tspc.dialects.programs.records import Program

LINES = Lines(Issues(Program(SystemSpec(), Topology(()), ())))


def cells(line: Line) -> Iterator[tuple[int, int, int]]:
    """The diagonal, place and issue of every value."""
    for start, count, every, issue, place in zip(
        line.start, line.count, line.every, line.issue, line.place, strict=True
    ):
        for i in range(count):
            yield int(start + i * every), int(place), int(issue + i)


@st.composite
def lines(draw: st.DrawFn, overlap: bool) -> Line:
    """Intervals on few diagonals and places; without `overlap` no two values share both."""
    rows: list[tuple[int, int, int, int]] = []
    taken: set[tuple[int, int]] = set()
    numbers = [st.integers(0, 20), st.integers(1, 6), st.integers(1, 3), st.integers(0, 4)]
    for start, count, every, place in draw(st.lists(st.tuples(*numbers), max_size=8)):
        own = {(start + i * every, place) for i in range(count)}
        if overlap or not own & taken:
            taken |= own
            rows.append((start, count, every, place))
    start, count, every, place = np.array(rows, np.int64).reshape(-1, 4).T
    first = np.cumsum(count) - count
    return Line(start, count, every, first, place, 0 * place, 0 * place + 20)


@given(lines(overlap=False), lines(overlap=True))
def test_matching_of_intervals_is_matching_of_their_values(driven: Line, sampled: Line) -> None:
    found = LINES.match(driven, sampled)
    edges = found.edges
    got = {
        int(c) + i: int(p) + i
        for c, p, count in zip(edges.c, edges.p, edges.count, strict=True)
        for i in range(int(count))
    }
    values = [*cells(sampled)]
    expected: dict[int, int] = {}
    for diagonal, place, issue in values:
        before = [(p, i) for d, p, i in cells(driven) if d == diagonal and p <= place]
        if before:
            expected[issue] = max(before)[1]
    assert got == expected
    assert edges.count.sum() == len(expected)
    assert found.misses == (len(expected) < len(values))
    assert not found.collides


@given(lines(overlap=True))
def test_two_that_drive_one_place_collide(driven: Line) -> None:
    at = [(diagonal, place) for diagonal, place, _ in cells(driven)]
    nothing = driven.take(np.zeros(0, np.int64))
    assert LINES.match(driven, nothing).collides == (len({*at}) < len(at))
