// RUN: not tsp-opt %s -p convert-tensor-to-stream 2>&1 | filecheck %s

// What has no lowering is reported all at once, each problem with its place and, where there is one, a remedy.

func.func @main(%x: tensor<4x4xi8>, %z: tensor<4x1xi8>) -> tensor<4x4xi32> {
  %n = tsp_tensor.map %z : (tensor<4x1xi8>) -> tensor<4x1xi8> {
  ^bb0(%l: i8):
    %0 = arith.addi %l, %l : i8
    tsp_tensor.yield %0 : i8
  }
  %w = tsp_tensor.reshape %n : tensor<4x1xi8> -> tensor<1x1x1x4xi8>
  %p = tsp_tensor.reshape %x : tensor<4x4xi8> -> tensor<1x2x2x4xi8>
  // CHECK: error: {{.*}}.mlir:[[# @LINE + 3]]:3: `tsp_tensor.conv`: its 4 groups do not lie side by side in a tile; run decompose-tensor-ops first
  // CHECK-NEXT: {{^ +}}[[# @LINE + 2]] |   %
  // CHECK-NEXT: {{^ +}}|   ^{{$}}
  %a = tsp_tensor.conv %p, %w groups 4 : tensor<1x2x2x4xi8>, tensor<1x1x1x4xi8> -> tensor<1x2x2x4xi32>
  %d = tsp_tensor.matmul %x, %x : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  func.return %d : tensor<4x4xi32>
}
