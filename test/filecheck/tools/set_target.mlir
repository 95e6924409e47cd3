// RUN: printf '[chip]\nlatency_array = 40\n\n[system]\nchips = 2\n' > %t.toml
// RUN: tsp-opt %s -p 'set-target{file="%t.toml"},tsp-compile,isa-disassemble' | filecheck %s

// The same model for another machine, which a TOML file describes; the module carries what differs from the default.

// CHECK: builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.latency_array = 40, system.chips = 2>} {
// Two chips begin together, in cycle 256 + 35; the sums need 40 cycles more than the activations.
// CHECK: tsp_isa.read at 291
// CHECK: tsp_isa.abc at 302 count 2
// CHECK: tsp_isa.acc_emit at 342
func.func @main(%x: tensor<4x64xi8> {tsp_tensor.name = "x"}) -> (tensor<4x32xi32> {tsp_tensor.name = "y"}) {
  %w = tsp_tensor.parameter "w" : tensor<64x32xi8>
  %y = tsp_tensor.matmul %x, %w : tensor<4x64xi8>, tensor<64x32xi8> -> tensor<4x32xi32>
  func.return %y : tensor<4x32xi32>
}
