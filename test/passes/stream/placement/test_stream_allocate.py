"""Words of slices that are used again: blocks that are needed at once never meet, and what must be zero is zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import random_array
from test_lanes import type_of
from tspc.dialects import tsp_stream as ts
from tspc.dialects.machine.layout import Layout, rows, weights
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import compile, parse
from tspc.passes.stream.placement.occupancy import AGAIN, CLEARED, FRESH, FULL, TIGHT, Mask, SliceWords
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.jit.engine import JitEngine
from tspc.runtime.tensor_level import run_tensor

WORDS, MOMENTS = 24, 6


@st.composite
def blocks(draw: st.DrawFn) -> tuple[int, tuple[int, int], Mask | None, bool]:
    """Depth, first and last moment, the words that must be zero, and whether it stays for the whole program."""
    depth = draw(st.integers(1, WORDS // 2))
    if draw(st.integers(0, 4)) == 0:
        return depth, (-1, MOMENTS), None, True
    first = draw(st.integers(0, MOMENTS - 1))
    zeros = np.array(draw(st.lists(st.booleans(), min_size=depth, max_size=depth)))
    return depth, (first, draw(st.integers(first, MOMENTS - 1))), zeros if zeros.any() else None, False


@given(st.lists(blocks(), max_size=12))
def test_no_number_is_lost_and_no_zero_is_dirty(wanted: list[tuple[int, tuple[int, int], Mask | None, bool]]) -> None:
    """Two runs of a program that writes every word of its blocks but those that must be zero."""
    words = SliceWords(WORDS, reserve=2)
    placed: dict[int, tuple[int, tuple[int, int], Mask]] = {}
    cleared: set[object] = set()
    for number, (depth, life, zeros, stays) in enumerate(wanted, 1):
        how, start = words.fit(depth, life, zeros, stays)
        if how == FULL:
            free = np.ones(WORDS, bool)
            for claim in words.alive(life):
                free[claim.low : claim.high] = False
            assert not any(free[at : at + depth].all() for at in range(WORDS - depth + 1))
            continue
        cleared |= {*words.take(start, depth, life, number, zeros, stays)}
        placed[number] = start, life, np.zeros(depth, bool) if zeros is None else zeros
    sram = np.zeros(WORDS, np.int64)
    for _ in range(2):
        for moment in range(-1, MOMENTS + 1):
            for number, (start, life, zeros) in placed.items():
                block = sram[start : start + len(zeros)]
                if moment == life[0]:
                    if number in cleared:
                        block[zeros] = 0
                    assert not block[zeros].any()
                    block[~zeros] = number
            for number, (start, life, zeros) in placed.items():
                if life[0] <= moment <= life[1]:
                    assert (sram[start : start + len(zeros)] == np.where(zeros, 0, number)).all()


def test_what_is_preferred() -> None:
    """Words of its own; words of which others are done; words that are cleared; the words left to text."""
    words = SliceWords(10, reserve=2)
    border = np.array([True, False, False])
    assert words.fit(4, (0, 0), None) == (FRESH, 0)
    words.take(0, 4, (0, 0), "a", None)
    assert words.fit(3, (-1, 9), None, stays=True) == (FRESH, 7)
    words.take(7, 3, (-1, 9), "w", None, stays=True)
    assert words.fit(3, (1, 1), None) == (AGAIN, 0)
    assert words.fit(3, (1, 1), border) == (CLEARED, 0)
    assert words.take(0, 3, (1, 1), "b", border) == ["b"]
    assert words.fit(2, (0, 0), None) == (TIGHT, 4)
    assert words.fit(4, (0, 0), None)[0] == FULL


def test_images_with_equal_borders_share_words() -> None:
    """The border of one is that of the next: it is zero all the time, and nothing has to be made zero."""
    words = SliceWords(8)
    border = np.array([True, False, False, True])
    words.take(0, 4, (0, 1), "a", border)
    words.take(4, 4, (1, 2), "b", border)
    assert words.fit(4, (2, 3), border) == (AGAIN, 0)
    assert words.fit(4, (2, 3), None) == (CLEARED, 0)
    assert words.take(0, 4, (2, 3), "c", None) == ["a"]  # whose border has numbers now


@pytest.mark.parametrize(
    ("layout", "shape", "element"),
    [
        (rows((3, 4, 5), 1, 320, ((1, 1), (0, 2))), (3, 4, 5), np.int8),
        (rows((2, 700), 2, 320), (2, 700), np.int16),
        (weights((), 20, 30, 1, 320, 16), (20, 30), np.int8),
        (weights((2,), 330, 30, 2, 320, 16), (2, 330, 30), np.int16),
    ],
)
def test_empty_words_are_those_without_an_element(layout: Layout, shape: tuple[int, ...], element: type) -> None:
    ones = np.full(shape, -1, element)
    assert np.array_equal(layout.empty_words(shape), ~layout.pack(ones, 320).any(axis=2))


def chain(layers: int, size: int, channels: int) -> str:
    """3 x 3 convolutions with padding, of growing and shrinking images, so that borders do not lie alike."""
    lines: list[str] = []
    shape, value = (1, size, size, channels), "%x"
    for i in range(layers):
        stride = 2 if i % 3 == 1 else 1
        out = (1, -(-shape[1] // stride), -(-shape[2] // stride), channels)
        kernel = (3, 3, channels, channels)
        lines.append(f"""%w{i} = tsp_tensor.parameter "w{i}" : {type_of(kernel, "i8")}
        %c{i} = tsp_tensor.conv {value}, %w{i} strides [{stride}, {stride}] pads [1, 1, 1, 1]
          : {type_of(shape, "i8")}, {type_of(kernel, "i8")} -> {type_of(out, "i32")}
        %y{i} = tsp_tensor.map %c{i} : ({type_of(out, "i32")}) -> {type_of(out, "i8")} {{
        ^bb0(%a: i32):
          %n = arith.constant 5 : i32
          %s = arith.shrsi %a, %n : i32
          %r = arith.trunci %s : i32 to i8
          tsp_tensor.yield %r : i8
        }}""")
        shape, value = out, f"%y{i}"
    body = "\n".join(lines)
    return f"""func.func @main(%x: {type_of((1, size, size, channels), "i8")} {{tsp_tensor.name = "x"}})
        -> ({type_of(shape, "i8")} {{tsp_tensor.name = "y"}}) {{ {body}
        func.return {value} : {type_of(shape, "i8")} }}"""


@pytest.mark.parametrize("words", [200, 100])
def test_borders_are_made_zero_again(words: int) -> None:
    """With so few words images take turns at them; two runs give the same bits."""
    module = parse(chain(7, 24, 8))
    module.attributes[TARGET] = TargetAttr(SystemSpec(chip=ChipSpec(words=words, slices=32)))
    rng = np.random.default_rng(words)
    inputs = {"x": random_array(rng, (1, 24, 24, 8), "i8")}
    weights_ = {f"w{i}": random_array(rng, (3, 3, 8, 8), "i8") for i in range(7)}
    expected = run_tensor(module, inputs, weights_)["y"]
    cleared = [
        b
        for b in compile(module.clone(), until="stream-allocate").walk()
        if isinstance(b, ts.BufferOp) and b.tensor_name is not None and b.tensor_name.data.startswith("zeros")
    ]
    assert bool(cleared) == (words < 200)
    loaded = Loaded(executable_from_module(compile(module), weights_), JitEngine(mode="bulk"))
    for _ in range(2):
        assert np.array_equal(loaded.run(inputs)[0]["y"], expected)
