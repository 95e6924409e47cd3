// RUN: not tsp-opt %s -p stream-allocate 2>&1 | filecheck %s

// A tensor that does not fit says by how much and what takes the space, the largest first. Here a slice has 64 words.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.words = 64>} {
  func.func @main() {
    %x = tsp_stream.buffer "input" "x" place <[W3]> : !tsp_stream.buffer<20x320xi8, words [20 of d0], side [1 of b], lanes [320 of d1]>
    %y = tsp_stream.buffer "output" "y" place <[W3]> : !tsp_stream.buffer<30x320xi8, words [30 of d0], side [1 of b], lanes [320 of d1]>
    // CHECK: error: {{.*}}.mlir:[[# @LINE + 2]]:5: `tsp_stream.buffer`: tensor<16x320xi8> does not fit into SRAM: it needs 16 words in each of 1 slices, 2 words (640 bytes) more than are free of 64;
    // CHECK-SAME: what takes the space there: output y: 30 words, input x: 20 words
    %z = tsp_stream.buffer "output" "z" place <[W3]> : !tsp_stream.buffer<16x320xi8, words [16 of d0], side [1 of b], lanes [320 of d1]>
    func.return
  }
}
