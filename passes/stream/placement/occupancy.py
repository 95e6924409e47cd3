"""Which words of a slice are taken, and when. Plain mathematics, no IR.

A program runs again and again, and SRAM is zero only before its first run. So of a block with words that are read and
never written, those must be zero whenever the block is used: nothing else may ever put a number there, or they are
made zero again before each use.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

FRESH, AGAIN, CLEARED, TIGHT, FULL = range(5)
"""How a block fits into a slice: beside all others; into words of which others are done; the same, if words that must
be zero are made so before each use, its own or those of others; only into words that are better left to the program's
text; not at all."""


@dataclass(eq=False)
class Claim:
    """A block of words of a slice, and when it is needed."""

    low: int
    high: int
    """One past the last word."""
    first: int
    last: int
    """The first and the last moment of the program at which it is needed."""
    owner: Hashable
    zeros: Mask | None
    """Which of its words must be zero at all times; None for none, since none must be or they are made so."""

    def meets(self, other: Claim) -> bool:
        """Whether the numbers of one lie where the other must have zeros."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low >= high:
            return False
        mine, theirs = (
            np.zeros(high - low, np.bool_) if c.zeros is None else c.zeros[low - c.low : high - c.low]
            for c in (self, other)
        )
        return bool((mine != theirs).any())


@dataclass
class SliceWords:
    """What is taken of one slice."""

    words: int
    reserve: int = 0
    """Words that are never used as long as there are others."""
    claims: list[Claim] = field(default_factory=list[Claim])

    def __post_init__(self) -> None:
        self._low, self._high = 0, self.words
        """The words that nothing takes at any time: below what stays for the whole program, which lies in order from
        the last word down, so that a queue's text can name it in equal steps, and above all else."""
        self._numbers: Mask = np.zeros(self.words, np.bool_)
        """Words that hold a number at some time."""
        self._zeros: Mask = np.zeros(self.words, np.bool_)
        """Words that must be zero at all times."""

    def fit(self, depth: int, life: tuple[int, int], zeros: Mask | None, stays: bool = False) -> tuple[int, int]:
        """How a block of `depth` words fits that is needed from one moment to another, and its first word.

        `zeros` [depth] says which of its words must be zero, None for none; `stays` whether it is needed always.
        """
        if self._low + depth <= self._high - self.reserve:
            return FRESH, self._high - depth if stays else self._low
        starts = [*self._starts(depth, life)]
        end = self._high - self.reserve
        usual = [start for start in starts if start + depth <= end or start >= self._high]
        for start in usual:
            if self._is_clean(start, zeros, depth):
                return AGAIN, start
        if usual:
            return CLEARED, usual[0]
        return (TIGHT, starts[0]) if starts else (FULL, 0)

    def _starts(self, depth: int, life: tuple[int, int]) -> Iterator[int]:
        """The starts, ascending, from which so many words are free meanwhile: where another block begins or ends."""
        alive = self.alive(life)
        low, high = np.array([c.low for c in alive], np.int64), np.array([c.high for c in alive], np.int64)
        starts = np.unique([0, *(edge for c in self.claims for edge in (c.low, c.high))])
        starts = starts[starts + depth <= self.words]
        meets = (low[None] < starts[:, None] + depth) & (high[None] > starts[:, None])
        yield from starts[~meets.any(axis=1)].tolist()

    def _is_clean(self, start: int, zeros: Mask | None, depth: int) -> bool:
        """Whether a block's words that must be zero are so at all times, and no others are among those that must."""
        must = self._zeros[start : start + depth]
        if zeros is None:
            return not must.any()
        return not (self._numbers[start : start + depth] & zeros).any() and not (must & ~zeros).any()

    def alive(self, life: tuple[int, int]) -> list[Claim]:
        """The blocks that are needed at some moment of a life."""
        return [c for c in self.claims if c.first <= life[1] and life[0] <= c.last]

    def overlap(self, start: int, depth: int, life: tuple[int, int], zeros: Mask | None) -> Claim | None:
        """A block with which these words cannot be shared, if there is one."""
        mine = Claim(start, start + depth, *life, None, zeros)
        alive = {*self.alive(life)}
        return next(
            (c for c in self.claims if mine.meets(c) or (c in alive and c.low < mine.high > start < c.high)), None
        )

    def take(
        self, start: int, depth: int, life: tuple[int, int], owner: Hashable, zeros: Mask | None, stays: bool = False
    ) -> list[Hashable]:
        """Takes a block, of which `zeros` must be zero at all times unless they are made so. Gives the owners of blocks
        whose words must be made zero from now on, since numbers lie there at other times: this one, or others."""
        mine = Claim(start, start + depth, *life, owner, zeros)
        met = [c for c in self.claims if mine.meets(c)] if depth else []
        cleared: list[Claim] = []
        for other in met:
            cleared += [c for c in (mine, other) if c.zeros is not None]
            mine.zeros = other.zeros = None
        self.claims.append(mine)
        for claim in self.claims if cleared else [mine]:
            self._note(claim)
        if cleared:
            self._zeros[:] = False
            for claim in self.claims:
                if claim.zeros is not None:
                    self._zeros[claim.low : claim.high] |= claim.zeros
        if stays:
            self._high = min(self._high, start)
        else:
            self._low = max(self._low, start + depth)
        return [c.owner for c in cleared]

    def _note(self, claim: Claim) -> None:
        """Takes note of the words of a block that hold numbers, and of those that must be zero."""
        if claim.zeros is None:
            self._numbers[claim.low : claim.high] = True
        else:
            self._numbers[claim.low : claim.high] |= ~claim.zeros
            self._zeros[claim.low : claim.high] |= claim.zeros
