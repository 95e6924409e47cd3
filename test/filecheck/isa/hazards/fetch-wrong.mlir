// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The chunk that the ifetch in cycle 59 wants lies in word 8191 of slices E1 and E2. The first of the two reads that feed
// it takes word 8190.

// CHECK: error: hazard [fetch-wrong] chip 0, cycle 59, queue MEM.E0: an ifetch takes vectors that are not the next instructions of its queue: `ifetch stream E30` (MEM.E0, cycle 59)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  tsp_isa.program @main chip 0 cycles 102 {
    tsp_isa.packed "MEM.E0" "013b0000000000000000000000000000071e0000000000000000000000000000011400000000000000000000000000001000000400000000000000000000000010010004000000000000000000000000" chunks <E1[8191] E2[8191]>
    tsp_isa.packed "MEM.E1" "013a000000000000000000000000000010fe1f1e000000000000000000000000"
    tsp_isa.packed "MEM.E2" "013a000000000000000000000000000010ff1f1f000000000000000000000000"
  }
}
