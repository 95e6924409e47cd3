// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// Where values flow: buffers in SRAM, and the streams between them. Everything that a pass decides is optional: the
// first function is as lowered from tensors, the second has places, planes, ALUs, directions, streams and cycles.

// CHECK-LABEL: func.func @lowered
func.func @lowered() {
  // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, rows>
  %x = tsp_stream.buffer "input" "x" : !tsp_stream.buffer<4x64xi8, rows>
  // CHECK-NEXT: %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<400x32xi8, weights>
  %w = tsp_stream.buffer "parameter" "w" : !tsp_stream.buffer<400x32xi8, weights>
  // The host knows this output by another shape.
  // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" as tensor<2x2x32xi32> : !tsp_stream.buffer<4x32xi32, rows>
  %y = tsp_stream.buffer "output" "y" as tensor<2x2x32xi32> : !tsp_stream.buffer<4x32xi32, rows>
  // CHECK-NEXT: %c = tsp_stream.buffer "constant" "c" value dense<7> : tensor<32xi32> : !tsp_stream.buffer<32xi32, rows>
  %c = tsp_stream.buffer "constant" "c" value dense<7> : tensor<32xi32> : !tsp_stream.buffer<32xi32, rows>
  // CHECK-NEXT: %s = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x32xi32, rows>
  %s = tsp_stream.buffer "scratch" : !tsp_stream.buffer<4x32xi32, rows>

  // 20 times 16 vectors side by side: a tile of 320 rows of weights.
  // CHECK-NEXT: %rows = tsp_stream.read %w words <0, 20 step 1> : !tsp_stream.buffer<400x32xi8, weights> -> !tsp_stream.stream<20x16x320xi8>
  // CHECK-NEXT: %tile = tsp_stream.load_weights %rows : !tsp_stream.stream<20x16x320xi8> -> !tsp_stream.weights<320x32xi8>
  %rows = tsp_stream.read %w words <0, 20 step 1> : !tsp_stream.buffer<400x32xi8, weights> -> !tsp_stream.stream<20x16x320xi8>
  %tile = tsp_stream.load_weights %rows : !tsp_stream.stream<20x16x320xi8> -> !tsp_stream.weights<320x32xi8>
  // CHECK-NEXT: %xs = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, rows> -> !tsp_stream.stream<4x320xi8>
  %xs = tsp_stream.read %x words <0, 4 step 1> : !tsp_stream.buffer<4x64xi8, rows> -> !tsp_stream.stream<4x320xi8>
  // The sums of the first tile rest in the accumulators until those of the second are added.
  // CHECK-NEXT: %part = tsp_stream.matmul %xs, %tile : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<320x32xi8> -> !tsp_stream.partial<4x320xi32>
  // CHECK-NEXT: %sums = tsp_stream.matmul %xs, %tile add %part : !tsp_stream.partial<4x320xi32> : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<320x32xi8> -> !tsp_stream.stream<4x320xi32>
  %part = tsp_stream.matmul %xs, %tile : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<320x32xi8> -> !tsp_stream.partial<4x320xi32>
  %sums = tsp_stream.matmul %xs, %tile add %part : !tsp_stream.partial<4x320xi32> : !tsp_stream.stream<4x320xi8>, !tsp_stream.weights<320x32xi8> -> !tsp_stream.stream<4x320xi32>
  // One word, read four times: a broadcast.
  // CHECK-NEXT: %cs = tsp_stream.read %c words <0, 4 step 0> : !tsp_stream.buffer<32xi32, rows> -> !tsp_stream.stream<4x320xi32>
  %cs = tsp_stream.read %c words <0, 4 step 0> : !tsp_stream.buffer<32xi32, rows> -> !tsp_stream.stream<4x320xi32>
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
  // CHECK-NEXT: tsp_stream.write %ys to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, rows>
  tsp_stream.write %ys to %y words <0, 4 step 1> : !tsp_stream.stream<4x320xi32>, !tsp_stream.buffer<4x32xi32, rows>
  func.return
}

