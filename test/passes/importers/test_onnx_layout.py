"""Where dimensions lie after a reshape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tspc.passes.importers.onnx.layout import groups, reshaped

IMAGES = (0, 2, 3, 1)
"""[N, C, H, W] that lie as [N, H, W, C]."""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((2, 12, 5, 5), (2, 3, 4, 5, 5), [([0], [0]), ([1], [1, 2]), ([2], [3]), ([3], [4])]),
        ((2, 3, 4), (6, 4), [([0, 1], [0]), ([2], [1])]),
        ((2, 8, 1, 1), (2, 8), [([0], [0]), ([1], [1]), ([2], []), ([3], [])]),
        ((6, 4), (4, 6), [([0, 1], [0, 1])]),
        ((), (1, 1), [([], [0]), ([], [1])]),
    ],
)
def test_groups_have_the_same_elements(old: tuple, new: tuple, expected: list) -> None:
    assert groups(old, new) == expected


def test_channels_that_are_split_stay_last() -> None:
    """The first half of a shuffle of channels moves nothing."""
    assert reshaped((2, 12, 5, 7), IMAGES, (2, 3, 4, 5, 7)) == ([0, 2, 3, 1], [0, 3, 4, 1, 2])


def test_only_the_dimensions_of_a_group_are_brought_together() -> None:
    """The second half: of [N, H, W, G, C] the last two change places."""
    assert reshaped((2, 4, 3, 5, 7), (0, 3, 4, 2, 1), (2, 12, 5, 7)) == ([0, 3, 4, 1, 2], [0, 2, 3, 1])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_a_reshape_has_the_elements_in_their_order(shape: list[int], data: st.DataObject) -> None:
    old = tuple(shape)
    x = np.arange(np.prod(old)).reshape(old)
    order = data.draw(st.permutations(range(len(old))))
    cut = data.draw(st.integers(0, len(old)))
    split = [n for d in old[cut:] for n in ((2, d // 2) if d % 2 == 0 else (d,))]
    new = (int(np.prod(old[:cut])), *split) if cut else tuple(split)
    before, after = reshaped(old, order, new)
    physical = x.transpose(before).reshape([new[d] for d in after])
    np.testing.assert_array_equal(physical.transpose([after.index(d) for d in range(len(new))]), x.reshape(new))
