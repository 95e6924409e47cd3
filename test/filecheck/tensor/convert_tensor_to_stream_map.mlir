// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A map becomes the work of ALUs, which know 32 bits. Narrow integers are widened first and wrapped after; a truncation
// to an integer is said before the conversion, which would round; what is not used is left out.

func.func @main(%x: tensor<2x3x5xi8> {tsp_tensor.name = "x"}) -> (tensor<2x3x5xi8> {tsp_tensor.name = "y"}) {
  %rows = tsp_tensor.constant dense<3> : tensor<3x5xi8>
  // The constant lies in SRAM once; its three rows are visited twice.
  // CHECK: %[[C:[0-9]+]] = tsp_stream.buffer "constant" {{.*}} value dense<3> : tensor<3x5xi8> : !tsp_stream.buffer<3x5xi8, rows>
  // CHECK: tsp_stream.read %[[C]] words <0, 3 step 1, 2 step 0>
  // CHECK: ^bb0(%[[A:[0-9]+]]: i8, %[[B:[0-9]+]]: i8):
  %y = tsp_tensor.map %x, %rows : (tensor<2x3x5xi8>, tensor<3x5xi8>) -> tensor<2x3x5xi8> {
  ^bb0(%a: i8, %b: i8):
    // CHECK-NEXT: %[[WIDE_A:[0-9]+]] = tsp_stream.convert %[[A]] : i8 -> i32
    // CHECK-NEXT: %[[WIDE_B:[0-9]+]] = tsp_stream.convert %[[B]] : i8 -> i32
    // CHECK-NEXT: %[[SUM:[0-9]+]] = arith.addi %[[WIDE_A]], %[[WIDE_B]] : i32
    // CHECK-NEXT: %[[WRAPPED:[0-9]+]] = arith.trunci %[[SUM]] : i32 to i8
    %unused = arith.muli %a, %a : i8
    %s = arith.addi %a, %b : i8
    // CHECK-NEXT: %f = arith.sitofp %[[WRAPPED]] : i8 to f32
    // CHECK-NEXT: %[[WHOLE:[0-9]+]] = math.trunc %f : f32
    // CHECK-NEXT: %[[R:[0-9]+]] = tsp_stream.convert %[[WHOLE]] : f32 -> i8
    // CHECK-NEXT: tsp_stream.yield %[[R]] : i8
    %f = arith.sitofp %s : i8 to f32
    %t = arith.fptosi %f : f32 to i8
    tsp_tensor.yield %t : i8
  }
  func.return %y : tensor<2x3x5xi8>
}
