"""Which words of a slice are taken, and when. Plain mathematics, no IR.

A program runs again and again, and SRAM is zero only before its first run. So words of a block that are read and never
written must be zero whenever the block is used: nothing else may ever write a number there, or they are cleared before
each use.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

FRESH, AGAIN, CLEARED, TIGHT, FULL = range(5)
"""How a block fits into a slice: beside all others; into words of which others are done; the same, if words that must
be zero are made so before each use, its own or those of others; only into words that are better left to
instructions; not at all."""


@dataclass(frozen=True)
class Border:
    """Words of a block that hold nothing but zeros while it is used."""

    zeros: Mask
    """Which of its words these are."""
    made: bool = False
    """Whether the program makes them zero before each use; else they must be so at all times."""


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
    border: Border | None
    """Of all other words it holds numbers."""

    @property
    def zeros(self) -> Mask | None:
        """Which of its words must be zero at all times; None for none."""
        return None if self.border is None or self.border.made else self.border.zeros

    def spoils(self, other: Claim) -> bool:
        """Whether its numbers lie where another must have zeros."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low >= high or other.zeros is None:
            return False
        must = other.zeros[low - other.low : high - other.low]
        if self.border is None:
            return bool(must.any())
        return bool((must & ~self.border.zeros[low - self.low : high - self.low]).any())


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
        the last word down, so that a queue's instructions can name it in equal steps, and above all else."""
        self._numbers: Mask = np.zeros(self.words, np.bool_)
        """Words that hold a number at some time."""
        self._zeros: Mask = np.zeros(self.words, np.bool_)
        """Words that must be zero at all times."""
        self._spans: npt.NDArray[np.int64] = np.zeros((4, 0), np.int64)
        """Of each claim the first word and the one past the last, the first moment and the last."""
        self._fits: dict[tuple[int, tuple[int, int], bytes | None, bool], tuple[int, int]] = {}
        """What was found since the last block was taken."""

    def fit(self, depth: int, life: tuple[int, int], zeros: Mask | None, stays: bool = False) -> tuple[int, int]:
        """How a block of `depth` words fits that is needed from one moment to another, and its first word.

        `zeros` [depth] says which of its words must be zero, None for none; `stays` whether it is needed always.
        """
        if self._low + depth <= self._high - self.reserve:
            return FRESH, self._high - depth if stays else self._low
        key = depth, life, None if zeros is None else zeros.tobytes(), stays
        if key not in self._fits:
            self._fits[key] = self._fit_again(depth, life, zeros)
        return self._fits[key]

    def _fit_again(self, depth: int, life: tuple[int, int], zeros: Mask | None) -> tuple[int, int]:
        """The same of a block that does not fit beside all others."""
        starts = self._starts(depth, life)
        end = self._high - self.reserve
        usual = [start for start in starts if start + depth <= end or start >= self._high]
        for start in usual:
            if self._is_clean(start, zeros, depth):
                return AGAIN, start
        if usual:
            return CLEARED, usual[0]
        return (TIGHT, starts[0]) if starts else (FULL, 0)

    def _starts(self, depth: int, life: tuple[int, int]) -> list[int]:
        """The starts, ascending, from which so many words are free meanwhile: where another block begins or ends."""
        low, high, _, _ = self._spans[:, self._alive(life)]
        starts = np.unique(np.append(self._spans[:2], 0))
        starts = starts[starts + depth <= self.words]
        meets = (low[None] < starts[:, None] + depth) & (high[None] > starts[:, None])
        return starts[~meets.any(axis=1)].tolist()

    def _is_clean(self, start: int, zeros: Mask | None, depth: int) -> bool:
        """Whether a block's words that must be zero are so at all times, and no others are among those that must."""
        must = self._zeros[start : start + depth]
        if zeros is None:
            return not must.any()
        return not (self._numbers[start : start + depth] & zeros).any() and not (must & ~zeros).any()

    def _alive(self, life: tuple[int, int]) -> Mask:
        """Which blocks are needed at some moment of a life."""
        return (self._spans[2] <= life[1]) & (self._spans[3] >= life[0])

    def alive(self, life: tuple[int, int]) -> list[Claim]:
        """The blocks that are needed at some moment of a life."""
        return [self.claims[i] for i in np.flatnonzero(self._alive(life))]

    def room(self, life: tuple[int, int]) -> int:
        """The words of the longest block that is free from one moment to another."""
        low, high, _, _ = self._spans[:, self._alive(life)]
        order = np.argsort(low)
        ends = np.maximum.accumulate(np.append(0, high[order]))
        return int((np.append(low[order], self.words) - ends).max())

    def overlap(
        self, start: int, depth: int, life: tuple[int, int], zeros: Mask | None, made: bool = False
    ) -> Claim | None:
        """A block with which these words cannot be shared, if there is one."""
        mine = Claim(start, start + depth, *life, None, None if zeros is None else Border(zeros, made))
        low, high, _, _ = self._spans
        shared = np.flatnonzero((low < mine.high) & (high > mine.low)).tolist() if depth else []
        alive = self._alive(life)
        claims = ((i, self.claims[i]) for i in shared)
        return next((c for i, c in claims if alive[i] or mine.spoils(c) or c.spoils(mine)), None)

    def take(
        self,
        start: int,
        depth: int,
        life: tuple[int, int],
        owner: Hashable,
        zeros: Mask | None,
        stays: bool = False,
        made: bool = False,
    ) -> list[Hashable]:
        """Takes a block, of which `zeros` are zero while it is used: at all times, or where the program makes them so,
        from then on. Gives the owners of blocks whose words must be made zero from now on, since numbers lie there at
        other times: this one, or others."""
        mine = Claim(start, start + depth, *life, owner, None if zeros is None else Border(zeros, made))
        low, high, _, _ = self._spans
        cleared: dict[Claim, None] = {}
        for other in [self.claims[i] for i in np.flatnonzero((low < mine.high) & (high > mine.low))] if depth else []:
            cleared |= {one: None for one, by in ((mine, other), (other, mine)) if by.spoils(one)}
        for claim in cleared:
            assert claim.border is not None
            claim.border = replace(claim.border, made=True)
        self.claims.append(mine)
        self._spans = np.append(self._spans, [[mine.low], [mine.high], [mine.first], [mine.last]], axis=1)
        self._fits.clear()
        self._note(mine)
        if cleared:
            self._zeros[:] = False
            for claim in self.claims:
                if claim.zeros is not None:
                    self._zeros[claim.low : claim.high] |= claim.zeros
        if stays:
            self._high = min(self._high, start)
        else:
            self._low = max(self._low, start + depth)
        return [claim.owner for claim in cleared]

    def _note(self, claim: Claim) -> None:
        """Takes note of the words of a block that hold numbers, and of those that must be zero."""
        self._numbers[claim.low : claim.high] |= True if claim.border is None else ~claim.border.zeros
        if claim.zeros is not None:
            self._zeros[claim.low : claim.high] |= claim.zeros
