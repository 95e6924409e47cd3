// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The vector sent in cycle 312 arrives 215 + 217 cycles later, in cycle 744, and finds chip 1 one cycle late.
// CHECK: error: hazard [link-lost] chip 1, cycle 744, link 0: a vector arrives on a link and nothing receives it: `send stream E4` (C2C.0, cycle 312)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  tsp_isa.program @first chip 0 cycles 333 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 300 address 0 stream E4
    }
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 312 stream E4
    }
  }
  tsp_isa.program @second chip 1 cycles 766 {
    tsp_isa.queue "C2C.0" {
      tsp_isa.receive at 745 stream E0
    }
  }
}
