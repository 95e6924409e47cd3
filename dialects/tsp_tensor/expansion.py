"""How named ops are written with primitive ones: a list of new ops, and scalar arithmetic in f32 inside maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVarTuple, cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, FloatAttr, TensorType, f16, f32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ..locations import located
from .compute import MapOp, MatmulOp, ReduceOp, YieldOp
from .movement import ConstantOp, ReshapeOp
from .types import broadcast, shape_of, tensor_of

Ts = TypeVarTuple("Ts")
"""As many SSAValues as a map has operands."""


class Scalars:
    """Appends scalar ops on f32 to the region of a map."""

    def __init__(self, block: Block):
        self.block = block

    def add_op(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def constant(self, value: float) -> SSAValue:
        """The f32 nearest to a number."""
        return self.add_op(arith.ConstantOp(FloatAttr(value, f32)))

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.AddfOp(a, b))

    def sub(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.SubfOp(a, b))

    def mul(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.MulfOp(a, b))

    def max(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.MaximumfOp(a, b))

    def min(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.add_op(arith.MinimumfOp(a, b))

    def exp(self, a: SSAValue) -> SSAValue:
        return self.add_op(math.ExpOp(a))

    def tanh(self, a: SSAValue) -> SSAValue:
        return self.add_op(math.TanhOp(a))

    def rsqrt(self, a: SSAValue) -> SSAValue:
        return self.add_op(math.RsqrtOp(a))

    def negate(self, a: SSAValue) -> SSAValue:
        """-a, but +0 for +0."""
        return self.sub(self.constant(0.0), a)

    def reciprocal(self, a: SSAValue) -> SSAValue:
        """1 / a of a positive a: the square of its rsqrt, off by less than 3 times 2^-24 of it; 0 of infinity."""
        root = self.rsqrt(a)
        return self.mul(root, root)

    def polynomial(self, x: SSAValue, coefficients: Sequence[float]) -> SSAValue:
        """Horner's rule, the constant coefficient first."""
        *others, last = coefficients
        total = self.constant(last)
        for c in reversed(others):
            total = self.add(self.mul(total, x), self.constant(c))
        return total

    def convert(self, a: SSAValue, to: Attribute) -> SSAValue:
        """Between f16 and f32."""
        if a.type == to:
            return a
        return self.add_op(arith.ExtFOp(a, f32) if to == f32 else arith.TruncFOp(a, f16))


class Expansion:
    """The ops that take the place of a named one, in order."""

    def __init__(self, source: Operation):
        self.source = source
        self.ops: list[Operation] = []

    def add(self, op: Operation) -> SSAValue:
        """Appends an op with the location and the attributes, such as the chip, of the one that it is for."""
        op.attributes.update(self.source.attributes)
        self.ops.append(located(op, self.source))
        return op.results[0]

    def map(self, body: Callable[[Scalars, *Ts], SSAValue], *inputs: *Ts, to: Attribute = f32) -> SSAValue:
        """A map of f16 and f32 tensors, which `body`, given the `Scalars` and a scalar each, computes in f32; the
        result is of element type `to`."""
        values = cast("tuple[SSAValue, ...]", inputs)
        shape = broadcast(*(shape_of(v) for v in values))
        assert shape is not None  # as the op's verifier has seen
        block = Block(arg_types=[tensor_of(v).element_type for v in values])
        scalars = Scalars(block)
        result = body(scalars, *cast("tuple[*Ts]", tuple(scalars.convert(a, f32) for a in block.args)))
        block.add_op(YieldOp(scalars.convert(result, to)))
        return self.add(MapOp(values, Region(block), TensorType(to, shape)))

    def convert(self, value: SSAValue, to: Attribute) -> SSAValue:
        """A tensor of f16 or f32 as one of the other."""
        return value if tensor_of(value).element_type == to else self.map(lambda s, x: x, value, to=to)

    def row_sums(self, value: SSAValue) -> SSAValue:
        """The f32 sums over the last axis of f16, which keeps it with size 1: products with ones."""
        *outer, size = shape_of(value)
        ones = self.add(ConstantOp(DenseIntOrFPElementsAttr.from_list(TensorType(f16, [size, 1]), [1.0])))
        if outer:
            return self.add(MatmulOp(value, ones))
        return self.add(ReshapeOp(self.add(MatmulOp(self.add(ReshapeOp(value, [1, size])), ones)), [1]))

    def reduce(self, kind: str, value: SSAValue, axis: int) -> SSAValue:
        """A reduction over one axis, which keeps it with size 1."""
        return self.add(ReduceOp(kind, value, [axis], keep=True))
