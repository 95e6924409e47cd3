// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// Where values flow: buffers in SRAM, and the streams between them. Everything that a pass decides is optional: the
// first function is as lowered from tensors, the second has places, planes, ALUs, directions, streams and cycles.

// CHECK-LABEL: func.func @lowered
func.func @lowered() {
  // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
  %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]>
  // A part of a tensor with a border of zeros.
  // CHECK-NEXT: %part = tsp_stream.buffer "input" "part" : !tsp_stream.buffer<9x64xi8, words [6 of d0], side [1 of b], lanes [64 of d1], from [1, 0], within [2 to 6, 0 to 64]>
  %part = tsp_stream.buffer "input" "part" : !tsp_stream.buffer<9x64xi8, words [6 of d0], side [1 of b], lanes [64 of d1], from [1, 0], within [2 to 6, 0 to 64]>
  // CHECK-NEXT: %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<400x32xi8, words [2 of d0 * 320, 1 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<400x32xi8, words [2 of d0 * 320, 1 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  // The host knows this output by another shape.
  // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" as tensor<2x2x32xi32> : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  %y = tsp_stream.buffer "output" "y" as tensor<2x2x32xi32> : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  // CHECK-NEXT: %c = tsp_stream.buffer "constant" "c" value dense<7> : tensor<32xi32> : !tsp_stream.buffer<32xi32, words [], side [4 of b], lanes [32 of d0]>
  %c = tsp_stream.buffer "constant" "c" value dense<7> : tensor<32xi32> : !tsp_stream.buffer<32xi32, words [], side [4 of b], lanes [32 of d0]>
  // CHECK-NEXT: %s = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  %s = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>

  // 20 times 16 vectors side by side: a tile of 320 rows of weights.
  // CHECK-NEXT: %rows = tsp_stream.read %w words <0, 20 step 1> : !tsp_stream.buffer<400x32xi8, words [2 of d0 * 320, 1 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]> -> !tsp_stream.stream<20x16x320xi8>
  // CHECK-NEXT: %tile = tsp_stream.load_weights %rows : !tsp_stream.stream<20x16x320xi8> -> !tsp_stream.weights<1x320x32xi8>
  %rows = tsp_stream.read %w words <0, 20 step 1> : !tsp_stream.buffer<400x32xi8, words [2 of d0 * 320, 1 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]> -> !tsp_stream.stream<20x16x320xi8>
  %tile = tsp_stream.load_weights %rows : !tsp_stream.stream<20x16x320xi8> -> !tsp_stream.weights<1x320x32xi8>
  // CHECK-NEXT: %xs = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
  %xs = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, words [4 of d0], side [1 of b], lanes [64 of d1]> -> !tsp_stream.stream<4x320xi8>
  // One pass: all activations meet the same weights.
  // CHECK-NEXT: %sums = tsp_stream.matmul %xs, %tile : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x320x32xi8> -> !tsp_stream.stream<4x320xi32>
  %sums = tsp_stream.matmul %xs, %tile : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<1x320x32xi8> -> !tsp_stream.stream<4x320xi32>
  // One word, read four times: a broadcast.
  // CHECK-NEXT: %cs = tsp_stream.read %c words <0, 4 step 0> : !tsp_stream.buffer<32xi32, words [], side [4 of b], lanes [32 of d0]> -> !tsp_stream.stream<4x320xi32>
  %cs = tsp_stream.read %c words <0, 4 step 0> : !tsp_stream.buffer<32xi32, words [], side [4 of b], lanes [32 of d0]> -> !tsp_stream.stream<4x320xi32>
  // CHECK-NEXT: %ys = tsp_stream.vxm %sums, %cs : (!tsp_stream.stream<4x320xi32>, !tsp_stream.stream<4x320xi32>) -> !tsp_stream.stream<4x320xi32> {
  // CHECK-NEXT: ^bb0(%a: i32, %b: i32):
  // CHECK-NEXT:   %0 = tsp_stream.delay %a : i32 -> i32
  // CHECK-NEXT:   %1 = arith.sitofp %b : i32 to f32
  // CHECK-NEXT:   %2 = tsp_stream.convert %1 : f32 -> i32
  // CHECK-NEXT:   %3 = arith.muli %0, %2 : i32
  // CHECK-NEXT:   tsp_stream.yield %3 : i32
  // CHECK-NEXT: }
  %ys = tsp_stream.vxm %sums, %cs : (!tsp_stream.stream<4x320xi32>, !tsp_stream.stream<4x320xi32>) -> !tsp_stream.stream<4x320xi32> {
  ^bb0(%a: i32, %b: i32):
    %0 = tsp_stream.delay %a : i32 -> i32
    %1 = arith.sitofp %b : i32 to f32
    %2 = tsp_stream.convert %1 : f32 -> i32
    %3 = arith.muli %0, %2 : i32
    tsp_stream.yield %3 : i32
  }
  // CHECK-NEXT: tsp_stream.write %ys to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  tsp_stream.write %ys to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, words [4 of d0], side [4 of b], lanes [32 of d1]>
  func.return
}

