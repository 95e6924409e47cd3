// RUN: tsp-opt %s -p convert-tensor-to-stream | filecheck %s

// A matrix of 40 rows and 64 columns is transposed in three groups of 16 rows. The rows of each, byte by byte, are rotated
// by as many tiles as groups come before, and lie side by side; the transposer turns the tiles of both bytes of all groups;
// each tile goes to the words of its rows, 20 for each byte; and the permuter brings it to its place.

func.func @main(%a: tensor<40x64xf16> {tsp_tensor.name = "a"}) -> (tensor<64x40xf16> {tsp_tensor.name = "y"}) {
  // CHECK: %[[X:.*]] = tsp_stream.buffer "scratch" {{.*}} : !tsp_stream.buffer<40x64xf16,
  %x = tsp_tensor.map %a : (tensor<40x64xf16>) -> tensor<40x64xf16> {
  ^bb0(%s: f16):
    %t = arith.addf %s, %s : f16
    tsp_tensor.yield %t : f16
  }
  // CHECK: %[[Y:.*]] = tsp_stream.buffer "output" "y"
  // CHECK: %[[TURNED:.*]] = tsp_stream.buffer "scratch" {{.*}} : !tsp_stream.buffer<640x320xi8, words [40 of d0 * 16], side [16 of d0]
  // CHECK: %[[ROWS:.*]] = tsp_stream.buffer "scratch" {{.*}} : !tsp_stream.buffer<96x320xi8, words [6 of d0 * 16], side [16 of d0]
  // CHECK: %[[V:.*]] = tsp_stream.read %[[X]] words <0, 3 step 16> byte 0
  // CHECK: %[[R:.*]] = tsp_stream.permute %[[V]]
  // CHECK-NEXT: tsp_stream.write %[[R]] to %[[ROWS]] words <0, 3 step 1> byte 0
  // CHECK: %[[G:.*]] = tsp_stream.read %[[ROWS]] words <0, 6 step 1>
  // CHECK-NEXT: %[[T:.*]] = tsp_stream.transpose %[[G]] hemisphere "E"
  // CHECK: %[[M:.*]] = tsp_stream.shift {{.*}} by 0 "up" hemisphere "E"
  // CHECK-NEXT: tsp_stream.scatter %[[M]], %[[T]] to %[[TURNED]] words <0, 3 step 0, 2 step 20>
  // CHECK: %[[B:.*]] = tsp_stream.read %[[TURNED]] words <0, 4 step 1> byte 0
  // CHECK: %[[P:.*]] = tsp_stream.permute %[[B]]
  // CHECK-NEXT: tsp_stream.write %[[P]] to %[[Y]] words <0, 4 step 16> byte 0
  %y = tsp_tensor.transpose %x permutation [1, 0] : tensor<40x64xf16> -> tensor<64x40xf16>
  func.return %y : tensor<64x40xf16>
}
