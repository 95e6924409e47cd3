// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A quantised layer: a product, a bias, a rescaling. The map alone uses the product, so it takes the sums as they leave
// the array, and nothing but the layer's input, parameters and output lies in SRAM.

// The function keeps its name; its arguments and results have become buffers.
// CHECK: func.func @main() {
// CHECK-DAG: %[[X:[0-9]+]] = tsp_stream.buffer "input" "x" {{.*}} : !tsp_stream.buffer<4x64xi8, words [1 of d1 * 320, 4 of d0], side [1 of b], lanes [64 of d1]>
// CHECK-DAG: %[[Y:[0-9]+]] = tsp_stream.buffer "output" "y" parts [0, 2] in [0, 1] {{.*}} : !tsp_stream.buffer<4x32xi8, words [1 of d1 * 320, 4 of d0], side [1 of b], lanes [32 of d1]>
// CHECK-DAG: %[[W:[0-9]+]] = tsp_stream.buffer "parameter" "w" {{.*}} : !tsp_stream.buffer<64x32xi8, words [1 of d1 * 320, 1 of d0 * 320, 1 of b, 4 of d0 * 16], side [16 of d0], lanes [32 of d1]>
func.func @main(%x: tensor<4x64xi8> {tsp_tensor.name = "x"}) -> (tensor<4x32xi8> {tsp_tensor.name = "y"}) {
  %w = tsp_tensor.parameter "w" : tensor<64x32xi8>
  %b = tsp_tensor.parameter "b" : tensor<32xi32>

  // 64 rows of weights are 4 steps of 16 rows side by side. Two planes take half of the rows each, and the same weights.
  // CHECK: %[[ROWS:[0-9]+]] = tsp_stream.read %[[W]] words <0, 4 step 1> : {{.*}} -> !tsp_stream.stream<4x16x320xi8>
  // CHECK: %[[TILE0:[0-9]+]] = tsp_stream.load_weights %[[ROWS]] plane 0 : {{.*}} -> !tsp_stream.weights<1x64x320xi8>
  // CHECK: %[[XS0:[0-9]+]] = tsp_stream.read %[[X]] words <0, 2 step 1> : {{.*}} -> !tsp_stream.stream<2x320xi8>
  // CHECK: %[[SUMS0:[0-9]+]] = tsp_stream.matmul %[[XS0]], %[[TILE0]] plane 0 : {{.*}} -> !tsp_stream.stream<2x320xi32>
  // CHECK: %[[TILE1:[0-9]+]] = tsp_stream.load_weights %[[ROWS]] plane 1 :
  // CHECK: %[[XS1:[0-9]+]] = tsp_stream.read %[[X]] words <2, 2 step 1> :
  // CHECK: %[[SUMS1:[0-9]+]] = tsp_stream.matmul %[[XS1]], %[[TILE1]] plane 1 :
  %sums = tsp_tensor.matmul %x, %w : tensor<4x64xi8>, tensor<64x32xi8> -> tensor<4x32xi32>

  // The bias is one word, which is read once for each row.
  // CHECK: %[[BS:[0-9]+]] = tsp_stream.read {{.*}} words <0, 2 step 0> : !tsp_stream.buffer<32xi32, {{.*}}> ->
  // CHECK: %[[YS:[0-9]+]] = tsp_stream.vxm %[[SUMS0]], %[[BS]] :
  // CHECK-NEXT: ^bb0(%[[SUM:[0-9]+]]: i32, %[[BIAS:[0-9]+]]: i32):
  %y = tsp_tensor.map %sums, %b : (tensor<4x32xi32>, tensor<32xi32>) -> tensor<4x32xi8> {
  ^bb0(%sum: i32, %bias: i32):
    // CHECK-NEXT: %scale = arith.constant 5.000000e-01 : f32
    // CHECK-NEXT: %[[V0:[0-9]+]] = arith.addi %[[SUM]], %[[BIAS]] : i32
    // CHECK-NEXT: %[[V1:[0-9]+]] = arith.sitofp %[[V0]] : i32 to f32
    // CHECK-NEXT: %[[V2:[0-9]+]] = arith.mulf %[[V1]], %scale : f32
    %scale = arith.constant 5.000000e-01 : f32
    %0 = arith.addi %sum, %bias : i32
    %1 = arith.sitofp %0 : i32 to f32
    %2 = arith.mulf %1, %scale : f32
    // An ALU converts to the nearest integer, so that rounding and conversion are one operation.
    // CHECK-NEXT: %[[V3:[0-9]+]] = tsp_stream.convert %[[V2]] : f32 -> i8
    // CHECK-NEXT: tsp_stream.yield %[[V3]] : i8
    %3 = math.roundeven %2 : f32
    %4 = arith.fptosi %3 : f32 to i8
    tsp_tensor.yield %4 : i8
  }
  // CHECK: tsp_stream.write %[[YS]] to %[[Y]] words <0, 2 step 1>
  // CHECK: %[[ZS:[0-9]+]] = tsp_stream.vxm %[[SUMS1]], %
  // CHECK: tsp_stream.write %[[ZS]] to %[[Y]] words <2, 2 step 1>
  // CHECK-NEXT: func.return
  func.return %y : tensor<4x32xi8>
}
