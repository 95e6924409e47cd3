// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The sums of the vector of cycle 54 reach the accumulators in cycle 67.
// CHECK: error: hazard [result-missing] chip 0, cycle 66, plane 0: an accumulator takes a result in a cycle in which the array gives none: `acc entry 0 mode set` (MXM.0.accumulators, cycle 66)

tsp_isa.program @main chip 0 cycles 88 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 41 address 0 stream E4
  }
  tsp_isa.queue "MXM.0.weights" {
    tsp_isa.iw at 53
  }
  tsp_isa.queue "MXM.0.activations" {
    tsp_isa.abc at 54 count 1 stream E4
  }
  tsp_isa.queue "MXM.0.accumulators" {
    tsp_isa.acc at 66 entry 0 mode set repeat 2 step 1
  }
}
