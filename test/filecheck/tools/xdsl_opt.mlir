// RUN: xdsl-opt %s -p tsp-compile,isa-disassemble | filecheck %s
// RUN: xdsl-opt %s -p tsp-compile > %t.1 && tsp-opt %s -p tsp-compile > %t.2 && diff %t.1 %t.2

// Plain xdsl-opt knows our dialects and passes wherever tspc is installed; tsp-compile is the whole way from tensors to
// packed and verified queues, and gives the same bytes in both drivers.

// CHECK: tsp_isa.program @main chip 0 cycles {{[0-9]+}} {
// CHECK: tsp_isa.bind "input" "x"
// CHECK: tsp_isa.acc_emit at {{[0-9]+}} entry 0 mode set
func.func @main(%x: tensor<4x64xi8> {tsp_tensor.name = "x"}) -> (tensor<4x32xi32> {tsp_tensor.name = "y"}) {
  %w = tsp_tensor.parameter "w" : tensor<64x32xi8>
  %y = tsp_tensor.matmul %x, %w : tensor<4x64xi8>, tensor<64x32xi8> -> tensor<4x32xi32>
  func.return %y : tensor<4x32xi32>
}
