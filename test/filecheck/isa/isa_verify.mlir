// RUN: tsp-opt %s -p isa-verify | filecheck %s

// A program without hazards goes through unchanged. Two int8 vectors meet the weights of a plane; the VXM halves the
// sums in a chain of three ALUs.

// CHECK: tsp_isa.program @main chip 0 cycles 135 {
// CHECK: tsp_isa.acc_emit at 67 entry 0 mode set stream W0 repeat 2 step 1
// CHECK: tsp_isa.write at 113 address 0 stream W8 repeat 2 step 1

tsp_isa.program @main chip 0 cycles 135 {
  // Driven at position 1 in cycle 42, at position 13 in cycle 54.
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 41 address 0 stream E16 repeat 2 step 1
  }
  tsp_isa.queue "MXM.0.weights" {
    tsp_isa.iw at 53
  }
  tsp_isa.queue "MXM.0.activations" {
    tsp_isa.abc at 54 count 2 stream E16
  }
  // 13 cycles through the array, 20 to the stream register, 13 hops to the VXM.
  tsp_isa.queue "MXM.0.accumulators" {
    tsp_isa.acc_emit at 67 entry 0 mode set stream W0 repeat 2 step 1
  }
  tsp_isa.queue "VXM.0" {
    tsp_isa.convert at 100 type i32 a W0 result_type f32 to chain repeat 2
  }
  tsp_isa.queue "VXM.1" {
    tsp_isa.mul at 103 type f32 a alu0 b 0x3f000000 to chain repeat 2
  }
  tsp_isa.queue "VXM.2" {
    tsp_isa.convert at 106 type f32 a alu1 result_type i8 to W8 repeat 2
  }
  // Driven at position 0 in cycle 110, at position -3 in cycle 113.
  tsp_isa.queue "MEM.W8" {
    tsp_isa.write at 113 address 0 stream W8 repeat 2 step 1
  }
}
