"""Runs the stream level in numpy: streams are whole runs of vectors, buffers are blocks of words; there is no time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects import func
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.ir import Operation, SSAValue

from ..dialects import c2c
from ..dialects import tsp_stream as ts
from ..dialects.elements import numpy_of
from ..dialects.errors import InputError, MalformedProgram, UnsupportedModel
from ..dialects.literals import dense_value
from ..dialects.locations import describe
from ..dialects.machine.layout import Bytes
from ..dialects.machine.target import ChipSpec
from ..dialects.semantics.products import accumulated, passes
from ..dialects.semantics.regions import evaluate
from ..dialects.target_attr import target_of
from . import lane_moves
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
                if op.output_name is not None:
                    outputs.append(op)
            elif isinstance(op, ts.WriteOp | ts.ScatterOp):
                self._write(op)
            elif not isinstance(op, func.ReturnOp):
                self.values[op.results[0]] = self._evaluate(op)
        return {cast(str, op.output_name): self._output(op) for op in outputs}

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

    def _write(self, op: ts.WriteOp | ts.ScatterOp) -> None:
        block, words, lanes = self._slices(op), self._words(op), np.arange(self.chip.lanes)
        planes = byte_planes(self.values[op.stream])
        if isinstance(op, ts.WriteOp) and len(np.unique(words)) == len(words):
            block[:, words, lanes] = planes
            return
        for vector in range(len(words)):  # one after the other: of several for one word the last stays
            block[:, words[vector], lanes] = planes[:, vector]

    def _read(self, op: ts.ReadOp | ts.GatherOp) -> Array:
        shape, dtype = op.stream.type.shape, np.dtype(numpy_of(op.stream.type.element_type))
        words = self._slices(op)[:, self._words(op), np.arange(self.chip.lanes)]
        planes = words.reshape(-1, dtype.itemsize, shape[0], shape[-1]).transpose(2, 0, 3, 1)
        return np.ascontiguousarray(planes).view(dtype.newbyteorder("<")).astype(dtype).reshape(shape)

    def _slices(self, op: ts.AccessOp) -> Bytes:
        """The words [slices, depth, lanes] of the slices that an op touches."""
        block = self.blocks[op.buffer]
        return block if op.byte is None else block[op.byte.value.data :][:1]

    def _words(self, op: ts.AccessOp) -> npt.NDArray[np.int64]:
        """The word of every lane [vectors, 1], or [vectors, lanes] where a map names those of the tiles."""
        words = op.words.data.words()[:, None]
        if not isinstance(op, ts.GatherOp | ts.ScatterOp):
            return words
        low, high = self.values[op.map].view(np.uint8).reshape(len(words), self.chip.tiles, -1)[..., :2].T.astype(int)
        words = (words + (low + 256 * high).T) % self.chip.words
        depth = self.blocks[op.buffer].shape[1]
        if (outside := words >= depth).any():
            vector, tile = np.argwhere(outside)[0]
            raise InputError(
                f"{describe(op)}: the map's vector {vector} names word {words[vector, tile]} for tile {tile}, but the "
                f"buffer has 0..{depth - 1}"
            )
        return words.repeat(self.chip.lanes_per_tile, axis=1)

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
            case ts.ReadOp() | ts.GatherOp():
                return self._read(op)
            case ts.LaneOp():
                return self._move_lanes(op)
            case ts.PartOp():
                return np.ascontiguousarray(self.values[op.vectors][:, op.index.value.data])
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

    def _move_lanes(self, op: ts.LaneOp) -> Array:
        operands: list[Any] = [
            v.view(np.uint16 if v.dtype == np.int16 else np.uint8) for v in map(self.values.__getitem__, op.operands)
        ]
        match op:
            case ts.ShiftOp():
                moved = lane_moves.shift(operands[0], op.count.value.data, op.way.data == "down")
            case ts.LaneSelectOp():
                moved = lane_moves.lane_select(*operands)
            case ts.PermuteOp():
                moved = lane_moves.permute(*operands)
            case ts.DistributeOp():
                moved = lane_moves.distribute(operands[0], operands[1], self.chip.lanes_per_tile)
            case ts.RotateOp():
                moved = lane_moves.rotate(operands[0], self.chip.lanes_per_tile)
            case _:
                moved = lane_moves.transpose(*operands)
        return moved.view(np.int8)


def byte_planes(value: Array) -> Bytes:
    """A stream's value [vectors, ..., lanes] as the words [streams side by side, vectors, lanes]: vector by vector, the
    bytes of an element lowest first."""
    vectors, lanes, size = value.shape[0], value.shape[-1], value.dtype.itemsize
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).view(np.uint8)
    return little.reshape(vectors, -1, lanes, size).transpose(1, 3, 0, 2).reshape(-1, vectors, lanes)
