// RUN: not tsp-opt %s -p c2c-route-and-schedule 2>&1 | filecheck %s

// Chips that no cable joins cannot talk; the error names both and the remedy.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 3, system.wiring = "0.0 - 1.0, 1.1 - 2.0">} {
  func.func @main() {
    %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    %y = tsp_stream.buffer "output" "y" chip 2 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    %0 = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
    // CHECK: error: {{.*}}.mlir:[[# @LINE + 1]]:5: `c2c.transfer`: no link joins chip 0 and chip 2; add a cable to `system.wiring`
    %1 = c2c.transfer %0 from 0 to 2 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
    tsp_stream.write %1 to %y words <0, 4 step 1> chip 2 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    func.return
  }
}
