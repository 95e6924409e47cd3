// RUN: tsp-opt %s -p isa-assemble | filecheck %s
// RUN: tsp-opt %s -p isa-assemble,isa-verify,isa-disassemble | filecheck %s --check-prefix=BACK

// A queue here holds four instructions, and a fetch brings two. MEM.E0 has seven: sync, and three times nop and
// read. Each ifetch makes it longer; at the edge of a gap, where its nop only gets shorter, by one.

// CHECK: builtin.module
builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.queue_bytes = 64, chip.fetch_bytes = 32>} {
  // CHECK-NEXT: tsp_isa.program @main chip 0 cycles 121 {
  // BACK: tsp_isa.program @main chip 0 cycles 121 {
  tsp_isa.program @main chip 0 cycles 121 {
    // CHECK-NEXT: tsp_isa.packed "C2C.0"
    // CHECK-NEXT: tsp_isa.packed "MEM.E0" "03000000000000000000000000000000
    // nop (01) and ifetch (07) from E30 (1e), in cycle 59: its words could be there in cycle 36 already, but only the last
    // cycle of the gap needs no nop after it.
    // CHECK-SAME: 0118000000000000000000000000000007
    // BACK-NEXT: tsp_isa.queue "MEM.E0" {
    // BACK-NEXT:   tsp_isa.read at 60 address 0 stream E4
    // BACK-NEXT:   tsp_isa.read at 80 address 1 stream E5
    // BACK-NEXT:   tsp_isa.read at 100 address 5 stream E4
    // BACK-NEXT: }
    // BACK-NEXT: }
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 60 address 0 stream E4
      tsp_isa.read at 80 address 1 stream E5
      tsp_isa.read at 100 address 5 stream E4
    }
    // Where the chunks lie: the highest free words of slices with the fewest instructions.
    // CHECK-SAME: chunks <E1[8191] E2[8191], E3[8191] W0[8191], E3[8190] W0[8190]>
    // The first word is read onto E30 at the queue's position, where it is a cycle later: sync, nop for 23 cycles, read of
    // word 0x1fff in cycle 58.
    // CHECK-NEXT: tsp_isa.packed "MEM.E1" "03000000000000000000000000000000
    // CHECK-SAME: 01170000000000000000000000000000
    // CHECK-SAME: 10ff1f1e000000000000000000000000"
    // CHECK-NEXT: tsp_isa.packed "MEM.E2"
    // CHECK-NEXT: tsp_isa.packed "MEM.E3"
    // CHECK-NEXT: tsp_isa.packed "MEM.W0"
  }
}
