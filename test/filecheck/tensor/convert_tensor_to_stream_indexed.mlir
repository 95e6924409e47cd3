// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// An index lies in all lanes of a word. Held within the table and turned into words, its low byte goes to the first lane
// of every tile and its high byte to the second: that is the map.

func.func @main(
    %cache: tensor<40x100xf16> {tsp_tensor.name = "cache"},
    %new: tensor<1x100xf16> {tsp_tensor.name = "new"},
    %position: tensor<1xi32> {tsp_tensor.name = "position"})
    -> (tensor<40x100xf16> {tsp_tensor.name = "later"}, tensor<1x3x400xi8> {tsp_tensor.name = "rows"}) {
  // Nothing else uses the input, so it is changed in place.
  // CHECK: %[[CACHE:.*]] = tsp_stream.buffer "input" "cache" returned "later"
  // CHECK: %[[INDEX:.*]] = tsp_stream.buffer "input" "position" {{.*}} words [1 of d0], side [4 of b], lanes [320]>
  // CHECK: %[[MAP:.*]] = tsp_stream.vxm
  // CHECK: arith.maxsi
  // CHECK: arith.constant 39
  // CHECK: arith.minsi
  // CHECK: arith.shrsi
  // CHECK: tsp_stream.select
  // CHECK: arith.trunci
  // CHECK: tsp_stream.scatter %[[MAP]], %{{.*}} to %[[CACHE]] words <0>
  %later = tsp_tensor.scatter %cache, %position, %new
      : tensor<40x100xf16>, tensor<1xi32>, tensor<1x100xf16> -> tensor<40x100xf16>
  // A row is of two tiles of three words, and three words from the next in each.
  // CHECK: tsp_stream.read %[[INDEX]] words <0, 6 step 0>
  // CHECK: %[[MAP:.*]] = tsp_stream.vxm
  // CHECK: arith.constant 6
  // CHECK: arith.minsi
  // CHECK: arith.constant 3
  // CHECK: arith.muli
  // CHECK: %[[ROWS:.*]] = tsp_stream.gather %[[MAP]], %{{.*}} words <0, 2 step 21, 3 step 1>
  // CHECK: tsp_stream.write %[[ROWS]]
  %table = tsp_tensor.parameter "table" : tensor<7x3x400xi8>
  %rows = tsp_tensor.gather %table, %position : tensor<7x3x400xi8>, tensor<1xi32> -> tensor<1x3x400xi8>
  func.return %later, %rows : tensor<40x100xf16>, tensor<1x3x400xi8>
}
