// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// Entry 0 is set before it is added to, entry 1 is not.
// CHECK: error: hazard [accumulator-empty] chip 0, cycle 69, accumulator 1 of plane 0: a sum is added to an accumulator entry that was never set: `acc entry 1 mode add` (MXM.0.accumulators, cycle 69)

tsp_isa.program @main chip 0 cycles 90 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 41 address 0 stream E4 repeat 3 step 1
  }
  tsp_isa.queue "MXM.0.weights" {
    tsp_isa.iw at 53
  }
  tsp_isa.queue "MXM.0.activations" {
    tsp_isa.abc at 54 count 3 stream E4
  }
  tsp_isa.queue "MXM.0.accumulators" {
    tsp_isa.acc at 67 entry 0 mode set
    tsp_isa.acc at 68 entry 0 mode add repeat 2 step 1
  }
}
