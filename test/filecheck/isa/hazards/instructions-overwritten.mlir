// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The instructions have been fetched in cycle 59, in which their second word is written; but a program runs more than once.
// CHECK: error: hazard [instructions-overwritten] chip 0, cycle 59, word E2[8191]: a word of SRAM that holds instructions is written: `write address 8191 stream E31` (MEM.E2, cycle 59)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  tsp_isa.program @main chip 0 cycles 102 {
    tsp_isa.packed "MEM.E0" "013b0000000000000000000000000000071e0000000000000000000000000000011400000000000000000000000000001000000400000000000000000000000010010004000000000000000000000000" chunks <E1[8191] E2[8191]>
    tsp_isa.packed "MEM.E1" "013a000000000000000000000000000010ff1f1e000000000000000000000000"
    tsp_isa.packed "MEM.E2" "013a000000000000000000000000000010ff1f1f00000000000000000000000011ff1f1f000000000000000000000000"
  }
}
