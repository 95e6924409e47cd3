// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// What is computed: values on static tensors. The module names the file of its parameters, the function names its
// inputs and outputs.

// CHECK: builtin.module attributes {tsp_tensor.weights = "model.safetensors"} {
// CHECK-NEXT: func.func @main(%x: tensor<2x3x4xi8> {tsp_tensor.name = "images"}) -> (tensor<6x5xi8> {tsp_tensor.name = "scores"}) {
builtin.module attributes {tsp_tensor.weights = "model.safetensors"} {
  func.func @main(%x: tensor<2x3x4xi8> {tsp_tensor.name = "images"}) -> (tensor<6x5xi8> {tsp_tensor.name = "scores"}) {
    // CHECK-NEXT: %rows = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<6x4xi8>
    %rows = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<6x4xi8>
    // CHECK-NEXT: %w = tsp_tensor.parameter "w" : tensor<4x5xi8>
    %w = tsp_tensor.parameter "w" : tensor<4x5xi8>
    // CHECK-NEXT: %b = tsp_tensor.constant dense<[1, 2, 3, 4, 5]> : tensor<5xi32>
    %b = tsp_tensor.constant dense<[1, 2, 3, 4, 5]> : tensor<5xi32>
    // CHECK-NEXT: %sums = tsp_tensor.matmul %rows, %w : tensor<6x4xi8>, tensor<4x5xi8> -> tensor<6x5xi32>
    %sums = tsp_tensor.matmul %rows, %w : tensor<6x4xi8>, tensor<4x5xi8> -> tensor<6x5xi32>
    // The bias broadcasts, as in numpy.
    // CHECK-NEXT: %y = tsp_tensor.map %sums, %b : (tensor<6x5xi32>, tensor<5xi32>) -> tensor<6x5xi8> {
    // CHECK-NEXT: ^bb0(%sum: i32, %bias: i32):
    // CHECK-NEXT:   %0 = arith.addi %sum, %bias : i32
    // CHECK-NEXT:   %1 = arith.trunci %0 : i32 to i8
    // CHECK-NEXT:   tsp_tensor.yield %1 : i8
    // CHECK-NEXT: }
    %y = tsp_tensor.map %sums, %b : (tensor<6x5xi32>, tensor<5xi32>) -> tensor<6x5xi8> {
    ^bb0(%sum: i32, %bias: i32):
      %0 = arith.addi %sum, %bias : i32
      %1 = arith.trunci %0 : i32 to i8
      tsp_tensor.yield %1 : i8
    }
    func.return %y : tensor<6x5xi8>
  }
}
