// RUN: tsp-opt %s -p outline-programs --split-input-file --verify-diagnostics | filecheck %s --allow-empty
//
// Host code in programs, and marks that cannot stand: all of a module at once.

// CHECK-NOT: program

func.func @host(%x: tensor<4x8xi32>) -> tensor<4x8xi32> {
  func.return %x : tensor<4x8xi32>
}
func.func @first(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program} {
  // expected-error@+1 {{is host code in the program `first`; move it out of it, or write it in tsp_tensor}}
  %c = arith.constant true
  // expected-error@+1 {{is host code in the program `first`}}
  %y = "scf.if"(%c) ({ scf.yield %x : tensor<4x8xi32> }, { scf.yield %x : tensor<4x8xi32> }) : (i1) -> tensor<4x8xi32>
  // expected-error@+1 {{the program `first` calls itself; chips do not decide: repeat the call in host code}}
  %0 = func.call @first(%y) : (tensor<4x8xi32>) -> tensor<4x8xi32>
  // expected-error@+1 {{the program `first` calls `second`, another one; call both from host code, or inline it}}
  %1 = func.call @second(%0) : (tensor<4x8xi32>) -> tensor<4x8xi32>
  // expected-error@+1 {{the program `first` calls `host`, which is host code; inline it, or call it from host code}}
  %2 = func.call @host(%1) : (tensor<4x8xi32>) -> tensor<4x8xi32>
  func.return %2 : tensor<4x8xi32>
}
// expected-error@+1 {{`second` has 2 blocks; branches are host code: write straight code}}
func.func @second(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program} {
  cf.br ^end
^end:
  func.return %x : tensor<4x8xi32>
}
// expected-error@+1 {{`declared`: a declaration is no program; give it a body, or take the mark away}}
func.func private @declared(tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program}
// expected-error@+1 {{`away`: tsp_tensor.program = @nobody names no module; write tsp_tensor.program at the function itself, without a value}}
func.func private @away(tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program = @nobody}
// expected-error@+1 {{tsp_tensor.program = "yes": the mark of a program has no value; write tsp_tensor.program alone}}
func.func @said(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program = "yes"} {
  func.return %x : tensor<4x8xi32>
}
// expected-error@+1 {{`nobody_calls` is private and no host code calls it; call it, or remove it}}
func.func private @nobody_calls(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program} {
  func.return %x : tensor<4x8xi32>
}
"test.op"() ({
  // expected-error@+1 {{`inner` is marked tsp_tensor.program and lies in an op that is no module; move it out}}
  func.func @inner(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program} {
    func.return %x : tensor<4x8xi32>
  }
  "test.termop"() : () -> ()
}) : () -> ()
// expected-error@+1 {{tsp_tensor.program marks functions; take it away, or write a func.func of what this op does}}
builtin.module attributes {tsp_tensor.program} {
}

