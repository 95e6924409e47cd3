// RUN: tsp-opt %s -p isa-verify | filecheck %s

// The proof takes every number from the target: here each slice has its own stream register, a read takes 2 cycles, and
// a write samples its operand 3 cycles after its dispatch.

// CHECK: tsp_isa.write at 44 address 0 stream E4

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.tiles = 10, chip.slices_per_hop = 1, chip.latency_read = 2, chip.latency_write = 3>} {
  tsp_isa.program @main chip 0 cycles 55 {
    // Driven at position 1 in cycle 42, at position 6 in cycle 47.
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 40 address 0 stream E4
    }
    tsp_isa.queue "MEM.E5" {
      tsp_isa.write at 44 address 0 stream E4
    }
  }
}
