"""In which order dimensions lie after a reshape, so that as little as possible moves: plain mathematics, no IR."""

from __future__ import annotations

from collections.abc import Sequence

from .elements import Shape

Group = tuple[list[int], list[int]]
"""Dimensions before and after a reshape that have the same elements, as few as can be."""


def groups(old: Shape, new: Shape) -> list[Group]:
    """The dimensions of two shapes of the same elements, which may not be none, in groups of equal size."""
    result: list[Group] = []
    i = j = 0
    while i < len(old) or j < len(new):
        before, after, left, right = list[int](), list[int](), 1, 1
        if i < len(old):
            before, left, i = [i], old[i], i + 1
        if j < len(new):
            after, right, j = [j], new[j], j + 1
        while left != right:
            if left < right:
                before.append(i)
                left, i = left * old[i], i + 1
            else:
                after.append(j)
                right, j = right * new[j], j + 1
        result.append((before, after))
    return result


def reshaped(old: Shape, order: Sequence[int], new: Shape) -> tuple[list[int], list[int]]:
    """The order in which the dimensions of a tensor, which lie in `order`, are to lie for a reshape, and that in which
    those of the result lie then.

    The dimensions of a group are put beside each other, where the last of them lies; groups of one dimension stay.
    """
    parts = sorted(groups(old, new), key=lambda group: max((order.index(d) for d in group[0]), default=-1))
    return [d for before, _ in parts for d in before], [d for _, after in parts for d in after]
