"""Groups of vectors that a transposer turns at once: in SRAM they lie side by side, one in each of as many slices."""

from __future__ import annotations

from xdsl.dialects.builtin import TensorType, i8
from xdsl.ir import Attribute, SSAValue

from ....dialects.machine.layout import Axis, Layout
from .buffers import Buffers


def group_buffer(words: int, to: Buffers, chip: int) -> SSAValue:
    """A buffer of bytes, as many vectors side by side as a transposer turns at once."""
    side, lanes = to.chip.lanes_per_tile, to.chip.lanes
    layout = Layout((Axis.of(words, 0, side),), (Axis.of(side, 0),), (Axis.of(lanes, 1),))
    return to.make("scratch", "", TensorType[Attribute](i8, [words * side, lanes]), layout, chip)
