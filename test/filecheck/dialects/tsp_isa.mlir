// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// When: one program per chip, with the bindings of named tensors to SRAM and one op per instruction queue. Every
// instruction says its fields by name, the cycle of its first dispatch, and its levels of repeat, innermost first.

// The machine is part of the module: here three fields differ from the default one.
// CHECK: builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.streams = 64, system.chips = 2, system.lane_gbps = 12.5>} {
builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.streams = 64, system.chips = 2, system.lane_gbps = 12.5>} {
  // CHECK-NEXT: tsp_isa.program @timed chip 0 cycles 921 {
  tsp_isa.program @timed chip 0 cycles 921 {
    // CHECK-NEXT: tsp_isa.bind "input" "x" : tensor<4x64xi8> as tensor<4x8x8xi8> in <words [4 of d0], side [1 of b], lanes [64 of d1]> at <[W0], address 0>
    tsp_isa.bind "input" "x" : tensor<4x64xi8> as tensor<4x8x8xi8> in <words [4 of d0], side [1 of b], lanes [64 of d1]> at <[W0], address 0>
    // CHECK-NEXT: tsp_isa.bind "constant" "c" : tensor<2xi16> in <words [], side [2 of b], lanes [2 of d0]> at <[E1, E3], address 9> value dense<[1, -2]> : tensor<2xi16>
    tsp_isa.bind "constant" "c" : tensor<2xi16> in <words [], side [2 of b], lanes [2 of d0]> at <[E1, E3], address 9> value dense<[1, -2]> : tensor<2xi16>
    // CHECK-NEXT: tsp_isa.queue "MEM.W0" {
    // CHECK-NEXT:   tsp_isa.read at 40 address 0 stream E63
    // CHECK-NEXT:   tsp_isa.read at 100 address 700 stream W0 repeat 4 step 1 repeat 5 every 4 repeat 2 every 100 step -8
    // CHECK-NEXT:   tsp_isa.write at 900 address 0 stream W0
    // CHECK-NEXT: }
    tsp_isa.queue "MEM.W0" {
      tsp_isa.read at 40 address 0 stream E63
      // 4 words one after the other, five times, and all that again 100 cycles later from 8 words below on.
      tsp_isa.read at 100 address 700 stream W0 repeat 4 step 1 repeat 5 every 4 repeat 2 every 100 step -8
      tsp_isa.write at 900 address 0 stream W0
    }
    // CHECK-NEXT: tsp_isa.queue "MXM.3.weights" {
    // CHECK-NEXT:   tsp_isa.lw at 35 row 0 stream E16 repeat 20 step 1
    // CHECK-NEXT:   tsp_isa.iw at 55
    tsp_isa.queue "MXM.3.weights" {
      tsp_isa.lw at 35 row 0 stream E16 repeat 20 step 1
      tsp_isa.iw at 55
    }
    // CHECK: tsp_isa.abc at 60 count 256 stream W7
    tsp_isa.queue "MXM.3.activations" {
      tsp_isa.abc at 60 count 256 stream W7
    }
    // CHECK: tsp_isa.acc at 73 entry 0 mode set repeat 256 step 1
    // CHECK-NEXT: tsp_isa.acc_emit at 400 entry 255 mode add stream E4 repeat 256 step -1
    tsp_isa.queue "MXM.3.accumulators" {
      tsp_isa.acc at 73 entry 0 mode set repeat 256 step 1
      tsp_isa.acc_emit at 400 entry 255 mode add stream E4 repeat 256 step -1
    }
    // An operand is a stream group of the element type, the chain of an ALU, or 32 bits.
    // CHECK: tsp_isa.add at 50 type f32 a W4 b 0x3f800000 to chain repeat 8
    tsp_isa.queue "VXM.0" {
      tsp_isa.add at 50 type f32 a W4 b 0x3f800000 to chain repeat 8
    }
    // CHECK: tsp_isa.max at 53 type f32 a alu0 b alu0 to W8 repeat 8
    tsp_isa.queue "VXM.1" {
      tsp_isa.max at 53 type f32 a alu0 b alu0 to W8 repeat 8
    }
    // CHECK: tsp_isa.convert at 54 type f32 a alu1 result_type i8 to W31
    tsp_isa.queue "VXM.2" {
      tsp_isa.convert at 54 type f32 a alu1 result_type i8 to W31
    }
    // CHECK: tsp_isa.send at 70 stream E4 repeat 2 every 48
    tsp_isa.queue "C2C.0" {
      tsp_isa.send at 70 stream E4 repeat 2 every 48
    }
  }
  // Packed queues hold the bytes of the instructions, 16 each: sync, then a read of word 5 onto E3.
  // CHECK: tsp_isa.program @packed chip 1 cycles 56 {
  // CHECK-NEXT: tsp_isa.packed "MEM.E0" "0300000000000000000000000000000010050003000000000000000000000000"
  tsp_isa.program @packed chip 1 cycles 56 {
    tsp_isa.packed "MEM.E0" "0300000000000000000000000000000010050003000000000000000000000000"
    // What the issues of a queue are meant to take, as digests of 64 bits, one for each block of issues; and of a slice
    // what it holds at the end, and which words its gathers and scatters may touch from which issue on.
    // CHECK-NEXT: tsp_isa.dataflow "MEM.E0" <issues 5 each 4 digests "00000000000000010123456789abcdef" final "00000000000000ff" reach [0 words 0 to 16, 3 words 32 to 64]>
    tsp_isa.dataflow "MEM.E0" <issues 5 each 4 digests "00000000000000010123456789abcdef" final "00000000000000ff" reach [0 words 0 to 16, 3 words 32 to 64]>
    // CHECK-NEXT: tsp_isa.dataflow "VXM.3" <issues 0 each 1 digests "">
    tsp_isa.dataflow "VXM.3" <issues 0 each 1 digests "">
  }
}
