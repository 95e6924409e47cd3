// RUN: tsp-opt %s -p stream-schedule | filecheck %s

// When bytes move between lanes and tiles read words of their own. The SXM is 12 hops from the VXM; MEM slice s is
// 1 + s // 4.

func.func @main() {
  %x = tsp_stream.buffer "input" "x" place <[W0], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %m = tsp_stream.buffer "input" "m" place <[W4], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %n = tsp_stream.buffer "input" "n" place <[W8, W9], address 0> : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>
  %t = tsp_stream.buffer "parameter" "t" place <[E4, E5], address 100> : !tsp_stream.buffer<50x320xi16, words [50 of d0], side [2 of b], lanes [320 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[E43], address 0> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %z = tsp_stream.buffer "output" "z" place <[E8, E9], address 0> : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>

  // Read at position -1, a vector is there one cycle later and 13 hops on. A shift takes 2 cycles into and out of the
  // unit and 4 in it, a permutation 2 and 24; between units of one side there is no way to go.
  // CHECK: %0 = tsp_stream.read %x words <0, 4 step 1> toward "E" on 31 at 35
  %0 = tsp_stream.read %x words <0, 4 step 1> toward "E" : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  // CHECK: %1 = tsp_stream.shift %0 by 5 "up" hemisphere "E" toward "E" on 29 at 49
  %1 = tsp_stream.shift %0 by 5 "up" hemisphere "E" toward "E" : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
  // The map of 16 bits takes two streams. It comes so that both meet.
  // CHECK: %2 = tsp_stream.read %n words <0, 4 step 1> toward "E" on 30 at 39
  %2 = tsp_stream.read %n words <0, 4 step 1> toward "E" : !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi16>
  // CHECK: %3 = tsp_stream.permute %1 by %2 hemisphere "E" toward "W" on 31 at 55
  %3 = tsp_stream.permute %1 by %2 hemisphere "E" toward "W" : !tsp_stream.stream<4x320xi8>, !tsp_stream.stream<4x320xi16> -> !tsp_stream.stream<4x320xi8>
  // CHECK: tsp_stream.write %3 to %y words <0, 4 step 1> at 82
  tsp_stream.write %3 to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>

  // A gather is dispatched when its map passes the slice, and drives what it reads a cycle later. Both slices lie at
  // position 2.
  // CHECK: %4 = tsp_stream.read %m words <0, 4 step 1> toward "E" on 30 at 35
  %4 = tsp_stream.read %m words <0, 4 step 1> toward "E" : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  // CHECK: %5 = tsp_stream.gather %4, %t words <7, 4 step 1> toward "E" on 28 at 40
  %5 = tsp_stream.gather %4, %t words <7, 4 step 1> toward "E" : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<50x320xi16, words [50 of d0], side [2 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi16>
  // CHECK: tsp_stream.write %5 to %z words <0, 4 step 1> at 42
  tsp_stream.write %5 to %z words <0, 4 step 1> : !tsp_stream.stream<4x320xi16>, !tsp_stream.buffer<4x320xi16, words [4 of d0], side [2 of b], lanes [320 of d1]>
  func.return
}
