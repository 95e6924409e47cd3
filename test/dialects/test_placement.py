"""Places in SRAM: parts, groups of slices and copies, against the words one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tspc.dialects.machine.layout import Axis, Layout
from tspc.dialects.machine.target import ChipSpec
from tspc.dialects.placement import Place, Slice

CHIP = ChipSpec()


@st.composite
def places(draw: st.DrawFn) -> tuple[Place, int, int]:
    """A place, and the width and depth of a block that lies there."""
    depth, width, copies = draw(st.integers(1, 12)), draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    starts = (0, *sorted(draw(st.sets(st.integers(1, max(1, depth - 1)), max_size=min(4, depth - 1)))))
    owners = draw(st.lists(st.integers(0, 2), min_size=len(starts), max_size=len(starts)))
    numbers = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
    owners = tuple(numbers[owner] for owner in owners) if draw(st.booleans()) else ()
    groups = len(numbers) if owners else len(starts)
    every = [Slice(h, n) for h in "EW" for n in range(CHIP.slices)]
    slices = draw(st.permutations(every))[: width * groups * copies]
    addresses = draw(st.lists(st.integers(0, 99), min_size=len(slices), max_size=len(slices)))
    return Place(tuple(slices), starts, owners, copies, tuple(addresses)), width, depth


@given(places())
def test_every_word_lies_where_the_place_says(what: tuple[Place, int, int]) -> None:
    """In every copy: the words of a part after each other, behind the parts of its group that come before it."""
    place, width, depth = what
    assert place.fault(Layout((Axis(depth),), (Axis(width),), ()), CHIP) is None
    block = np.random.default_rng(depth).integers(1, 256, (width, depth, 8), np.uint8)
    words = place.spread(block)
    groups = max(place.owners) + 1 if place.owners else len(place.starts)
    free = [0] * groups
    held = np.zeros_like(words)
    for word in range(depth):
        part = max(i for i, first in enumerate(place.starts) if first <= word)
        assert place.part_of(word) == part
        group = place.owners[part] if place.owners else part
        for copy in range(place.copies):
            for i in range(width):
                number = (copy * groups + group) * width + i
                assert place.side_by_side(copy, part)[i] == place.slices[number]
                held[number, free[group]] = block[i, word]
        assert place.bases[part] + word - place.starts[part] == free[group]
        free[group] += 1
    assert words.shape[1] == place.depth_of(depth) == max(free)
    assert np.array_equal(words, held)
    assert np.array_equal(place.gather(words, depth), block)
