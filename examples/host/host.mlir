// Host code around a program: a layer is applied to rows of numbers, again and again, until the first number of the
// first row is large enough. The loop and the test run on the host; `layer`, which is marked, on the chip.
func.func @layer(%x: tensor<4x64xi32> {tsp_tensor.name = "x"}, %step: tensor<64xi32> {tsp_tensor.name = "step"})
    -> (tensor<4x64xi32> {tsp_tensor.name = "y"}) attributes {tsp_tensor.program} {
  %y = tsp_tensor.map %x, %step : (tensor<4x64xi32>, tensor<64xi32>) -> tensor<4x64xi32> {
  ^bb0(%a: i32, %b: i32):
    %0 = arith.addi %a, %a : i32
    %1 = arith.addi %0, %b : i32
    tsp_tensor.yield %1 : i32
  }
  func.return %y : tensor<4x64xi32>
}

func.func @main(%start: tensor<4x64xi32>, %step: tensor<64xi32>, %enough: i32) -> (tensor<4x64xi32>, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end, %times = scf.while (%x = %start, %n = %c0) : (tensor<4x64xi32>, index) -> (tensor<4x64xi32>, index) {
    %first = tensor.extract %x[%c0, %c0] : tensor<4x64xi32>
    %more = arith.cmpi slt, %first, %enough : i32
    scf.condition(%more) %x, %n : tensor<4x64xi32>, index
  } do {
  ^bb0(%x: tensor<4x64xi32>, %n: index):
    %y = func.call @layer(%x, %step) : (tensor<4x64xi32>, tensor<64xi32>) -> tensor<4x64xi32>
    %m = arith.addi %n, %c1 : index
    scf.yield %y, %m : tensor<4x64xi32>, index
  }
  func.return %end, %times : tensor<4x64xi32>, index
}
