"""The owner of buffers: which of them are one, what is known of their words, and whose turn it is of the planes."""

from __future__ import annotations

import numpy as np
import pytest
from tspc.dialects.machine.layout import AccessPattern, rows
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.passes.policy import Policy
from tspc.passes.tensor.analysis.views import Named, Stored
from tspc.passes.tensor.emit.buffers import Buffers
from tspc.passes.tensor.emit.padding import ones
from xdsl.dialects.builtin import ModuleOp, TensorType, i8

CHIP = DEFAULT_SYSTEM.chip
TYPE = TensorType(i8, [6, 20])
LAYOUT = rows((6, 20), 1, CHIP.lanes)


@pytest.fixture
def to() -> Buffers:
    return Buffers(Policy.of(CHIP), ModuleOp([]))


def test_users_share_a_buffer_that_has_copies_enough(to: Buffers) -> None:
    x = Named.of("input", "x", TYPE)
    two = to.named(x, LAYOUT, 0, copies=2)
    assert to.named(x, LAYOUT, 0) is two
    assert to.named(x, LAYOUT, 0, copies=3) is not two
    assert to.named(x, LAYOUT, 1) is not two
    assert to.named(x, LAYOUT, 0, user="plane 1") is not two
    assert to.inputs() == {"x"}


def test_a_constant_that_many_ops_read_is_placed_once_more(to: Buffers) -> None:
    mask, layout = ones(20).source, rows((20,), 1, CHIP.lanes)
    assert isinstance(mask, Named)
    first = to.named(mask, layout, 0)
    for _ in range(Policy.constant_uses):
        assert to.named(mask, layout, 0) is first
        to.read(first, AccessPattern.run(0, 1), 0)
    assert to.named(mask, layout, 0) is not first


def test_planned_rows_are_those_of_the_buffer(to: Buffers) -> None:
    tensor = ones(20)
    planned, made = to.planned_rows(tensor), to.in_rows(tensor, 0)
    assert planned == Stored(planned.buffer, made.offset, made.strides, made.tile_stride)
    assert planned.buffer is not made.buffer
    assert len(to.finish().ops) == 2  # the buffer, and the return


def test_what_lies_beyond_the_last_column_is_known_until_it_is_not(to: Buffers) -> None:
    buffer = to.named(Named.of("input", "x", TYPE), LAYOUT, 0)
    assert to.padding(buffer) is None and not to.is_repeated(buffer)
    to.note_padding(buffer, np.zeros((), np.int8))
    to.note_repeated(buffer)
    assert to.padding(buffer) == 0 and to.is_repeated(buffer)
    to.note_padding(buffer, None)
    assert to.padding(buffer) is None


def test_planes_take_turns(to: Buffers) -> None:
    assert to.planes_in_turn(range(4), used=1, group=1) == [0, 1, 2, 3]
    assert to.planes_in_turn(range(4), used=1, group=1) == [1, 2, 3, 0]
    assert to.planes_in_turn(range(4), used=2, group=2) == [2, 3, 0, 1]
    assert to.planes_in_turn(range(4), used=4, group=2) == [0, 1, 2, 3]
