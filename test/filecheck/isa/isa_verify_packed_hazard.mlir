// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// Packed queues are decoded first; the message names the issue as disassembled. The writes are a cycle early.

// CHECK: error: hazard [stream-empty] chip 0, cycle 41, stream E4 at position +2: an instruction reads a stream register that nothing drives: `write address 0 stream E4` (MEM.E4, cycle 41)

tsp_isa.program @main chip 0 cycles 65 {
  tsp_isa.packed "MEM.E0" "012800000000000000000000000000001000000400000000000000000000000002030001000100000000000000000000"
  tsp_isa.packed "MEM.E4" "012900000000000000000000000000001100000400000000000000000000000002030001000100000000000000000000"
}
