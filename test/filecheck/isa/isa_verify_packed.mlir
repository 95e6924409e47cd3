// RUN: tsp-opt %s -p isa-verify | filecheck %s

// Packed queues are decoded first: after a nop of 40 cycles four reads, after one of 42 cycles the four writes that take
// their words a hop further on.

// CHECK: tsp_isa.packed "MEM.E4"

tsp_isa.program @main chip 0 cycles 66 {
  tsp_isa.packed "MEM.E0" "012800000000000000000000000000001000000400000000000000000000000002030001000100000000000000000000"
  tsp_isa.packed "MEM.E4" "012a00000000000000000000000000001100000400000000000000000000000002030001000100000000000000000000"
}
