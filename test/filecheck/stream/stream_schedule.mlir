// RUN: tsp-opt %s -p stream-schedule | filecheck %s

// When everything happens. Ops joined by streams are one rigid body: distance and latency fix all of its cycles but one,
// and that is the earliest at which its queues and streams are free and its words are there. A position is one cycle: MEM
// slice s is 1 + s // 4 hops from the VXM, the MXM 13.

func.func @main() {
  %x = tsp_stream.buffer "input" "x" place <[W0], address 0> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
  %w = tsp_stream.buffer "parameter" "w" place <[E4 to E19], address 0> : !tsp_stream.buffer<64x32xi8, words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  %t = tsp_stream.buffer "scratch" place <[E0 to E3], address 0> : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[W0 to W3], address 100> : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>

  // The first cycle of a program is 35, when the barrier releases all queues. A read takes 1 cycle and the way from slice 4
  // (position 2) to the MXM (13) 11. Four groups of 16 rows take four cycles, then they are installed.
  // CHECK: %0 = tsp_stream.read %w words <0, 4 step 1> toward "E" on 0 at 35
  // CHECK: %1 = tsp_stream.load_weights %0 plane 0 at 47
  %0 = tsp_stream.read %w words <0, 4 step 1> toward "E" : !tsp_stream.buffer<64x32xi8, words [4 of d0 * 16], side [16 of d0], lanes [32 of d1]> -> !tsp_stream.stream<4x16x320xi8>
  %1 = tsp_stream.load_weights %0 plane 0 : !tsp_stream.stream<4x16x320xi8> -> !tsp_stream.weights<1x64x32xi8>

  // Weights loaded in 47..50 and installed in 51 meet activations from 52 on. These come from position -1, 14 hops away.
  // CHECK: %2 = tsp_stream.read %x words <0, 4 step 1> toward "E" on 31 at 37
  // CHECK: %3 = tsp_stream.matmul %2, %1 plane 0 toward "W" on 28 at 52
  // The array takes 13 cycles, the way to the stream register 20, and that to position 1 another 12.
  // CHECK: tsp_stream.write %3 to %t words <0, 4 step 1> at 97
  %2 = tsp_stream.read %x words <0, 4 step 1> toward "E" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
  %3 = tsp_stream.matmul %2, %1 plane 0 toward "W" : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x64x32xi8> -> !tsp_stream.stream<4x320xi32>
  tsp_stream.write %3 to %t words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>

  // A slice has one queue, which writes in 97..100 and is left free in 101 for an ifetch. The VXM is 1 hop away; an ALU
  // takes 1 + 3 cycles,
  // after which the result may use stream 28 as well: all its operands have passed.
  // CHECK: %4 = tsp_stream.read %t words <0, 4 step 1> toward "W" on 28 at 102
  // CHECK: %5 = tsp_stream.vxm %4 alus [7] toward "W" on 28 at 104
  // CHECK: tsp_stream.write %5 to %y words <0, 4 step 1> at 109
  %4 = tsp_stream.read %t words <0, 4 step 1> toward "W" : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]> -> !tsp_stream.stream<4x320xi32>
  %5 = tsp_stream.vxm %4 alus [7] toward "W" : (!tsp_stream.stream<4x320xi32>) -> !tsp_stream.stream<4x320xi32> {
  ^bb0(%a: i32):
    %b = arith.addi %a, %a : i32
    tsp_stream.yield %b : i32
  }
  tsp_stream.write %5 to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  func.return
}
