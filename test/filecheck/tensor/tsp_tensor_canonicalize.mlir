// RUN: tsp-opt %s -p tsp-tensor-canonicalize | filecheck %s
// RUN: tsp-opt %s -p canonicalize,cse,canonicalize | filecheck %s
// RUN: tsp-opt %s -p tsp-tensor-canonicalize --print-debuginfo | filecheck %s --check-prefix=LOC

// What can be simplified without changing a bit. xDSL's own passes know the patterns of our ops too.

func.func @main(%x: tensor<2x3x4xi8>, %w: tensor<5x4xi8>, %i: tensor<3xi32>) -> (tensor<6x4xi8>, tensor<4x3x2xi8>, tensor<1x2xi8>, tensor<3x2xi32>, tensor<2x2xi32>, tensor<2x3x4xi8>, tensor<2x3x5xi32>, tensor<2x4xi8>) {
  // A reshape of a reshape. What lands where the tensor was is gone.
  // CHECK: %rows = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<6x4xi8>
  // LOC: %rows = tsp_tensor.reshape {{.*}} loc("{{.*}}canonicalize.mlir":[[# @LINE + 2]]:3)
  %flat = tsp_tensor.reshape %x : tensor<2x3x4xi8> -> tensor<24xi8>
  %rows = tsp_tensor.reshape %flat : tensor<24xi8> -> tensor<6x4xi8>

  // Two transposes are one.
  // CHECK-NEXT: %turned = tsp_tensor.transpose %x permutation [2, 1, 0]
  %t = tsp_tensor.transpose %x permutation [1, 0, 2] : tensor<2x3x4xi8> -> tensor<3x2x4xi8>
  %turned = tsp_tensor.transpose %t permutation [2, 0, 1] : tensor<3x2x4xi8> -> tensor<4x3x2xi8>

  // A slice of a slice: of the rows from 1 on, every second, row 1, which is row 3.
  // CHECK-NEXT: %part = tsp_tensor.slice %rows [3, 1] [1, 2] [2, 2]
  %piece = tsp_tensor.slice %rows [1, 1] [3, 3] [2, 1] : tensor<6x4xi8> -> tensor<3x3xi8>
  %part = tsp_tensor.slice %piece [1, 0] [1, 2] [1, 2] : tensor<3x3xi8> -> tensor<1x2xi8>

  // What is computed of constants is a constant.
  // CHECK-NEXT: %folded = tsp_tensor.constant dense<{{\[}}[1, 4], [2, 5], [3, 6]]> : tensor<3x2xi32>
  %c = tsp_tensor.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
  %folded = tsp_tensor.transpose %c permutation [1, 0] : tensor<2x3xi32> -> tensor<3x2xi32>
  // CHECK-NEXT: %scaled = tsp_tensor.constant dense<{{\[}}[10, 20], [40, 50]]> : tensor<2x2xi32>
  %corner = tsp_tensor.slice %c [0, 0] [2, 2] [1, 1] : tensor<2x3xi32> -> tensor<2x2xi32>
  %ten = tsp_tensor.constant dense<10> : tensor<2x2xi32>
  %scaled = tsp_tensor.map %corner, %ten : (tensor<2x2xi32>, tensor<2x2xi32>) -> tensor<2x2xi32> {
  ^bb0(%a: i32, %b: i32):
    %0 = arith.muli %a, %b : i32
    tsp_tensor.yield %0 : i32
  }

  // A constant of one value goes into the region; an operand stands once; scalars are folded.
  // CHECK-NEXT: %mapped = tsp_tensor.map %x : (tensor<2x3x4xi8>) -> tensor<2x3x4xi8> {
  // CHECK-NEXT: ^bb0(%{{.*}}: i8):
  // CHECK-NEXT:   %[[SIX:.*]] = arith.constant 6 : i8
  // CHECK-NEXT:   %[[SUM:.*]] = arith.addi %[[X:.*]], %[[X]] : i8
  // CHECK-NEXT:   %[[R:.*]] = arith.addi %[[SUM]], %[[SIX]] : i8
  // CHECK-NEXT:   tsp_tensor.yield %[[R]] : i8
  // CHECK-NEXT: }
  %two = tsp_tensor.constant dense<2> : tensor<4xi8>
  %mapped = tsp_tensor.map %x, %two, %x : (tensor<2x3x4xi8>, tensor<4xi8>, tensor<2x3x4xi8>) -> tensor<2x3x4xi8> {
  ^bb0(%l: i8, %m: i8, %n: i8):
    %three = arith.constant 3 : i8
    %1 = arith.muli %m, %three : i8
    %2 = arith.addi %l, %n : i8
    %3 = arith.addi %2, %1 : i8
    tsp_tensor.yield %3 : i8
  }

  // A product takes its operand as it lies.
  // CHECK-NEXT: %sums = tsp_tensor.matmul %x, %w {transpose_rhs} : tensor<2x3x4xi8>, tensor<5x4xi8> -> tensor<2x3x5xi32>
  %wt = tsp_tensor.transpose %w permutation [1, 0] : tensor<5x4xi8> -> tensor<4x5xi8>
  %sums = tsp_tensor.matmul %x, %wt : tensor<2x3x4xi8>, tensor<4x5xi8> -> tensor<2x3x5xi32>

  // Nothing at all: a map that hands on, a pad by nothing, a sum over what is one, a dead op, and one that stands twice.
  // CHECK-NEXT: %[[P:.*]] = tsp_tensor.slice %x [0, 0, 0] [2, 1, 4] [1, 1, 1]
  // CHECK-NEXT: %{{.*}} = tsp_tensor.reshape %[[P]] : tensor<2x1x4xi8> -> tensor<2x4xi8>
  // CHECK-NEXT: func.return
  %dead = tsp_tensor.gather %w, %i : tensor<5x4xi8>, tensor<3xi32> -> tensor<3x4xi8>
  %same = tsp_tensor.map %x : (tensor<2x3x4xi8>) -> tensor<2x3x4xi8> {
  ^bb0(%q: i8):
    tsp_tensor.yield %q : i8
  }
  %again = tsp_tensor.pad %same low [0, 0, 0] high [0, 0, 0] value 0 : i8 : tensor<2x3x4xi8> -> tensor<2x3x4xi8>
  %first = tsp_tensor.slice %again [0, 0, 0] [2, 1, 4] [1, 1, 1] : tensor<2x3x4xi8> -> tensor<2x1x4xi8>
  %one = tsp_tensor.concat dim(0) %first : (tensor<2x1x4xi8>) -> tensor<2x1x4xi8>
  %last = tsp_tensor.reduce "sum" %one axes [1] : tensor<2x1x4xi8> -> tensor<2x4xi8>
  func.return %rows, %turned, %part, %folded, %scaled, %mapped, %sums, %last : tensor<6x4xi8>, tensor<4x3x2xi8>, tensor<1x2xi8>, tensor<3x2xi32>, tensor<2x2xi32>, tensor<2x3x4xi8>, tensor<2x3x5xi32>, tensor<2x4xi8>
}
