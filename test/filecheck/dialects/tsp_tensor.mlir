// RUN: tsp-opt %s | tsp-opt | filecheck %s
// RUN: tsp-opt %s --print-op-generic | tsp-opt | filecheck %s

// What is computed: values on static tensors. The module names the file of its parameters, the function names its
// inputs and outputs.

// CHECK: builtin.module attributes {tsp_tensor.weights = "model.safetensors"} {
// CHECK-NEXT: func.func @main(%x: tensor<2x3x4xi8> {tsp_tensor.name = "images"}) -> (tensor<6x5xi8> {tsp_tensor.name = "scores"}) {
builtin.module attributes {tsp_tensor.weights = "model.safetensors"} {
  func.func @main(%x: tensor<2x3x4xi8> {tsp_tensor.name = "images"}) -> (tensor<6x5xi8> {tsp_tensor.name = "scores"}) {
    // CHECK-NEXT: %rows = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<6x4xi8>
    %rows = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<6x4xi8>
    // CHECK-NEXT: %w = tsp_tensor.parameter "w" : tensor<4x5xi8>
    %w = tsp_tensor.parameter "w" : tensor<4x5xi8>
    // CHECK-NEXT: %b = tsp_tensor.constant dense<[1, 2, 3, 4, 5]> : tensor<5xi32>
    %b = tsp_tensor.constant dense<[1, 2, 3, 4, 5]> : tensor<5xi32>
    // CHECK-NEXT: %sums = tsp_tensor.matmul %rows, %w : tensor<6x4xi8>, tensor<4x5xi8> -> tensor<6x5xi32>
    %sums = tsp_tensor.matmul %rows, %w : tensor<6x4xi8>, tensor<4x5xi8> -> tensor<6x5xi32>
    // The bias broadcasts, as in numpy.
    // CHECK-NEXT: %y = tsp_tensor.map %sums, %b : (tensor<6x5xi32>, tensor<5xi32>) -> tensor<6x5xi8> {
    // CHECK-NEXT: ^bb0(%sum: i32, %bias: i32):
    // CHECK-NEXT:   %0 = arith.addi %sum, %bias : i32
    // CHECK-NEXT:   %1 = arith.trunci %0 : i32 to i8
    // CHECK-NEXT:   tsp_tensor.yield %1 : i8
    // CHECK-NEXT: }
    %y = tsp_tensor.map %sums, %b : (tensor<6x5xi32>, tensor<5xi32>) -> tensor<6x5xi8> {
    ^bb0(%sum: i32, %bias: i32):
      %0 = arith.addi %sum, %bias : i32
      %1 = arith.trunci %0 : i32 to i8
      tsp_tensor.yield %1 : i8
    }
    func.return %y : tensor<6x5xi8>
  }
  // The other primitive ops, and names for expressions of them.
  // CHECK: func.func @every_other_op(%x: tensor<2x8x9x4xf16>, %w: tensor<3x3x2x6xf16>, %i: tensor<5xi32>, %q: tensor<2x4x8xf16>, %s: tensor<4xf32>) {
  func.func @every_other_op(%x: tensor<2x8x9x4xf16>, %w: tensor<3x3x2x6xf16>, %i: tensor<5xi32>, %q: tensor<2x4x8xf16>, %s: tensor<4xf32>) {
    // Images are NHWC, weights HWIO. Strides, padding, dilations and groups are printed where they are not the default.
    // CHECK-NEXT: %c = tsp_tensor.conv %x, %w strides [2, 1] pads [1, 1, 1, 1] groups 2 : tensor<2x8x9x4xf16>, tensor<3x3x2x6xf16> -> tensor<2x4x9x6xf32>
    %c = tsp_tensor.conv %x, %w strides [2, 1] pads [1, 1, 1, 1] groups 2 : tensor<2x8x9x4xf16>, tensor<3x3x2x6xf16> -> tensor<2x4x9x6xf32>
    // CHECK-NEXT: %m = tsp_tensor.matmul %q, %q {transpose_rhs} : tensor<2x4x8xf16>, tensor<2x4x8xf16> -> tensor<2x4x4xf32>
    %m = tsp_tensor.matmul %q, %q {transpose_rhs} : tensor<2x4x8xf16>, tensor<2x4x8xf16> -> tensor<2x4x4xf32>
    // A sum can leave its axes out, or keep them with size 1.
    // CHECK-NEXT: %r = tsp_tensor.reduce "sum" %x axes [1, 2] : tensor<2x8x9x4xf16> -> tensor<2x4xf16>
    %r = tsp_tensor.reduce "sum" %x axes [1, 2] : tensor<2x8x9x4xf16> -> tensor<2x4xf16>
    // CHECK-NEXT: %p = tsp_tensor.pool "max" %x window [2, 2] strides [2, 2] : tensor<2x8x9x4xf16> -> tensor<2x4x4x4xf16>
    %p = tsp_tensor.pool "max" %x window [2, 2] strides [2, 2] : tensor<2x8x9x4xf16> -> tensor<2x4x4x4xf16>
    // CHECK-NEXT: %t = tsp_tensor.transpose %x permutation [0, 3, 1, 2] : tensor<2x8x9x4xf16> -> tensor<2x4x8x9xf16>
    %t = tsp_tensor.transpose %x permutation [0, 3, 1, 2] : tensor<2x8x9x4xf16> -> tensor<2x4x8x9xf16>
    // Offsets, sizes, strides.
    // CHECK-NEXT: %l = tsp_tensor.slice %x [0, 2, 0, 0] [2, 3, 9, 4] [1, 2, 1, 1] : tensor<2x8x9x4xf16> -> tensor<2x3x9x4xf16>
    %l = tsp_tensor.slice %x [0, 2, 0, 0] [2, 3, 9, 4] [1, 2, 1, 1] : tensor<2x8x9x4xf16> -> tensor<2x3x9x4xf16>
    // CHECK-NEXT: %k = tsp_tensor.concat dim(1) %x, %x : (tensor<2x8x9x4xf16>, tensor<2x8x9x4xf16>) -> tensor<2x16x9x4xf16>
    %k = tsp_tensor.concat dim(1) %x, %x : (tensor<2x8x9x4xf16>, tensor<2x8x9x4xf16>) -> tensor<2x16x9x4xf16>
    // CHECK-NEXT: %d = tsp_tensor.pad %i low [1] high [0] value 7 : i32 : tensor<5xi32> -> tensor<6xi32>
    %d = tsp_tensor.pad %i low [1] high [0] value 7 : i32 : tensor<5xi32> -> tensor<6xi32>
    // CHECK-NEXT: %g = tsp_tensor.gather %x, %i : tensor<2x8x9x4xf16>, tensor<5xi32> -> tensor<5x8x9x4xf16>
    %g = tsp_tensor.gather %x, %i : tensor<2x8x9x4xf16>, tensor<5xi32> -> tensor<5x8x9x4xf16>
    // CHECK-NEXT: %h = tsp_tensor.scatter %x, %i, %g : tensor<2x8x9x4xf16>, tensor<5xi32>, tensor<5x8x9x4xf16> -> tensor<2x8x9x4xf16>
    %h = tsp_tensor.scatter %x, %i, %g : tensor<2x8x9x4xf16>, tensor<5xi32>, tensor<5x8x9x4xf16> -> tensor<2x8x9x4xf16>
    // Names for expressions of the ops above.
    // CHECK-NEXT: %a = tsp_tensor.attention %q, %q, %q mask %m : tensor<2x4x4xf32> scale 3.000000e-01 : tensor<2x4x8xf16>, tensor<2x4x8xf16>, tensor<2x4x8xf16> -> tensor<2x4x8xf32>
    %a = tsp_tensor.attention %q, %q, %q mask %m : tensor<2x4x4xf32> scale 3.000000e-01 : tensor<2x4x8xf16>, tensor<2x4x8xf16>, tensor<2x4x8xf16> -> tensor<2x4x8xf32>
    // CHECK-NEXT: %b = tsp_tensor.layer_norm %x, %s, %s epsilon 1.000000e-05 : tensor<2x8x9x4xf16>, tensor<4xf32>, tensor<4xf32>
    %b = tsp_tensor.layer_norm %x, %s, %s epsilon 1.000000e-05 : tensor<2x8x9x4xf16>, tensor<4xf32>, tensor<4xf32>
    // CHECK-NEXT: %e = tsp_tensor.gelu "erf" %b : tensor<2x8x9x4xf16>
    %e = tsp_tensor.gelu "erf" %b : tensor<2x8x9x4xf16>
    // CHECK-NEXT: %f = tsp_tensor.softmax dim(2) %e : tensor<2x8x9x4xf16>
    %f = tsp_tensor.softmax dim(2) %e : tensor<2x8x9x4xf16>
    // CHECK-NEXT: %n = tsp_tensor.rms_norm %x, %s epsilon 1.000000e-05 : tensor<2x8x9x4xf16>, tensor<4xf32>
    %n = tsp_tensor.rms_norm %x, %s epsilon 1.000000e-05 : tensor<2x8x9x4xf16>, tensor<4xf32>
    // CHECK-NEXT: %o = tsp_tensor.rope %q, %s, %s {interleaved} : tensor<2x4x8xf16>, tensor<4xf32>, tensor<4xf32>
    %o = tsp_tensor.rope %q, %s, %s {interleaved} : tensor<2x4x8xf16>, tensor<4xf32>, tensor<4xf32>
    // CHECK-NEXT: %v = tsp_tensor.avg_pool %x window [2, 2] count_padding : tensor<2x8x9x4xf16> -> tensor<2x7x8x4xf16>
    %v = tsp_tensor.avg_pool %x window [2, 2] count_padding : tensor<2x8x9x4xf16> -> tensor<2x7x8x4xf16>
    // CHECK-NEXT: %y = tsp_tensor.silu %q : tensor<2x4x8xf16>
    %y = tsp_tensor.silu %q : tensor<2x4x8xf16>
    // CHECK-NEXT: %z = tsp_tensor.sigmoid %q : tensor<2x4x8xf16>
    %z = tsp_tensor.sigmoid %q : tensor<2x4x8xf16>
    // CHECK-NEXT: func.return
    func.return
  }
}
