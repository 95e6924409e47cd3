"""docs/adding-an-op.md is true: what it writes is an op of every level."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tspc.dialects.tsp_tensor.named as named
import tspc.dialects.tsp_tensor.simplify as simplify
import tspc.passes.tensor.lowering.registry as lowering
from tspc.dialects.errors import UnsupportedModel
from tspc.dialects.locations import LocatedParser
from tspc.dialects.tsp_stream import BufferOp
from tspc.dialects.tsp_tensor import TSP_TENSOR, MapOp, YieldOp
from tspc.dialects.tsp_tensor.canonical import Canonical
from tspc.passes.pipelines import PASSES, STAGES, make_context
from tspc.passes.tensor.lowering.convert_tensor_to_stream import LOWERED_IN
from tspc.passes.tensor.lowering.values import Values
from tspc.runtime.executable import Loaded, executable_from_module
from tspc.runtime.levels import run_module
from tspc.runtime.reference import ReferenceEngine
from xdsl.dialects.builtin import ModuleOp
from xdsl.pattern_rewriter import PatternRewriteWalker

PAGE = Path(__file__).parent.parent / "docs" / "adding-an-op.md"

FUNCTION = """func.func @main(%x: tensor<3x400xf32> {tsp_tensor.name = "x"})
    -> (tensor<3x400xf32> {tsp_tensor.name = "y"}) {
  %a = tsp_tensor.absolute %x : tensor<3x400xf32>
  %y = tsp_tensor.absolute %a : tensor<3x400xf32>
  func.return %y : tensor<3x400xf32>
}"""


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's code defines, in the modules for which it is written."""
    declaration, pattern = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    space = {**vars(simplify), **vars(named), "Canonical": Canonical}
    exec(compile(f"from __future__ import annotations\n{declaration}", str(PAGE), "exec"), space)
    exec(compile(pattern, str(PAGE), "exec"), space)  # op_type_rewrite_pattern looks at the annotation itself
    return space


def parsed(page: dict[str, Any], text: str = FUNCTION) -> ModuleOp:
    context = make_context()
    context.load_registered_dialect("tsp_tensor")
    context.load_op(page["AbsoluteOp"])
    module = LocatedParser(context, text).parse_module()
    module.verify()
    return module


def absolutes(page: dict[str, Any], module: ModuleOp) -> int:
    return sum(isinstance(op, page["AbsoluteOp"]) for op in module.walk())


def inputs() -> dict[str, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(3, 400)).astype(np.float32)
    x[0, :6] = 0.0, -0.0, np.inf, -np.inf, np.nan, -1e-42
    return {"x": x}


def test_it_is_read_and_printed(page: dict[str, Any]) -> None:
    module = parsed(page)
    assert absolutes(page, module) == 2
    assert str(parsed(page, str(module))) == str(module)


def test_it_means_its_expression(page: dict[str, Any]) -> None:
    (x,) = inputs().values()
    y = run_module(parsed(page), {"x": x}, {}).outputs["y"]
    expected = np.abs(x)
    assert np.array_equal(y, expected, equal_nan=True)
    assert not np.signbit(y[0, :2]).any()


def test_the_pattern_leaves_one(page: dict[str, Any]) -> None:
    module = parsed(page)
    before = run_module(module, inputs(), {}).outputs["y"]
    assert PatternRewriteWalker(page["SimplifyAbsolute"]()).rewrite_module(module)
    assert absolutes(page, module) == 1
    assert run_module(module, inputs(), {}).outputs["y"].tobytes() == before.tobytes()


def test_it_decomposes_to_maps(page: dict[str, Any]) -> None:
    module = parsed(page)
    PASSES["decompose-tensor-ops"]()().apply(make_context(), module)
    assert absolutes(page, module) == 0
    assert sum(isinstance(op, MapOp) for op in module.walk()) == 2


def test_the_chip_computes_the_same_bits(page: dict[str, Any]) -> None:
    module, values = parsed(page), run_module(parsed(page), inputs(), {}).outputs["y"]
    for factory in STAGES.values():
        factory()().apply(make_context(), module)
        module.verify()
    outputs, _ = Loaded(executable_from_module(module, {}), ReferenceEngine()).run(inputs())
    assert outputs["y"].tobytes() == values.tobytes()


def test_every_op_is_an_expression_or_has_a_lowering() -> None:
    assert LOWERED_IN
    primitive = {op for op in TSP_TENSOR.operations if not issubclass(op, named.NamedOp | YieldOp)}
    assert primitive == {op for op in lowering.LOWERINGS if op.dialect_name() == TSP_TENSOR.name}


def test_a_primitive_op_is_lowered_by_one_function(page: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by one that says that the result is where the operand is."""
    lower_it = PASSES["convert-tensor-to-stream"]()()
    with pytest.raises(UnsupportedModel, match="absolute`: has no lowering to streams"):
        lower_it.apply(make_context(), parsed(page))
    monkeypatch.setattr(lowering, "LOWERINGS", {**lowering.LOWERINGS})

    @lowering.lowers(page["AbsoluteOp"])
    def lower_absolute(op: Any, values: Values) -> None:
        values.define(op.result, *values.operands(op))

    module = parsed(page)
    lower_it.apply(make_context(), module)
    buffers = [op for op in module.walk() if isinstance(op, BufferOp)]
    named_buffers = {(op.kind.data, op.tensor_name.data) for op in buffers if op.tensor_name}
    assert named_buffers == {("input", "x"), ("output", "y")}
