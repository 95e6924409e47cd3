// RUN: tsp-opt %s -p tsp-tensor-canonicalize | filecheck %s

// Windows and padding: what they meet follows from their numbers.

func.func @main(%x: tensor<1x8x8x4xi8>, %w: tensor<3x3x4x2xi8>) -> (tensor<1x1x1x4xi8>, tensor<1x4x6x4xi8>, tensor<1x4x4x2xi32>, tensor<1x3x3x2xi32>, tensor<2x8x8x4xi8>) {
  // One place: a reduction, also where there is padding around the image.
  // CHECK: %{{.*}} = tsp_tensor.reduce "max" %x axes [1, 2] : tensor<1x8x8x4xi8> -> tensor<1x1x1x4xi8>
  %whole = tsp_tensor.pool "max" %x window [10, 9] pads [1, 0, 1, 1] : tensor<1x8x8x4xi8> -> tensor<1x1x1x4xi8>

  // One tap in one dimension: a slice.
  // CHECK-NEXT: %[[S:.*]] = tsp_tensor.slice %x [0, 0, 0, 0] [1, 4, 8, 4] [1, 2, 1, 1]
  // CHECK-NEXT: %{{.*}} = tsp_tensor.pool "max" %[[S]] window [1, 3] : tensor<1x4x8x4xi8> -> tensor<1x4x6x4xi8>
  %tap = tsp_tensor.pool "max" %x window [1, 3] strides [2, 1] : tensor<1x8x8x4xi8> -> tensor<1x4x6x4xi8>

  // No tap meets the last row and column of padding.
  // CHECK-NEXT: %{{.*}} = tsp_tensor.conv %x, %w strides [2, 2] pads [1, 1, 0, 0]
  %half = tsp_tensor.conv %x, %w strides [2, 2] pads [1, 1, 1, 1] : tensor<1x8x8x4xi8>, tensor<3x3x4x2xi8> -> tensor<1x4x4x2xi32>

  // Only the middle one of three times three places meets pixels, and the last of its taps the first of them.
  // CHECK-NEXT: %[[X:.*]] = tsp_tensor.slice %x [0, 0, 0, 0] [1, 1, 1, 4] [1, 1, 1, 1]
  // CHECK-NEXT: %[[W:.*]] = tsp_tensor.slice %w [2, 2, 0, 0] [1, 1, 4, 2] [1, 1, 1, 1]
  // CHECK-NEXT: %[[Y:.*]] = tsp_tensor.conv %[[X]], %[[W]] strides [1000, 1000] : tensor<1x1x1x4xi8>, tensor<1x1x4x2xi8> -> tensor<1x1x1x2xi32>
  // CHECK-NEXT: %{{.*}} = tsp_tensor.pad %[[Y]] low [0, 1, 1, 0] high [0, 1, 1, 0] value 0 : i32
  %far = tsp_tensor.conv %x, %w strides [1000, 1000] pads [1002, 1002, 1000, 1000] : tensor<1x8x8x4xi8>, tensor<3x3x4x2xi8> -> tensor<1x3x3x2xi32>

  // Padding of which slices show little.
  // CHECK-NEXT: %{{.*}} = tsp_tensor.pad %x low [1, 0, 0, 0] high [0, 0, 0, 0] value 7 : i8
  // CHECK-NEXT: func.return
  %padded = tsp_tensor.pad %x low [1000000, 0, 0, 0] high [5, 0, 0, 0] value 7 : i8 : tensor<1x8x8x4xi8> -> tensor<1000006x8x8x4xi8>
  %part = tsp_tensor.slice %padded [999999, 0, 0, 0] [2, 8, 8, 4] [1, 1, 1, 1] : tensor<1000006x8x8x4xi8> -> tensor<2x8x8x4xi8>
  func.return %whole, %tap, %half, %far, %part : tensor<1x1x1x4xi8>, tensor<1x4x6x4xi8>, tensor<1x4x4x2xi32>, tensor<1x3x3x2xi32>, tensor<2x8x8x4xi8>
}
