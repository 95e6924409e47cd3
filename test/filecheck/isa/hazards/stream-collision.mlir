// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// Slices 0 and 1 share the stream register at position 1; the second read of one meets the first of the other.
// CHECK: error: hazard [stream-collision] chip 0, cycle 42, stream E4 at position +1: two instructions drive one stream register in one cycle: `read address 1 stream E4` (MEM.E0, cycle 41) and `read address 7 stream E4` (MEM.E1, cycle 41)

tsp_isa.program @main chip 0 cycles 62 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 40 address 0 stream E4 repeat 2 step 1
  }
  tsp_isa.queue "MEM.E1" {
    tsp_isa.read at 41 address 7 stream E4
  }
}
