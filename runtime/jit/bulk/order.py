"""The order of groups: what memory makes one wait for another.

Words of SRAM and entries of accumulators are read and written in intervals that move by one word a vector. As in the
matching of streams, all intervals are cut at all their ends; where the order of two intervals in time differs from
word to word, they are taken word by word.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ....dialects.machine.intervals import Ints, cover, distinct, distinct_pairs, join, ranges
from .irregular import Irregular

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Accesses:
    """Reads and writes of words: [accesses] each. Words of all memories have one numbering."""

    word: Ints
    step: Ints
    """Words from one vector to the next."""
    count: Ints
    time: Ints
    """The cycle of the first, and cycles to the next."""
    every: Ints
    writes: Mask
    alone: Mask
    """Whether it is ordered against all others of its word; those that are not, against those only that are."""
    node: Ints
    """The group, or whatever else does it."""
    round: Ints
    """The round of the group in which the first is."""
    origin: Ints
    """Writes of the same origin are done in the order of their rounds. Of reads any negative number."""
    private: Mask
    """Whether the memory is empty when a run begins and means nothing after it, as accumulators are."""

    def take(self, chosen: Ints) -> Accesses:
        return Accesses(*(getattr(self, f)[chosen] for f in self.__dataclass_fields__))

    def apart(self, chosen: Mask) -> Accesses:
        """The same accesses, those chosen word by word."""
        number = np.where(chosen, self.count, 1)
        owner, i = np.repeat(np.arange(len(number)), number), ranges(0 * number, number)
        a = self.take(owner)
        count = np.where(chosen[owner], 1, a.count)
        return replace(a, word=a.word + i * a.step, count=count, time=a.time + i * a.every, round=a.round + i)


@dataclass(frozen=True)
class Dependences:
    """Who waits for whom."""

    before: Ints
    """Nodes, each of which comes before the node of the same index in `after`."""
    after: Ints
    stuck: set[int]
    """Groups that would have to wait for rounds of their own."""
    updates: set[int]
    """Groups that write, in one round, words that they read in the same."""
    rewrites: set[int]
    """Groups that write, in their only round, a word more than once."""
    live: set[int]
    """The origins of writes that later accesses read."""


def dependences(accesses: Accesses) -> Dependences:
    """The dependences of some accesses. Raises Irregular for a read of a private word that nothing has written."""
    still = (accesses.step == 0) & (accesses.count > 1)
    # Of many accesses to one word, the first and the last are ordered as all are: nothing may come between them.
    ends = np.repeat(np.arange(len(still)), 1 + still)
    is_last = np.zeros(len(ends), np.bool_)
    is_last[1:] = ends[1:] == ends[:-1]
    shrunk = accesses.take(ends)
    i = np.where(is_last, shrunk.count - 1, 0)
    at, rounds = shrunk.time + i * shrunk.every, shrunk.round + i
    count = np.where(still[ends], 1, shrunk.count)
    shrunk = replace(shrunk, count=count, time=at, round=rounds)
    pieces = shrunk.apart((np.abs(shrunk.step) != 1) & (count > 1))
    while True:
        elements = _Elements(pieces)
        mixed = elements.mixed()
        if not mixed.any():
            return elements.dependences()
        pieces = pieces.apart(mixed)


class _Elements:
    """Accesses cut into elements, in the order of words and then of time."""

    def __init__(self, pieces: Accesses):
        self.pieces = pieces
        back = pieces.step < 0
        low = np.where(back, pieces.word - pieces.count + 1, pieces.word)
        bounds = distinct(join([low, low + pieces.count]))
        owner, element = cover(low, pieces.count, bounds)
        length = bounds[element + 1] - bounds[element]
        offset = bounds[element] - low[owner]
        first = np.where(back[owner], pieces.count[owner] - 1 - offset, offset)  # the vector that meets the least word
        last = np.where(back[owner], first - length + 1, first + length - 1)
        time, every = pieces.time[owner], pieces.every[owner]
        writes = pieces.writes[owner]
        keys = 2 * (time + first * every) + writes, 2 * (time + last * every) + writes
        order = np.lexsort((keys[1], keys[0], element))
        self.piece, self.element, self.writes = owner[order], element[order], writes[order]
        self.alone = pieces.alone[self.piece]
        self.last_key = keys[1][order]
        self.rounds = pieces.round[owner[order]] + first[order], pieces.round[owner[order]] + last[order]

    def mixed(self) -> Mask:
        """By piece, whether it comes before another in one word and after it in another."""
        same = self.element[1:] == self.element[:-1]
        wrong = np.flatnonzero(same & (self.last_key[1:] < self.last_key[:-1]))
        pieces = np.zeros(len(self.pieces.word), np.bool_)
        pieces[self.piece[np.isin(self.element, self.element[wrong])]] = True
        return pieces & (self.pieces.count > 1)

    def dependences(self) -> Dependences:
        """What they make of the nodes."""
        n = len(self.piece)
        position = np.arange(n)
        before = np.maximum.accumulate(np.where(self.alone, position, -1)) if n else position
        before = np.concatenate([[-1], before[:-1]]) if n else before
        has_before = (before >= 0) & (self.element[before] == self.element) if n else self.alone
        free = ~self.alone
        if (free & ~has_before & self.pieces.private[self.piece]).any():
            raise Irregular("accumulator-empty")
        after = np.minimum.accumulate(np.where(self.alone, position, n)[::-1])[::-1] if n else position
        has_after = (after < n) & (self.element[np.minimum(after, n - 1)] == self.element) if n else self.alone
        free_after, free_before = position[free & has_before], position[free & has_after]
        again = position[self.alone & has_before]
        first = np.concatenate([before[free_after], free_before, before[again]])
        second = np.concatenate([free_after, after[free_before], again])
        live = set(distinct(self.pieces.origin[self.piece[before[free_after]]]).tolist())
        a, b = (self.pieces.node[self.piece[x]] for x in (first, second))
        itself = a == b
        in_place = (
            ~self.writes[first]
            & self.writes[second]
            & (self.rounds[0][first] == self.rounds[0][second])
            & (self.rounds[1][first] == self.rounds[1][second])
        )
        sources = [self.pieces.origin[self.piece[x]] for x in (first, second)]
        in_order = (sources[0] == sources[1]) | ~(self.writes[first] | self.writes[second])
        pairs = distinct_pairs(a[~itself], b[~itself])
        once = self.writes[first] & self.writes[second] & (self.rounds[1][first] == 0) & (self.rounds[1][second] == 0)
        once &= (self.rounds[0][first] == 0) & (self.rounds[0][second] == 0)
        itself &= ~in_order
        stuck, updates, rewrites = (
            set(a[itself & chosen].tolist()) for chosen in (~in_place & ~once, in_place, once & ~in_place)
        )
        return Dependences(*pairs, stuck, updates, rewrites, live)


def sequence(nodes: int, before: Ints, after: Ints, time: Ints) -> tuple[list[int], list[int]]:
    """The nodes in an order that respects the dependences, of those that are free the earliest first; and the nodes
    that have no order, because they are in circles or between them."""
    done = _peel(nodes, before, after, time)
    if len(done) == nodes:
        return done, []
    left = np.ones(nodes, np.bool_)
    left[done] = False
    inside = left[before] & left[after]
    left[_peel(nodes, after[inside], before[inside], time)] = False  # what only waits for circles
    return done, np.flatnonzero(left).tolist()


def _peel(nodes: int, before: Ints, after: Ints, time: Ints) -> list[int]:
    """The nodes that do not wait for circles, in order."""
    order = np.argsort(before, kind="stable")
    targets = after[order].tolist()
    starts = np.searchsorted(before[order], np.arange(nodes + 1)).tolist()
    waiting = np.bincount(after, minlength=nodes).tolist()
    times = time.tolist()
    ready = [(times[n], n) for n in range(nodes) if not waiting[n]]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        node = heapq.heappop(ready)[1]
        done.append(node)
        for target in targets[starts[node] : starts[node + 1]]:
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, (times[target], target))
    return done
