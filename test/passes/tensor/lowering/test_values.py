"""Where the values of a program are while it is lowered, and what is made of them when a user asks."""

from __future__ import annotations

from tspc.dialects.functions import functions_of
from tspc.dialects.machine.target import DEFAULT_SYSTEM
from tspc.dialects.tsp_stream import BufferOp
from tspc.passes.pipelines import parse
from tspc.passes.policy import Policy
from tspc.passes.tensor.analysis.views import Named, Stored, Tensor
from tspc.passes.tensor.emit.buffers import Buffers, Output, named_tensor
from tspc.passes.tensor.emit.column_views import ColumnView
from tspc.passes.tensor.emit.products import Product
from tspc.passes.tensor.lowering.convert_tensor_to_stream import LOWERED_IN
from tspc.passes.tensor.lowering.registry import lower
from tspc.passes.tensor.lowering.values import Value, Values
from xdsl.dialects import func

CHIP = DEFAULT_SYSTEM.chip

TEXT = """func.func @main(%x: tensor<6x32xf32>, %w: tensor<32x32xf16>) -> tensor<6x32xf16> {
  %a = tsp_tensor.map %x : (tensor<6x32xf32>) -> tensor<6x32xf16> {
  ^bb0(%s: f32):
    %t = arith.truncf %s : f32 to f16
    tsp_tensor.yield %t : f16
  }
  %heads = tsp_tensor.reshape %a : tensor<6x32xf16> -> tensor<6x2x16xf16>
  %first = tsp_tensor.slice %a [0, 0] [2, 32] [1, 1] : tensor<6x32xf16> -> tensor<2x32xf16>
  %p = tsp_tensor.matmul %a, %w : tensor<6x32xf16>, tensor<32x32xf16> -> tensor<6x32xf32>
  %y = tsp_tensor.map %p : (tensor<6x32xf32>) -> tensor<6x32xf16> {
  ^bb0(%u: f32):
    %v = arith.truncf %u : f32 to f16
    tsp_tensor.yield %v : f16
  }
  %all = tsp_tensor.concat dim(1) %heads, %heads : (tensor<6x2x16xf16>, tensor<6x2x16xf16>) -> tensor<6x4x16xf16>
  func.return %y : tensor<6x32xf16>
}"""


class Lowered:
    """The values of TEXT by name, after each op was lowered."""

    def __init__(self) -> None:
        self.module = parse(TEXT)
        (function,) = functions_of(self.module)
        self.body = function.body.block
        self.to = Buffers(Policy.of(CHIP), function)
        self.output = Output("y", function.function_type.outputs.data[0])
        self.values = Values(self.body, [self.output], self.to)
        for argument, name in zip(self.body.args, "xw", strict=True):
            self.values.define(argument, named_tensor("input", name, argument.type))
        self.states: dict[str, Value] = {}
        for op in self.body.ops:
            if not isinstance(op, func.ReturnOp):
                lower(op, self.values)
                self.states[op.results[0].name_hint or ""] = self.values[op.results[0]]


def test_each_value_is_in_one_state() -> None:
    assert LOWERED_IN
    lowered = Lowered()
    states = {name: value.state for name, value in lowered.states.items()}
    x = lowered.values[lowered.body.args[0]].tensor
    assert x is not None and isinstance(x.source, Named)
    for name in ("a", "first", "y", "all"):
        state = states[name]
        assert isinstance(state, Tensor) and isinstance(state.source, Stored)
    assert isinstance(states["heads"], ColumnView)
    assert isinstance(states["p"], Product)  # its sums went into the map


def test_what_is_computed_lies_as_its_users_want_it_and_a_view_as_it_is() -> None:
    met = {name: value.requirement_met for name, value in Lowered().states.items()}
    assert met == {"a": True, "heads": False, "first": False, "p": False, "y": True, "all": True}


def test_a_returned_value_is_computed_in_the_buffer_of_its_output() -> None:
    lowered = Lowered()
    y = lowered.states["y"].tensor
    assert y is not None and isinstance(y.source, Stored) and isinstance(y.source.buffer.owner, BufferOp)
    assert y.source.buffer.owner.kind.data == "output"
    assert lowered.output.built


def test_rows_that_lie_apart_are_moved_once() -> None:
    lowered = Lowered()
    heads = next(op for op in lowered.body.ops if op.results and op.results[0].name_hint == "heads").results[0]
    own = lowered.states["heads"].own  # as the concatenation asked for them
    assert own is not None and isinstance(own.source, Stored)
    written = own.source.buffer.owner.parent_block()
    assert written is not None
    before = len(written.ops)
    assert lowered.values.stored(heads, 0) is own
    assert lowered.values.activations(heads, 0) is own  # zeros lie behind the columns
    assert len(written.ops) == before
    assert isinstance(lowered.states["heads"].state, ColumnView)  # for users that take it so


def test_a_view_is_not_known_before_it_is_lowered() -> None:
    module = parse(TEXT)
    (function,) = functions_of(module)
    output = Output("y", function.function_type.outputs.data[0])
    values = Values(function.body.block, [output], Buffers(Policy.of(CHIP), function))
    assert not any(values.known(op) for op in function.body.block.ops)
    lower(next(iter(function.body.block.ops)), values)  # an operand has no place: nothing happens
    assert values[next(iter(function.body.block.ops)).results[0]].state is None
