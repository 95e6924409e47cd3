"""How large random graphs are: small ones about the edges of tiles, large ones up to what is quick to simulate."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np

SIZES = (1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 15, 16, 17, 31, 40, 64, 100, 159, 160, 161, 319, 320, 321, 640, 641)
"""Of a dimension: about those of a superlane, and of vectors of 160 and 320 lanes; the small ones more often."""


@dataclass(frozen=True)
class Scale:
    """What bounds the tensors of a graph, and the work of its ops."""

    elements: int
    """Of a tensor that is drawn."""
    results: int
    """Of what a product gives."""
    outputs: int
    """Of a convolution."""
    side: int
    """Of a window."""
    work: int | None = None
    """Multiplications of an op, or the elements that its window meets, summed over its places."""
    more: tuple[int, ...] = (0, 0, 1, 1, 2, 3, 4, 5)
    """How many steps may follow the first."""
    longest: int | None = None
    """Dimensions up to this are drawn evenly by their logarithm; None for those of SIZES."""
    wild: float = 0.4
    """The share of graphs whose floats are infinite, NaN, subnormal or the largest now and then."""

    def dim(self, rng: np.random.Generator, most: int) -> int:
        """A dimension of at most `most`."""
        if self.longest is None:
            fit = [s for s in SIZES if s <= max(1, most)]
            return fit[int(rng.integers(len(fit)))]
        return self.even(rng, min(self.longest, most))

    def window_side(self, rng: np.random.Generator, size: int, most: int) -> int:
        """The side of a window on so many rows or columns, at most `most`: small most of the time, or larger than the
        image, or as large."""
        if self.longest is not None:
            return min(self.even(rng, min(self.side, size)), most)
        small = int(rng.integers(1, min(self.side, size) + 1))
        side = (small, small, small, int(rng.integers(1, 2 * size + 1)), size)[int(rng.integers(5))]
        return min(side, most)

    def even(self, rng: np.random.Generator, most: int) -> int:
        """From 1 to `most`, even by its logarithm."""
        return min(int(exp(rng.uniform(0, log(max(1, most) + 1)))), max(1, most))

    @property
    def padded(self) -> int:
        """Elements of a tensor with its padding, and of the weights of a convolution."""
        return self.results * 3 // 2

    def allows(self, work: int) -> bool:
        return self.work is None or work <= self.work


SMALL = Scale(elements=1000, results=4000, outputs=400, side=4)

LARGE = Scale(
    elements=1 << 22,
    results=1 << 22,
    outputs=3000,
    side=40,
    work=1 << 31,
    more=(0, 0, 1, 1, 2),
    longest=3000,
    wild=0.0,
)
"""Without wild floats, since the tensor level adds the f16 products of NaNs one by one."""
