// RUN: tsp-opt %s -p stream-place | filecheck %s

// Ops of one cluster take different units; near to what they feed, where it lies beyond the slices. The bytes of a buffer
// whose words are gathered lie at one position, so that the map may come from where the words go.

func.func @main() {
  // CHECK: %t = tsp_stream.buffer "parameter" "t" place <[{{[EW][0-9]+}} to {{[EW][0-9]+}}]> :
  %t = tsp_stream.buffer "parameter" "t" : !tsp_stream.buffer<50x320xi32, words [50 of d0], side [4 of b], lanes [320 of d1]>
  %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %m = tsp_stream.buffer "input" "m" : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %y = tsp_stream.buffer "output" "y" : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>
  %z = tsp_stream.buffer "output" "z" : !tsp_stream.buffer<4x320xi32, words [4 of d0], side [4 of b], lanes [320 of d1]>

  // Each side has one shifter.
  // CHECK: tsp_stream.shift %0 by 1 "up" hemisphere "E" toward "W" :
  // CHECK: tsp_stream.shift %1 by 1 "down" hemisphere "W" toward "E" :
  %0 = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  %1 = tsp_stream.shift %0 by 1 "up" : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
  %2 = tsp_stream.shift %1 by 1 "down" : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<4x320xi8>
  tsp_stream.write %2 to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]>

  %3 = tsp_stream.read %m words <0, 4 step 1> : !tsp_stream.buffer<4x320xi8, words [4 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi8>
  %4 = tsp_stream.gather %3, %t words <0, 4 step 0> : !tsp_stream.stream<4x320xi8>, !tsp_stream.buffer<50x320xi32, words [50 of d0], side [4 of b], lanes [320 of d1]> -> !tsp_stream.stream<4x320xi32>
  tsp_stream.write %4 to %z words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x320xi32, words [4 of d0], side [4 of b], lanes [320 of d1]>

  // What is decided stays; transposers have numbers.
  // CHECK: tsp_stream.transpose %{{[0-9]+}} unit 1 hemisphere "W" toward
  // CHECK: tsp_stream.transpose %{{[0-9]+}} unit 0 hemisphere "{{[EW]}}" toward
  %w = tsp_stream.buffer "input" "w" : !tsp_stream.buffer<64x320xi8, words [4 of d0 * 16], side [16 of d0], lanes [320 of d1]>
  %v = tsp_stream.buffer "output" "v" : !tsp_stream.buffer<64x320xi8, words [4 of d0 * 16], side [16 of d0], lanes [320 of d1]>
  %5 = tsp_stream.read %w words <0, 4 step 1> : !tsp_stream.buffer<64x320xi8, words [4 of d0 * 16], side [16 of d0], lanes [320 of d1]> -> !tsp_stream.stream<4x16x320xi8>
  %6 = tsp_stream.transpose %5 unit 1 hemisphere "W" : !tsp_stream.stream<4x16x320xi8> -> !tsp_stream.stream<4x16x320xi8>
  %7 = tsp_stream.transpose %6 : !tsp_stream.stream<4x16x320xi8> -> !tsp_stream.stream<4x16x320xi8>
  tsp_stream.write %7 to %v words <0, 4 step 1> : !tsp_stream.stream<4x16x320xi8>, !tsp_stream.buffer<64x320xi8, words [4 of d0 * 16], side [16 of d0], lanes [320 of d1]>
  func.return
}
