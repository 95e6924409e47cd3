"""Facts of ops are worked out once while the ops rest, and anew when they may have changed."""

from __future__ import annotations

import pytest
from tspc.passes.stream.analysis.cached_analysis import analyses_preserved, cached_analysis
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation


def test_a_fact_is_worked_out_once_while_ops_rest() -> None:
    asked: list[Operation] = []

    @cached_analysis
    def ops_within(op: Operation) -> int:
        asked.append(op)
        return len(op.regions[0].block.ops)

    module, other = ModuleOp([]), ModuleOp([])
    assert [ops_within(module), ops_within(module)] == [0, 0]
    with analyses_preserved():
        assert [ops_within(module), ops_within(other), ops_within(module)] == [0, 0, 0]
        with analyses_preserved():  # of a pass within a pass
            assert ops_within(module) == 0
        assert ops_within(module) == 0
    assert asked == [module, module, module, other]
    module.body.block.add_op(ModuleOp([]))
    with analyses_preserved():
        assert ops_within(module) == 1


def test_an_error_ends_the_rest() -> None:
    asked: list[Operation] = []

    @cached_analysis
    def fails(op: Operation) -> int:
        asked.append(op)
        raise ValueError("no")

    module = ModuleOp([])
    with pytest.raises(ValueError, match="no"), analyses_preserved():
        fails(module)
    with pytest.raises(ValueError, match="no"):
        fails(module)
    with pytest.raises(ValueError, match="no"):
        fails(module)
    assert asked == [module] * 3
