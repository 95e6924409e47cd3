"""Writes ops of tsp_tensor for tensors of the graph: what is known becomes constants and parameters, and the order in
which dimensions lie is settled as late as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, overload

import numpy as np
from xdsl.dialects.builtin import NameLoc, StringAttr, TensorType, UnknownLoc, f32, i32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ....dialects import tsp_tensor as tt
from ....dialects.elements import builtin_of, dtype_of
from ....dialects.machine.instruction import ElementType
from ....dialects.tsp_tensor.types import broadcast, dense, scalar_attr, shape_of, tensor_of
from .elements import Array, Element, Shape, carried, element
from .layout import reshaped
from .scalars import Scalar, constant, loaded, stored, where
from .values import Refused, Value, known

SMALL = 16
"""So many elements of a constant are written in the text; larger ones are parameters."""


def identity(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def name_in_text(value: SSAValue, name: str) -> None:
    """Calls a value in the text as the graph does, where it can be called so."""
    if SSAValue.is_valid_name(name):
        value.name_hint = name


def held(dtype: np.dtype[Any]) -> Element:
    """How an element type is held. Raises Refused."""
    found = element(dtype)
    if found is None:
        raise Refused(f"tensors of {dtype} are not held on the chip", "cast to float32, int32 or a narrower type")
    return found


class Emitter:
    """A block of tsp_tensor ops, and its parameters."""

    def __init__(self, precision: str) -> None:
        self.block = Block()
        self.precision = precision
        """How products of f32 are done: `f16` or `f16x3`."""
        self.parameters: dict[str, Array] = {}
        self.origin = ""
        """The node of the graph for which ops are written."""
        self._constants: dict[tuple[bytes, Shape, str], SSAValue] = {}
        """By the digest of their bytes, shape and type."""

    # -- ops ---------------------------------------------------------------------------------------------------

    def add(self, op: Operation) -> SSAValue:
        """Appends an op, which says for which node of the graph it is."""
        location = NameLoc(StringAttr(self.origin), UnknownLoc())
        for inner in op.walk():
            inner.location = location
        self.block.add_op(op)
        name_in_text(op.results[0], self.origin)
        return op.results[0]

    def constant(self, carriers: Array) -> SSAValue:
        """An array of a carrier type, in the text or as a parameter. Equal ones are one."""
        carriers = np.asarray(carriers, order="C")
        key = sha256(carriers.data).digest(), carriers.shape, carriers.dtype.name
        if key not in self._constants:
            type_ = TensorType(_BUILTIN[carriers.dtype], carriers.shape)
            if carriers.size <= SMALL:
                self._constants[key] = self.add(tt.ConstantOp(dense(type_, carriers)))
            else:
                name = f"{self.origin or 'constant'}.{len(self.parameters)}"
                self.parameters[name] = carriers
                op = tt.ParameterOp.build(properties={"tensor_name": StringAttr(name)}, result_types=[type_])
                self._constants[key] = self.add(op)
        return self._constants[key]

    def reshaped(self, ssa: SSAValue, shape: Sequence[int]) -> SSAValue:
        return ssa if shape_of(ssa) == tuple(shape) else self.add(tt.ReshapeOp(ssa, shape))

    def transposed(self, ssa: SSAValue, permutation: Sequence[int]) -> SSAValue:
        """Dimension i of the result is dimension `permutation[i]`; a reshape where only those of size 1 move."""
        shape = shape_of(ssa)
        moving = [p for p in permutation if shape[p] > 1]
        if moving == sorted(moving):
            return self.reshaped(ssa, [shape[p] for p in permutation])
        return self.add(tt.TransposeOp(ssa, permutation))

    def sliced(self, ssa: SSAValue, axis: int, start: int, size: int, step: int = 1) -> SSAValue:
        """A part of one dimension."""
        shape = [*shape_of(ssa)]
        offsets, strides = [0] * len(shape), [1] * len(shape)
        offsets[axis], shape[axis], strides[axis] = start, size, step
        return self.add(tt.SliceOp(ssa, offsets, shape, strides))

    def joined(self, parts: Sequence[SSAValue], axis: int) -> SSAValue:
        return parts[0] if len(parts) == 1 else self.add(tt.ConcatOp(axis, parts))

    def padded(self, ssa: SSAValue, low: Sequence[int], high: Sequence[int], value: float) -> SSAValue:
        """With a value, of the carrier type, before and after."""
        if not any(low) and not any(high):
            return ssa
        return self.add(tt.PadOp(ssa, low, high, scalar_attr(value, tensor_of(ssa).element_type)))

    # -- tensors of the graph ----------------------------------------------------------------------------------

    def operand(self, value: Value, order: Sequence[int] | None = None) -> SSAValue:
        """The tensor with its dimensions in an order, that of ONNX by default. Raises Refused for what no program
        holds."""
        order = tuple(order) if order is not None else identity(value.rank)
        held(value.dtype)
        if value.ssa is None:
            assert value.array is not None
            if not value.size:
                raise Refused("a tensor without elements meets one that is computed", "leave the node out")
            return self.constant(carried(value.array).transpose(order))
        return self.transposed(value.ssa, [value.order.index(axis) for axis in order])

    def computed(self, ssa: SSAValue, dtype: np.dtype[Any], order: Sequence[int] | None = None) -> Value:
        """The tensor that a computed one is, whose dimensions lie in an order."""
        physical = shape_of(ssa)
        order = tuple(order) if order is not None else identity(len(physical))
        shape = tuple(physical[order.index(axis)] for axis in range(len(physical)))
        return Value(shape, dtype, ssa, order)

    def shared_order(self, values: Sequence[Value], rank: int) -> tuple[int, ...]:
        """The order in which tensors that meet element by element have the least to move."""
        computed = [v for v in values if v.ssa is not None and v.rank == rank]
        computed.sort(key=lambda v: -v.size)
        return computed[0].order if computed else identity(rank)

    def aligned(self, value: Value, order: Sequence[int]) -> SSAValue:
        """A tensor that broadcasts, with dimensions of size 1 before its own, in an order of all dimensions."""
        rank = len(order)
        if value.rank == rank:
            return self.operand(value, order)
        missing = rank - value.rank
        if value.array is not None:
            return self.operand(known(value.array.reshape((1,) * missing + value.shape)), order)
        own = self.operand(value, [axis - missing for axis in order if axis >= missing])
        shape = [value.shape[axis - missing] if axis >= missing else 1 for axis in order]
        return self.reshaped(own, shape)

    # -- computing ---------------------------------------------------------------------------------------------

    @overload
    def map(
        self,
        function: Callable[[Scalar], Scalar],
        a: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(
        self,
        function: Callable[[Scalar, Scalar], Scalar],
        a: Value,
        b: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(
        self,
        function: Callable[[Scalar, Scalar, Scalar], Scalar],
        a: Value,
        b: Value,
        c: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(
        self,
        function: Callable[[Scalar, Scalar, Scalar, Scalar], Scalar],
        a: Value,
        b: Value,
        c: Value,
        d: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(
        self,
        function: Callable[[Scalar, Scalar, Scalar, Scalar, Scalar], Scalar],
        a: Value,
        b: Value,
        c: Value,
        d: Value,
        e: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(
        self,
        function: Callable[[Scalar, Scalar, Scalar, Scalar, Scalar, Scalar], Scalar],
        a: Value,
        b: Value,
        c: Value,
        d: Value,
        e: Value,
        f: Value,
        /,
        *,
        to: Any,
        shape: Shape | None = None,
    ) -> Value: ...
    @overload
    def map(self, function: Callable[..., Scalar], *values: Value, to: Any, shape: Shape | None = None) -> Value: ...
    def map(self, function: Callable[..., Scalar], *values: Value, to: Any, shape: Shape | None = None) -> Value:
        """A function of every element of tensors that broadcast; the result is of the ONNX element type `to`.

        `function` takes a Scalar of each. `shape`, if given, is one to which the operands broadcast further.
        """
        dtype = np.dtype(to)
        result = broadcast(*(v.shape for v in values), *([shape] if shape is not None else []))
        if result is None:
            raise Refused(f"shapes {', '.join(str([*v.shape]) for v in values)} do not broadcast")
        order = self.shared_order(values, len(result))
        tensors = [v for v in values if v.array is None or v.size != 1] or [values[0]]
        inputs = [self.aligned(v, order) for v in tensors]
        block = Block(arg_types=[tensor_of(v).element_type for v in inputs])
        scalars = [
            loaded(block, block.args[tensors.index(v)], held(v.dtype)) if v in tensors else self._known_scalar(block, v)
            for v in values
        ]
        carrier = stored(function(*scalars), held(dtype))
        block.add_op(tt.YieldOp(carrier.ssa))
        physical = [result[axis] for axis in order]
        op = tt.MapOp(inputs, Region(block), TensorType(held(dtype).carrier, physical))
        return self.computed(self.add(op), dtype, order)

    def _known_scalar(self, block: Block, value: Value) -> Scalar:
        """A tensor of one known number as a scalar."""
        assert value.array is not None
        number, kind = carried(value.array).reshape(-1)[0], held(value.dtype)
        if kind.kind == "f":
            return constant(block, float(number), f32)
        whole = constant(block, int(number) + kind.offset, i32)
        return whole.bool() if kind.kind == "b" else whole

    def cast(self, value: Value, to: Any) -> Value:
        """A tensor as another element type, floats going to integers toward zero."""
        dtype = np.dtype(to)
        if value.dtype == dtype:
            return value
        have, want = held(value.dtype), held(dtype)
        if value.array is not None:
            with np.errstate(all="ignore"):
                return known(value.array.astype(dtype))
        if want.kind == "f" and have.kind == "u" and not have.offset:
            return self.map(lambda x: where(x < 0, x.f32() + 2.0**32, x.f32()), value, to=dtype)
        if have.kind == "f" and want.kind == "u" and not want.offset:
            return self.map(lambda x: where(x >= 2.0**31, (x - 2.0**32).i32(), x.i32()), value, to=dtype)
        if have == want:
            assert value.ssa is not None
            return Value(value.shape, dtype, value.ssa, value.order, bound=value.bound)
        return self.map(lambda x: x, value, to=dtype).bounded(value.bound)

    def reduced(self, kind: str, value: Value, axes: Sequence[int]) -> Value:
        """The sum, maximum or minimum over axes, which stay with size 1. Sums of f16 are done in f32."""
        axes = sorted(axes)
        if not axes:
            return value
        order = value.order or identity(value.rank)
        ssa = self.operand(value, order)
        physical = sorted(order.index(axis) for axis in axes)
        return self.computed(self.add(tt.ReduceOp(kind, ssa, physical, keep=True)), value.dtype, order)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements under another shape; dimensions that are only split, or joined as they lie, do not move."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        if value.array is not None:
            return known(value.array.reshape(shape))
        before, after = reshaped(value.shape, value.order, shape)
        if value.order == identity(value.rank):
            before, after = identity(value.rank), identity(len(shape))
        ssa = self.reshaped(self.operand(value, before), [shape[d] for d in after])
        result = self.computed(ssa, value.dtype, after)
        return replace(result, packed=self._packed(value, shape), bound=value.bound)

    def _packed(self, value: Value, shape: Shape) -> tuple[SSAValue, Array] | None:
        """Rows of all that belongs to an image as they lie, where the dimensions lie in another order: a product with
        known weights takes them so, and then nothing asks for what is in the order of ONNX."""
        if value.ssa is None or len(shape) != 2 or shape[0] != value.shape[0] or value.order[0] != 0:
            return None
        numbers = np.arange(shape[1]).reshape(value.shape[1:]).transpose([axis - 1 for axis in value.order[1:]])
        if (numbers.reshape(-1) == np.arange(shape[1])).all():
            return None
        return self.reshaped(value.ssa, shape), numbers.reshape(-1)

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        """Moves nothing."""
        if value.array is not None:
            return known(value.array.transpose(permutation))
        inverse = {old: new for new, old in enumerate(permutation)}
        order = tuple(inverse[axis] for axis in value.order)
        return Value(tuple(value.shape[p] for p in permutation), value.dtype, value.ssa, order, bound=value.bound)

    def slice(self, value: Value, axis: int, start: int, size: int, step: int = 1) -> Value:
        """A part of one dimension; with a negative step from `start` backwards."""
        if value.array is not None:
            index = start + step * np.arange(size)
            return known(value.array.take(index, axis))
        if (start, size, step) == (0, value.shape[axis], 1):
            return value
        assert value.ssa is not None
        at = value.order.index(axis)
        if step < 0:
            first, stride = start + step * (size - 1), -step
            ordered = self.sliced(value.ssa, at, first, size, stride)
            return self.computed(self.turned(ordered, at), value.dtype, value.order).bounded(value.bound)
        part = self.sliced(value.ssa, at, start, size, step)
        return self.computed(part, value.dtype, value.order).bounded(value.bound)

    def turned(self, ssa: SSAValue, axis: int) -> SSAValue:
        """With one dimension from its end to its beginning."""
        return self.rows(ssa, axis, np.arange(shape_of(ssa)[axis])[::-1])

    def rows(self, ssa: SSAValue, axis: int, numbers: Array) -> SSAValue:
        """The parts of a dimension that known numbers name, in their order: runs of them, one after the other."""
        parts: list[SSAValue] = []
        numbers = np.asarray(numbers).reshape(-1)
        at = 0
        while at < len(numbers):
            step = int(numbers[at + 1] - numbers[at]) if at + 1 < len(numbers) else 1
            end = at + 1
            if step > 0:
                while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
                    end += 1
            parts.append(self.sliced(ssa, axis, int(numbers[at]), end - at, max(step, 1)))
            at = end
        return self.joined(parts, axis)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        values = [v for v in values if v.size]
        if len(values) == 1:
            return values[0]
        if all(v.array is not None for v in values):
            return known(np.concatenate([v.array for v in values if v.array is not None], axis))
        order = self.shared_order(values, values[0].rank)
        parts = [self.operand(v, order) for v in values]
        return self.computed(self.joined(parts, order.index(axis)), values[0].dtype, order)

    def expand(self, value: Value, shape: Shape) -> Value:
        """Broadcast to a shape."""
        if value.shape == shape:
            return value
        if value.array is not None:
            return known(np.broadcast_to(value.array, np.broadcast_shapes(value.shape, shape)))
        return self.map(lambda x: x, value, to=value.dtype, shape=shape).bounded(value.bound)


_BUILTIN: dict[np.dtype[Any], Attribute] = {dtype_of(element): builtin_of(element) for element in ElementType}
"""By the numpy type of a carrier the builtin scalar type."""
