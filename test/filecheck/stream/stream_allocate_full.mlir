// RUN: tsp-opt %s -p stream-allocate | filecheck %s

// A slice of 22 words is soon full: then scratch takes the lowest words that are free while it lives.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.words = 22>} {
func.func @main() {
  // CHECK: %y = tsp_stream.buffer "output" "y" place <[E1], address 2>
  // Behind %y there is room for %a; and the words of %y are free until it is written.
  // CHECK: %a = tsp_stream.buffer "scratch" place <[E1], address 12>
  // CHECK: %b = tsp_stream.buffer "scratch" place <[E1], address 0>
  // %a is no longer needed when %c is written.
  // CHECK: %c = tsp_stream.buffer "scratch" place <[E1], address 12>
  %x = tsp_stream.buffer "input" "x" place <[E0]> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[E1], address 2> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %a = tsp_stream.buffer "scratch" place <[E1]> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %b = tsp_stream.buffer "scratch" place <[E1]> : !tsp_stream.buffer<2x320xi8, words [2 of d0], side [1 of b], lanes [320 of d1]>
  %c = tsp_stream.buffer "scratch" place <[E1]> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %0 = tsp_stream.read %x words <0, 10 step 1> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<10x320xi8>
  tsp_stream.write %0 to %a words <0, 10 step 1> : !tsp_stream.stream<10x320xi8>, !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %1 = tsp_stream.read %a words <3, 2 step 5> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<2x320xi8>
  tsp_stream.write %1 to %b words <0, 2 step 1> : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<2x320xi8, words [2 of d0], side [1 of b], lanes [320 of d1]>
  %2 = tsp_stream.read %b words <0, 2 step 1, 5 step 0> : !tsp_stream.buffer<2x320xi8, words [2 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<10x320xi8>
  tsp_stream.write %2 to %c words <0, 10 step 1> : !tsp_stream.stream<10x320xi8>, !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  %3 = tsp_stream.read %c words <0, 10 step 1> : !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<10x320xi8>
  tsp_stream.write %3 to %y words <0, 10 step 1> : !tsp_stream.stream<10x320xi8>, !tsp_stream.buffer<10x320xi8, words [10 of d0], side [1 of b], lanes [320 of d1]>
  func.return
}
}
