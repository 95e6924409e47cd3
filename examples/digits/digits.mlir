// A quantised 64-128-10 classifier of handwritten digits:
//   tsp-run examples/digits/digits.mlir --inputs examples/digits/held_out.npz
builtin.module attributes {tsp_tensor.weights = "digits.safetensors"} {
  func.func @main(%images: tensor<360x8x8xi8> {tsp_tensor.name = "images"}) -> (tensor<360x10xi32> {tsp_tensor.name = "logits"}) {
    %x = tsp_tensor.reshape %images : tensor<360x8x8xi8> -> tensor<360x64xi8>
    %w1 = tsp_tensor.parameter "fc1.weight" : tensor<64x128xi8>
    %b1 = tsp_tensor.parameter "fc1.bias" : tensor<128xi32>
    %acc1 = tsp_tensor.matmul %x, %w1 : tensor<360x64xi8>, tensor<64x128xi8> -> tensor<360x128xi32>
    %h = tsp_tensor.map %acc1, %b1 : (tensor<360x128xi32>, tensor<128xi32>) -> tensor<360x128xi8> {
    ^bb0(%acc: i32, %bias: i32):
      %scale = arith.constant 3.08494829e-03 : f32
      %zero = arith.constant 0.000000e+00 : f32
      %top = arith.constant 1.270000e+02 : f32
      %0 = arith.addi %acc, %bias : i32
      %1 = arith.sitofp %0 : i32 to f32
      %2 = arith.mulf %1, %scale : f32
      %3 = arith.maximumf %2, %zero : f32
      %4 = arith.minimumf %3, %top : f32
      %5 = math.roundeven %4 : f32
      %6 = arith.fptosi %5 : f32 to i8
      tsp_tensor.yield %6 : i8
    }
    %w2 = tsp_tensor.parameter "fc2.weight" : tensor<128x10xi8>
    %b2 = tsp_tensor.parameter "fc2.bias" : tensor<10xi32>
    %acc2 = tsp_tensor.matmul %h, %w2 : tensor<360x128xi8>, tensor<128x10xi8> -> tensor<360x10xi32>
    %logits = tsp_tensor.map %acc2, %b2 : (tensor<360x10xi32>, tensor<10xi32>) -> tensor<360x10xi32> {
    ^bb0(%acc: i32, %bias: i32):
      %0 = arith.addi %acc, %bias : i32
      tsp_tensor.yield %0 : i32
    }
    func.return %logits : tensor<360x10xi32>
  }
}
