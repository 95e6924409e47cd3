// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The queue holds four instructions, and no ifetch brings the fifth, a read in cycle 43.
// CHECK: error: hazard [queue-dry] chip 0, cycle 43, queue MEM.E0: a queue reaches an instruction that has not been fetched: `read address 3 stream E4` (MEM.E0, cycle 43)

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  tsp_isa.program @main chip 0 cycles 64 {
    tsp_isa.packed "MEM.E0" "0128000000000000000000000000000010000004000000000000000000000000100100040000000000000000000000001002000400000000000000000000000010030004000000000000000000000000"
  }
}