// CHECK-LABEL: func.func @scheduled
func.func @scheduled() {
  // CHECK-NEXT: %x = tsp_stream.buffer "input" "x" place <rows, E, slices = [0 to 3], address = 8> : !tsp_stream.buffer<2x32xi32, rows>
  %x = tsp_stream.buffer "input" "x" place <rows, E, slices = [0 to 3], address = 8> : !tsp_stream.buffer<2x32xi32, rows>
  // CHECK-NEXT: %y = tsp_stream.buffer "output" "y" place <rows, W, slices = [1, 3, 5 to 6]> : !tsp_stream.buffer<2x32xi32, rows>
  %y = tsp_stream.buffer "output" "y" place <rows, W, slices = [1, 3, 5 to 6]> : !tsp_stream.buffer<2x32xi32, rows>
  // The lowest byte alone, a vector every 24 cycles, westward on stream 28 from cycle 35 on.
  // CHECK-NEXT: %0 = tsp_stream.read %x words <0, 2 step 1> byte 0 every 24 toward "W" on 28 at 35 : !tsp_stream.buffer<2x32xi32, rows> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: tsp_stream.write %0 to %y words <0, 2 step 1> byte 0 at 37 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<2x32xi32, rows>
  %0 = tsp_stream.read %x words <0, 2 step 1> byte 0 every 24 toward "W" on 28 at 35 : !tsp_stream.buffer<2x32xi32, rows> -> !tsp_stream.stream<2x320xi8>
  tsp_stream.write %0 to %y words <0, 2 step 1> byte 0 at 37 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<2x32xi32, rows>
  // CHECK-NEXT: %1 = tsp_stream.read %x words <0, 2 step 1> toward "W" on 4 at 60
  // CHECK-NEXT: %2 = tsp_stream.vxm %1 alus [0, 3] toward "W" on 0 at 63 :
  %1 = tsp_stream.read %x words <0, 2 step 1> toward "W" on 4 at 60 : !tsp_stream.buffer<2x32xi32, rows> -> !tsp_stream.stream<2x320xi32>
  %2 = tsp_stream.vxm %1 alus [0, 3] toward "W" on 0 at 63 : (!tsp_stream.stream<2x320xi32>) -> !tsp_stream.stream<2x320xi32> {
  ^bb0(%a: i32):
    %b = arith.addi %a, %a : i32
    %c = arith.muli %b, %b : i32
    tsp_stream.yield %c : i32
  }
  // CHECK: tsp_stream.write %2 to %y words <0, 2 step 1> at 72
  tsp_stream.write %2 to %y words <0, 2 step 1> at 72 : !tsp_stream.stream<2x320xi32>, !tsp_stream.buffer<2x32xi32, rows>
  func.return
}

// CHECK-LABEL: func.func @lanes
func.func @lanes(%s: !tsp_stream.stream<2x320xi8>, %map: !tsp_stream.stream<2x320xi16>, %g: !tsp_stream.stream<2x4x320xi8>) {
  // CHECK-NEXT: %b = tsp_stream.buffer "scratch" : !tsp_stream.buffer<9x320xi8, rows>
  %b = tsp_stream.buffer "scratch" : !tsp_stream.buffer<9x320xi8, rows>
  // Every tile from, or to, a word of its own.
  // CHECK-NEXT: %0 = tsp_stream.gather %s, %b words <0, 2 step 1> toward "E" on 3 at 40 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, rows> -> !tsp_stream.stream<2x320xi8>
  %0 = tsp_stream.gather %s, %b words <0, 2 step 1> toward "E" on 3 at 40 : !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, rows> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: tsp_stream.scatter %s, %0 to %b words <0, 2 step 0> at 50 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, rows>
  tsp_stream.scatter %s, %0 to %b words <0, 2 step 0> at 50 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.buffer<9x320xi8, rows>
  // The SXM of one side moves bytes between lanes.
  // CHECK-NEXT: %1 = tsp_stream.shift %s by 3 "up" side "E" toward "W" on 1 at 60 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %1 = tsp_stream.shift %s by 3 "up" side "E" toward "W" on 1 at 60 : !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %2 = tsp_stream.lane_select %s, %0, %1 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %2 = tsp_stream.lane_select %s, %0, %1 : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %3 = tsp_stream.permute %2 by %map side "W" : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi16> -> !tsp_stream.stream<2x320xi8>
  %3 = tsp_stream.permute %2 by %map side "W" : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi16> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %4 = tsp_stream.distribute %3 by %s : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  %4 = tsp_stream.distribute %3 by %s : !tsp_stream.stream<2x320xi8>, !tsp_stream.stream<2x320xi8> -> !tsp_stream.stream<2x320xi8>
  // CHECK-NEXT: %5 = tsp_stream.rotate %g : !tsp_stream.stream<2x4x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  %5 = tsp_stream.rotate %g : !tsp_stream.stream<2x4x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  // CHECK-NEXT: %6 = tsp_stream.transpose %5 unit 1 side "E" : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x16x320xi8>
  %6 = tsp_stream.transpose %5 unit 1 side "E" : !tsp_stream.stream<2x16x320xi8> -> !tsp_stream.stream<2x16x320xi8>
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
