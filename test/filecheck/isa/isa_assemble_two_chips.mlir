// RUN: tsp-opt %s -p isa-assemble | filecheck %s
// RUN: tsp-opt %s -p isa-assemble,isa-disassemble | filecheck %s --check-prefix=BACK

// Chips that work together first wait for a common epoch: the starter's queue begins with deskew (05), which ends in
// cycle 256, then it notifies (04), and 35 cycles later, in 291, all queues of all chips are released from sync (03).

// CHECK: tsp_isa.program @first chip 0
// CHECK: tsp_isa.packed "C2C.0" "050000000000000000000000000000000400000000000000000000000000000003000000000000000000000000000000"
// CHECK: tsp_isa.packed "MEM.E0" "0300000000000000000000000000000010000000000000000000000000000000"
// CHECK: tsp_isa.program @second chip 1
// The queue that starts the others may have work of its own: after a nop of 9 cycles a send (50) of E4.
// CHECK: tsp_isa.packed "C2C.0" "050000000000000000000000000000000400000000000000000000000000000003000000000000000000000000000000
// CHECK-SAME: 01090000000000000000000000000000
// CHECK-SAME: 60040000000000000000000000000000"

// BACK: tsp_isa.queue "MEM.E0" {
// BACK-NEXT: tsp_isa.read at 291 address 0 stream E0
// BACK: tsp_isa.queue "C2C.0" {
// BACK-NEXT: tsp_isa.send at 300 stream E4

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
  tsp_isa.program @first chip 0 cycles 312 {
    tsp_isa.queue "MEM.E0" {
      tsp_isa.read at 291 address 0 stream E0
    }
  }
  tsp_isa.program @second chip 1 cycles 321 {
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 300 stream E4
    }
  }
}
