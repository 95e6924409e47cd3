// RUN: tsp-opt %s -p convert-stream-to-isa | filecheck %s

// Moves between lanes and gathers as instructions: each on the queue of its unit, or of its slice.

func.func @main() {
  %x = tsp_stream.buffer "input" "x" place <[W0], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %m = tsp_stream.buffer "input" "m" place <[W4], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %n = tsp_stream.buffer "input" "n" place <[W8, W9], address 0> : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>
  %t = tsp_stream.buffer "parameter" "t" place <[E4, E5], address 100> : !tsp_stream.buffer<50x320xi16, words [50 of d0], side [2 of b], lanes [320 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[E43], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %z = tsp_stream.buffer "output" "z" place <[E8, E9], address 0> : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>

  // CHECK: tsp_isa.queue "MEM.E4" {
  // CHECK-NEXT: tsp_isa.gather at 40 address 107 map E30 stream E28 repeat 4 step 1
  // CHECK: tsp_isa.queue "MEM.E5" {
  // CHECK-NEXT: tsp_isa.gather at 40 address 107 map E30 stream E29 repeat 4 step 1
  // CHECK: tsp_isa.queue "SXM.E.permute" {
  // CHECK-NEXT: tsp_isa.permute at 55 map E30 stream E29 to W31 repeat 4
  // CHECK: tsp_isa.queue "SXM.E.shift" {
  // CHECK-NEXT: tsp_isa.shift at 49 count 5 way up stream E31 to E29 repeat 4
  %0 = tsp_stream.read %x words <0, 4 step 1> toward "E" on 31 at 35 : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  %1 = tsp_stream.shift %0 by 5 "up" hemisphere "E" toward "E" on 29 at 49 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
  %2 = tsp_stream.read %n words <0, 4 step 1> toward "E" on 30 at 39 : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi16>
  %3 = tsp_stream.permute %1 by %2 hemisphere "E" toward "W" on 31 at 55 : !tsp_stream.stream<4x320xi8>, !tsp_stream.stream<4x320xi16> -> !tsp_stream.stream<4x320xi8>
  tsp_stream.write %3 to %y words <0, 4 step 1> at 82 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %4 = tsp_stream.read %m words <0, 4 step 1> toward "E" on 30 at 35 : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  %5 = tsp_stream.gather %4, %t words <7, 4 step 1> toward "E" on 28 at 40 : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<50x320xi16, words [50 of d0], side [2 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi16>
  tsp_stream.write %5 to %z words <0, 4 step 1> at 42 : !tsp_stream.stream<4x320xi16>, !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>
  func.return
}
