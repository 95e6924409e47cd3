// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// Three vectors enter in cycles 54, 55 and 56; their sums come out in cycles 67, 68 and 69, and two are taken.
// CHECK: error: hazard [result-lost] chip 0, cycle 69, plane 0: a result leaves the array and no accumulator takes it: `abc count 3 stream E4` (MXM.0.activations, cycle 54)

tsp_isa.program @main chip 0 cycles 89 {
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
    tsp_isa.acc at 67 entry 0 mode set repeat 2 step 1
  }
}
