"""Arithmetic of intervals of whole numbers, many of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

Limit = Callable[[Ints], None]
"""Is shown how many pieces each of some intervals will be cut into, and raises where those are too many."""


def unlimited(numbers: Ints) -> None:
    """Any number will do."""


def ranges(first: Ints, counts: Ints) -> Ints:
    """first[i], first[i] + 1, ...: counts[i] numbers for each i, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)


def distinct(values: Ints) -> Ints:
    """The different ones of some values, ascending."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The different ones of some pairs of numbers from 0 on."""
    size = int(second.max(initial=0)) + 1
    first, second = np.divmod(distinct(first * size + second), size)
    return first, second


def cover(start: Ints, count: Ints, bounds: Ints) -> tuple[Ints, Ints]:
    """The elements of intervals [start, start + count) whose ends are all among the ascending `bounds`: for every
    interval the elements between neighbouring bounds that it covers, as the interval's index and the element's."""
    low = np.searchsorted(bounds, start)
    lengths = np.searchsorted(bounds, start + count) - low
    return np.repeat(np.arange(len(start)), lengths), ranges(low, lengths)


def join(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def split(start: Ints, count: Ints, cuts: Ints) -> tuple[Ints, Ints, Ints]:
    """Intervals [start, start + count) cut at the ascending `cuts`: for every piece the interval's index, where in the
    interval it begins, and its length."""
    low = np.searchsorted(cuts, start, "right")
    inside = np.searchsorted(cuts, start + count, "left") - low
    if not inside.any():
        return np.arange(len(start)), np.zeros(len(start), np.int64), count
    pieces = np.repeat(np.arange(len(start)), inside + 1)
    number = ranges(np.zeros(len(start), np.int64), inside + 1)
    at = low[pieces] + number
    padded = np.append(cuts, 0)
    begin = np.where(number == 0, 0, padded[at - 1] - start[pieces])
    end = np.where(number == inside[pieces], count[pieces], padded[at] - start[pieces])
    return pieces, begin, end - begin
