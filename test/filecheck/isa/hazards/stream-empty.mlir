// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The word is on E4 at position 1 in cycle 41, and at position 2 in cycle 42: the write is a cycle early.
// CHECK: error: hazard [stream-empty] chip 0, cycle 41, stream E4 at position +2: an instruction reads a stream register that nothing drives: `write address 0 stream E4` (MEM.E4, cycle 41)

tsp_isa.program @main chip 0 cycles 62 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 40 address 0 stream E4
  }
  tsp_isa.queue "MEM.E4" {
    tsp_isa.write at 41 address 0 stream E4
  }
}
