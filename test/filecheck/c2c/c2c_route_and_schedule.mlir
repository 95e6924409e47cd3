// RUN: tsp-opt %s -p c2c-route-and-schedule | filecheck %s

// Which links a transfer takes, and at what rate: the read that feeds it slows down to a vector every slot of the link,
// here 24 cycles. The wiring joins link 5 of chip 0 to link 9 of chip 1.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2, system.wiring = "0.5 - 1.9">} {
  func.func @main() {
    %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    %y = tsp_stream.buffer "output" "y" chip 1 : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    // CHECK: %0 = tsp_stream.read %x words <0, 4 step 1> cycles <0, 4 step 24> :
    // CHECK-NEXT: %1 = tsp_stream.send %0 link 5 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.flight<4x320xi8>
    // CHECK-NEXT: %2 = tsp_stream.receive %1 link 9 chip 1 : !tsp_stream.flight<4x320xi8> -> !tsp_stream.stream<4x320xi8>
    // CHECK-NEXT: tsp_stream.write %2 to %y words <0, 4 step 1> chip 1 :
    %0 = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
    %1 = c2c.transfer %0 from 0 to 1 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
    tsp_stream.write %1 to %y words <0, 4 step 1> chip 1 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
    func.return
  }
}
