// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A map becomes the work of ALUs, one op each. A truncation to an integer is said before the conversion, which would
// round; what is not used is omitted.

func.func @main(%x: tensor<2x3x5xi8> {tsp_tensor.name = "x"}) -> (tensor<2x3x5xi8> {tsp_tensor.name = "y"}) {
  %rows = tsp_tensor.constant dense<3> : tensor<3x5xi8>
  // The constant lies in SRAM once; its three rows are visited twice.
  // CHECK: %[[C:[0-9]+]] = tsp_stream.buffer "constant" {{.*}} value dense<3> : tensor<3x5xi8> {{.*}} : !tsp_stream.buffer<3x5xi8,
  // CHECK: tsp_stream.read %[[C]] words <0, 3 step 1, 2 step 0>
  // CHECK: ^bb0(%[[A:[0-9]+]]: i8, %[[B:[0-9]+]]: i8):
  %y = tsp_tensor.map %x, %rows : (tensor<2x3x5xi8>, tensor<3x5xi8>) -> tensor<2x3x5xi8> {
  ^bb0(%a: i8, %b: i8):
    // CHECK-NEXT: %half = arith.constant 5.000000e-01 : f32
    %half = arith.constant 5.000000e-01 : f32
    %unused = arith.muli %a, %a : i8
    // CHECK-NEXT: %s = arith.addi %[[A]], %[[B]] : i8
    %s = arith.addi %a, %b : i8
    // CHECK-NEXT: %[[F:[0-9]+]] = arith.sitofp %s : i8 to f32
    // CHECK-NEXT: %h = arith.mulf %[[F]], %half : f32
    // CHECK-NEXT: %[[WHOLE:[0-9]+]] = math.trunc %h : f32
    // CHECK-NEXT: %[[R:[0-9]+]] = tsp_stream.convert %[[WHOLE]] : f32 -> i8
    // CHECK-NEXT: tsp_stream.yield %[[R]] : i8
    %f = arith.sitofp %s : i8 to f32
    %h = arith.mulf %f, %half : f32
    %t = arith.fptosi %h : f32 to i8
    tsp_tensor.yield %t : i8
  }
  func.return %y : tensor<2x3x5xi8>
}
