// RUN: tsp-opt %s -p stream-place | filecheck %s

// Where things are. Planes and ALUs are assigned in turn, so that independent work can overlap. Buffers of one cluster
// lie in different slices, each of which has one queue; weights lie on the side of their plane. Streams flow toward
// their consumers. What is decided already stays as it is.

func.func @main() {
  // A buffer of four bytes an element takes four slices, weights take sixteen.
  // CHECK: %x = tsp_stream.buffer "input" "x" place <[{{[EW][0-9]+}}]> :
  // CHECK: %w = tsp_stream.buffer "parameter" "w" place <[{{E[0-9]+}} to {{E[0-9]+}}]> :
  // CHECK: %v = tsp_stream.buffer "parameter" "v" place <[{{E[0-9]+}} to {{E[0-9]+}}]> :
  // CHECK: %y = tsp_stream.buffer "output" "y" place <[{{[EW][0-9]+}} to {{[EW][0-9]+}}]> :
  // CHECK: %z = tsp_stream.buffer "output" "z" place <[W40 to W43], address 7> :
  %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x16xi8, words [4 of d0], side [1 of b], lanes [16 of d1]>
  %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<16x8xi8, words [1 of b], side [16 of d0], lanes [8 of d1]>
  %v = tsp_stream.buffer "parameter" "v" : !tsp_stream.buffer<16x8xi8, words [1 of b], side [16 of d0], lanes [8 of d1]>
  %y = tsp_stream.buffer "output" "y" : !tsp_stream.buffer<4x8xi32, words [4 of d0], side [4 of b], lanes [8 of d1]>
  %z = tsp_stream.buffer "output" "z" place <[W40 to W43], address 7> : !tsp_stream.buffer<4x8xi32, words [4 of d0], side [4 of b], lanes [8 of d1]>

  // From slices nearer to the VXM the weights of an eastern plane flow east.
  // CHECK: tsp_stream.read %w words <0, 1 step 1> toward "E" :
  // CHECK: tsp_stream.load_weights %0 plane 0 :
  // CHECK: tsp_stream.read %x words <0, 4 step 1> toward "E" :
  // CHECK: tsp_stream.matmul %2, %1 plane 0 toward "W" :
  %0 = tsp_stream.read %w words <0, 1 step 1> : !tsp_stream.buffer<16x8xi8, words [1 of b], side [16 of d0], lanes [8 of d1]> -> !tsp_stream.stream<1x16x320xi8>
  %1 = tsp_stream.load_weights %0 : !tsp_stream.stream<1x16x320xi8> -> !tsp_stream.weights<1x16x8xi8>
  %2 = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x16xi8, words [4 of d0], side [1 of b], lanes [16 of d1]> -> !tsp_stream.stream<4x320xi8>
  %3 = tsp_stream.matmul %2, %1 : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x16x8xi8> -> !tsp_stream.stream<4x320xi32>

  // One ALU per op. The last one needs %a two ALUs after the first: two delays hand it on, for a stream does not wait.
  // CHECK: %4 = tsp_stream.vxm %3 alus [0, 1, 2, 3, 4] toward "{{[EW]}}" :
  // CHECK-NEXT: ^bb0(%a: i32):
  // CHECK-NEXT:   %[[A1:[0-9]+]] = tsp_stream.delay %a : i32 -> i32
  // CHECK-NEXT:   %[[A2:[0-9]+]] = tsp_stream.delay %[[A1]] : i32 -> i32
  // CHECK-NEXT:   %s = arith.addi %a, %a : i32
  // CHECK-NEXT:   %q = arith.muli %s, %s : i32
  // CHECK-NEXT:   %d = arith.subi %q, %[[A2]] : i32
  %4 = tsp_stream.vxm %3 : (!tsp_stream.stream<4x320xi32>) -> !tsp_stream.stream<4x320xi32> {
  ^bb0(%a: i32):
    %s = arith.addi %a, %a : i32
    %q = arith.muli %s, %s : i32
    %d = arith.subi %q, %a : i32
    tsp_stream.yield %d : i32
  }
  tsp_stream.write %4 to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x8xi32, words [4 of d0], side [4 of b], lanes [8 of d1]>

  // The next product takes the next plane.
  // CHECK: %[[TILE:[0-9]+]] = tsp_stream.load_weights %{{[0-9]+}} plane 1 :
  // CHECK: tsp_stream.matmul %{{[0-9]+}}, %[[TILE]] plane 1 toward "W" :
  %5 = tsp_stream.read %v words <0, 1 step 1> : !tsp_stream.buffer<16x8xi8, words [1 of b], side [16 of d0], lanes [8 of d1]> -> !tsp_stream.stream<1x16x320xi8>
  %6 = tsp_stream.load_weights %5 : !tsp_stream.stream<1x16x320xi8> -> !tsp_stream.weights<1x16x8xi8>
  %7 = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x16xi8, words [4 of d0], side [1 of b], lanes [16 of d1]> -> !tsp_stream.stream<4x320xi8>
  %8 = tsp_stream.matmul %7, %6 : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x16x8xi8> -> !tsp_stream.stream<4x320xi32>
  tsp_stream.write %8 to %z words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x8xi32, words [4 of d0], side [4 of b], lanes [8 of d1]>
  func.return
}
