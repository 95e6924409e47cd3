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
  %i = tsp_tensor.constant dense<0> : tensor<4xi32>
  %u = tsp_tensor.constant dense<0> : tensor<4x1xi8>
  %t = tsp_tensor.parameter "table" : tensor<9000x1xi8>
  // CHECK-NEXT: .mlir:[[# @LINE + 3]]:3: `tsp_tensor.scatter`: writes by number to 9000x1, which takes more than the 8192 words of a slice; scatter into parts of it
  // CHECK-NEXT: {{^ +}}[[# @LINE + 2]] |   %
  // CHECK-NEXT: {{^ +}}|   ^{{$}}
  %c = tsp_tensor.scatter %t, %i, %u : tensor<9000x1xi8>, tensor<4xi32>, tensor<4x1xi8> -> tensor<9000x1xi8>
  %r = tsp_tensor.parameter "rows" : tensor<2x9000x1xi8>
  // CHECK-NEXT: .mlir:[[# @LINE + 3]]:3: `tsp_tensor.gather`: a row of 2x9000x1 takes 9000 words, and a slice has 8192; split the table into some with shorter rows
  // CHECK-NEXT: {{^ +}}[[# @LINE + 2]] |   %
  // CHECK-NEXT: {{^ +}}|   ^{{$}}
  %e = tsp_tensor.gather %r, %i : tensor<2x9000x1xi8>, tensor<4xi32> -> tensor<4x9000x1xi8>
  %d = tsp_tensor.matmul %x, %x : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  func.return %d : tensor<4x4xi32>
}
