"""What the tensor level refuses to say, each with its reason."""

from __future__ import annotations

import pytest
from tspc.passes.pipelines import parse
from xdsl.utils.exceptions import VerifyException

FUNCTION = """
func.func @main(%a: tensor<4x4xi8>, %b: tensor<2x4xi32>, %v: tensor<4xi32>, %s: tensor<4xf32>, %u: tensor<4xi64>) {{
  {}
  func.return
}}
"""


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        # Tensors are static and of the element types that streams carry.
        ('%0 = tsp_tensor.parameter "w" : tensor<?x4xi8>', "tensor<?x4xi8>: dimensions must be static and at least 1"),
        ('%0 = tsp_tensor.parameter "w" : tensor<4x0xi8>', "tensor<4x0xi8>: dimensions must be static and at least 1"),
        (
            '%0 = tsp_tensor.parameter "w" : tensor<4xi64>',
            "tensor<4xi64>: element type is none of i8, i16, i32, f16, f32",
        ),
        ("%0 = tsp_tensor.constant dense<1> : tensor<4xi1>", "tensor<4xi1>: element type is none of"),
        # A product is of int8 matrices.
        (
            "%0 = tsp_tensor.matmul %a, %b : tensor<4x4xi8>, tensor<2x4xi32> -> tensor<4x4xi32>",
            "shapes do not multiply: tensor<4x4xi8> by tensor<2x4xi32> is not tensor<4x4xi32>",
        ),
        (
            "%0 = tsp_tensor.matmul %a, %v : tensor<4x4xi8>, tensor<4xi32> -> tensor<4xi32>",
            "shapes do not multiply: tensor<4x4xi8> by tensor<4xi32> is not tensor<4xi32>",
        ),
        (
            "%0 = tsp_tensor.matmul %b, %a : tensor<2x4xi32>, tensor<4x4xi8> -> tensor<2x4xi32>",
            "matmul takes i8 by i8 to i32, or f16 by f16 to f32, not tensor<2x4xi32> by tensor<4x4xi8>; convert",
        ),
        # A reshape keeps the elements.
        (
            "%0 = tsp_tensor.reshape %a : tensor<4x4xi8> -> tensor<15xi8>",
            "tensor<4x4xi8> has not the elements of tensor<15xi8>",
        ),
        (
            "%0 = tsp_tensor.reshape %a : tensor<4x4xi8> -> tensor<4xi32>",
            "tensor<4x4xi8> has not the elements of tensor<4xi32>",
        ),
    ],
)
def test_an_op_that_makes_no_sense(op: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(FUNCTION.format(op))
    name = op.split()[2]
    assert str(e.value).startswith(f"<text>:3:3: `{name}`: {reason}")


@pytest.mark.parametrize(
    ("operands", "result", "region", "reason"),
    [
        (
            "%b, %v : (tensor<2x4xi32>, tensor<4xi32>)",
            "tensor<2x4xi32>",
            "^bb0(%x: i32): tsp_tensor.yield %x : i32",
            "2 operands but 1 region arguments",
        ),
        (
            "%s : (tensor<4xf32>)",
            "tensor<4xi32>",
            "^bb0(%x: i32): tsp_tensor.yield %x : i32",
            "operand tensor<4xf32> meets region argument i32",
        ),
        (
            "%v : (tensor<4xi32>)",
            "tensor<4x2xi32>",
            "^bb0(%x: i32): tsp_tensor.yield %x : i32",
            "operand tensor<4xi32> does not broadcast to tensor<4x2xi32>",
        ),
        (
            "%b : (tensor<2x4xi32>)",
            "tensor<4xi32>",
            "^bb0(%x: i32): tsp_tensor.yield %x : i32",
            "operand tensor<2x4xi32> does not broadcast to tensor<4xi32>",
        ),
        (
            "%v : (tensor<4xi32>)",
            "tensor<4xf32>",
            "^bb0(%x: i32): tsp_tensor.yield %x : i32",
            "the region yields i32, the result is tensor<4xf32>",
        ),
        (
            "%s : (tensor<4xf32>)",
            "tensor<4xf32>",
            "^bb0(%x: f32): %0 = arith.divf %x, %x : f32  tsp_tensor.yield %0 : f32",
            "`arith.divf` is no scalar op of an ALU; there are arith.constant, arith.addi,",
        ),
        (
            "%v : (tensor<4xi32>)",
            "tensor<4xi32>",
            "^bb0(%x: i32): %0 = arith.extsi %x : i32 to i64 tsp_tensor.yield %x : i32",
            "`arith.extsi` gives i64; ALUs know i8, i16, i32, f16, f32",
        ),
        (
            "%v : (tensor<4xi32>)",
            "tensor<4xi32>",
            "^bb0(%x: i32): tsp_stream.yield %x : i32",
            "`tsp_stream.yield` is no scalar op of an ALU",
        ),
    ],
)
def test_a_map_that_makes_no_sense(operands: str, result: str, region: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(FUNCTION.format(f"%y = tsp_tensor.map {operands} -> {result} {{ {region} }}"))
    assert str(e.value).startswith(f"<text>:3:3: `tsp_tensor.map`: {reason}")


def test_operands_broadcast_as_in_numpy() -> None:
    parse(
        FUNCTION.format("""
          %y = tsp_tensor.map %b, %v : (tensor<2x4xi32>, tensor<4xi32>) -> tensor<3x2x4xi32> {
          ^bb0(%x: i32, %y: i32):
            tsp_tensor.yield %x : i32
          }""")
    )
