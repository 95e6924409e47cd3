"""Verification of whole modules: the first bad op, its place and the reason, and the order of definitions and uses."""

from __future__ import annotations

import pytest
from tspc.dialects.locations import describe, located, where
from tspc.dialects.tsp_tensor import MatmulOp
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import compile, parse
from xdsl.dialects.builtin import FileLineColLoc, ModuleOp, UnknownLoc
from xdsl.ir import Operation
from xdsl.utils.exceptions import VerifyException

TOO_EARLY = "uses a value before it is defined, or one of another region"

MODEL = """\
func.func @main(%x: tensor<4x4xi8>) -> tensor<4x4xi32> {
  %w = tsp_tensor.parameter "w" : tensor<4x4xi8>
    %y = tsp_tensor.matmul %x, %w : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  func.return %y : tensor<4x4xi32>
}
"""


def ops(module: ModuleOp) -> dict[str, Operation]:
    """The ops of a module by name."""
    return {op.name: op for op in module.walk()}


# -- definitions before uses ---------------------------------------------------------------------------------------


def test_a_module_in_order() -> None:
    verify_module(parse(MODEL))


def test_a_use_before_the_definition() -> None:
    """xDSL's own verifier accepts this."""
    module = parse(MODEL)
    parameter = ops(module)["tsp_tensor.parameter"]
    product = ops(module)["tsp_tensor.matmul"]
    parameter.detach()
    block = product.parent
    assert block is not None
    block.insert_op_after(parameter, product)
    module.verify()
    with pytest.raises(VerifyException, match=rf"^<text>:3:5: `tsp_tensor\.matmul`: {TOO_EARLY}$"):
        verify_module(module)


def test_a_use_before_the_definition_in_text() -> None:
    first, parameter, product, *rest = MODEL.splitlines()
    with pytest.raises(VerifyException, match=rf"^model\.mlir:2:5: `tsp_tensor\.matmul`: {TOO_EARLY}$"):
        parse("\n".join([first, product, parameter, *rest]), "model.mlir")


def test_a_region_sees_what_was_defined_around_it() -> None:
    module = parse("""
        func.func @f(%x: f32, %flag: i1) -> f32 {
          %y = scf.if %flag -> (f32) {
            %z = arith.addf %x, %x : f32
            scf.yield %z : f32
          } else {
            scf.yield %x : f32
          }
          func.return %y : f32
        }""")
    verify_module(module)


def test_a_value_of_another_region() -> None:
    module = parse("""
        func.func @f(%x: f32, %flag: i1) -> f32 {
          %y = scf.if %flag -> (f32) {
            %z = arith.addf %x, %x : f32
            scf.yield %z : f32
          } else {
            scf.yield %x : f32
          }
          func.return %y : f32
        }""")
    first, second = (region.block.last_op for region in ops(module)["scf.if"].regions)
    assert first is not None and second is not None
    second.operands = first.operands
    with pytest.raises(VerifyException, match=rf"^<text>:7:13: `scf\.yield`: {TOO_EARLY}$"):
        verify_module(module)


def test_an_isolated_region_sees_nothing_around_it() -> None:
    module = parse("func.func @f(%x: f32) { func.return }\nfunc.func @g() { func.return }")
    f, g = module.body.block.ops
    inner = g.regions[0].block.last_op
    assert inner is not None
    inner.operands = f.regions[0].block.args
    with pytest.raises(VerifyException, match=r"^<text>:2:1: `func\.func`: .*IsolatedFromAbove"):
        verify_module(module)


def test_blocks_may_use_what_other_blocks_define() -> None:
    """The order of blocks says nothing about the order of execution."""
    verify_module(
        parse("""
            func.func @f(%x: i32) -> i32 {
              cf.br ^a
            ^b:
              func.return %y : i32
            ^a:
              %y = arith.addi %x, %x : i32
              cf.br ^b
            }""")
    )


def test_every_level_of_a_program_is_in_order() -> None:
    for stage in ("convert-tensor-to-stream", "stream-schedule", "convert-stream-to-isa", "isa-assemble"):
        verify_module(compile(parse(MODEL), until=stage))


# -- diagnostics ---------------------------------------------------------------------------------------------------


def test_a_diagnostic_is_one_line() -> None:
    with pytest.raises(VerifyException) as e:
        parse(MODEL.replace("4x4xi32>", "4x5xi32>"), "model.mlir")
    assert str(e.value) == (
        "model.mlir:3:5: `tsp_tensor.matmul`: shapes do not multiply: "
        "tensor<4x4xi8> by tensor<4x4xi8> is not tensor<4x5xi32>"
    )


def test_a_block_without_its_terminator() -> None:
    with pytest.raises(VerifyException, match=r"<text>:1:22: `arith\.constant`: .*is not a terminator"):
        parse("func.func @f() {     %0 = arith.constant 1 : i32 }")


def test_where_an_op_was_written() -> None:
    module = parse(MODEL, "model.mlir")
    assert where(ops(module)["tsp_tensor.matmul"]) == "model.mlir:3:5"
    assert describe(ops(module)["tsp_tensor.parameter"]) == "model.mlir:2:3: `tsp_tensor.parameter`"


def test_a_location_in_the_text_comes_first() -> None:
    module = parse(MODEL.replace("-> tensor<4x4xi32>\n  func", '-> tensor<4x4xi32> loc("net.py":7:9)\n  func'))
    assert where(ops(module)["tsp_tensor.matmul"]) == "net.py:7:9"


def test_an_op_without_a_place_has_that_of_the_op_around_it() -> None:
    module = parse(MODEL, "model.mlir")
    product = ops(module)["tsp_tensor.matmul"]
    product.location = UnknownLoc()
    assert describe(product) == "model.mlir:1:1: `tsp_tensor.matmul`"
    assert describe(ModuleOp([])) == "`builtin.module`"


def test_what_a_pass_makes_lies_where_its_source_lies() -> None:
    module = parse(MODEL, "model.mlir")
    product = ops(module)["tsp_tensor.matmul"]
    assert isinstance(product, MatmulOp)
    copy = located(product.clone(), product)
    assert isinstance(copy.location, FileLineColLoc)
    assert where(copy) == "model.mlir:3:5"


def test_instructions_still_know_the_line_of_the_model() -> None:
    module = compile(parse(MODEL, "model.mlir"), until="convert-stream-to-isa")
    assert where(ops(module)["tsp_isa.abc"]) == "model.mlir:3:5"
