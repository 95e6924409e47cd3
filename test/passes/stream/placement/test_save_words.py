"""save-words: an order in which few words are needed at once, and in which every word is written and read as before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tensors import assert_bits, module_of, random_array, type_of
from tspc.passes.pipelines import compile, make_context, parse
from tspc.passes.stream.placement.save_words import Body, SaveWordsPass, Visit, saving_order
from tspc.passes.stream.placement.stream_allocate import lifetimes
from tspc.passes.tensor.lowering.convert_tensor_to_stream import ConvertTensorToStreamPass
from tspc.runtime.jit import JitEngine
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp, i8
from xdsl.ir import Block

BUFFERS = Block(arg_types=[i8] * 4).args

visits = st.builds(lambda low, size, written: Visit(low, low + size, written), *[st.integers(0, 3)] * 2, st.booleans())
bodies = st.dictionaries(
    st.sampled_from(BUFFERS), st.lists(visits, min_size=1, max_size=2), min_size=1, max_size=3
).map(lambda those: Body(those, dict.fromkeys(those, 5)))


@given(st.lists(bodies, max_size=8))
def test_visits_of_a_word_keep_their_order(program: list[Body]) -> None:
    order = saving_order(program)
    assert sorted(order) == [*range(len(program))]
    for first, one in enumerate(program):
        for second in range(first + 1, len(program)):
            other = program[second]
            shared = one.visits.keys() & other.visits.keys()
            if any(a.meets(b) for buffer in shared for a in one.visits[buffer] for b in other.visits[buffer]):
                assert order.index(first) < order.index(second)


def test_what_is_used_late_is_computed_late() -> None:
    """Eight values, all of which the program computes before it adds them up: fewer than half are there at once."""
    a = random_array(np.random.default_rng(3), (50, 20), "i8")
    type_ = type_of(a.shape, "i8")
    lines = [map_of(f"p{i}", ["a"], f"%k = arith.constant {i} : i8 %r = arith.muli %b0, %k : i8") for i in range(8)]
    for i in range(1, 8):
        lines.append(map_of(f"s{i}", ["p0" if i == 1 else f"s{i - 1}", f"p{i}"], "%r = arith.addi %b0, %b1 : i8"))
    source = module_of("\n".join(lines).replace("%s7", "%y"), [a], type_, 32)
    module = parse(source)
    ConvertTensorToStreamPass().apply(make_context(), module)
    before = most_words(module)
    SaveWordsPass().apply(make_context(), module)
    assert most_words(module) * 2 < before
    got = run_module(compile(module), {"a": a}, {}, JitEngine()).outputs["y"]
    assert_bits(got, (a.astype(int) * sum(range(8))).astype(np.int8))


def map_of(name: str, operands: list[str], body: str) -> str:
    """A map of tensors<50x20xi8>, the operands of whose region are %b0 and %b1."""
    type_ = type_of((50, 20), "i8")
    arguments = ", ".join(f"%b{i}: i8" for i in range(len(operands)))
    names, types = ", ".join(f"%{o}" for o in operands), ", ".join([type_] * len(operands))
    return f"""%{name} = tsp_tensor.map {names} : ({types}) -> {type_} {{
    ^bb0({arguments}):
      {body}
      tsp_tensor.yield %r : i8
    }}"""


def most_words(module: ModuleOp) -> int:
    """Words of scratch that are needed at once."""
    lives = [(b.type.layout, life) for b, life in lifetimes(module).items() if b.kind.data == "scratch"]
    moments = {moment for _, life in lives for moment in life}
    return max(sum(one.depth * one.width for one, (first, last) in lives if first <= m <= last) for m in moments)
