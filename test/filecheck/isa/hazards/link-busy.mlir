// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// A vector takes a link for 24 cycles.
// CHECK: error: hazard [link-busy] chip 0, cycle 335, link 0: a vector is sent before the slot of the previous one has passed: `send stream E4` (C2C.0, cycle 312) and `send stream E4` (C2C.0, cycle 335)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  tsp_isa.program @main chip 0 cycles 356 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 300 address 0 stream E4 repeat 2 every 23 step 1
    }
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 312 stream E4 repeat 2 every 23
    }
  }
  tsp_isa.program @other chip 1 cycles 321 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 300 address 0 stream E0
    }
  }
}
