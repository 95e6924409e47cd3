// RUN: tsp-opt %s -p isa-disassemble | filecheck %s

// Bytes as text. The walk of a queue keeps a clock, which nop moves by its count, repeat to the end of its rounds, and sync
// to the end of the barrier, 35 cycles after the notify. Queues that only start the others vanish.

// CHECK: tsp_isa.program @main chip 0 cycles 92 {
tsp_isa.program @main chip 0 cycles 92 {
  // A notify in cycle 5.
  // CHECK-NOT: C2C.0
  tsp_isa.packed "C2C.0" "0105000000000000000000000000000004000000000000000000000000000000"
  // Without sync a queue begins in cycle 0: a read of word 5 onto E3, ten cycles of nothing, a read of word 6.
  // CHECK: tsp_isa.queue "MEM.E0" {
  // CHECK-NEXT: tsp_isa.read at 0 address 5 stream E3
  // CHECK-NEXT: tsp_isa.read at 11 address 6 stream E3
  // CHECK-NEXT: }
  tsp_isa.packed "MEM.E0" "10050003000000000000000000000000010a000000000000000000000000000010060003000000000000000000000000"
  // CHECK-NEXT: tsp_isa.queue "VXM.15" {
  // CHECK-NEXT: tsp_isa.mul at 40 type f32 a W8 b 0x3fc00000 to E0 repeat 32
  // CHECK-NEXT: }
  // Parked in sync until cycle 5 + 35.
  tsp_isa.packed "VXM.15" "030000000000000000000000000000003284080000000000f08f000000000000021f0001000000000000000000000000"
}
// CHECK-NOT: tsp_isa.packed