// CHECK-LABEL: func.func @passes
func.func @passes() {
  // Tiles of rows that begin before the tensor are padded with zeros; fp16 has two bytes side by side, and its weights come
  // byte after byte. A buffer may be wanted in parts that lie in groups of slices, and in copies.
  // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" parts [0, 6] in [0, 0] copies 2 : !tsp_stream.buffer<4x640xf16, words [2 of d1 * 320, 6 of d0], side [2 of b], lanes [320 of d1], from [-1, 0]>
  %x = tsp_stream.buffer "input" "x" parts [0, 6] in [0, 0] copies 2 : !tsp_stream.buffer<4x640xf16, words [2 of d1 * 320, 6 of d0], side [2 of b], lanes [320 of d1], from [-1, 0]>
  // CHECK-NEXT: %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<640x32xf16, words [2 of d0 * 320, 2 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<640x32xf16, words [2 of d0 * 320, 2 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]>
  // Two passes, with a pause between them in which the second weights are installed.
  // CHECK-NEXT: %rows = tsp_stream.read %w words <0, 80 step 1> cycles <0, 40 step 1, 2 step 42> :
  %rows = tsp_stream.read %w words <0, 80 step 1> cycles <0, 40 step 1, 2 step 42> : !tsp_stream.buffer<640x32xf16, words [2 of d0 * 320, 2 of b, 20 of d0 * 16], side [16 of d0], lanes [32 of d1]> -> !tsp_stream.stream<80x16x320xi8>
  // CHECK-NEXT: %tiles = tsp_stream.load_weights %rows : !tsp_stream.stream<80x16x320xi8> -> !tsp_stream.weights<2x320x320xf16>
  %tiles = tsp_stream.load_weights %rows : !tsp_stream.stream<80x16x320xi8> -> !tsp_stream.weights<2x320x320xf16>
  // CHECK-NEXT: %xs = tsp_stream.read %x words <0, 6 step 1, 2 step 6> copy 1 cycles <0, 6 step 2, 2 step 42> :
  %xs = tsp_stream.read %x words <0, 6 step 1, 2 step 6> copy 1 cycles <0, 6 step 2, 2 step 42> : !tsp_stream.buffer<4x640xf16, words [2 of d1 * 320, 6 of d0], side [2 of b], lanes [320 of d1], from [-1, 0]> -> !tsp_stream.stream<12x320xf16>
  // CHECK-NEXT: %0 = tsp_stream.matmul %xs, %tiles plane 2 : !tsp_stream.stream<12x320xf16>, !tsp_stream.weights<2x320x320xf16> -> !tsp_stream.stream<6x320xf32>
  %0 = tsp_stream.matmul %xs, %tiles plane 2 : !tsp_stream.stream<12x320xf16>, !tsp_stream.weights<2x320x320xf16> -> !tsp_stream.stream<6x320xf32>
  // Six words in three parts of two groups, twice.
  // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" place <[E0 to E7, W0 to W7], parts [0, 2, 3] in [0, 1, 0], copies 2, address 9> :
  %y = tsp_stream.buffer "output" "y" place <[E0 to E7, W0 to W7], parts [0, 2, 3] in [0, 1, 0], copies 2, address 9> : !tsp_stream.buffer<6x32xf32, words [6 of d0], side [4 of b], lanes [32 of d1]>
  // CHECK-NEXT: tsp_stream.write %0 to %y words <0, 6 step 1> :
  tsp_stream.write %0 to %y words <0, 6 step 1> : !tsp_stream.stream<6x320xf32>, !tsp_stream.buffer<6x32xf32, words [6 of d0], side [4 of b], lanes [32 of d1]>
  func.return
}

