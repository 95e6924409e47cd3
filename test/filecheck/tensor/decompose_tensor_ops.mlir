// RUN: tsp-opt %s -p decompose-tensor-ops | filecheck %s
// RUN: tsp-opt %s -p decompose-tensor-ops,tsp-tensor-canonicalize | filecheck %s --check-prefix=CLEAN
// RUN: tsp-opt %s -p decompose-tensor-ops --print-debuginfo | filecheck %s --check-prefix=LOC

// Attention is two products and a softmax, which is exp, a sum and a quotient. Each op of it has the place of the named one,
// and its chip.

func.func @main(%q: tensor<2x4x8xf16>, %k: tensor<1x6x8xf16>, %v: tensor<1x6x3xf16>, %m: tensor<4x6xf32>) -> tensor<2x4x3xf32> {
  // CHECK: %[[QK:.*]] = tsp_tensor.matmul %q, %k {c2c.chip = 1 : i64, transpose_rhs} : tensor<2x4x8xf16>, tensor<1x6x8xf16> -> tensor<2x4x6xf32>
  // CHECK-NEXT: %[[S:.*]] = tsp_tensor.map %[[QK]], %m : (tensor<2x4x6xf32>, tensor<4x6xf32>) -> tensor<2x4x6xf32> {
  // CHECK-NEXT: ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32):
  // CHECK-NEXT:   %[[SCALE:.*]] = arith.constant 2.500000e-01 : f32
  // CHECK-NEXT:   %[[P:.*]] = arith.mulf %[[A]], %[[SCALE]] : f32
  // CHECK-NEXT:   %[[R:.*]] = arith.addf %[[P]], %[[B]] : f32
  // CHECK-NEXT:   tsp_tensor.yield %[[R]] : f32
  // CHECK-NEXT: } {c2c.chip = 1 : i64}
  // CHECK-NEXT: %[[TOP:.*]] = tsp_tensor.reduce "max" %[[S]] axes [2] {c2c.chip = 1 : i64} : tensor<2x4x6xf32> -> tensor<2x4x1xf32>
  // CHECK-NEXT: %[[E:.*]] = tsp_tensor.map %[[S]], %[[TOP]]
  // CHECK-NEXT: ^bb0
  // CHECK-NEXT:   arith.subf
  // CHECK-NEXT:   math.exp
  // CHECK-NEXT:   tsp_tensor.yield
  // CHECK-NEXT: }
  // CHECK-NEXT: %[[SUM:.*]] = tsp_tensor.reduce "sum" %[[E]] axes [2]
  // A quotient is a product with the square of rsqrt.
  // CHECK-NEXT: %[[W:.*]] = tsp_tensor.map %[[E]], %[[SUM]]
  // CHECK-NEXT: ^bb0(%[[X:.*]]: f32, %[[Y:.*]]: f32):
  // CHECK-NEXT:   %[[ROOT:.*]] = math.rsqrt %[[Y]] : f32
  // CHECK-NEXT:   %[[INV:.*]] = arith.mulf %[[ROOT]], %[[ROOT]] : f32
  // CHECK-NEXT:   arith.mulf %[[X]], %[[INV]] : f32
  // CHECK: arith.truncf {{.*}} : f32 to f16
  // CHECK: tsp_tensor.matmul {{.*}} : tensor<2x4x6xf16>, tensor<1x6x3xf16> -> tensor<2x4x3xf32>
  // CHECK-NEXT: func.return
  // LOC: tsp_tensor.matmul %q, %k {{.*}} loc("{{.*}}decompose_tensor_ops.mlir":[[# @LINE + 3]]:3)
  // LOC: math.exp {{.*}} loc("{{.*}}decompose_tensor_ops.mlir":[[# @LINE + 2]]:3)
  // CLEAN-NOT: tsp_tensor.attention
  %y = tsp_tensor.attention %q, %k, %v mask %m : tensor<4x6xf32> scale 0.25 {c2c.chip = 1 : i64} : tensor<2x4x8xf16>, tensor<1x6x8xf16>, tensor<1x6x3xf16> -> tensor<2x4x3xf32>
  func.return %y : tensor<2x4x3xf32>
}

// CHECK-LABEL: func.func @rope
func.func @rope(%x: tensor<5x8xf32>, %cos: tensor<5x4xf32>, %sin: tensor<5x4xf32>) -> tensor<5x8xf32> {
  // CHECK-NEXT: %[[A:.*]] = tsp_tensor.slice %x [0, 0] [5, 4] [1, 1]
  // CHECK-NEXT: %[[B:.*]] = tsp_tensor.slice %x [0, 4] [5, 4] [1, 1]
  // CHECK-NEXT: %[[U:.*]] = tsp_tensor.map %[[A]], %[[B]], %cos, %sin
  // CHECK: arith.subf
  // CHECK: %[[V:.*]] = tsp_tensor.map %[[A]], %[[B]], %cos, %sin
  // CHECK: arith.addf
  // CHECK: tsp_tensor.concat dim(1) %[[U]], %[[V]] : (tensor<5x4xf32>, tensor<5x4xf32>) -> tensor<5x8xf32>
  %y = tsp_tensor.rope %x, %cos, %sin : tensor<5x8xf32>, tensor<5x4xf32>, tensor<5x4xf32>
  func.return %y : tensor<5x8xf32>
}

// CHECK-LABEL: func.func @sigmoid
func.func @sigmoid(%x: tensor<5xf16>) -> tensor<5xf16> {
  // CHECK-NEXT: tsp_tensor.map %x : (tensor<5xf16>) -> tensor<5xf16> {
  // CHECK-NEXT: ^bb0(%[[X:.*]]: f16):
  // CHECK-NEXT:   %[[W:.*]] = arith.extf %[[X]] : f16 to f32
  // CHECK-NEXT:   %[[Z:.*]] = arith.constant 0.000000e+00 : f32
  // CHECK-NEXT:   %[[N:.*]] = arith.subf %[[Z]], %[[W]] : f32
  // CHECK-NEXT:   %[[E:.*]] = math.exp %[[N]] : f32
  // CHECK-NEXT:   %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
  // CHECK-NEXT:   %[[D:.*]] = arith.addf %[[E]], %[[ONE]] : f32
  // CHECK-NEXT:   %[[R:.*]] = math.rsqrt %[[D]] : f32
  // CHECK-NEXT:   %[[Y:.*]] = arith.mulf %[[R]], %[[R]] : f32
  // CHECK-NEXT:   %[[H:.*]] = arith.truncf %[[Y]] : f32 to f16
  // CHECK-NEXT:   tsp_tensor.yield %[[H]] : f16
  %y = tsp_tensor.sigmoid %x : tensor<5xf16>
  func.return %y : tensor<5xf16>
}
