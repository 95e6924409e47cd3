"""Folds the runs of a queue: records in arithmetic progression become one record under `repeat`, also nested.

Plain mathematics on records, no IR. What the queue dispatches stays the same, cycle by cycle; only its text shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ....dialects.machine.instruction import MAX_COUNT, MAX_EVERY, MAX_STEP, Loop, Record

MAX_NOP = 65535
"""The longest wait that one `nop` can say, in cycles."""


def fold(records: Sequence[Record], levels: int) -> list[Record]:
    """The records of one queue, in the order of their cycles, with at most `levels` levels of repeat."""
    return _fold(fold_tight(records, levels), levels, tight=False)


def fold_tight(records: Sequence[Record], levels: int) -> list[Record]:
    """The same, but only runs without a free cycle between their records, so that the queue stays free as it was: while
    it repeats, a queue dispatches nothing else."""
    return _fold(records, levels, tight=True)


def _fold(records: Sequence[Record], levels: int, tight: bool) -> list[Record]:
    """Tries two ways to cut the queue into runs: the longest run from the left, which finds the inner loops of a nest
    first, and the cut that takes the least text at one level. Whichever gives the shorter text is taken, until none
    gives a shorter one, so folding what is folded changes nothing.
    """
    best = list(records)
    while max(lengths := _lengths(best, levels, tight), default=1) > 1:
        found = min((_exhaust(best, lengths, levels, tight, cut) for cut in (_longest, _cheapest)), key=_cost)
        if _cost(found) >= _cost(best):
            break
        best = found
    return best


def nops(cycles: int) -> int:
    """Instructions that wait so many cycles."""
    return -(-cycles // MAX_NOP)


def size(record: Record) -> int:
    """Instructions of a record: itself and a `repeat` for each level."""
    return 1 + len(record.loops)


def _cost(records: Sequence[Record]) -> tuple[int, int]:
    """What a cut is judged by: the instructions of the text, then the number of records."""
    text, free = len(records), records[0].at if records else 0
    for record in records:
        text += nops(record.at - free) + len(record.loops)
        free = record.last + 1
    return text, len(records)


_Cut = Callable[[Sequence[Record], Sequence[int]], list[Record]]


def _exhaust(records: list[Record], lengths: Sequence[int], levels: int, tight: bool, cut: _Cut) -> list[Record]:
    """Cuts and joins level after level, until nothing changes; `lengths` are those of the first."""
    while max(lengths) > 1:
        joined = cut(records, lengths)
        if len(joined) == len(records):
            break
        records = joined
        lengths = _lengths(records, levels, tight)
    return records


def _longest(records: Sequence[Record], longest: Sequence[int]) -> list[Record]:
    return _join_runs(records, longest)


def _cheapest(records: Sequence[Record], longest: Sequence[int]) -> list[Record]:
    """The least text, over all cuts in which a run stays alone, goes as far as it can, or leaves its last record to
    the next run."""
    lengths = [1] * len(records)
    costs = [(0, 0)] * (len(records) + 1)
    for start in reversed(range(len(records))):
        costs[start], lengths[start] = min(
            (_tail(records, start, length, costs[start + length]), length)
            for length in {1, max(1, longest[start] - 1), longest[start]}
        )
    return _join_runs(records, lengths)


def _join_runs(records: Sequence[Record], lengths: Sequence[int]) -> list[Record]:
    """The runs that begin at the first record, after it, and so on; `lengths` says how long one from each record is."""
    result: list[Record] = []
    start = 0
    while start < len(records):
        result.append(_join(records[start : start + lengths[start]]))
        start += lengths[start]
    return result


def _tail(records: Sequence[Record], start: int, length: int, rest: tuple[int, int]) -> tuple[int, int]:
    """The cost from a run on, given that of what follows it."""
    text, number = rest
    end = start + length
    wait = nops(records[end].at - records[end - 1].last - 1) if end < len(records) else 0
    return text + wait + size(records[start]) + (length > 1), number + 1


def _lengths(records: Sequence[Record], levels: int, tight: bool) -> list[int]:
    """For each record, how many from it on are one progression that a further level of repeat can say."""
    deltas = [None if tight and a.last + 1 != b.at else _delta(a, b) for a, b in pairwise(records)]
    lengths = [1] * len(records)
    for i in reversed(range(len(deltas))):
        delta = deltas[i]
        if delta is None or delta[0] > MAX_EVERY or abs(delta[1]) > MAX_STEP or len(records[i].loops) >= levels:
            continue
        goes_on = i + 1 < len(deltas) and deltas[i + 1] == delta
        lengths[i] = min(MAX_COUNT, lengths[i + 1] + 1) if goes_on else 2
    return lengths


def _delta(a: Record, b: Record) -> tuple[int, int] | None:
    """Cycles and movement from one record to one that differs from it in nothing else, or None."""
    if a.instruction is not b.instruction or a.loops != b.loops or a.tiles != b.tiles:
        return None
    if a.values == b.values:
        return b.at - a.at, 0
    i = a.instruction.stepping
    if i is None or a.values[:i] != b.values[:i] or a.values[i + 1 :] != b.values[i + 1 :]:
        return None
    return b.at - a.at, b.values[i] - a.values[i]


def _join(run: Sequence[Record]) -> Record:
    """One record for a progression; a level that goes on where the one inside it ends only makes that longer."""
    first = run[0]
    if len(run) == 1:
        return first
    delta = _delta(first, run[1])
    assert delta is not None
    outer = Loop(len(run), *delta)
    if first.loops:
        inner = first.loops[-1]
        count = inner.count * outer.count
        if outer[1:] == (inner.count * inner.every, inner.count * inner.step) and count <= MAX_COUNT:
            return first._replace(loops=(*first.loops[:-1], inner._replace(count=count)))
    return first._replace(loops=(*first.loops, outer))
