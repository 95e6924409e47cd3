// RUN: tsp-opt %s -p isa-verify | filecheck %s

// Two vectors cross from chip 0 to chip 1, one slot of 24 cycles apart, 650 cycles from register to register.

// CHECK: tsp_isa.send at 312 stream E4 repeat 2 every 24
// CHECK: tsp_isa.receive at 744 stream W4 repeat 2 every 24

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  tsp_isa.program @first chip 0 cycles 357 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 300 address 0 stream E4 repeat 2 every 24 step 1
    }
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 312 stream E4 repeat 2 every 24
    }
  }
  tsp_isa.program @second chip 1 cycles 1014 {
    // On W4 at position 12 in cycle 959, at position 2 in cycle 969.
    tsp_isa.queue "C2C.0" {
      tsp_isa.receive at 744 stream W4 repeat 2 every 24
    }
    tsp_isa.queue "MEM.E4" {
      tsp_isa.write at 969 address 0 stream W4 repeat 2 every 24 step 1
    }
  }
}
