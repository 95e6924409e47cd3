// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The queue holds four instructions, a fetch brings two. With the first ifetch two are dispatched, so there is room for
// its two. With the second, a cycle later, only one more is.

// CHECK: error: hazard [queue-full] chip 0, cycle 10, queue MEM.E0: an ifetch brings more instructions than the queue has room for: `ifetch stream E30` (MEM.E0, cycle 10)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  tsp_isa.program @main chip 0 cycles 64 {
    tsp_isa.packed "MEM.E0" "01090000000000000000000000000000071e0000000000000000000000000000071e0000000000000000000000000000011e0000000000000000000000000000100000040000000000000000000000001001000400000000000000000000000010020004000000000000000000000000" chunks <E1[0] E2[0], E1[1] E2[1]>
  }
}
