"""Matrices that were computed as weights: their rows are dealt out to the slices from which planes are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from ....dialects.elements import element_bytes
from ....dialects.machine.layout import AccessPattern, tiles, weights
from ..analysis.views import Stored
from .buffers import Buffers


def distribute_rows(
    matrix: Stored,
    taps: Sequence[int],
    k: int,
    columns: int,
    first_tile: int,
    element: Attribute,
    to: Buffers,
    chip: int,
) -> SSAValue:
    """Emits the copies of `columns` columns, from tile `first_tile` on, of a matrix with `k` rows, or of one for each
    of the taps [*taps, k, columns], to a buffer in the layout of weights, which it returns.

    Row k goes to slice k % 16 of those side by side, so each slice takes every sixteenth row; the bytes of wider
    elements are dealt out one after the other. Rows of the layout that the matrix does not have stay zero.
    """
    lanes, streams, size = to.chip.lanes, to.chip.weight_streams, element_bytes(element)
    layout = weights(taps, k, columns, size, lanes, streams)
    per_tile, *per_tap, per_pass, per_byte, per_group = layout.strides
    buffer = to.make("scratch", "", TensorType(element, [*taps, k, columns]), layout, chip)
    *tap_rows, row = matrix.strides
    across = tiles(columns, lanes)
    of_taps = tuple(zip(reversed(taps), reversed(tap_rows), strict=True))
    to_taps = tuple(zip(reversed(taps), reversed(per_tap), strict=True))
    for first, passes, rows in ((0, k // lanes, lanes), (k // lanes, 1, k % lanes)):
        for byte in range(size):
            for number in range(min(rows, streams) if passes else 0):
                count = tiles(rows - number, streams)
                start = matrix.offset + first_tile * matrix.tile_stride + (first * lanes + number) * row
                source = AccessPattern(
                    start, ((count, streams * row), (passes, lanes * row), *of_taps, (across, matrix.tile_stride))
                )
                target = AccessPattern(
                    first * per_pass + byte * per_byte,
                    ((count, per_group), (passes, per_pass), *to_taps, (across, per_tile)),
                )
                copy = to.copy_for(matrix.buffer, number)
                to.write(to.read(matrix.buffer, source, chip, copy=copy, byte=byte), buffer, target, chip, byte=number)
    return buffer
