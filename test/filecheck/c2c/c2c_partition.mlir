// RUN: tsp-opt %s -p c2c-partition | filecheck %s

// Which chip computes what. An op's `c2c.chip` says so; without one it goes where the last computed of its operands is.
// The host places inputs, parameters and constants on every chip that uses them; what is computed crosses by a transfer,
// once for each chip that uses it.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  func.func @main(%x: tensor<8x4x16xi8>) -> (tensor<8x8xi32>, tensor<8x8xi32>, tensor<8x8xi32>) {
    // CHECK: %w = tsp_tensor.parameter "w" : tensor<64x32xi8>
    %w = tsp_tensor.parameter "w" : tensor<64x32xi8>
    %v = tsp_tensor.parameter "v" : tensor<32x8xi8>
    // A reshaped input is as much everywhere as the input.
    // CHECK: %rows = tsp_tensor.reshape %x : tensor<8x4x16xi8> -> tensor<8x64xi8>
    %rows = tsp_tensor.reshape %x : tensor<8x4x16xi8> -> tensor<8x64xi8>
    // Nothing said, and nothing computed before: chip 0.
    // CHECK-NEXT: %a = tsp_tensor.matmul %rows, %w {c2c.chip = 0 : i64} :
    %a = tsp_tensor.matmul %rows, %w : tensor<8x64xi8>, tensor<64x32xi8> -> tensor<8x32xi32>
    // CHECK-NEXT: %b = tsp_tensor.map %a :
    // CHECK: } {c2c.chip = 0 : i64}
    %b = tsp_tensor.map %a : (tensor<8x32xi32>) -> tensor<8x32xi8> {
    ^bb0(%s: i32):
      %0 = arith.trunci %s : i32 to i8
      tsp_tensor.yield %0 : i8
    }
    // CHECK-NEXT: %b3 = tsp_tensor.reshape %b {c2c.chip = 0 : i64} :
    // CHECK-NEXT: %c = tsp_tensor.reshape %b3 {c2c.chip = 0 : i64} :
    // CHECK-NEXT: %[[MOVED:[0-9]+]] = c2c.transfer %c from 0 to 1 : tensor<8x32xi8> -> tensor<8x32xi8>
    %b3 = tsp_tensor.reshape %b : tensor<8x32xi8> -> tensor<4x2x32xi8>
    %c = tsp_tensor.reshape %b3 : tensor<4x2x32xi8> -> tensor<8x32xi8>
    // CHECK-NEXT: %d = tsp_tensor.matmul %[[MOVED]], %v {c2c.chip = 1 : i64} :
    %d = tsp_tensor.matmul %c, %v {c2c.chip = 1 : i64} : tensor<8x32xi8>, tensor<32x8xi8> -> tensor<8x8xi32>
    // The same value on the same chip crosses once.
    // CHECK-NEXT: %e = tsp_tensor.matmul %[[MOVED]], %v {c2c.chip = 1 : i64} :
    %e = tsp_tensor.matmul %c, %v {c2c.chip = 1 : i64} : tensor<8x32xi8>, tensor<32x8xi8> -> tensor<8x8xi32>
    // CHECK-NEXT: %f = tsp_tensor.matmul %c, %v {c2c.chip = 0 : i64} :
    %f = tsp_tensor.matmul %c, %v : tensor<8x32xi8>, tensor<32x8xi8> -> tensor<8x8xi32>
    func.return %d, %e, %f : tensor<8x8xi32>, tensor<8x8xi32>, tensor<8x8xi32>
  }
}
