// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// The repeated read takes the queue in cycles 40, 41, 42 and 43.
// CHECK: error: hazard [queue] chip 0, cycle 43, queue MEM.E0: two instructions are dispatched by one queue at once: `read address 0 stream E4` (MEM.E0, cycle 40) and `read address 9 stream E5` (MEM.E0, cycle 43)

tsp_isa.program @main chip 0 cycles 64 {
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 40 address 0 stream E4 repeat 4 step 1
    tsp_isa.read at 43 address 9 stream E5
  }
}
