// RUN: tsp-opt %s -p outline-programs | filecheck %s
// RUN: tsp-opt %s -p 'outline-programs,on-programs{pipeline="fuse-maps,convert-tensor-to-stream"}' | filecheck %s --check-prefix=STREAM
// RUN: tsp-opt %s --pass-pipeline 'builtin.module(outline-programs, on-programs)' | tsp-opt | filecheck %s --check-prefix=ISA
// RUN: xdsl-opt %s -p outline-programs,on-programs | filecheck %s --check-prefix=ISA
//
// Marked functions become modules of their own; host code calls what is declared in their place.

// CHECK: builtin.module attributes {tsp_tensor.weights = "w.safetensors", tsp_isa.target = #tsp_isa.target<chip.slices = 64>} {
builtin.module attributes {tsp_tensor.weights = "w.safetensors", tsp_isa.target = #tsp_isa.target<chip.slices = 64>} {
  // CHECK-NEXT: func.func private @double(tensor<4x8xi32>) -> tensor<4x8xi32> attributes {mine, tsp_tensor.program = @double_program_0, tsp_tensor.inputs = ["x"], tsp_tensor.outputs = ["result0"]}
  // CHECK-NEXT: builtin.module @double_program_0 attributes {tsp_isa.target = #tsp_isa.target<chip.slices = 64>, tsp_tensor.weights = "w.safetensors"} {
  // CHECK-NEXT: func.func @double(%x: tensor<4x8xi32> {tsp_tensor.name = "x"}) -> tensor<4x8xi32> {
  // STREAM:      func.func private @double
  // STREAM:      func.func @double() {
  // STREAM-NEXT: tsp_stream.buffer "input" "x"
  // ISA:         func.func private @double
  // ISA:         builtin.module @double_program_0
  // ISA-NEXT:    tsp_isa.program @double chip 0
  func.func private @double(%x: tensor<4x8xi32> {tsp_tensor.name = "x"}) -> tensor<4x8xi32> attributes {mine, tsp_tensor.program} {
    %y = tsp_tensor.map %x, %x : (tensor<4x8xi32>, tensor<4x8xi32>) -> tensor<4x8xi32> {
    ^bb0(%a: i32, %b: i32):
      %c = arith.addi %a, %b : i32
      tsp_tensor.yield %c : i32
    }
    func.return %y : tensor<4x8xi32>
  }

  // What a function says of its machine goes before what the module says.
  // CHECK: func.func private @same(tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program = @same_program, tsp_tensor.inputs = ["arg0"], tsp_tensor.outputs = ["result0"]}
  // CHECK-NEXT: builtin.module @same_program attributes {tsp_isa.target = #tsp_isa.target<chip.slices = 80>, tsp_tensor.weights = "w.safetensors"} {
  func.func @same(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program, tsp_isa.target = #tsp_isa.target<chip.slices = 80>} {
    func.return %x : tensor<4x8xi32>
  }

  // CHECK: func.func private @double_program()
  func.func private @double_program() -> ()

  // STREAM: func.func @main
  // STREAM: func.call @double(%{{.*}})
  // ISA: func.func @main
  // ISA: scf.for
  // CHECK: func.func @main
  // CHECK: func.call @double(%{{.*}}) : (tensor<4x8xi32>) -> tensor<4x8xi32>
  func.func @main(%x: tensor<4x8xi32>, %n: index) -> tensor<4x8xi32> {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %r = scf.for %i = %c0 to %n step %c1 iter_args(%v = %x) -> (tensor<4x8xi32>) {
      %w = func.call @double(%v) : (tensor<4x8xi32>) -> tensor<4x8xi32>
      scf.yield %w : tensor<4x8xi32>
    }
    func.return %r : tensor<4x8xi32>
  }
}
