"""Rigid footprints on timelines, against a model that knows every single cycle of every single resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import count, product

from hypothesis import given
from hypothesis import strategies as st
from tspc.passes.stream.analysis.footprint import Footprint, Need, Reservations, Spans, StreamNeed, Timeline

STREAMS = 8

Cell = tuple[Hashable, ...]
"""A cycle of a resource, or a zone on a diagonal of a stream."""


def cells(footprint: Footprint, start: int, chosen: dict[Hashable, int]) -> Iterator[Cell]:
    """Everything that a footprint holds when it starts in cycle `start` with these streams."""
    for need in footprint.needs:
        for cycle in cycles(need.spans, start):
            yield need.resource, cycle
    for need in footprint.streams:
        yield from need_cells(need, start, chosen[need.key])


def need_cells(need: StreamNeed, start: int, base: int) -> Iterator[Cell]:
    streams = range(base, base + need.width)
    for stream, diagonal, zone in product(streams, cycles(need.spans, start), need.zones):
        yield need.bank, stream, diagonal, zone


def cycles(spans: Spans, start: int) -> list[int]:
    """The cycles of some spans, which begin with cycle `start`."""
    return [start + cycle for first, end in spans for cycle in range(first, end)]


def fits(footprint: Footprint, start: int, taken: set[Cell]) -> bool:
    """Whether some choice of streams makes everything free."""
    groups = [range(0, STREAMS - need.width + 1, need.width) for need in footprint.streams]
    for bases in product(*groups):
        chosen = {need.key: base for need, base in zip(footprint.streams, bases, strict=True)}
        held = list(cells(footprint, start, chosen))
        if len(held) == len(set(held)) and taken.isdisjoint(held):
            return True
    return False


def earliest_start(footprint: Footprint, earliest: int, taken: set[Cell]) -> int:
    return next(start for start in count(earliest) if fits(footprint, start, taken))


# -- random footprints ---------------------------------------------------------------------------------------------


@st.composite
def some_spans(draw: st.DrawFn, most: int = 3) -> Spans:
    """Disjoint intervals in ascending order; some touch."""
    made: list[tuple[int, int]] = []
    at = draw(st.integers(-3, 3))
    for _ in range(draw(st.integers(1, most))):
        length = draw(st.integers(1, 4))
        made.append((at, at + length))
        at += length + draw(st.integers(0, 3))
    return tuple(made)


@st.composite
def held(draw: st.DrawFn) -> tuple[Need, ...]:
    """A few resources, each with its spans."""
    return tuple(Need(resource, draw(some_spans())) for resource in draw(st.lists(st.sampled_from("xyz"), unique=True)))


@st.composite
def needs(draw: st.DrawFn, key: int, bank: str) -> StreamNeed:
    zones = draw(st.sampled_from([(-1,), (0,), (1,), (-1, 0), (0, 1), (-1, 0, 1)]))
    return StreamNeed(key, bank, draw(st.sampled_from([1, 2, 4, 8])), draw(some_spans(2)), zones)


@st.composite
def footprints(draw: st.DrawFn, banks: Sequence[str]) -> Footprint:
    """A footprint that needs one group of streams from each of these banks."""
    return Footprint(draw(held()), tuple(draw(needs(i, bank)) for i, bank in enumerate(banks)))


one_need_a_bank = st.sampled_from(["", "E", "W", "EW"]).flatmap(footprints)
many_needs = st.lists(st.sampled_from("EW"), max_size=4).flatmap(footprints)


def requests(footprint: st.SearchStrategy[Footprint]) -> st.SearchStrategy[list[tuple[Footprint, int]]]:
    """Footprints to be placed one after the other, each with the earliest start that it may have."""
    return st.lists(st.tuples(footprint, st.integers(0, 10)), max_size=8)


def need(start: int, end: int, width: int = 1, zones: tuple[int, ...] = (0, 1), key: int = 0) -> StreamNeed:
    return StreamNeed(key, "E", width, ((start, end),), zones)


# -- properties ----------------------------------------------------------------------------------------------------


@given(requests(many_needs))
def test_nothing_overlaps(todo: list[tuple[Footprint, int]]) -> None:
    reservations = Reservations(STREAMS)
    taken: Counter[Cell] = Counter()
    for footprint, earliest in todo:
        placed = reservations.place(footprint, earliest)
        if placed is None:
            continue
        start, chosen = placed
        assert start >= earliest
        assert all(chosen[n.key] % n.width == 0 and 0 <= chosen[n.key] <= STREAMS - n.width for n in footprint.streams)
        taken.update(cells(footprint, start, chosen))
    assert all(n == 1 for n in taken.values())


@given(requests(one_need_a_bank))
def test_the_start_is_the_earliest_possible(todo: list[tuple[Footprint, int]]) -> None:
    reservations = Reservations(STREAMS)
    taken: set[Cell] = set()
    for footprint, earliest in todo:
        placed = reservations.place(footprint, earliest)
        assert placed is not None
        start, chosen = placed
        assert start == earliest_start(footprint, earliest, taken)
        taken.update(cells(footprint, start, chosen))


@given(st.sampled_from([1, 2, 4, 8]), st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), max_size=10))
def test_needs_of_one_width_take_no_more_streams_than_they_must(width: int, spans: list[tuple[int, int]]) -> None:
    """Those that overlap nowhere more than there are groups always find theirs."""
    streams = tuple(need(first, first + length, width, key=i) for i, (first, length) in enumerate(spans))
    crowd = Counter(cycle for first, length in spans for cycle in range(first, first + length))
    most = max(crowd.values(), default=0)
    placed = Reservations(STREAMS).place(Footprint((), streams), 0)
    assert (placed is not None) == (most <= STREAMS // width)


# -- timelines -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(some_spans(), st.integers(-20, 20)), max_size=12), some_spans(), st.integers(-25, 25))
def test_a_timeline_against_its_cycles(done: list[tuple[Spans, int]], spans: Spans, start: int) -> None:
    """A wait is 0 where all is free, and else never longer than until all is."""
    line, taken = Timeline(), set[int]()
    for other, at in done:
        if taken.isdisjoint(cycles(other, at)):
            assert line.wait(other, at) == 0
            line.take(other, at)
            taken.update(cycles(other, at))
        else:
            assert line.wait(other, at) > 0
    held_now = {cycle for first, end in zip(line.starts, line.ends, strict=True) for cycle in range(first, end)}
    assert held_now == taken
    assert all(end < first for end, first in zip(line.ends, line.starts[1:], strict=False)), (
        "those that touch are joined"
    )
    wait = line.wait(spans, start)
    free = next(n for n in count() if taken.isdisjoint(cycles(spans, start + n)))
    assert wait <= free and (wait == 0) == (free == 0)


# -- examples ------------------------------------------------------------------------------------------------------


def test_a_run_without_pauses_is_one_interval() -> None:
    reservations = Reservations(STREAMS)
    long, short = (Footprint((Need("queue", ((0, n),)),), ()) for n in (1000, 1))
    assert reservations.place(long, 35) == (35, {})
    assert reservations.place(short, 35) == (1035, {})
    assert reservations.place(short, 0) == (0, {})


def test_a_gap_is_used_only_if_the_whole_footprint_fits() -> None:
    reservations = Reservations(STREAMS)
    for start in (0, 10):
        reservations.place(Footprint((Need("x", ((0, 5),)),), ()), start)
    rigid = Footprint((Need("x", ((0, 3), (6, 8))),), ())
    assert reservations.place(rigid, 0) == (15, {})
    assert reservations.place(Footprint((Need("x", ((0, 5),)),), ()), 0) == (5, {})


def test_the_pauses_of_one_are_the_turns_of_another() -> None:
    reservations = Reservations(STREAMS)
    bursts = Footprint((Need("x", ((0, 4), (10, 14), (20, 24))),), ())
    assert reservations.place(bursts, 0) == (0, {})
    assert reservations.place(bursts, 0) == (4, {})
    assert reservations.place(Footprint((Need("x", ((0, 3),)),), ()), 0) == (28, {})


def test_values_on_one_diagonal_follow_each_other_along_the_way() -> None:
    """A stream serves a second value behind the last consumer of the first."""
    reservations = Reservations(1)
    assert reservations.place(Footprint((), (need(0, 9, zones=(-1, 0)),)), 0) == (0, {0: 0})
    assert reservations.place(Footprint((), (need(0, 9, zones=(1,)),)), 0) == (0, {0: 0})
    assert reservations.place(Footprint((), (need(0, 9, zones=(0, 1)),)), 0) == (9, {0: 0})


def test_a_wide_group_and_a_narrow_one_leave_each_other_room() -> None:
    """Groups of more than half of the streams are taken from below, others from above."""
    reservations = Reservations(32)
    streams = (need(0, 9, 1, key=1), need(0, 9, 16, key=16), need(0, 9, 4, key=4))
    assert reservations.place(Footprint((), streams), 0) == (0, {16: 0, 4: 28, 1: 27})


def test_needs_that_overlap_like_a_chain_share_two_streams() -> None:
    """In whatever order they are given."""
    chain = [need(at, at + 5, key=at) for at in (0, 12, 4, 8)]
    placed = Reservations(2).place(Footprint((), tuple(chain)), 0)
    assert placed is not None
    _, chosen = placed
    assert chosen[0] != chosen[4] != chosen[8] != chosen[12]


def test_more_streams_than_there_are() -> None:
    assert Reservations(2).place(Footprint((), tuple(need(0, 1, key=k) for k in range(3))), 0) is None
    assert Reservations(2).place(Footprint((), (need(0, 1, 4),)), 0) is None


# -- decided starts ------------------------------------------------------------------------------------------------


@given(many_needs, many_needs, st.integers(0, 12))
def test_a_decided_start_is_claimed(first: Footprint, second: Footprint, start: int) -> None:
    """A start and streams that are decided are taken if all is free; else what is taken already is named. So is what
    one footprint would hold twice."""
    reservations = Reservations(STREAMS)
    taken: set[Cell] = set()
    for footprint, at in ((first, 0), (second, start)):
        chosen: dict[Hashable, int] = {need.key: 0 for need in footprint.streams}
        held = Counter(cells(footprint, at, chosen))
        busy = {cell[0] for cell in taken.intersection(held)} | {cell[0] for cell, n in held.items() if n > 1}
        found = reservations.claim(footprint, at, chosen)
        assert (found is not None) == bool(busy)
        if found is not None:
            assert (found[0] if isinstance(found, tuple) else found) in busy
            return
        taken |= held.keys()
