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
from ...dialects.layout import AccessPattern, Layout, tiles
from ...dialects.locations import describe
from ...dialects.semantics.arithmetic import Array
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from ...dialects.tsp_isa import ProgramOp
from ...dialects.tsp_tensor.types import shape_of
from ...dialects.verify import name_problems
from ..stream.alu_levels import alus_of
from .alu_regions import UnsupportedRegion, alu_region
from .apart import Apart, emit_joined, joins, settled, split, sums_apart
from .buffers import WHOLE, Buffers, Destination, Output, Part, Unsupported, named_tensor, rows_layout
from .contraction import emit_product
from .demand import FEW_ROWS, MOST_COPIES, Demand, demands, side_by_side
from .elementwise import emit_map, move, parts_of
from .fusing import element_of_value, in_order, is_product, keeps_columns, only_map
from .indexed import emit_gather, emit_scatter, own_table
from .joining import emit_concat, emit_pad
from .lanes import reshaped, sliced, spread, transposed
from .lanes_reduce import reduce_columns
from .padding import emit_masked, harmless, mapped, mask_result, padding_of, set_padding
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
from .views import Named, Stored, Tensor, indices


@dataclass(frozen=True)
class ConvertTensorToStreamPass(ModulePass):
    """Lowers tsp_tensor functions to tsp_stream; all problems of a module are reported at once."""

    name = "convert-tensor-to-stream"

    copies: int | None = None
    """Copies of a computed tensor at most, for units that read it at once; None for as many as they want."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        check_sizes(op)
        if any(isinstance(p, ProgramOp) for p in op.ops):
            return
        problems = function_problems(op)
        problems += (unnamed := name_problems(op))
        for function in functions_of(op)[:1]:
            if len(function.body.blocks) == 1 and not unnamed and not is_lowered(function):
                problems += Converter(function, self.copies).run()
        if problems:
            raise UnsupportedModel("\n".join(problems))


def is_lowered(function: func.FuncOp) -> bool:
    """Whether a function is at the stream level already, all of it."""
    ops = list(function.walk())
    tensor_ops = any(op.dialect_name() == tsp_tensor.TSP_TENSOR.name for op in ops)
    return not tensor_ops and any(isinstance(op, ts.StreamOp) for op in ops)


class Converter:
    """Lowers one function."""

    def __init__(self, function: func.FuncOp, copies: int | None = None):
        self.function, self.copies = function, copies
        self.chip: ChipSpec = target_of(function).chip
        self.problems: list[str] = []
        self.values: dict[SSAValue, Tensor] = {}
        self.pending: dict[SSAValue, Product] = {}
        """Products whose sums go straight into the map that uses them."""
        self.apart: dict[SSAValue, Apart] = {}
        """Values whose rows lie in columns of words that are not their own."""
        self.built_outputs: set[str] = set()
        self.outputs: dict[SSAValue, Output] = {}
        self.demands_met: set[SSAValue] = set()
        """The values that lie as their users want them: all that are computed, but none that only views another."""
        self.to = Buffers(self.chip, function)

    def run(self) -> list[str]:
        """Replaces the function's body. Returns the problems, in which case the function is left as it was."""
        body = self.function.body.block
        self._bind_arguments(body)
        outputs = self._outputs(body)
        for value, output in outputs:
            self.outputs.setdefault(_origin(value), output)
        self.demands = demands(body, self.chip, self.copies)
        for op in body.ops:
            self.to.at = op
            try:
                self._lower(op, outputs)
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
        for tensor in [self.values[argument] for argument in self.function.body.block.args]:
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
                self.values[argument] = named_tensor("input", name, type_)
            except Unsupported as e:
                self.problems.append(f"{describe(self.function)}: argument `{name}`: {e}")

    def _outputs(self, body: Block) -> list[tuple[SSAValue, Output]]:
        last = body.last_op
        operands = last.operands if isinstance(last, func.ReturnOp) else ()
        names = tsp_tensor.tensor_names(self.function.res_attrs, len(operands), "result")
        if not operands:
            self.problems.append(f"{describe(self.function)}: the function returns nothing; return what it computes")
        return [
            (v, Output(name, cast("TensorType[Attribute]", v.type))) for v, name in zip(operands, names, strict=True)
        ]

    # -- ops ---------------------------------------------------------------------------------------------------

    def _lower(self, op: Operation, outputs: list[tuple[SSAValue, Output]]) -> None:
        known = [v in self.values or v in self.pending or v in self.apart for v in op.operands]
        if not all(known) or self._lies_apart(op):
            return  # a producer is among the problems already; or nothing has to be moved
        for value in [v for v in op.operands if v in self.apart and v not in self.values]:
            copies = self.demands.get(value, Demand()).copies
            self.values[value] = settled(self.apart[value], self.to, copies, _chip(op))
        match op:
            case tsp_tensor.ParameterOp():
                self.values[op.result] = named_tensor("parameter", op.tensor_name.data, op.result.type)
            case tsp_tensor.ConstantOp():
                self.values[op.result] = named_tensor("constant", "", op.result.type, op.value)
            case tsp_tensor.ReshapeOp():
                self.values[op.result] = self._reshape(op)
            case tsp_tensor.MatmulOp():
                self._matmul(op)
            case tsp_tensor.ConvOp():
                self._product(op, conv_product(op, self._padded(op), self.values[op.weights], self.to, _chip(op)))
            case tsp_tensor.PoolOp() if is_product(op):
                self._product(op, window_sum(self._padded(op), op.window, self.to, _chip(op)))
            case tsp_tensor.ReduceOp() if is_product(op):
                axes = op.axes.get_values()
                self._product(op, axes_sum(self.values[op.input], axes, self.to, _chip(op)))
            case tsp_tensor.ReduceOp():
                tensor, axes, to = self.values[op.input], op.axes.get_values(), self._destination(op.result, _chip(op))
                emit = emit_reduce if keeps_columns(op) else reduce_columns
                self.values[op.result] = emit(op.kind.data, tensor, axes, self.to, to, _chip(op))
            case tsp_tensor.PoolOp() if in_order(op):
                tensor, to = self.values[op.input], self._destination(op.result, _chip(op))
                self.values[op.result] = emit_window_sum(tensor, op.window, self.to, to, _chip(op))
            case tsp_tensor.PoolOp():
                self.values[op.result] = emit_pool(op, self.values[op.input], self.to, self._destination, _chip(op))
            case tsp_tensor.ConcatOp():
                tensors, to = [self.values[v] for v in op.inputs], self._destination(op.result, _chip(op))
                self.values[op.result] = emit_concat(tensors, op.dim.value.data, self.to, to, _chip(op))
            case tsp_tensor.PadOp():
                to = self._destination(op.result, _chip(op))
                self.values[op.result] = emit_pad(op, self.values[op.input], self.to, to, _chip(op))
            case tsp_tensor.TransposeOp():
                self.values[op.result] = self._transpose(op)
            case tsp_tensor.SliceOp():
                self.values[op.result] = self._slice(op)
            case tsp_tensor.MapOp():
                self._map(op)
            case c2c.TransferOp():
                self._transfer(op)
            case func.ReturnOp():
                self._return(outputs)
            case tsp_tensor.GatherOp():
                table, rows_, to = (
                    self.values[op.table],
                    self.values[op.indices],
                    self._destination(op.result, _chip(op)),
                )
                self.values[op.result] = emit_gather(table, rows_, self.to, to, _chip(op))
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
        match op:
            case tsp_tensor.ReshapeOp() if op.input in self.apart:
                joint = joins(self.apart[op.input], shape_of(op.result), self.chip.lanes)
                if joint:
                    to = self._destination(op.result, _chip(op))
                    self.values[op.result] = emit_joined(self.apart[op.input], self.to, to, _chip(op))
                return joint
            case tsp_tensor.ReshapeOp() if any(not isinstance(u.operation, func.ReturnOp) for u in op.result.uses):
                found = split(self.values[op.input], shape_of(op.result), self.chip.lanes)
            case tsp_tensor.TransposeOp() if op.input in self.apart:
                found = self.apart[op.input].transposed(op.permutation.get_values())
            case tsp_tensor.SliceOp() if op.input in self.apart:
                part = op.offsets.get_values(), op.strides.get_values(), shape_of(op.result)
                found = self.apart[op.input].sliced(*part)
            case tsp_tensor.MatmulOp() if op.rhs in self.apart and op.lhs in self.values:
                lhs, consumer = self._activations(op.lhs, _chip(op)), only_map(op)
                product = apart_product(op, lhs, self.apart[op.rhs], self.to, _chip(op))
                alone = consumer is not None and len({*consumer.inputs}) == 1 and _chip(consumer) == _chip(op)
                if product is None or not alone or consumer is None or consumer.result in self.outputs:
                    return False
                self.pending[op.result] = product
                return True
            case _:
                return False
        if found is not None:
            self.apart[op.results[0]] = found
        return found is not None

    def _reshape(self, op: tsp_tensor.ReshapeOp) -> Tensor:
        tensor, to = self.values[op.input], op.result.type.get_shape()
        if isinstance(tensor.source, Named):
            if tensor.source.plain:
                return Tensor(to, tensor.element, tensor.source.reshaped(to))
            tensor = Tensor(tensor.shape, tensor.element, self.to.in_rows(tensor, _chip(op)))
            assert isinstance(tensor.source, Stored)
        view = tensor.source.reshaped(tensor.shape, to)
        if view is None and all(isinstance(use.operation, func.ReturnOp) for use in op.result.uses):
            return tensor  # the host reads the elements in their order
        if view is None:
            return reshaped(tensor, self.to, self._destination(op.result, _chip(op)), _chip(op))
        return Tensor(to, tensor.element, view)

    def _transpose(self, op: tsp_tensor.TransposeOp) -> Tensor:
        tensor, permutation = self.values[op.input], op.permutation.get_values()
        view = tensor.source.transposed(permutation)
        if view is None:
            return transposed(tensor, permutation, self.to, self._destination(op.result, _chip(op)), _chip(op))
        return Tensor(op.result.type.get_shape(), tensor.element, view)

    def _slice(self, op: tsp_tensor.SliceOp) -> Tensor:
        tensor, offsets, strides = self.values[op.input], op.offsets.get_values(), op.strides.get_values()
        if isinstance(tensor.source, Named):
            view = tensor.source.sliced(offsets, strides, op.sizes.get_values())
        else:
            view = tensor.source.sliced(offsets, strides, self.chip.lanes)
        if view is None:
            return sliced(tensor, offsets, strides, self.to, self._destination(op.result, _chip(op)), _chip(op))
        return Tensor(op.result.type.get_shape(), tensor.element, view)

    def _activations(self, value: SSAValue, chip: int) -> Tensor:
        """A value that meets weights, without numbers beyond its last column that would matter."""
        tensor = self.values[value]
        if not harmless(tensor, self.to):
            type_, demand = cast("TensorType[Attribute]", value.type), self.demands[value]
            layout = rows_layout(type_, self.chip, demand.pads)
            place = Destination(self.to, "scratch", "", type_, layout, chip, demand.copies)
            self.values[value] = tensor = emit_masked(tensor, self.to, place, chip)
            self.demands_met.add(value)
        return tensor

    def _padded(self, op: tsp_tensor.ConvOp | tsp_tensor.PoolOp) -> Tensor:
        """The images of a convolution, with room for its padding around them."""
        tensor = self._activations(op.input, _chip(op))
        if isinstance(tensor.source, Named) or not any(op.window.pads) or op.input in self.demands_met:
            return tensor
        top, left, bottom, right = op.window.pads
        type_ = cast("TensorType[Attribute]", op.input.type)
        layout = rows_layout(type_, self.chip, ((0, 0), (top, bottom), (left, right)))
        copies = self.demands[op.input].copies
        return move(tensor, self.to, Destination(self.to, "scratch", "", type_, layout, _chip(op), copies), _chip(op))

    def _matmul(self, op: tsp_tensor.MatmulOp) -> None:
        """A product by one matrix, or, matrix by matrix, by many."""
        lhs, rhs, chip = self._activations(op.lhs, _chip(op)), self.values[op.rhs], _chip(op)
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
        to = self._destination(op.result, chip)
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
        self.values[op.result] = Tensor(shape, type_.element_type, result)

    def _product(self, op: Operation, product: Product) -> None:
        """Emits a product, or leaves it to the map that alone uses it."""
        value = op.results[0]
        consumer = only_map(op)
        if consumer is not None and not product.swapped and _chip(consumer) == product.chip:
            columns = shape_of(consumer.result)[-1]
            if product.repeated and columns <= self.chip.lanes:
                product = replace(product, columns=columns)
            if (*product.stack, *product.space, product.columns) == shape_of(consumer.result):
                self.pending[value] = product
                return
        to = self._destination(value, product.chip, product.swapped)
        self.values[value] = emit_product(product, self.to, to, None)

    def _map(self, op: tsp_tensor.MapOp) -> None:
        chip = _chip(op)
        distinct = list(dict.fromkeys(op.inputs))  # operands that are one value share an argument
        region = alu_region(op, [distinct.index(v) for v in op.inputs])
        shape = op.result.type.get_shape()
        columns = shape[-1] if shape else 1
        product = next((self.pending[v] for v in distinct if v in self.pending), None)
        copies = side_by_side(prod(shape[:-1])) if product is None else 1
        operands = [None if v in self.pending else self._wide(self.values[v], columns, copies, chip) for v in distinct]
        if product is not None and not self._in_step(product, operands, columns):
            where, type_ = (
                operands.index(None),
                cast("TensorType[Attribute]", next(filter(self.pending.get, distinct)).type),
            )
            place = Destination(self.to, "scratch", "", type_, rows_layout(type_, self.chip), chip)
            operands[where], product = emit_product(product, self.to, place, None), None
        placed = [t for t in operands if t is not None]
        padding = mapped(region, placed, self.to) if product is None else None
        if self._wants_zeros(op.result, padding) and alus_of(region) < self.chip.alus:
            operands.append(mask_result(region, columns))
            placed, padding = [*placed, cast(Tensor, operands[-1])], np.zeros((), np.float16)
        to = self._destination(op.result, chip)
        if product is not None and product.apart is not None:
            to = replace(to, copies=1)
        if product is not None:
            self.values[op.result] = emit_product(product, self.to, to, Epilogue(region, tuple(operands)))
        else:
            self.values[op.result] = emit_map(region, placed, self.to, to, chip)
        set_padding(self.values[op.result], padding, self.to)
        if product is not None and product.apart is not None:
            self.apart[op.result] = sums_apart(self.values.pop(op.result), product.apart[1])

    def _in_step(self, product: Product, operands: Sequence[Tensor | None], columns: int) -> bool:
        """Whether the operands of a map show themselves to the tiles of a product in equal steps."""
        others = [t for t in operands if t is not None]
        return all(product.rows_of(self.to.operand_view(t, columns), t.shape) for t in others)

    def _wants_zeros(self, value: SSAValue, padding: Array | None) -> bool:
        """Whether a map's result meets weights and has numbers beyond its last column that would matter there."""
        type_ = cast("TensorType[Attribute]", value.type)
        meets = self.demands.get(value, Demand()).meets_weights and isinstance(type_.element_type, Float16Type)
        partial = bool(type_.get_shape()) and type_.get_shape()[-1] % self.chip.lanes != 0
        return meets and partial and (padding is None or not np.isfinite(padding))

    def _wide(self, tensor: Tensor, columns: int, copies: int, chip: int) -> Tensor:
        """An operand of a map of `columns` columns; a computed one of one column in all lanes."""
        if isinstance(tensor.source, Named) or tensor.columns != 1 or columns == 1:
            return tensor
        return spread(tensor, columns, self.to, chip, copies)

    def _scatter(self, op: tsp_tensor.ScatterOp) -> None:
        (table, indices, updates), chip = (self.values[v] for v in op.operands), _chip(op)
        output, own = self.outputs.get(op.result), None
        if output is None or (output.name not in self.built_outputs and output.type == op.result.type):
            own = own_table(op, table, output, self.demands.get(op.result, Demand()), self.to, chip)
        if own is None:
            place = self._destination(op.result, chip)
            self.values[op.result] = emit_scatter(table, indices, updates, self.to, place, chip)
            return
        self.demands_met.add(op.result)
        if output is not None:
            self.built_outputs.add(output.name)
        self.values[op.result] = emit_scatter(own, indices, updates, self.to, None, chip)

    def _transfer(self, op: c2c.TransferOp) -> None:
        tensor = self.values[op.input]
        source, target = op.source.value.data, op.target.value.data
        view = self.to.in_rows(tensor, source)
        to = self._destination(op.result, target)
        if (view.offset, view.strides, view.tile_stride) != (to.view.offset, to.view.strides, to.view.tile_stride):
            raise Unsupported("moves a part of a tensor to another chip; write it to a tensor of its own first")
        moved = to.make(WHOLE)
        words = AccessPattern.run(0, to.layout.depth)
        for byte in range(element_bytes(tensor.element)):
            stream = self.to.read(view.buffer, words, source, byte=byte)
            transfer = c2c.TransferOp(stream, source, target)
            self.to.write(self.to.add(transfer), moved.buffer, words, target, byte)
        self.values[op.result] = Tensor(tensor.shape, tensor.element, moved)
        set_padding(self.values[op.result], padding_of(tensor, self.to), self.to)

    def _return(self, outputs: list[tuple[SSAValue, Output]]) -> None:
        for value, output in outputs:
            tensor = self.values.get(value)
            if tensor is None or output.name in self.built_outputs:
                continue
            chip = 0
            if isinstance(tensor.source, Stored):
                chip = cast(ts.BufferOp, tensor.source.buffer.owner).chip_number
            type_ = TensorType(tensor.element, tensor.shape)
            move(tensor, self.to, self._output(output, type_, rows_layout(type_, self.chip), chip), chip)

    # -- results -----------------------------------------------------------------------------------------------

    def _destination(self, value: SSAValue, chip: int, swapped: bool = False) -> Destination:
        """Where a computed value will lie: in an output's own buffer, where it is one."""
        type_ = cast("TensorType[Attribute]", value.type)
        demand = self.demands.get(value, Demand())
        self.demands_met.add(value)
        layout = rows_layout(type_, self.chip, demand.pads, swapped)
        # each plane may write a group of slices of its own, and what is deep takes several: all of them take half a
        # hemisphere at most
        groups = self.chip.planes - 1 + tiles(layout.depth, self.chip.words)
        copies = max(1, min(demand.copies, self.chip.slices // (2 * layout.width * groups)))
        output = self.outputs.get(value)
        if output is not None and output.name not in self.built_outputs:
            return self._output(output, type_, layout, chip, copies)
        return Destination(self.to, "scratch", "", type_, layout, chip, copies)

    def _output(
        self, output: Output, type_: TensorType[Attribute], layout: Layout, chip: int, copies: int = 1
    ) -> Destination:
        self.built_outputs.add(output.name)
        return Destination(self.to, "output", output.name, type_, layout, chip, copies, output.type)


def _origin(value: SSAValue) -> SSAValue:
    """The value that a chain of reshapes renames."""
    while isinstance(value.owner, tsp_tensor.ReshapeOp):
        value = value.owner.input
    return value


def _chip(op: Operation) -> int:
    return c2c.chip_of(op) or 0
