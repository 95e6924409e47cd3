"""convert-tensor-to-stream: from values to buffers and the streams between them.

Every computed tensor goes to SRAM once; a map that alone uses a product takes the sums as they leave the array.
Products and convolutions are one thing here (contraction.py): rows of activations meet weights pass by pass. What only
says which elements are meant (reshapes, slices, transposes of leading dimensions) moves nothing: see views.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import Float16Type, FunctionType, ModuleOp, TensorType
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.hints import isa

from ...dialects import c2c, tsp_tensor
from ...dialects import tsp_stream as ts
from ...dialects.elements import element_bytes
from ...dialects.errors import UnsupportedModel
from ...dialects.functions import function_problems, functions_of
from ...dialects.layout import AccessPattern, tiles
from ...dialects.locations import describe
from ...dialects.semantics.arithmetic import Array
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from ...dialects.tsp_isa import ProgramOp
from ...dialects.tsp_tensor.types import shape_of
from ...dialects.verify import name_problems
from ..stream.stream_place import alus_of
from .alu_regions import UnsupportedRegion, alu_region
from .apart import Apart, emit_joined, joins, split, sums_apart
from .buffers import WHOLE, Buffers, Destination, Output, Part, Unsupported, named_tensor, rows_layout
from .contraction import emit_product
from .demand import FEW_ROWS, MOST_COPIES, side_by_side
from .elementwise import emit_map, move, parts_of
from .fusing import element_of_value, is_product, keeps_columns, only_map
from .indexed import emit_gather, emit_scatter, own_table
from .joining import emit_concat, emit_pad
from .lanes import reshaped, sliced, spread, transposed
from .lanes_reduce import reduce_columns
from .padding import mapped, mask_result, padding_of, set_padding
from .pooling import emit_pool
from .products import (
    Epilogue,
    Product,
    apart_product,
    axes_sum,
    conv_product,
    matmul_product,
    stacked_product,
    window_sum,
)
from .reducing import emit_reduce, emit_window_sum
from .sizes import check_sizes
from .values import Values, chip_of
from .views import Named, Stored, Tensor, indices


@dataclass(frozen=True)
class ConvertTensorToStreamPass(ModulePass):
    """Lowers tsp_tensor functions to tsp_stream; all problems of a module are reported at once."""

    name = "convert-tensor-to-stream"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        check_sizes(op)
        if any(isinstance(p, ProgramOp) for p in op.ops):
            return
        problems = function_problems(op)
        problems += (unnamed := name_problems(op))
        for function in functions_of(op)[:1]:
            if len(function.body.blocks) == 1 and not unnamed and not is_lowered(function):
                problems += Converter(function).run()
        if problems:
            raise UnsupportedModel("\n".join(problems))


def is_lowered(function: func.FuncOp) -> bool:
    """Whether a function is at the stream level already, all of it."""
    ops = list(function.walk())
    tensor_ops = any(op.dialect_name() == tsp_tensor.TSP_TENSOR.name for op in ops)
    return not tensor_ops and any(isinstance(op, ts.StreamOp) for op in ops)


class Converter:
    """Lowers one function."""

    def __init__(self, function: func.FuncOp):
        self.function = function
        self.chip: ChipSpec = target_of(function).chip
        self.problems: list[str] = []
        self.to = Buffers(self.chip, function)
        body = function.body.block
        self.values = Values(body, self._returned(body), self.chip, self.to)

    def run(self) -> list[str]:
        """Replaces the function's body. Returns the problems, in which case the function is left as it was."""
        body = self.function.body.block
        self._bind_arguments(body)
        if not self.values.returned:
            self.problems.append(f"{describe(self.function)}: the function returns nothing; return what it computes")
        for op in body.ops:
            self.to.at = op
            try:
                if self.values.known(op):
                    self._lower(op)
            except Unsupported as e:
                self.problems.append(f"{describe(op)}: {e}")
            except UnsupportedRegion as e:
                self.problems.append(f"{describe(e.op)}: {e.reason}")
        if not self.problems:
            self._keep_unused_inputs()
            self._replace_body()
        return self.problems

    def _keep_unused_inputs(self) -> None:
        """Inputs that nothing uses keep a place too: a program takes the same inputs at every level."""
        used = {named.name for named, *_ in self.to.of_named if named.kind == "input"}
        for tensor in [self.values.stored(argument, 0) for argument in self.function.body.block.args]:
            source = cast(Named, tensor.source)
            if source.name not in used:
                self.to.in_rows(tensor, 0)

    def _replace_body(self) -> None:
        self.to.add(func.ReturnOp())
        function = func.FuncOp(self.function.sym_name.data, FunctionType.from_lists([], []), Region(self.to.block))
        function.location = self.function.location
        parent = self.function.parent_block()
        assert parent is not None
        parent.insert_op_after(function, self.function)
        self.function.detach()
        self.function.erase(safe_erase=False)

    # -- inputs and outputs ------------------------------------------------------------------------------------

    def _bind_arguments(self, body: Block) -> None:
        names = tsp_tensor.tensor_names(self.function.arg_attrs, len(body.args), "arg")
        for argument, name in zip(body.args, names, strict=True):
            try:
                if not isa(type_ := argument.type, TensorType[Attribute]):
                    raise Unsupported(f"is {argument.type}, not a tensor")
                self.values.define(argument, named_tensor("input", name, type_))
            except Unsupported as e:
                self.problems.append(f"{describe(self.function)}: argument `{name}`: {e}")

    def _returned(self, body: Block) -> list[tuple[SSAValue, Output]]:
        last = body.last_op
        operands = last.operands if isinstance(last, func.ReturnOp) else ()
        names = tsp_tensor.tensor_names(self.function.res_attrs, len(operands), "result")
        return [
            (v, Output(name, cast("TensorType[Attribute]", v.type))) for v, name in zip(operands, names, strict=True)
        ]

    # -- ops ---------------------------------------------------------------------------------------------------

    def _lower(self, op: Operation) -> None:
        if self._lies_apart(op):
            return  # nothing has to be moved
        values, to, chip = self.values, self.to, chip_of(op)
        for value in op.operands:
            if values[value].pending is None:
                values.stored(value, chip)
        match op:
            case tsp_tensor.ParameterOp():
                values.define(op.result, named_tensor("parameter", op.tensor_name.data, op.result.type))
            case tsp_tensor.ConstantOp():
                values.define(op.result, named_tensor("constant", "", op.result.type, op.value))
            case tsp_tensor.ReshapeOp():
                values.define(op.result, self._reshape(op))
            case tsp_tensor.MatmulOp():
                self._matmul(op)
            case tsp_tensor.ConvOp():
                self._product(op, conv_product(op, self._padded(op), values.stored(op.weights, chip), to, chip))
            case tsp_tensor.PoolOp() if is_product(op):
                self._product(op, window_sum(self._padded(op), op.window, to, chip))
            case tsp_tensor.ReduceOp() if is_product(op):
                self._product(op, axes_sum(values.stored(op.input, chip), op.axes.get_values(), to, chip))
            case tsp_tensor.ReduceOp():
                (tensor,), place = values.operands(op), values.destination(op.result, chip)
                emit = emit_reduce if keeps_columns(op) else reduce_columns
                values.define(op.result, emit(op.kind.data, tensor, op.axes.get_values(), to, place, chip))
            case tsp_tensor.PoolOp() if op.kind.data == "sum":
                (tensor,), place = values.operands(op), values.destination(op.result, chip)
                values.define(op.result, emit_window_sum(tensor, op.window, to, place, chip))
            case tsp_tensor.PoolOp():
                (tensor,) = values.operands(op)
                values.define(op.result, emit_pool(op, tensor, to, values.destination, chip))
            case tsp_tensor.ConcatOp():
                tensors, place = values.operands(op), values.destination(op.result, chip)
                values.define(op.result, emit_concat(tensors, op.dim.value.data, to, place, chip))
            case tsp_tensor.PadOp():
                (tensor,), place = values.operands(op), values.destination(op.result, chip)
                values.define(op.result, emit_pad(op, tensor, to, place, chip))
            case tsp_tensor.TransposeOp():
                values.define(op.result, self._transpose(op))
            case tsp_tensor.SliceOp():
                values.define(op.result, self._slice(op))
            case tsp_tensor.MapOp():
                self._map(op)
            case c2c.TransferOp():
                self._transfer(op)
            case func.ReturnOp():
                self._return()
            case tsp_tensor.GatherOp():
                (table, numbers), place = values.operands(op), values.destination(op.result, chip)
                values.define(op.result, emit_gather(table, numbers, to, place, chip))
            case tsp_tensor.ScatterOp():
                self._scatter(op)
            case func.CallOp():
                raise Unsupported("calls a function, and a program is one; write here what it does")
            case _:
                raise Unsupported(
                    "has no lowering to streams; express it with tsp_tensor ops, one of scalars in a tsp_tensor.map"
                )

    def _lies_apart(self, op: Operation) -> bool:
        """Whether the result of an op lies, or its operand may lie, in columns of words that are not its own."""
        values, chip = self.values, chip_of(op)
        apart = [values[v].apart for v in op.operands]
        match op, apart:
            case tsp_tensor.ReshapeOp(), [Apart() as rows_]:
                joint = joins(rows_, shape_of(op.result), self.chip.lanes)
                if joint:
                    place = values.destination(op.result, chip)
                    values.define(op.result, emit_joined(rows_, self.to, place, chip))
                return joint
            case tsp_tensor.ReshapeOp(), _ if any(not isinstance(u.operation, func.ReturnOp) for u in op.result.uses):
                found = split(values.stored(op.input, chip), shape_of(op.result), self.chip.lanes)
            case tsp_tensor.TransposeOp(), [Apart() as rows_]:
                found = rows_.transposed(op.permutation.get_values())
            case tsp_tensor.SliceOp(), [Apart() as rows_]:
                found = rows_.sliced(op.offsets.get_values(), op.strides.get_values(), shape_of(op.result))
            case tsp_tensor.MatmulOp(), [_, Apart() as rows_] if values[op.lhs].tensor is not None:
                lhs, consumer = values.activations(op.lhs, chip), only_map(op)
                product = apart_product(op, lhs, rows_, self.to, chip)
                alone = consumer is not None and len({*consumer.inputs}) == 1 and chip_of(consumer) == chip
                if product is None or not alone or consumer is None or values[consumer.result].output is not None:
                    return False
                found = product
            case _:
                return False
        if found is not None:
            values.define(op.results[0], found)
        return found is not None

    def _reshape(self, op: tsp_tensor.ReshapeOp) -> Tensor:
        tensor, to = self.values.stored(op.input, chip_of(op)), op.result.type.get_shape()
        if isinstance(tensor.source, Named):
            if tensor.source.plain:
                return Tensor(to, tensor.element, tensor.source.reshaped(to))
            tensor = Tensor(tensor.shape, tensor.element, self.to.in_rows(tensor, chip_of(op)))
            assert isinstance(tensor.source, Stored)
        view = tensor.source.reshaped(tensor.shape, to)
        if view is None and all(isinstance(use.operation, func.ReturnOp) for use in op.result.uses):
            return tensor  # the host reads the elements in their order
        if view is None:
            return reshaped(tensor, self.to, self.values.destination(op.result, chip_of(op)), chip_of(op))
        return Tensor(to, tensor.element, view)

    def _transpose(self, op: tsp_tensor.TransposeOp) -> Tensor:
        tensor, permutation = self.values.stored(op.input, chip_of(op)), op.permutation.get_values()
        view = tensor.source.transposed(permutation)
        if view is None:
            return transposed(
                tensor, permutation, self.to, self.values.destination(op.result, chip_of(op)), chip_of(op)
            )
        return Tensor(op.result.type.get_shape(), tensor.element, view)

    def _slice(self, op: tsp_tensor.SliceOp) -> Tensor:
        tensor = self.values.stored(op.input, chip_of(op))
        offsets, strides = op.offsets.get_values(), op.strides.get_values()
        if isinstance(tensor.source, Named):
            view = tensor.source.sliced(offsets, strides, op.sizes.get_values())
        else:
            view = tensor.source.sliced(offsets, strides, self.chip.lanes)
        if view is None:
            return sliced(
                tensor, offsets, strides, self.to, self.values.destination(op.result, chip_of(op)), chip_of(op)
            )
        return Tensor(op.result.type.get_shape(), tensor.element, view)

    def _padded(self, op: tsp_tensor.ConvOp | tsp_tensor.PoolOp) -> Tensor:
        """The images of a convolution, with room for its padding around them."""
        known, tensor = self.values[op.input], self.values.activations(op.input, chip_of(op))
        if isinstance(tensor.source, Named) or not any(op.window.pads) or known.demand_met:
            return tensor
        top, left, bottom, right = op.window.pads
        layout = rows_layout(known.type, self.chip, ((0, 0), (top, bottom), (left, right)))
        place = Destination(self.to, "scratch", "", known.type, layout, chip_of(op), known.demand.copies)
        return move(tensor, self.to, place, chip_of(op))

    def _matmul(self, op: tsp_tensor.MatmulOp) -> None:
        """A product by one matrix, or, matrix by matrix, by many."""
        chip = chip_of(op)
        lhs, rhs = self.values.activations(op.lhs, chip), self.values.stored(op.rhs, chip)
        shape = op.result.type.get_shape()
        if all(n == 1 for n in rhs.shape[:-2]):
            self._product(op, matmul_product(op, lhs, rhs, shape[:-1], self.to, chip))
            return
        stack = stacked_product(op, lhs, rhs, self.to, chip)
        if stack is not None:
            self._product(op, stack)
            return
        products = [
            replace(matmul_product(op, lhs.matrix(i), rhs.matrix(i), shape[-2:-1], self.to, chip), one_of_many=True)
            for i in indices(shape[:-2])
        ]
        to = self.values.destination(op.result, chip)
        type_ = TensorType(element_of_value(op.result), shape[-2:])

        def place(view: Stored, index: tuple[int, ...]) -> Stored:
            return cast(Stored, Tensor(shape, type_.element_type, view).matrix(index).source)

        apart = parts_of(
            (AccessPattern(one.offset + tile * one.tile_stride, ()), i % MOST_COPIES)
            for i, one in enumerate(place(to.view, index) for index in indices(shape[:-2]))
            for tile in range(tiles(shape[-1], self.chip.lanes))
        )
        result = to.make(WHOLE if shape[-2] < FEW_ROWS else apart)
        for index, product in zip(indices(shape[:-2]), products, strict=True):
            layout = rows_layout(type_, self.chip)
            part = Part(self.to, "scratch", "", type_, layout, chip, place=place(result, index))
            emit_product(product, self.to, part, None)
        self.values.define(op.result, Tensor(shape, type_.element_type, result))

    def _product(self, op: Operation, product: Product) -> None:
        """Emits a product, or leaves it to the map that alone uses it."""
        value = op.results[0]
        consumer = only_map(op)
        if consumer is not None and not product.swapped and chip_of(consumer) == product.chip:
            columns = shape_of(consumer.result)[-1]
            if product.repeated and columns <= self.chip.lanes:
                product = replace(product, columns=columns)
            if (*product.stack, *product.space, product.columns) == shape_of(consumer.result):
                self.values.define(value, product)
                return
        to = self.values.destination(value, product.chip, product.swapped)
        self.values.define(value, emit_product(product, self.to, to, None))

    def _map(self, op: tsp_tensor.MapOp) -> None:
        chip = chip_of(op)
        distinct = list(dict.fromkeys(op.inputs))  # operands that are one value share an argument
        region = alu_region(op, [distinct.index(v) for v in op.inputs])
        shape = op.result.type.get_shape()
        columns = shape[-1] if shape else 1
        found = [self.values[v].pending for v in distinct]
        product = next((p for p in found if p is not None), None)
        copies = side_by_side(prod(shape[:-1])) if product is None else 1
        operands = [
            self._wide(self.values.stored(v, chip), columns, copies, chip) if p is None else None
            for v, p in zip(distinct, found, strict=True)
        ]
        if product is not None and not self._in_step(product, operands, columns):
            where = operands.index(None)
            type_ = self.values[distinct[where]].type
            place = Destination(self.to, "scratch", "", type_, rows_layout(type_, self.chip), chip)
            operands[where], product = emit_product(product, self.to, place, None), None
        placed = [t for t in operands if t is not None]
        padding = mapped(region, placed, self.to) if product is None else None
        if self._wants_zeros(op.result, padding) and alus_of(region) < self.chip.alus:
            operands.append(mask_result(region, columns))
            placed, padding = [*placed, cast(Tensor, operands[-1])], np.zeros((), np.float16)
        to = self.values.destination(op.result, chip)
        if product is not None and product.apart is not None:
            to = replace(to, copies=1)
        if product is not None:
            result = emit_product(product, self.to, to, Epilogue(region, tuple(operands)))
        else:
            result = emit_map(region, placed, self.to, to, chip)
        set_padding(result, padding, self.to)
        if product is not None and product.apart is not None:
            self.values.define(op.result, sums_apart(result, product.apart[1]))
        else:
            self.values.define(op.result, result)

    def _in_step(self, product: Product, operands: Sequence[Tensor | None], columns: int) -> bool:
        """Whether the operands of a map show themselves to the tiles of a product in equal steps."""
        others = [t for t in operands if t is not None]
        return all(product.rows_of(self.to.operand_view(t, columns), t.shape) for t in others)

    def _wants_zeros(self, value: SSAValue, padding: Array | None) -> bool:
        """Whether a map's result meets weights and has numbers beyond its last column that would matter there."""
        type_ = self.values[value].type
        meets = self.values[value].demand.meets_weights and isinstance(type_.element_type, Float16Type)
        partial = bool(type_.get_shape()) and type_.get_shape()[-1] % self.chip.lanes != 0
        return meets and partial and (padding is None or not np.isfinite(padding))

    def _wide(self, tensor: Tensor, columns: int, copies: int, chip: int) -> Tensor:
        """An operand of a map of `columns` columns; a computed one of one column in all lanes."""
        if isinstance(tensor.source, Named) or tensor.columns != 1 or columns == 1:
            return tensor
        return spread(tensor, columns, self.to, chip, copies)

    def _scatter(self, op: tsp_tensor.ScatterOp) -> None:
        (table, numbers, updates), chip = self.values.operands(op), chip_of(op)
        known, own = self.values[op.result], None
        output = known.output
        if output is None or (not output.built and output.type == op.result.type):
            own = own_table(op, table, output, known.demand, self.to, chip)
        if own is None:
            place = self.values.destination(op.result, chip)
            self.values.define(op.result, emit_scatter(table, numbers, updates, self.to, place, chip))
            return
        known.demand_met = True
        if output is not None:
            output.built = True
        self.values.define(op.result, emit_scatter(own, numbers, updates, self.to, None, chip))

    def _transfer(self, op: c2c.TransferOp) -> None:
        (tensor,) = self.values.operands(op)
        source, target = op.source.value.data, op.target.value.data
        view = self.to.in_rows(tensor, source)
        to = self.values.destination(op.result, target)
        if (view.offset, view.strides, view.tile_stride) != (to.view.offset, to.view.strides, to.view.tile_stride):
            raise Unsupported("moves a part of a tensor to another chip; write it to a tensor of its own first")
        moved = to.make(WHOLE)
        words = AccessPattern.run(0, to.layout.depth)
        for byte in range(element_bytes(tensor.element)):
            stream = self.to.read(view.buffer, words, source, byte=byte)
            transfer = c2c.TransferOp(stream, source, target)
            self.to.write(self.to.add(transfer), moved.buffer, words, target, byte)
        result = Tensor(tensor.shape, tensor.element, moved)
        set_padding(result, padding_of(tensor, self.to), self.to)
        self.values.define(op.result, result)

    def _return(self) -> None:
        for value, output in self.values.returned:
            if output.built:
                continue
            tensor, chip = self.values.stored(value, 0), 0
            if isinstance(tensor.source, Stored):
                chip = cast(ts.BufferOp, tensor.source.buffer.owner).chip_number
            type_ = TensorType(tensor.element, tensor.shape)
            move(tensor, self.to, self.values.in_output(output, type_, rows_layout(type_, self.chip), chip), chip)
