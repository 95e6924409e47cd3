// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The vector sent in cycle 312 arrives 215 + 217 cycles later, in cycle 744.
// CHECK: error: hazard [link-empty] chip 1, cycle 743, link 0: a receive finds no vector on the link: `receive stream E0` (C2C.0, cycle 743)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  tsp_isa.program @first chip 0 cycles 333 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 300 address 0 stream E4
    }
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 312 stream E4
    }
  }
  tsp_isa.program @second chip 1 cycles 764 {
    tsp_isa.queue "C2C.0" {
      tsp_isa.receive at 743 stream E0
    }
  }
}
