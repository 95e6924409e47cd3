// RUN: not tsp-opt %s -p isa-verify 2>&1 | filecheck %s

// An ALU takes 3 cycles and the chain holds a result for one: the second ALU has to be dispatched in cycle 43.
// CHECK: error: hazard [chain-empty] chip 0, cycle 44, chain of ALU 0: an ALU reads the chain of an ALU that has no result in this cycle: `copy type i32 a alu0 to E0` (VXM.1, cycle 44)

tsp_isa.program @main chip 0 cycles 65 {
  tsp_isa.queue "VXM.0" {
    tsp_isa.copy at 40 type i32 a 0x00000007 to chain
  }
  tsp_isa.queue "VXM.1" {
    tsp_isa.copy at 44 type i32 a alu0 to E0
  }
}
