// RUN: tsp-opt %s -p split-maps | filecheck %s

// A chip of 4 ALUs: five operations are two maps, the first as short as the second lets it be.

builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.alus = 4>} {
  func.func @main(%x: tensor<2x3xf32>) -> tensor<2x3xf16> {
    // CHECK: %y = tsp_tensor.map %x : (tensor<2x3xf32>) -> tensor<2x3xf32> {
    // CHECK: %y_1 = tsp_tensor.map %{{.*}} : ({{.*}}) -> tensor<2x3xf16> {
    // CHECK-NOT: tsp_tensor.map
    %y = tsp_tensor.map %x : (tensor<2x3xf32>) -> tensor<2x3xf16> {
    ^bb0(%a: f32):
      %0 = math.exp %a : f32
      %1 = math.tanh %0 : f32
      %2 = math.exp %1 : f32
      %3 = math.tanh %2 : f32
      %4 = math.exp %3 : f32
      %5 = arith.truncf %4 : f32 to f16
      tsp_tensor.yield %5 : f16
    }
    func.return %y : tensor<2x3xf16>
  }
}
