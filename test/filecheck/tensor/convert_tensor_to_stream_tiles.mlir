// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A plane holds 320 x 320 weights. 400 rows of weights make two passes, whose sums are added in the accumulators. There
// are more rows than columns, so that the input is what stays in the planes; each of two planes takes half of the columns.

func.func @main(%x: tensor<300x400xi8> {tsp_tensor.name = "x"}) -> (tensor<300x8xi32> {tsp_tensor.name = "y"}) {
  %w = tsp_tensor.parameter "w" : tensor<400x8xi8>
  // Passes follow each other at such a distance that the next weights are loaded and installed meanwhile: 20 + 2 cycles.
  // CHECK: %[[W:[0-9]+]] = tsp_stream.read {{.*}} words <0, 40 step 1> cycles <0, 20 step 1, 2 step 22>
  // CHECK: %[[TILES:[0-9]+]] = tsp_stream.load_weights %[[W]] plane 0 : {{.*}} -> !tsp_stream.weights<2x320x320xi8>
  // The second 80 elements of the 8 columns follow the first 320.
  // CHECK: %[[X:[0-9]+]] = tsp_stream.read {{.*}} words <0, 4 step 1, 2 step 8> cycles <0, 4 step 1, 2 step 22>
  // CHECK: %[[SUMS:[0-9]+]] = tsp_stream.matmul %[[X]], %[[TILES]] plane 0 : {{.*}} -> !tsp_stream.stream<4x320xi32>
  // CHECK: tsp_stream.load_weights %[[W]] plane 1 :
  // CHECK: tsp_stream.read {{.*}} words <4, 4 step 1, 2 step 8> copy 1 cycles <0, 4 step 1, 2 step 22>
  // CHECK: %[[MORE:[0-9]+]] = tsp_stream.matmul {{.*}} plane 1 :
  // CHECK: tsp_stream.write %[[SUMS]] to {{.*}} words <0, 4 step 1>
  // CHECK: tsp_stream.write %[[MORE]] to {{.*}} words <4, 4 step 1>
  // CHECK-NOT: tsp_stream.matmul
  %y = tsp_tensor.matmul %x, %w : tensor<300x400xi8>, tensor<400x8xi8> -> tensor<300x8xi32>
  func.return %y : tensor<300x8xi32>
}
