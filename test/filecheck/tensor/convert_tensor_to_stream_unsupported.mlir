// RUN: not tsp-opt %s -p convert-tensor-to-stream 2>&1 | filecheck %s

// What has no lowering is reported all at once, each problem with its place and, where there is one, a remedy.

// CHECK: error: {{.*}}.mlir:[[# @LINE + 1]]:1: `func.func`: two inputs are named `x`; give each its own tsp_tensor.name
func.func @main(%x: tensor<4x4xi8> {tsp_tensor.name = "x"}, %z: tensor<4x1xi8> {tsp_tensor.name = "x"}) -> tensor<4x4xi32> {
  %n = tsp_tensor.map %z : (tensor<4x1xi8>) -> tensor<4x1xi8> {
  ^bb0(%l: i8):
    %0 = arith.addi %l, %l : i8
    tsp_tensor.yield %0 : i8
  }
  // CHECK-NEXT: .mlir:[[# @LINE + 1]]:3: `tsp_tensor.map`: the computed operand 4x1 is broadcast along the lanes; give it the full last dimension
  %a = tsp_tensor.map %x, %n : (tensor<4x4xi8>, tensor<4x1xi8>) -> tensor<4x4xi8> {
  ^bb0(%l: i8, %r: i8):
    %0 = arith.addi %l, %r : i8
    tsp_tensor.yield %0 : i8
  }
  %c = tsp_tensor.map %x : (tensor<4x4xi8>) -> tensor<4x4xi8> {
  ^bb0(%l: i8):
    tsp_tensor.yield %l : i8
  }
  // CHECK-NEXT: .mlir:[[# @LINE + 1]]:3: `tsp_tensor.matmul`: transposes a computed right operand, which no lowering does yet
  %d = tsp_tensor.matmul %x, %c {transpose_rhs} : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  func.return %d : tensor<4x4xi32>
}
