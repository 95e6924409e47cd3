// RUN: tsp-opt %s -p fuse-maps | filecheck %s

// A map that one other map alone uses is computed there; scalars in between never go to memory.

func.func @main(%sums: tensor<4x8xi32>, %bias: tensor<8xi32>, %row: tensor<8xf32>) -> (tensor<4x8xi8>, tensor<4x8xf32>, tensor<4x8xf32>) {
  // The bias is an operand of both, and one of the fused map; its order is that of first use.
  // CHECK: %y = tsp_tensor.map %sums, %bias : (tensor<4x8xi32>, tensor<8xi32>) -> tensor<4x8xi8> {
  // CHECK-NEXT: ^bb0(%[[A:.*]]: i32, %[[B:.*]]: i32):
  // CHECK-NEXT:   %[[X:.*]] = arith.addi %[[A]], %[[B]] : i32
  // CHECK-NEXT:   %[[Y:.*]] = arith.muli %[[X]], %[[X]] : i32
  // CHECK-NEXT:   %[[Z:.*]] = arith.subi %[[Y]], %[[B]] : i32
  // CHECK-NEXT:   %[[R:.*]] = arith.trunci %[[Z]] : i32 to i8
  // CHECK-NEXT:   tsp_tensor.yield %[[R]] : i8
  // CHECK-NEXT: }
  %biased = tsp_tensor.map %sums, %bias : (tensor<4x8xi32>, tensor<8xi32>) -> tensor<4x8xi32> {
  ^bb0(%a: i32, %b: i32):
    %0 = arith.addi %a, %b : i32
    tsp_tensor.yield %0 : i32
  }
  %squared = tsp_tensor.map %biased : (tensor<4x8xi32>) -> tensor<4x8xi32> {
  ^bb0(%c: i32):
    %1 = arith.muli %c, %c : i32
    tsp_tensor.yield %1 : i32
  }
  %y = tsp_tensor.map %squared, %bias : (tensor<4x8xi32>, tensor<8xi32>) -> tensor<4x8xi8> {
  ^bb0(%d: i32, %e: i32):
    %2 = arith.subi %d, %e : i32
    %3 = arith.trunci %2 : i32 to i8
    tsp_tensor.yield %3 : i8
  }

  // What broadcasts is computed once, and stays.
  // CHECK-NEXT: %factor = tsp_tensor.map %row : (tensor<8xf32>) -> tensor<8xf32> {
  %factor = tsp_tensor.map %row : (tensor<8xf32>) -> tensor<8xf32> {
  ^bb0(%f: f32):
    %4 = math.exp %f : f32
    tsp_tensor.yield %4 : f32
  }
  // What two use is computed once.
  // CHECK: %wide = tsp_tensor.map %sums
  %wide = tsp_tensor.map %sums : (tensor<4x8xi32>) -> tensor<4x8xf32> {
  ^bb0(%g: i32):
    %5 = arith.sitofp %g : i32 to f32
    tsp_tensor.yield %5 : f32
  }
  // CHECK: %p = tsp_tensor.map %wide, %factor
  %p = tsp_tensor.map %wide, %factor : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32> {
  ^bb0(%h: f32, %i: f32):
    %6 = arith.mulf %h, %i : f32
    tsp_tensor.yield %6 : f32
  }
  // CHECK: %q = tsp_tensor.map %wide
  %q = tsp_tensor.map %wide : (tensor<4x8xf32>) -> tensor<4x8xf32> {
  ^bb0(%j: f32):
    %7 = math.tanh %j : f32
    tsp_tensor.yield %7 : f32
  }
  func.return %y, %p, %q : tensor<4x8xi8>, tensor<4x8xf32>, tensor<4x8xf32>
}
