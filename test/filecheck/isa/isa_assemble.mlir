// RUN: tsp-opt %s -p isa-assemble | filecheck %s
// RUN: tsp-opt %s -p isa-assemble,isa-disassemble | filecheck %s --check-prefix=BACK

// A queue as bytes, 16 an instruction: the opcode, then the fields from the lowest bit on. Gaps become `nop`, levels of
// repeat become `repeat` with one round less (the first has been issued). Disassembling gives the timed form back.

// BACK: tsp_isa.program @main chip 0 cycles 70160 {
tsp_isa.program @main chip 0 cycles 70160 {
  // CHECK: tsp_isa.bind "input" "x"
  // BACK-NEXT: tsp_isa.bind "input" "x"
  tsp_isa.bind "input" "x" : tensor<4x64xi8> in <words [4 of d0], side [1 of b], lanes [64 of d1]> at <[E0], address 512>

  // The first C2C queue is the starter: it notifies (04), and all queues, itself included, wait in sync (03). The barrier
  // ends in cycle 35.
  // CHECK-NEXT: tsp_isa.packed "C2C.0"
  // CHECK-SAME: 04000000000000000000000000000000
  // CHECK-SAME: 03000000000000000000000000000000"

  // CHECK-NEXT: tsp_isa.packed "MEM.E0" "03000000000000000000000000000000
  // nop (01) for 5 = 40 - 35 cycles.
  // CHECK-SAME: 01050000000000000000000000000000
  // read (10) of word 0x0200 onto W4, which is 0x84.
  // CHECK-SAME: 10000284000000000000000000000000
  // repeat (02): 3 more, 1 cycle apart, 1 word further on; then all that 1 more, 4 cycles apart, 2 words back (0xfffe).
  // CHECK-SAME: 02030001000100000000000000000000
  // CHECK-SAME: 0201000400feff000000000000000000
  // A nop holds 16 bits: 70139 - 48 = 65535 (0xffff) + 4556 (0x11cc).
  // CHECK-SAME: 01ffff00000000000000000000000000
  // CHECK-SAME: 01cc1100000000000000000000000000
  // write (11) of word 7 from E0.
  // CHECK-SAME: 11070000000000000000000000000000"

  // BACK-NEXT: tsp_isa.queue "MEM.E0" {
  // BACK-NEXT:   tsp_isa.read at 40 address 512 stream W4 repeat 4 step 1 repeat 2 every 4 step -2
  // BACK-NEXT:   tsp_isa.write at 70139 address 7 stream E0
  // BACK-NEXT: }
  tsp_isa.queue "MEM.E0" {
    tsp_isa.read at 40 address 512 stream W4 repeat 4 step 1 repeat 2 every 4 step -2
    tsp_isa.write at 70139 address 7 stream E0
  }
  // CHECK-NEXT: }
  // BACK-NEXT: }
}
