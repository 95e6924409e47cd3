// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// What crosses between chips. The wiring is a field of the target: a name, or cables, each between two ports chip.link.

// CHECK: builtin.module attributes {
// CHECK-SAME: system.wiring = "0.0 - 1.0, 1.1 - 2.0"
builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 3, system.wiring = "0.0 - 1.0, 1.1 - 2.0">} {
  // A tensor op may name its chip; a tensor moves as a value.
  // CHECK-LABEL: func.func @tensors
  func.func @tensors(%x: tensor<4x64xi8>, %w: tensor<64x8xi8>) -> tensor<4x8xi32> {
    // CHECK-NEXT: %0 = tsp_tensor.matmul %x, %w {c2c.chip = 1 : i64} : tensor<4x64xi8>, tensor<64x8xi8> -> tensor<4x8xi32>
    // CHECK-NEXT: %1 = c2c.transfer %0 from 1 to 2 : tensor<4x8xi32> -> tensor<4x8xi32>
    %0 = tsp_tensor.matmul %x, %w {c2c.chip = 1 : i64} : tensor<4x64xi8>, tensor<64x8xi8> -> tensor<4x8xi32>
    %1 = c2c.transfer %0 from 1 to 2 : tensor<4x8xi32> -> tensor<4x8xi32>
    func.return %1 : tensor<4x8xi32>
  }
  // A stream op always has a chip, which is 0 where nothing is written; a stream moves from SRAM to SRAM.
  // CHECK-LABEL: func.func @streams
  func.func @streams() {
    // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" chip 1 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    %x = tsp_stream.buffer "input" "x" chip 1 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    %y = tsp_stream.buffer "output" "y" chip 0 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    // CHECK-NEXT: %0 = tsp_stream.read %x words <0, 4 step 1> chip 1 :
    // CHECK-NEXT: %1 = c2c.transfer %0 from 1 to 0 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
    // CHECK-NEXT: tsp_stream.write %1 to %y words <0, 4 step 1> :
    %0 = tsp_stream.read %x words <0, 4 step 1> chip 1 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
    %1 = c2c.transfer %0 from 1 to 0 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
    tsp_stream.write %1 to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    func.return
  }
}
