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
            "tensor<4xi64>: element type i64 is not supported; use i32",
        ),
        ("%0 = tsp_tensor.constant dense<1> : tensor<4xi1>", "tensor<4xi1>: element type i1 is not supported; use i8"),
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
            "tensor<4x4xi8> does not have the elements of tensor<15xi8>",
        ),
        (
            "%0 = tsp_tensor.reshape %a : tensor<4x4xi8> -> tensor<4xi32>",
            "tensor<4x4xi8> does not have the elements of tensor<4xi32>",
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
            "operand tensor<4xf32> does not match region argument i32",
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
            "`arith.divf` is not a scalar op of an ALU; there are arith.constant, arith.addi,",
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
            "`tsp_stream.yield` is not a scalar op of an ALU",
        ),
    ],
)
def test_a_map_that_makes_no_sense(operands: str, result: str, region: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(FUNCTION.format(f"%y = tsp_tensor.map {operands} -> {result} {{ {region} }}"))
    assert str(e.value).startswith(f"<text>:3:3: `tsp_tensor.map`: {reason}")


OPS = """
func.func @main(%x: tensor<2x6x5x4xf16>, %w: tensor<3x3x4x8xf16>, %i: tensor<3xi32>, %t: tensor<7x4xi8>,
                %f: tensor<4xf32>, %q: tensor<2x5x8xf16>, %k: tensor<3x8xf16>, %n: tensor<i8>) {{
  {}
  func.return
}}
"""
X, W, T, Q = "tensor<2x6x5x4xf16>", "tensor<3x3x4x8xf16>", "tensor<7x4xi8>", "tensor<2x5x8xf16>"


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        # matmul: batches broadcast, flags turn a matrix.
        (
            f"matmul %q, %k : {Q}, tensor<3x8xf16> -> tensor<2x5x3xf32>",
            f"shapes do not multiply: {Q} by tensor<3x8xf16> is not tensor<2x5x3xf32>",
        ),
        (
            f"matmul %q, %k {{transpose_lhs, transpose_rhs}} : {Q}, tensor<3x8xf16> -> tensor<2x5x3xf32>",
            f"shapes do not multiply (lhs transposed, rhs transposed): {Q} by tensor<3x8xf16> is not",
        ),
        (
            f"matmul %q, %q {{transpose_rhs}} : {Q}, {Q} -> tensor<2x5x5xf16>",
            f"sums of {Q} by {Q} are f32, the result is tensor<2x5x5xf16>",
        ),
        (
            "matmul %f, %f : tensor<4xf32>, tensor<4xf32> -> tensor<f32>",
            "shapes do not multiply: tensor<4xf32> by tensor<4xf32> is not tensor<f32>",
        ),
        # conv: images NHWC, weights HWIO.
        (
            f"conv %t, %w : {T}, {W} -> tensor<2x4x3x8xf32>",
            f"{T}: images are [images, rows, columns, channels]; reshape",
        ),
        (
            f"conv %x, %q : {X}, {Q} -> tensor<2x4x3x8xf32>",
            f"{Q}: weights are [rows, columns, channels / groups, outputs]",
        ),
        (
            f"conv %x, %w groups 2 : {X}, {W} -> tensor<2x4x3x8xf32>",
            "4 channels in 2 groups do not match weights of 4 channels and 8 outputs: channels are groups times those",
        ),
        (
            f"conv %x, %w groups 0 : {X}, {W} -> tensor<2x4x3x8xf32>",
            "4 channels in 0 groups do not match weights of 4 channels and 8 outputs",
        ),
        (f"conv %x, %w strides [1] : {X}, {W} -> {X}", "`strides` has 1 numbers [1]; give 2"),
        (f"conv %x, %w strides [0, 1] : {X}, {W} -> {X}", "`strides` [0, 1]: numbers must be at least 1"),
        (f"conv %x, %w pads [1, 1] : {X}, {W} -> {X}", "`pads` has 2 numbers [1, 1]; give 4"),
        (f"conv %x, %w dilations [1, -1] : {X}, {W} -> {X}", "`dilations` [1, -1]: numbers must be at least 1"),
        (
            f"conv %x, %w pads [0, 0, 2147483648, 0] : {X}, {W} -> {X}",
            "`pads` [0, 0, 2147483648, 0]: numbers must be at most 2147483647",
        ),
        (
            f"conv %x, %w dilations [3, 1] : {X}, {W} -> {X}",
            "a window of 7 x 3 pixels is larger than the padded image of 6 x 5",
        ),
        (f"conv %x, %w : {X}, {W} -> {X}", f"the result is tensor<2x4x3x8xf32>, not {X}"),
        # Reductions.
        (f'reduce "mean" %x axes [1] : {X} -> {X}', "`mean` is not a kind of it; the kinds are sum, max, min"),
        (f'reduce "sum" %x axes [] : {X} -> {X}', f"`axes` []: give some of the axes 0 to 3 of {X}, ascending"),
        (f'reduce "sum" %x axes [2, 1] : {X} -> {X}', "`axes` [2, 1]: give some of the axes 0 to 3"),
        (f'reduce "sum" %x axes [1, 1] : {X} -> {X}', "`axes` [1, 1]: give some of the axes 0 to 3"),
        (f'reduce "sum" %x axes [4] : {X} -> {X}', "`axes` [4]: give some of the axes 0 to 3"),
        (
            f'reduce "sum" %x axes [1] : {X} -> tensor<2x5xf16>',
            f"over axes [1] of {X} the result is of 2x5x4 or 2x1x5x4, not tensor<2x5xf16>",
        ),
        (
            f'reduce "sum" %x axes [1] : {X} -> tensor<2x5x4xf32>',
            f"the sum of {X} keeps its element type (sums of i8 and i16 can be i32), not tensor<2x5x4xf32>",
        ),
        (f'reduce "max" %t axes [0] : {T} -> tensor<4xi32>', f"the max of {T} keeps its element type"),
        (f'pool "min" %x window [2, 2] : {X} -> {X}', "`min` is not a kind of it; the kinds are sum, max"),
        (f'pool "max" %x window [7, 1] : {X} -> {X}', "a window of 7 x 1 pixels is larger than the padded image"),
        (f'pool "max" %x window [2] : {X} -> {X}', "`window` has 1 numbers [2]; give 2"),
        (f'pool "max" %x window [2, 2] : {X} -> {X}', "the result is tensor<2x5x4x4xf16>, not"),
        # Movement.
        (f"transpose %t permutation [0, 0] : {T} -> {T}", f"`permutation` [0, 0] does not name each axis of {T} once"),
        (f"transpose %t permutation [0] : {T} -> {T}", "`permutation` [0] does not name each axis"),
        (f"transpose %t permutation [1, 0] : {T} -> {T}", f"the result is tensor<4x7xi8>, not {T}"),
        (f"slice %t [0] [7, 4] [1, 1] : {T} -> {T}", "`offsets` has 1 numbers [0]; give 2"),
        (f"slice %t [-1, 0] [7, 4] [1, 1] : {T} -> {T}", "`offsets` [-1, 0]: numbers must be at least 0"),
        (f"slice %t [0, 0] [7, 4] [1, 0] : {T} -> {T}", "`strides` [1, 0]: numbers must be at least 1"),
        (f"slice %t [1, 0] [4, 4] [2, 1] : {T} -> {T}", f"axis 0: the last index is 7, {T} has 0 to 6"),
        (f"slice %t [1, 0] [3, 4] [2, 1] : {T} -> {T}", f"the result is tensor<3x4xi8>, not {T}"),
        (f"concat dim(2) %t, %t : ({T}, {T}) -> {T}", f"{T} has no dimension 2; they are numbered from 0"),
        ("concat dim(0) %n : (tensor<i8>) -> tensor<1xi8>", "tensor<i8> has no dimension 0"),
        (f"concat dim(0)  : () -> {T}", "concatenates nothing; give it operands"),
        (
            f"concat dim(0) %t, %i : ({T}, tensor<3xi32>) -> {T}",
            f"tensor<3xi32> and {T} differ in more than the size of dimension 0",
        ),
        (f"concat dim(0) %t, %t : ({T}, {T}) -> {T}", f"the result is tensor<14x4xi8>, not {T}"),
        (f"pad %t low [0, -1] high [0, 0] value 0 : i8 : {T} -> {T}", "`low` [0, -1]: numbers must be at least 0"),
        (f"pad %t low [0, 1] high [0] value 0 : i8 : {T} -> {T}", "`high` has 1 numbers [0]; give 2"),
        (f"pad %t low [0, 1] high [0, 0] value 0 : i32 : {T} -> {T}", f"`value` is i32, the elements of {T} are not"),
        (f"pad %t low [0, 1] high [0, 0] value 0 : i8 : {T} -> {T}", f"the result is tensor<7x5xi8>, not {T}"),
        (f"gather %t, %f : {T}, tensor<4xf32> -> {T}", "indices are i32, not tensor<4xf32>; convert with tsp_tensor"),
        ("gather %n, %i : tensor<i8>, tensor<3xi32> -> tensor<3xi8>", "tensor<i8> has no rows; a table has at least"),
        (f"gather %t, %i : {T}, tensor<3xi32> -> {T}", f"the result is tensor<3x4xi8>, not {T}"),
        (
            f"scatter %t, %i, %t : {T}, tensor<3xi32>, {T} -> {T}",
            f"the updates of {T} at tensor<3xi32> are tensor<3x4xi8>, not {T}",
        ),
        # Named ops.
        (f"softmax dim(0) %t : {T}", f"{T}: elements are f16 or f32; scale integers with tsp_tensor.map first"),
        (f"softmax dim(4) %x : {X}", f"{X} has no dimension 4"),
        (f'gelu "sinh" %x : {X}', "`sinh` is not a kind of it; the kinds are erf, tanh"),
        (
            f"rms_norm %q, %f epsilon 1.0e-05 : {Q}, tensor<4xf32>",
            f"the scale tensor<4xf32> must have the last dimension of {Q}, and no other",
        ),
        (f"rms_norm %x, %f epsilon -1.0 : {X}, tensor<4xf32>", "`epsilon` is -1.0; it must not be negative"),
        (
            f"layer_norm %x, %f, %i epsilon 1.0e-05 : {X}, tensor<4xf32>, tensor<3xi32>",
            "tensor<3xi32>: elements are f16 or f32",
        ),
        (
            f"rope %q, %f, %k : {Q}, tensor<4xf32>, tensor<3x8xf16>",
            f"the table tensor<3x8xf16> does not broadcast to the pairs (2, 5, 4) of {Q}",
        ),
        (
            f"attention %q, %q, %q scale 1.0 : {Q}, {Q}, {Q} -> tensor<2x5x7xf32>",
            "the result is tensor<2x5x8xf32>, not tensor<2x5x7xf32>",
        ),
        (
            f"attention %q, %x, %q scale 1.0 : {Q}, {X}, {Q} -> {Q}",
            f"query {Q}, key {X} and value {Q} do not multiply",
        ),
        (
            f"attention %q, %q, %q mask %f : tensor<4xf32> scale 1.0 : {Q}, {Q}, {Q} -> {Q}",
            "the mask tensor<4xf32> does not broadcast to the scores [2, 5, 5]",
        ),
        (
            f"attention %f, %q, %q scale 1.0 : tensor<4xf32>, {Q}, {Q} -> {Q}",
            "attention multiplies f16, not tensor<4xf32>; convert with tsp_tensor.map",
        ),
        (
            f"avg_pool %x window [1, 1] pads [1, 0, 0, 0] : {X} -> tensor<2x7x5x4xf16>",
            f"a place of the window lies in the padding of {X} alone; use `count_padding`",
        ),
    ],
)
def test_an_op_of_shapes_that_do_not_fit(op: str, reason: str) -> None:
    result = "" if op.startswith("func") else "%0 = tsp_tensor."
    with pytest.raises(VerifyException) as e:
        parse(OPS.format(result + op))
    assert str(e.value).startswith(f"<text>:4:3: `tsp_tensor.{op.split()[0]}`: {reason}"), e.value


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (
            "%0 = arith.cmpf olt, %x, %x : f32  %1 = arith.extsi %0 : i1 to i8  tsp_tensor.yield %x : f32",
            "`arith.extsi` takes no i1; make a number of it with arith.extui or arith.select",
        ),
        (
            "%0 = arith.cmpf olt, %x, %x : f32  %1 = arith.cmpi eq, %0, %0 : i1  tsp_tensor.yield %x : f32",
            "`arith.cmpi` takes no i1; make a number of it with arith.extui or arith.select",
        ),
        (
            "%0 = arith.cmpf olt, %x, %x : f32  %1 = arith.addi %0, %0 : i1  tsp_tensor.yield %x : f32",
            "`arith.addi` gives i1; ALUs know i8, i16, i32, f16, f32",
        ),
        ("%0 = arith.cmpf olt, %x, %x : f32  tsp_tensor.yield %0 : i1", "`tsp_tensor.yield` takes no i1; make"),
        ("%0 = math.erf %x : f32  tsp_tensor.yield %0 : f32", "`math.erf` is not a scalar op of an ALU; there are"),
    ],
)
def test_truths_stay_in_their_region(region: str, reason: str) -> None:
    text = f"%y = tsp_tensor.map %s : (tensor<4xf32>) -> tensor<4xf32> {{ ^bb0(%x: f32): {region} }}"
    with pytest.raises(VerifyException) as e:
        parse(FUNCTION.format(text))
    assert str(e.value).startswith(f"<text>:3:3: `tsp_tensor.map`: {reason}"), e.value


def test_a_region_uses_nothing_from_outside() -> None:
    text = """%c = arith.constant 1.0 : f32
        %y = tsp_tensor.map %s : (tensor<4xf32>) -> tensor<4xf32> {
        ^bb0(%x: f32):
          tsp_tensor.yield %c : f32
        }"""
    with pytest.raises(
        VerifyException, match=r"`tsp_tensor.map`: Operation using value defined out of its IsolatedFromAbove parent"
    ):
        parse(FUNCTION.format(text))


def test_operands_broadcast_as_in_numpy() -> None:
    parse(
        FUNCTION.format("""
          %y = tsp_tensor.map %b, %v : (tensor<2x4xi32>, tensor<4xi32>) -> tensor<3x2x4xi32> {
          ^bb0(%x: i32, %y: i32):
            tsp_tensor.yield %x : i32
          }""")
    )
