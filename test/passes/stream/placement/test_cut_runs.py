"""Where slices are scarce: runs that are cut, copies that are left out, and what then compiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import assert_bits, module_of, random_array
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import CapacityError
from tspc.dialects.machine.layout import AccessPattern
from tspc.passes.pipelines import PASSES, compile, make_context, parse
from tspc.passes.stream.analysis.clusters import clusters
from tspc.passes.stream.placement.cut_runs import CutRunsPass, regular_pieces
from tspc.passes.tensor.lowering.convert_tensor_to_stream import ConvertTensorToStreamPass
from tspc.runtime.jit import JitEngine
from tspc.runtime.levels import run_module

levels = st.lists(st.tuples(st.integers(1, 5), st.integers(-3, 9)), max_size=4)


@given(st.integers(0, 9), levels, st.data())
def test_every_piece_of_a_pattern_is_a_pattern(offset: int, those: list[tuple[int, int]], data: st.DataObject) -> None:
    pattern = AccessPattern(offset, tuple(those))
    plain = AccessPattern.run(0, pattern.count)
    edges = sorted(data.draw(st.sets(st.integers(1, max(1, pattern.count - 1)), max_size=3)))
    edges = [edge for edge in edges if edge < pattern.count]
    pieces = [*regular_pieces([plain, pattern], edges)]
    assert {0, *edges} <= {first for first, _ in pieces}
    words = [pattern.part(first, end - first).words() for first, end in pieces]
    assert np.concatenate(words).tolist() == pattern.words().tolist()
    assert [end for _, end in pieces] == [*(first for first, _ in pieces[1:]), pattern.count]


def module_with(slices: int, words: int, text: str, inputs: list[np.ndarray], result: str) -> str:
    return module_of(text, inputs, result, 32).replace(
        "chip.tiles", f"chip.slices = {slices}, chip.words = {words}, chip.tiles"
    )


EVERY_FOURTH = """%v = tsp_tensor.map %a : (tensor<2900x20xi8>) -> tensor<2900x20xi32> {
  ^bb0(%q: i8):
    %r = arith.extsi %q : i8 to i32
    tsp_tensor.yield %r : i32
}
%s = tsp_tensor.slice %v [0, 0] [725, 20] [4, 1] : tensor<2900x20xi32> -> tensor<725x20xi32>
%y = tsp_tensor.concat dim(0) %s : (tensor<725x20xi32>) -> tensor<725x20xi32>"""


WINDOW = "strides [2, 1] pads [1, 0, 1, 0] dilations [1, 1]"
REDUCED = {
    "maximum": ('tsp_tensor.reduce "max" %a axes [0]', (50, 3, 20), (3, 20)),
    "sum in order": ('tsp_tensor.reduce "sum" %a axes [0]', (9, 3, 20), (3, 20)),
    "means": (f"tsp_tensor.avg_pool %a window [3, 2] {WINDOW}", (1, 9, 7, 20), (1, 5, 6, 20)),
    "window": (f'tsp_tensor.pool "max" %a window [3, 2] {WINDOW}', (1, 9, 7, 20), (1, 5, 6, 20)),
}


@pytest.mark.parametrize("name", REDUCED)
def test_what_joins_several_places_can_do_with_one_copy(name: str) -> None:
    op, shape, result = REDUCED[name]
    a = random_array(np.random.default_rng(2), shape, "f32")
    types = " -> ".join(f"tensor<{'x'.join(map(str, s))}xf32>" for s in (shape, result))
    source = module_of(f"%y = {op} : {types}", [a], types.split(" -> ")[1], 32)
    expected = run_module(parse(source), {"a": a}, {}).outputs["y"]
    module = compile(parse(source), until="c2c-partition")
    ConvertTensorToStreamPass(tight=2).apply(make_context(), module)
    buffers = [op for op in module.walk() if isinstance(op, ts.BufferOp)]
    assert all(b.wanted.copies == 1 for b in buffers if b.kind.data != "constant")
    assert_bits(run_module(compile(module), {"a": a}, {}, JitEngine()).outputs["y"], expected)


def test_a_run_that_meets_more_slices_than_a_hemisphere_has_is_cut() -> None:
    """Four blocks of 725 words in each of four slices of 512: eight groups of four, and a hemisphere has 20."""
    a = random_array(np.random.default_rng(1), (2900, 20), "i8")
    module = parse(module_with(20, 512, EVERY_FOURTH, [a], "tensor<725x20xi32>"))
    whole = compile(module.clone(), until="convert-tensor-to-stream")
    with pytest.raises(CapacityError, match="lies in 32 slices, 12 more than a hemisphere's 20"):
        PASSES["stream-place"]()().apply(make_context(), whole.clone())
    *maps, copy = [[op.name for op in cluster] for cluster in clusters(whole)]
    CutRunsPass().apply(make_context(), whole)
    assert [[op.name for op in cluster] for cluster in clusters(whole)] == [*maps, *maps, *[copy] * 8]
    assert_bits(run_module(compile(module), {"a": a}, {}, JitEngine()).outputs["y"], a[::4].astype(np.int32))
