// RUN: not tsp-opt %s 2>&1 | filecheck %s
// RUN: not tsp-opt %s -p stream-plce 2>&1 | filecheck %s --check-prefix=PASS

// An error is one paragraph: the place, the op, the reason, and the line with a caret. No traceback, no dump of the
// module.

// PASS: error: unknown pass `stream-plce`; did you mean `stream-place`?
// PASS-NOT: {{.}}

// CHECK-NOT: Traceback
func.func @main(%x: tensor<4x64xi8>, %w: tensor<32x8xi8>) -> tensor<4x8xi32> {
  // CHECK: error: {{.*}}diagnostics.mlir:[[# @LINE + 3]]:3: `tsp_tensor.matmul`: shapes do not multiply: tensor<4x64xi8> by tensor<32x8xi8> is not tensor<4x8xi32>
  // CHECK-NEXT: {{^ +}}[[# @LINE + 2]] |   %y = tsp_tensor.matmul %x, %w : tensor<4x64xi8>, tensor<32x8xi8> -> tensor<4x8xi32>
  // CHECK-NEXT: {{^ +}}|   ^{{$}}
  %y = tsp_tensor.matmul %x, %w : tensor<4x64xi8>, tensor<32x8xi8> -> tensor<4x8xi32>
  func.return %y : tensor<4x8xi32>
}
// CHECK-NOT: {{.}}
