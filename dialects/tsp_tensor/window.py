"""Windows that slide over the rows and columns of images: plain mathematics, no IR.

Padding is never a place in memory here. Which taps lie inside the image at which places follows from the numbers, so
nothing takes time or memory that grows with the padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MOST_LOOKED_AT = 1 << 24
"""Places, or taps, of which each is looked at for whether it meets an element; of more no gaps are found."""


@dataclass(frozen=True)
class Window:
    """A window of `kernel` taps, all sizes in pixels as (rows, columns)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    """Pixels from one place of the window to the next."""
    pads: tuple[int, int, int, int]
    """Pixels of padding: top, left, bottom, right."""
    dilations: tuple[int, int]
    """Pixels from one tap to the next."""

    @property
    def extent(self) -> tuple[int, int]:
        """Pixels from the first tap to the last, both counted."""
        return (self.dilations[0] * (self.kernel[0] - 1) + 1, self.dilations[1] * (self.kernel[1] - 1) + 1)

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of an image with its padding."""
        top, left, bottom, right = self.pads
        return (size[0] + top + bottom, size[1] + left + right)

    def places(self, size: tuple[int, int]) -> tuple[int, int]:
        """The number of places of the window on an image: below 1 if it does not fit."""
        full, extent = self.padded(size), self.extent
        return ((full[0] - extent[0]) // self.strides[0] + 1, (full[1] - extent[1]) // self.strides[1] + 1)

    def along(self, size: tuple[int, int]) -> tuple[Slide, Slide]:
        """The window on an image of this size, along its rows and along its columns."""
        top, left, bottom, right = self.pads
        pads = (top, bottom), (left, right)
        rows, columns = (
            Slide(n, k, s, d, *p)
            for n, k, s, d, p in zip(size, self.kernel, self.strides, self.dilations, pads, strict=True)
        )
        return rows, columns


@dataclass(frozen=True)
class Slide:
    """A window along one dimension: at place p its tap t meets element `p * stride + t * dilation - before`, if there
    is one; what lies outside is padding."""

    size: int
    """Elements of the image."""
    taps: int
    stride: int
    dilation: int
    before: int
    """Elements of padding before the first."""
    after: int

    @property
    def places(self) -> int:
        """The places of the window."""
        return (self.size + self.before + self.after - self.extent) // self.stride + 1

    @property
    def extent(self) -> int:
        """Elements from the first tap to the last, both counted."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def idle(self) -> bool:
        """Whether the window is each element in turn."""
        return self.taps == self.stride == 1 and not self.padded

    @property
    def padded(self) -> bool:
        return bool(self.before or self.after)

    def element(self, place: int, tap: int) -> int:
        """The element that a tap meets at a place; none where it is negative, or not below `size`."""
        return place * self.stride + tap * self.dilation - self.before

    def places_of(self, tap: int) -> range:
        """The places at which a tap lies inside."""
        return inside(self.size, self.element(0, tap), self.stride, self.places)

    def taps_at(self, place: int) -> range:
        """The taps that lie inside at a place."""
        return inside(self.size, self.element(place, 0), self.dilation, self.taps)

    def counts(self) -> npt.NDArray[np.int64]:
        """How many taps lie inside at each place."""
        first = np.arange(self.places) * self.stride - self.before
        start = np.maximum(0, -(first // self.dilation))
        end = np.minimum(self.taps, (self.size - 1 - first) // self.dilation + 1)
        return np.maximum(0, end - start)

    @property
    def met_places(self) -> range:
        """From the first place at which a tap lies inside to the last."""
        return self._met(self.places, self.stride, self.taps, self.dilation)

    @property
    def met_everywhere(self) -> bool:
        """Whether a tap lies inside at every place, as far as places are looked at."""
        gaps = self.dilation > self.size and self.places <= MOST_LOOKED_AT and not self.counts().all()
        return self.met_places == range(self.places) and not gaps

    @property
    def met_taps(self) -> range:
        """From the first tap that lies inside somewhere to the last."""
        return self._met(self.taps, self.dilation, self.places, self.stride)

    def _met(self, count: int, step: int, others: int, apart: int) -> range:
        """Of `count` places (or taps), `step` from each other, from the first to the last at which one of `others`,
        `apart` from each other, lies inside."""
        first = max(0, -((self.before - (others - 1) * apart) // -step))
        end = min(count, (self.before + self.size - 1) // step + 1)
        if apart <= self.size or not 0 < end - first <= MOST_LOOKED_AT:
            return range(first, max(first, end))
        at = np.arange(first, end) * step - self.before
        nearest = np.maximum(0, -(at // apart))  # the first of the others that does not lie before the image
        met = np.flatnonzero((nearest < others) & (at + nearest * apart < self.size))
        return range(first + int(met[0]), first + int(met[-1]) + 1) if len(met) else range(first, first)


def inside(size: int, first: int, step: int, count: int) -> range:
    """Which of `count` numbers, `step` from each other, lie from 0 to below `size`, by their index."""
    start = max(0, -(first // step))
    return range(start, max(start, min(count, (size - 1 - first) // step + 1)))
