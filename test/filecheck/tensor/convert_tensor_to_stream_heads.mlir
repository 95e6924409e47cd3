// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// Columns that are split into heads and joined again move nothing. The weights of both heads lie in common words: one tile
// of them is interleaved, and each of the two matrices of the stack meets it. What leaves the array goes through the map on
// its way, and ALUs then select of each result the lanes that are its own.

// CHECK-LABEL: func.func @main
// CHECK-NOT: tsp_stream.permute
func.func @main(%a: tensor<6x320xf16> {tsp_tensor.name = "a"}, %b: tensor<2x6x6xf16> {tsp_tensor.name = "b"}) -> (tensor<6x320xf16> {tsp_tensor.name = "y"}) {
  // CHECK: %[[X:.*]] = tsp_stream.buffer "scratch" {{.*}} : !tsp_stream.buffer<6x320xf16,
  %x = tsp_tensor.map %a : (tensor<6x320xf16>) -> tensor<6x320xf16> {
  ^bb0(%s: f16):
    %t = arith.addf %s, %s : f16
    tsp_tensor.yield %t : f16
  }
  %split = tsp_tensor.reshape %x : tensor<6x320xf16> -> tensor<6x2x160xf16>
  %heads = tsp_tensor.transpose %split permutation [1, 0, 2] : tensor<6x2x160xf16> -> tensor<2x6x160xf16>
  // Row 0 of the weights, for the first byte.
  // CHECK: tsp_stream.read %[[X]] words <0> byte 0
  // CHECK: tsp_stream.matmul
  // CHECK-NEXT: tsp_stream.vxm
  // CHECK: arith.truncf
  // CHECK: tsp_stream.write {{.*}} words <0, 6 step 1>
  // CHECK: tsp_stream.matmul
  // CHECK: arith.truncf
  // CHECK: tsp_stream.write {{.*}} words <6, 6 step 1>
  %sums = tsp_tensor.matmul %b, %heads : tensor<2x6x6xf16>, tensor<2x6x160xf16> -> tensor<2x6x160xf32>
  %h = tsp_tensor.map %sums : (tensor<2x6x160xf32>) -> tensor<2x6x160xf16> {
  ^bb0(%s: f32):
    %t = arith.truncf %s : f32 to f16
    tsp_tensor.yield %t : f16
  }
  // CHECK: tsp_stream.read {{.*}} words <0, 6 step 1>
  // CHECK-NEXT: tsp_stream.read {{.*}} words <6, 6 step 1>
  // CHECK: tsp_stream.vxm
  // CHECK-NEXT: ^bb0(%[[P:[0-9]+]]: f16, %[[Q:[0-9]+]]: f16, %[[M:[0-9]+]]: i8):
  // CHECK-NEXT: tsp_stream.select %[[M]], %[[Q]], %[[P]]
  %back = tsp_tensor.transpose %h permutation [1, 0, 2] : tensor<2x6x160xf16> -> tensor<6x2x160xf16>
  %y = tsp_tensor.reshape %back : tensor<6x2x160xf16> -> tensor<6x320xf16>
  func.return %y : tensor<6x320xf16>
}
