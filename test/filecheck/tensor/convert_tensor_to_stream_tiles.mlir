// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A plane holds 320 x 320 weights and 256 sums. 400 rows of weights make two tiles, whose sums are added in the
// accumulators, so that the 300 vectors come in runs of 256 and 44.

func.func @main(%x: tensor<300x400xi8> {tsp_tensor.name = "x"}) -> (tensor<300x8xi32> {tsp_tensor.name = "y"}) {
  %w = tsp_tensor.parameter "w" : tensor<400x8xi8>
  // CHECK: %[[W1:[0-9]+]] = tsp_stream.load_weights {{.*}} -> !tsp_stream.weights<320x8xi8>
  // CHECK: %[[X1:[0-9]+]] = tsp_stream.read {{.*}} words <0, 256 step 1>
  // CHECK: %[[PART:[0-9]+]] = tsp_stream.matmul %[[X1]], %[[W1]] : {{.*}} -> !tsp_stream.partial<256x320xi32>
  // The second 80 columns of the 300 rows follow the first 320.
  // CHECK: %[[W2:[0-9]+]] = tsp_stream.load_weights {{.*}} -> !tsp_stream.weights<80x8xi8>
  // CHECK: %[[X2:[0-9]+]] = tsp_stream.read {{.*}} words <300, 256 step 1>
  // CHECK: %[[SUMS:[0-9]+]] = tsp_stream.matmul %[[X2]], %[[W2]] add %[[PART]] : {{.*}} -> !tsp_stream.stream<256x320xi32>
  // CHECK: tsp_stream.write %[[SUMS]] to {{.*}} words <0, 256 step 1>
  // CHECK: tsp_stream.matmul {{.*}} -> !tsp_stream.partial<44x320xi32>
  // CHECK: %[[REST:[0-9]+]] = tsp_stream.matmul {{.*}} add {{.*}} -> !tsp_stream.stream<44x320xi32>
  // CHECK: tsp_stream.write %[[REST]] to {{.*}} words <256, 44 step 1>
  // CHECK-NOT: tsp_stream.matmul
  %y = tsp_tensor.matmul %x, %w : tensor<300x400xi8>, tensor<400x8xi8> -> tensor<300x8xi32>
  func.return %y : tensor<300x8xi32>
}