// CHECK-LABEL: func.func @scheduled
func.func @scheduled() {
  // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" place <[E0 to E3], address 8> : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  %x = tsp_stream.buffer "input" "x" place <[E0 to E3], address 8> : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" place <[W1, W3, W5 to W6]> : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  %y = tsp_stream.buffer "output" "y" place <[W1, W3, W5 to W6]> : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  // The lowest byte alone, a vector every 24 cycles, westward on stream 28 from cycle 35 on.
  // CHECK-NEXT: %0 = tsp_stream.read %x words <0, 2 step 1> byte 0 cycles <0, 2 step 24> toward "W" on 28 at 35 : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: tsp_stream.write %0 to %y words <0, 2 step 1> byte 0 at 37 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  %0 = tsp_stream.read %x words <0, 2 step 1> byte 0 cycles <0, 2 step 24> toward "W" on 28 at 35 : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]> -> !tsp_stream.stream<2x320xi8>
  tsp_stream.write %0 to %y words <0, 2 step 1> byte 0 at 37 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  // CHECK-NEXT: %1 = tsp_stream.read %x words <0, 2 step 1> toward "W" on 4 at 60
  // CHECK-NEXT: %2 = tsp_stream.vxm %1 alus [0, 3] toward "W" on 0 at 63 :
  %1 = tsp_stream.read %x words <0, 2 step 1> toward "W" on 4 at 60 : !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]> -> !tsp_stream.stream<2x320xi32>
  %2 = tsp_stream.vxm %1 alus [0, 3] toward "W" on 0 at 63 : (!tsp_stream.stream<2x320xi32>) -> !tsp_stream.stream<2x320xi32> {
  ^bb0(%a: i32):
    %b = arith.addi %a, %a : i32
    %c = arith.muli %b, %b : i32
    tsp_stream.yield %c : i32
  }
  // CHECK: tsp_stream.write %2 to %y words <0, 2 step 1> at 72
  tsp_stream.write %2 to %y words <0, 2 step 1> at 72 : !tsp_stream.stream<2x320xi32>, !tsp_stream.buffer<2x32xi32, words [2 of d0], side [4 of b], lanes [32 of d1]>
  func.return
}

