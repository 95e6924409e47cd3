// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The weights that are installed in cycle 54 are in the array from cycle 55 on; the first of two vectors is too early.
// CHECK: error: hazard [weights-empty] chip 0, cycle 54, plane 0: activations enter a plane in which no weights are installed: `abc count 2 stream E4` (MXM.0.activations, cycle 54)

tsp_isa.program @main chip 0 cycles 76 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 41 address 0 stream E4 repeat 2 step 1
  }
  tsp_isa.queue "MXM.0.weights" {
    tsp_isa.iw at 54
  }
  tsp_isa.queue "MXM.0.activations" {
    tsp_isa.abc at 54 count 2 stream E4
  }
}
