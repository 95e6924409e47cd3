// RUN: tsp-opt %s -p convert-stream-to-isa | filecheck %s

// A scheduled function, written down as one program per chip with one list of instructions per queue. Runs of vectors
// become levels of repeat.

// The last dispatch is in cycle 117; with that cycle itself and the 20 tiles the program takes 138.
// CHECK: tsp_isa.program @main chip 0 cycles 138 {
func.func @main() {
  // Scratch is nobody's business outside.
  // CHECK-NEXT: tsp_isa.bind "input" "x" : tensor<4x64xi8> as tensor<4x8x8xi8> in <words [4 of d0], side [1 of b], lanes [64 of d1]> at <[W0], address 0>
  // CHECK-NEXT: tsp_isa.bind "parameter" "w" : tensor<64x32xi8> in <words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]> at <[E4 to E19], address 10>
  // CHECK-NEXT: tsp_isa.bind "output" "y" : tensor<4x32xi8> in <words [4 of d0], side [1 of b], lanes [32 of d1]> at <[W9], address 0>
  // CHECK-NOT: tsp_isa.bind
  %x = tsp_stream.buffer "input" "x" as tensor<4x8x8xi8> place <[W0], address 0> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
  %w = tsp_stream.buffer "parameter" "w" place <[E4 to E19], address 10> : !tsp_stream.buffer<64x32xi8, words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  %t = tsp_stream.buffer "scratch" place <[E0 to E3], address 0> : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[W9], address 0> : !tsp_stream.buffer<4x32xi8, words [4 of d0], side [1 of b], lanes [32 of d1]>

  // Below, two rows of scratch are read, each of them twice: two levels of repeat, the inner one first.
  // CHECK: tsp_isa.queue "MEM.E0" {
  // CHECK-NEXT: tsp_isa.write at 97 address 0 stream W28 repeat 4 step 1
  // CHECK-NEXT: tsp_isa.read at 102 address 1 stream W24 repeat 2 repeat 2 every 2 step 2
  // Slices side by side meet one diagonal: those a hop further on dispatch a cycle later.
  // CHECK: tsp_isa.queue "MEM.E7" {
  // CHECK-NEXT: tsp_isa.read at 35 address 10 stream E3 repeat 4 step 1
  // CHECK: tsp_isa.queue "MEM.E8" {
  // CHECK-NEXT: tsp_isa.read at 36 address 10 stream E4 repeat 4 step 1
  %0 = tsp_stream.read %w words <0, 4 step 1> toward "E" on 0 at 35 : !tsp_stream.buffer<64x32xi8, words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]> -> !tsp_stream.stream<4x16x320xi8>
  %1 = tsp_stream.load_weights %0 plane 0 at 47 : !tsp_stream.stream<4x16x320xi8> -> !tsp_stream.weights<1x64x32xi8>
  %2 = tsp_stream.read %x words <0, 4 step 1> toward "E" on 31 at 37 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
  %3 = tsp_stream.matmul %2, %1 plane 0 toward "W" on 28 at 52 : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x64x32xi8> -> !tsp_stream.stream<4x320xi32>
  tsp_stream.write %3 to %t words <0, 4 step 1> at 97 : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>

  %4 = tsp_stream.read %t words <1, 2 step 0, 2 step 2> toward "W" on 24 at 102 : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]> -> !tsp_stream.stream<4x320xi32>
  // The ALUs of a chain follow each other by three cycles; a constant is 32 bits in the instruction.
  // CHECK: tsp_isa.queue "VXM.0" {
  // CHECK-NEXT: tsp_isa.add at 104 type i32 a W24 b 0xffffffff to chain repeat 4
  // CHECK: tsp_isa.queue "VXM.5" {
  // CHECK-NEXT: tsp_isa.wrap at 107 type i32 a alu0 result_type i8 to W31 repeat 4
  %5 = tsp_stream.vxm %4 alus [0, 5] toward "W" on 31 at 104 : (!tsp_stream.stream<4x320xi32>) -> !tsp_stream.stream<4x320xi8> {
  ^bb0(%a: i32):
    %minus_one = arith.constant -1 : i32
    %b = arith.addi %a, %minus_one : i32
    %c = arith.trunci %b : i32 to i8
    tsp_stream.yield %c : i8
  }
  tsp_stream.write %5 to %y words <0, 4 step 1> at 114 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x32xi8, words [4 of d0], side [1 of b], lanes [32 of d1]>

  // The queues of a plane: the weights, the activations, and the accumulators that take the sums 13 cycles later.
  // CHECK: tsp_isa.queue "MXM.0.weights" {
  // CHECK-NEXT: tsp_isa.lw at 47 row 0 stream E0 repeat 4 step 1
  // CHECK-NEXT: tsp_isa.iw at 51
  // CHECK: tsp_isa.queue "MXM.0.activations" {
  // CHECK-NEXT: tsp_isa.abc at 52 count 4 stream E31
  // CHECK: tsp_isa.queue "MXM.0.accumulators" {
  // CHECK-NEXT: tsp_isa.acc_emit at 65 entry 0 mode set stream W28 repeat 4
  func.return
}
// CHECK-NOT: func.func