// CHECK-LABEL: func.func @lanes
func.func @lanes(%s: !tsp_stream.stream<2x320xi8>, %map: !tsp_stream.stream<2x320xi16>, %g: !tsp_stream.stream<2x4x320xi8>) {
  // CHECK-NEXT: %b = tsp_stream.buffer "scratch" : !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]>
  %b = tsp_stream.buffer "scratch" : !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]>
  // Every tile from, or to, a word of its own.
  // CHECK-NEXT: %0 = tsp_stream.gather %s, %b words <0, 2 step 1> toward "E" on 3 at 40 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<2x320xi8>
  %0 = tsp_stream.gather %s, %b words <0, 2 step 1> toward "E" on 3 at 40 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: tsp_stream.scatter %s, %0 to %b words <0, 2 step 0> at 50 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]>
  tsp_stream.scatter %s, %0 to %b words <0, 2 step 0> at 50 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, words [9 of d0], side [1 of b], lanes [320 of d1]>
  // The SXM of one side moves bytes between lanes.
  // CHECK-NEXT: %1 = tsp_stream.shift %s by 3 "up" hemisphere "E" toward "W" on 1 at 60 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %1 = tsp_stream.shift %s by 3 "up" hemisphere "E" toward "W" on 1 at 60 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %2 = tsp_stream.lane_select %s, %0, %1 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %2 = tsp_stream.lane_select %s, %0, %1 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %3 = tsp_stream.permute %2 by %map hemisphere "W" : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi16> -> !tsp_stream.stream<2x320xi8>
  %3 = tsp_stream.permute %2 by %map hemisphere "W" : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi16> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %4 = tsp_stream.distribute %3 by %s : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %4 = tsp_stream.distribute %3 by %s : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %5 = tsp_stream.rotate %g : !tsp_stream.stream<2x4x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  %5 = tsp_stream.rotate %g : !tsp_stream.stream<2x4x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  // CHECK-NEXT: %6 = tsp_stream.transpose %5 unit 1 hemisphere "E" : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  %6 = tsp_stream.transpose %5 unit 1 hemisphere "E" : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  // One of the vectors side by side.
  // CHECK-NEXT: %7 = tsp_stream.part %6[3] : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x320xi8>
  %7 = tsp_stream.part %6[3] : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x320xi8>
  func.return
}

// CHECK-LABEL: func.func @alus
func.func @alus(%x: !tsp_stream.stream<2x320xi8>, %y: !tsp_stream.stream<2x320xf16>) {
  // What an ALU does and no scalar op of arith or math says: a mask is a byte, and integers saturate.
  // CHECK: ^bb0(%a: i8, %h: f16):
  %r = tsp_stream.vxm %x, %y : (!tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xf16>) -> !tsp_stream.stream<2x320xi8> {
  ^bb0(%a: i8, %h: f16):
    // CHECK-NEXT: %0 = tsp_stream.add_sat %a, %a : i8
    %0 = tsp_stream.add_sat %a, %a : i8
    // CHECK-NEXT: %1 = tsp_stream.sub_sat %0, %a : i8
    %1 = tsp_stream.sub_sat %0, %a : i8
    // CHECK-NEXT: %2 = tsp_stream.mul_sat %1, %1 : i8
    %2 = tsp_stream.mul_sat %1, %1 : i8
    // CHECK-NEXT: %3 = tsp_stream.relu %h : f16
    %3 = tsp_stream.relu %h : f16
    // CHECK-NEXT: %4 = tsp_stream.compare "lt" %h, %3 : f16 -> i8
    %4 = tsp_stream.compare "lt" %h, %3 : f16 -> i8
    // CHECK-NEXT: %5 = tsp_stream.select %4, %2, %a : i8
    %5 = tsp_stream.select %4, %2, %a : i8
    // CHECK-NEXT: tsp_stream.yield %5 : i8
    tsp_stream.yield %5 : i8
  }
  func.return
}

// CHECK-LABEL: func.func @links
func.func @links(%s: !tsp_stream.stream<2x320xi8>) {
  // Vectors on a wire between two chips.
  // CHECK-NEXT: %0 = tsp_stream.send %s link 3 at 100 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.flight<2x320xi8>
  // CHECK-NEXT: %1 = tsp_stream.receive %0 link 4 toward "E" on 31 at 532 : !tsp_stream.flight<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %0 = tsp_stream.send %s link 3 at 100 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.flight<2x320xi8>
  %1 = tsp_stream.receive %0 link 4 toward "E" on 31 at 532 : !tsp_stream.flight<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  func.return
}
