"""Compiling as a function: its stages, their times, and what it leaves behind."""

from __future__ import annotations

import gc

import pytest
from tspc.dialects.errors import UnsupportedModel
from tspc.passes.pipelines import STAGES, compile, parse, uncollected

SUM = """func.func @main(%x: tensor<4x8xi32>) -> tensor<4x8xi32> {
  %y = tsp_tensor.map %x, %x : (tensor<4x8xi32>, tensor<4x8xi32>) -> tensor<4x8xi32> {
  ^bb0(%a: i32, %b: i32):
    %c = arith.addi %a, %b : i32
    tsp_tensor.yield %c : i32
  }
  func.return %y : tensor<4x8xi32>
}"""


@pytest.mark.parametrize("until", ["decompose-tensor-ops", "stream-place", "isa-verify"])
def test_every_stage_says_what_it_took(until: str) -> None:
    took: dict[str, float] = {}
    text = compile(SUM, until, took.__setitem__)
    assert list(took) == list(STAGES)[: list(STAGES).index(until) + 1]
    assert all(seconds >= 0 for seconds in took.values())
    assert text == compile(SUM, until)


def test_a_stage_goes_on_where_the_one_before_has_stopped() -> None:
    assert compile(compile(SUM, "stream-schedule")) == compile(SUM)


def test_the_garbage_collector_goes_on_as_before() -> None:
    with pytest.raises(UnsupportedModel):
        compile(parse("builtin.module {}"))
    assert gc.isenabled()
    with uncollected():
        compile(SUM)
        assert not gc.isenabled()
    assert gc.isenabled()
