"""Windows that slide over the rows and columns of images: plain mathematics, no IR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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

    def taps(self, size: tuple[int, int]) -> Iterator[tuple[int, int, slice, slice]]:
        """For each tap, row by row: its row and column in the kernel, and the rows and columns of the padded image that
        it meets."""
        rows, columns = self.places(size)
        for r in range(self.kernel[0]):
            for c in range(self.kernel[1]):
                yield r, c, self._meets(0, r, rows), self._meets(1, c, columns)

    def _meets(self, axis: int, tap: int, places: int) -> slice:
        start = tap * self.dilations[axis]
        return slice(start, start + (places - 1) * self.strides[axis] + 1, self.strides[axis])
