"""Runs the stream level in numpy: streams are whole runs of vectors, buffers are blocks of words; there is no time."""

from __future__ import annotations

from typing import cast

import numpy as np
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from ..dialects import c2c
from ..dialects import tsp_stream as ts
from ..dialects.elements import numpy_of
from ..dialects.errors import MalformedProgram, UnsupportedModel
from ..dialects.layout import Bytes
from ..dialects.locations import describe
from ..dialects.semantics.products import accumulated, passes
from ..dialects.semantics.regions import evaluate
from ..dialects.semantics.tensor import dense_value
from ..dialects.target import ChipSpec
from ..dialects.target_attr import target_of
from .interface import Array, Tensors, function_of


def run_stream(module: ModuleOp, inputs: Tensors, weights: Tensors) -> dict[str, Array]:
    """The outputs by name, for checked inputs and weights by name."""
    return _Run(target_of(module).chip, inputs, weights).run(module)


class _Run:
    """The state of a run: the block of every buffer, and the value of every stream."""

    def __init__(self, chip: ChipSpec, inputs: Tensors, weights: Tensors):
        self.chip, self.inputs, self.weights = chip, inputs, weights
        self.blocks: dict[SSAValue, Bytes] = {}
        self.values: dict[SSAValue, Array] = {}

    def run(self, module: ModuleOp) -> dict[str, Array]:
        outputs: list[ts.BufferOp] = []
        for op in function_of(module).body.block.ops:
            if isinstance(op, ts.BufferOp):
                self.blocks[op.buffer] = self._block(op)
                if op.kind.data == "output":
                    outputs.append(op)
            elif isinstance(op, ts.WriteOp):
                self._write(op)
            elif not isinstance(op, func.ReturnOp):
                self.values[op.results[0]] = self._evaluate(op)
        return {cast(str, op.tensor_name and op.tensor_name.data): self._output(op) for op in outputs}

    def _block(self, op: ts.BufferOp) -> Bytes:
        """The initial words of a buffer; what nothing has written is zero."""
        type_, name = op.type, op.tensor_name.data if op.tensor_name else ""
        if not name and op.kind.data in ("input", "output", "parameter"):
            raise MalformedProgram(f"{describe(op)}: a buffer of kind {op.kind.data} needs a name")
        match op.kind.data:
            case "input":
                value = self.inputs[name]
            case "parameter":
                value = self.weights[name]
            case "constant":
                value = dense_value(cast(DenseIntOrFPElementsAttr, op.value))
            case _:
                return np.zeros((type_.layout.width, type_.layout.depth, self.chip.lanes), np.uint8)
        return type_.layout.pack(value.reshape(type_.shape), self.chip.lanes)

    def _output(self, op: ts.BufferOp) -> Array:
        type_ = op.type
        tensor = type_.layout.unpack(self.blocks[op.buffer], type_.shape, numpy_of(type_.tensor.element_type))
        return tensor.reshape(op.host_type.get_shape())

    def _write(self, op: ts.WriteOp) -> None:
        block = self.blocks[op.buffer]
        value = self.values[op.stream]
        planes = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).view(np.uint8)
        planes = planes.reshape(*value.shape, value.dtype.itemsize)
        slices = range(value.dtype.itemsize) if op.byte is None else [op.byte.value.data]
        for i, s in enumerate(slices):
            block[s, op.words.data.words()] = planes[..., i]

    def _read(self, op: ts.ReadOp) -> Array:
        stream = op.stream.type
        block = self.blocks[op.buffer]
        if op.byte is not None:
            block = block[op.byte.value.data :][:1]
        words = block[:, op.words.data.words()]
        dtype = np.dtype(numpy_of(stream.element_type))
        if len(stream.shape) == 3:  # vectors side by side, a byte each
            return words.transpose(1, 0, 2).view(dtype)
        planes = np.ascontiguousarray(words.transpose(1, 2, 0))
        return planes.view(dtype.newbyteorder("<"))[..., 0].astype(dtype)

    def _multiply(self, op: ts.MatmulOp) -> Array:
        weights = np.broadcast_to(self.values[op.weights], (op.passes, self.chip.lanes, self.chip.lanes))
        vectors = self.values[op.activations].reshape(op.passes, -1, self.chip.lanes)
        return accumulated(
            sums
            for one, stationary in zip(vectors, weights, strict=True)
            for sums in passes(one, stationary, self.chip.lanes)
        )

    def _evaluate(self, op: Operation) -> Array:
        match op:
            case ts.ReadOp():
                return self._read(op)
            case ts.LoadWeightsOp():
                passes, rows, _ = op.weights.type.shape
                planes = self.values[op.stream].view(np.uint8).reshape(passes, op.bytes, rows, self.chip.lanes)
                dtype = np.dtype(numpy_of(op.weights.type.element_type)).newbyteorder("<")
                elements = np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).view(dtype)[..., 0]
                weights = np.zeros((passes, self.chip.lanes, self.chip.lanes), dtype)
                weights[:, :rows] = elements
                return weights
            case ts.MatmulOp():
                return self._multiply(op)
            case ts.VxmOp():
                shape = op.stream.type.shape
                value = evaluate(op.body.block, [self.values[v] for v in op.inputs])
                return np.ascontiguousarray(np.broadcast_to(value, shape))
            case ts.SendOp() | ts.ReceiveOp() | c2c.TransferOp():
                return self.values[op.operands[0]]
            case _:
                raise UnsupportedModel(f"{describe(op)}: cannot be run at the stream level")
