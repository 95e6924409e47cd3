"""Compiling as a function: its stages, their times, and what it leaves behind."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from tspc.dialects.errors import InputError, MalformedProgram, UnsupportedModel
from tspc.passes.pipelines import STAGES, compile, garbage_collection_paused, parse
from xdsl.dialects.builtin import UnitAttr

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
    with garbage_collection_paused():
        compile(SUM)
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_unknown_stage_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError) as refused:
        compile(SUM, until="stream-shedule")
    assert "no stage `stream-shedule`" in str(refused.value)
    assert "did you mean `stream-schedule`?" in str(refused.value)
    assert all(stage in str(refused.value) for stage in STAGES)


@pytest.mark.parametrize("after", ["decompose-tensor-ops", "convert-tensor-to-stream", "isa-assemble"])
def test_a_module_that_cannot_be_compiled_stays_as_it_was(after: str) -> None:
    def fail(stage: str, _: float) -> None:
        if stage == after:
            raise MalformedProgram("no more")

    module = parse(SUM)
    module.attributes["mine"] = UnitAttr()
    before, location = str(module), module.body.block.first_op.location
    with pytest.raises(MalformedProgram, match="no more"):
        compile(module, took=fail)
    assert str(module) == before
    module.verify()
    assert module.body.block.first_op.location == location
    assert compile(module) is module
    del module.attributes["mine"]
    assert str(module) == compile(SUM)


def test_threads_compile_at_once() -> None:
    """Each its own module; after all the garbage collector goes on, whoever came first and whoever went last."""
    texts = [SUM.replace("4x8", f"{rows}x8") for rows in range(4, 12)]
    expected = [compile(text) for text in texts]
    barrier = Barrier(len(texts))

    def work(text: str) -> str:
        barrier.wait()
        return compile(text)

    with ThreadPoolExecutor(len(texts)) as pool:
        assert list(pool.map(work, texts)) == expected
    assert gc.isenabled()


def test_the_garbage_collector_rests_for_one_thread_only() -> None:
    """Where compiles overlap without end, it would never work."""
    with ThreadPoolExecutor(1) as pool:
        with garbage_collection_paused():
            other = garbage_collection_paused()
            pool.submit(other.__enter__).result()
            assert gc.isenabled()
            pool.submit(other.__exit__, None, None, None).result()
            assert not gc.isenabled()
        assert gc.isenabled()


def test_compiling_leaves_nothing() -> None:
    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for _ in range(2):
        compile(SUM)
    before = objects()
    for _ in range(5):
        compile(SUM)
        compile(parse(SUM))
    assert objects() - before < 10
