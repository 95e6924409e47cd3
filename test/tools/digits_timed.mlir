// examples/digits/digits.mlir by hand: each layer on one plane, all 360 vectors one after the other. The cycles are what
// tests of tools count on, whatever the compiler makes of the example.
builtin.module attributes {tsp_tensor.weights = "digits.safetensors"} {
  tsp_isa.program @main chip 0 cycles 925 {
    tsp_isa.bind "input" "images" : tensor<360x64xi8> as tensor<360x8x8xi8> in <words [360 of d0], side [1 of b], lanes [64 of d1]> at <[W0], address 0>
    tsp_isa.bind "parameter" "fc1.weight" : tensor<64x128xi8> in <words [4 of d0 * 16], side [16 of d0], lanes [128 of d1]> at <[E1 to E16], address 0>
    tsp_isa.bind "parameter" "fc1.bias" : tensor<128xi32> in <words [], side [4 of b], lanes [128 of d0]> at <[W1 to W4], address 0>
    tsp_isa.bind "output" "logits" : tensor<360x10xi32> in <words [360 of d0], side [4 of b], lanes [10 of d1]> at <[W5 to W8], address 0>
    tsp_isa.bind "parameter" "fc2.weight" : tensor<128x10xi8> in <words [8 of d0 * 16], side [16 of d0], lanes [10 of d1]> at <[E17 to E32], address 0>
    tsp_isa.bind "parameter" "fc2.bias" : tensor<10xi32> in <words [], side [4 of b], lanes [10 of d0]> at <[E33 to E36], address 0>
    tsp_isa.queue "MEM.E0" {
      tsp_isa.write at 119 address 0 stream E26 repeat 360 step 1
      tsp_isa.read at 479 address 0 stream E31 repeat 360 step 1
    }
    tsp_isa.queue "MEM.E1" {
      tsp_isa.read at 35 address 0 stream E0 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E2" {
      tsp_isa.read at 35 address 0 stream E1 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E3" {
      tsp_isa.read at 35 address 0 stream E2 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E4" {
      tsp_isa.read at 36 address 0 stream E3 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E5" {
      tsp_isa.read at 36 address 0 stream E4 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E6" {
      tsp_isa.read at 36 address 0 stream E5 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E7" {
      tsp_isa.read at 36 address 0 stream E6 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E8" {
      tsp_isa.read at 37 address 0 stream E7 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E9" {
      tsp_isa.read at 37 address 0 stream E8 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E10" {
      tsp_isa.read at 37 address 0 stream E9 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E11" {
      tsp_isa.read at 37 address 0 stream E10 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E12" {
      tsp_isa.read at 38 address 0 stream E11 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E13" {
      tsp_isa.read at 38 address 0 stream E12 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E14" {
      tsp_isa.read at 38 address 0 stream E13 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E15" {
      tsp_isa.read at 38 address 0 stream E14 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E16" {
      tsp_isa.read at 39 address 0 stream E15 repeat 4 step 1
    }
    tsp_isa.queue "MEM.E17" {
      tsp_isa.read at 35 address 0 stream E16 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E18" {
      tsp_isa.read at 35 address 0 stream E17 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E19" {
      tsp_isa.read at 35 address 0 stream E18 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E20" {
      tsp_isa.read at 36 address 0 stream E19 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E21" {
      tsp_isa.read at 36 address 0 stream E20 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E22" {
      tsp_isa.read at 36 address 0 stream E21 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E23" {
      tsp_isa.read at 36 address 0 stream E22 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E24" {
      tsp_isa.read at 37 address 0 stream E23 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E25" {
      tsp_isa.read at 37 address 0 stream E24 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E26" {
      tsp_isa.read at 37 address 0 stream E25 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E27" {
      tsp_isa.read at 37 address 0 stream E26 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E28" {
      tsp_isa.read at 38 address 0 stream E27 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E29" {
      tsp_isa.read at 38 address 0 stream E28 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E30" {
      tsp_isa.read at 38 address 0 stream E29 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E31" {
      tsp_isa.read at 38 address 0 stream E30 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E32" {
      tsp_isa.read at 39 address 0 stream E31 repeat 8 step 1
    }
    tsp_isa.queue "MEM.E33" {
      tsp_isa.read at 528 address 0 stream W24 repeat 360
    }
    tsp_isa.queue "MEM.E34" {
      tsp_isa.read at 528 address 0 stream W25 repeat 360
    }
    tsp_isa.queue "MEM.E35" {
      tsp_isa.read at 528 address 0 stream W26 repeat 360
    }
    tsp_isa.queue "MEM.E36" {
      tsp_isa.read at 527 address 0 stream W27 repeat 360
    }
    tsp_isa.queue "MEM.W0" {
      tsp_isa.read at 38 address 0 stream E27 repeat 360 step 1
    }
    tsp_isa.queue "MEM.W1" {
      tsp_isa.read at 97 address 0 stream E28 repeat 360
    }
    tsp_isa.queue "MEM.W2" {
      tsp_isa.read at 97 address 0 stream E29 repeat 360
    }
    tsp_isa.queue "MEM.W3" {
      tsp_isa.read at 97 address 0 stream E30 repeat 360
    }
    tsp_isa.queue "MEM.W4" {
      tsp_isa.read at 96 address 0 stream E31 repeat 360
    }
    tsp_isa.queue "MEM.W5" {
      tsp_isa.write at 544 address 0 stream W20 repeat 360 step 1
    }
    tsp_isa.queue "MEM.W6" {
      tsp_isa.write at 544 address 0 stream W21 repeat 360 step 1
    }
    tsp_isa.queue "MEM.W7" {
      tsp_isa.write at 544 address 0 stream W22 repeat 360 step 1
    }
    tsp_isa.queue "MEM.W8" {
      tsp_isa.write at 545 address 0 stream W23 repeat 360 step 1
    }
    tsp_isa.queue "VXM.0" {
      tsp_isa.add at 99 type i32 a W28 b E28 to chain repeat 360
    }
    tsp_isa.queue "VXM.1" {
      tsp_isa.convert at 102 type i32 a alu0 result_type f32 to chain repeat 360
    }
    tsp_isa.queue "VXM.2" {
      tsp_isa.mul at 105 type f32 a alu1 b 0x3b4a2cd8 to chain repeat 360
    }
    tsp_isa.queue "VXM.3" {
      tsp_isa.max at 108 type f32 a alu2 b 0x00000000 to chain repeat 360
    }
    tsp_isa.queue "VXM.4" {
      tsp_isa.min at 111 type f32 a alu3 b 0x42fe0000 to chain repeat 360
    }
    tsp_isa.queue "VXM.5" {
      tsp_isa.convert at 114 type f32 a alu4 result_type i8 to E26 repeat 360
    }
    tsp_isa.queue "VXM.6" {
      tsp_isa.add at 538 type i32 a W28 b W24 to W20 repeat 360
    }
    tsp_isa.queue "MXM.0.weights" {
      tsp_isa.lw at 48 row 0 stream E0 repeat 4 step 1
      tsp_isa.iw at 52
    }
    tsp_isa.queue "MXM.0.activations" {
      tsp_isa.abc at 53 count 360 stream E27
    }
    tsp_isa.queue "MXM.0.accumulators" {
      tsp_isa.acc_emit at 66 entry 0 mode set stream W28 repeat 360
    }
    tsp_isa.queue "MXM.1.weights" {
      tsp_isa.lw at 44 row 0 stream E16 repeat 8 step 1
      tsp_isa.iw at 52
    }
    tsp_isa.queue "MXM.1.activations" {
      tsp_isa.abc at 492 count 360 stream E31
    }
    tsp_isa.queue "MXM.1.accumulators" {
      tsp_isa.acc_emit at 505 entry 0 mode set stream W28 repeat 360
    }
  }
}
