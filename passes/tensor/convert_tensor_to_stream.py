"""convert-tensor-to-stream: from values to buffers and the streams between them.

Every computed tensor goes to SRAM once; a map that alone uses a matmul takes the sums as they leave the array. What is
wider than a plane is cut into tiles, sums over several tiles of K rest in the accumulators, so such products are
also cut into runs of no more rows than there are accumulators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    FunctionType,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    TensorType,
    i32,
    i64,
)
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue
from xdsl.passes import ModulePass

from ...dialects import c2c, tsp_tensor
from ...dialects import tsp_stream as ts
from ...dialects.elements import element_bytes
from ...dialects.errors import UnsupportedModel
from ...dialects.layout import AccessPattern, Layout, rows_and_columns, tiles, weight_groups
from ...dialects.locations import describe, located
from ...dialects.target import ChipSpec
from ...dialects.target_attr import target_of
from ...dialects.tsp_isa import ProgramOp
from .alu_regions import UnsupportedRegion, alu_region
from .sizes import check_sizes


@dataclass(frozen=True)
class ConvertTensorToStreamPass(ModulePass):
    """Lowers tsp_tensor functions to tsp_stream; all problems of a module are reported at once."""

    name = "convert-tensor-to-stream"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        check_sizes(op)
        functions = [f for f in op.ops if isinstance(f, func.FuncOp)]
        problems: list[str] = []
        if not functions and not any(isinstance(p, ProgramOp) for p in op.ops):
            problems.append("the module has no function to compile; write one as func.func @main")
        if len(functions) > 1:
            problems += [
                f"{describe(f)}: a program is one function; inline or remove the others" for f in functions[1:]
            ]
        for function in functions[:1]:
            if not is_lowered(function):
                problems += Converter(function).run()
        if problems:
            raise UnsupportedModel("\n".join(problems))


def is_lowered(function: func.FuncOp) -> bool:
    """Whether a function is at the stream level already, all of it."""
    ops = list(function.walk())
    tensor_ops = any(op.dialect_name() == tsp_tensor.TSP_TENSOR.name for op in ops)
    return not tensor_ops and any(isinstance(op, ts.StreamOp) for op in ops)


class Unsupported(Exception):
    """Why an op has no lowering, and what to do."""


@dataclass(frozen=True)
class Named:
    """A tensor that the host places: an input, a parameter or a constant. It becomes a buffer where it is used."""

    kind: str
    name: str
    host: TensorType[Attribute]
    value: Attribute | None = None


@dataclass(frozen=True)
class Stored:
    """A computed tensor in a buffer, in rows."""

    buffer: SSAValue


@dataclass(frozen=True)
class Pending:
    """A product whose sums go straight into the map that uses it."""

    op: tsp_tensor.MatmulOp


@dataclass(frozen=True)
class Tensor:
    """A tensor value under its current shape."""

    type: TensorType[Attribute]
    source: Named | Stored | Pending

    @property
    def rows(self) -> int:
        return rows_and_columns(self.type.get_shape())[0]

    @property
    def columns(self) -> int:
        return rows_and_columns(self.type.get_shape())[1]


@dataclass(frozen=True)
class Output:
    """What a computed value is to the host."""

    name: str
    type: TensorType[Attribute]


class Converter:
    """Lowers one function."""

    def __init__(self, function: func.FuncOp):
        self.function = function
        self.system = target_of(function)
        self.chip: ChipSpec = self.system.chip
        self.problems: list[str] = []
        self.values: dict[SSAValue, Tensor] = {}
        self.buffers: dict[tuple[Named, tuple[int, ...], Layout, int, int], SSAValue] = {}
        """The buffers of named tensors, by tensor, shape, layout, chip and number of the copy."""
        self.copies: dict[tuple[SSAValue, int], SSAValue] = {}
        """The copies of computed tensors, by buffer and number of the copy."""
        self.block = Block()
        self.at: Operation = function
        """The op that is being lowered: the source of locations."""

    def run(self) -> list[str]:
        """Replaces the function's body. Returns the problems, in which case the function is left as it was."""
        if len(self.function.body.blocks) != 1:
            return [
                f"{describe(self.function)}: has {len(self.function.body.blocks)} blocks; write straight code in one"
            ]
        body = self.function.body.block
        self._bind_arguments(body)
        outputs = self._outputs(body)
        self.built_outputs: set[str] = set()
        self.outputs: dict[SSAValue, Output] = {}
        for value, output in outputs:
            self.outputs.setdefault(self._origin(value), output)
        for op in body.ops:
            self.at = op
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
        used = {key[0] for key in self.buffers}
        for tensor in [self.values[argument] for argument in self.function.body.block.args]:
            if tensor.source not in used:
                self._buffer(tensor, Layout.ROWS, 0)

    def _replace_body(self) -> None:
        self.add(func.ReturnOp())
        function = func.FuncOp(self.function.sym_name.data, FunctionType.from_lists([], []), Region(self.block))
        function.location = self.function.location
        parent = self.function.parent_block()
        assert parent is not None
        parent.insert_op_after(function, self.function)
        self.function.detach()
        self.function.erase(safe_erase=False)

    def add(self, op: Operation) -> SSAValue:
        """Appends an op at the current location and gives its result, if it has one."""
        self.block.add_op(located(op, self.at))
        return op.results[0] if op.results else cast(SSAValue, None)

    # -- inputs and outputs ------------------------------------------------------------------------------------

    def _bind_arguments(self, body: Block) -> None:
        names = tsp_tensor.tensor_names(self.function.arg_attrs, len(body.args), "arg")
        for argument, name in zip(body.args, names, strict=True):
            type_ = cast("TensorType[Attribute]", argument.type)
            try:
                if not isinstance(argument.type, TensorType):
                    raise Unsupported(f"is {argument.type}, not a tensor")
                _check_element(type_)
                self.values[argument] = Tensor(type_, Named("input", name, type_))
            except Unsupported as e:
                self.problems.append(f"{describe(self.function)}: argument `{name}`: {e}")
        self._check_names(names, "input")

    def _outputs(self, body: Block) -> list[tuple[SSAValue, Output]]:
        last = body.last_op
        operands = last.operands if isinstance(last, func.ReturnOp) else ()
        names = tsp_tensor.tensor_names(self.function.res_attrs, len(operands), "result")
        self._check_names(names, "output")
        if not operands:
            self.problems.append(f"{describe(self.function)}: the function returns nothing; return what it computes")
        return [
            (v, Output(name, cast("TensorType[Attribute]", v.type))) for v, name in zip(operands, names, strict=True)
        ]

    def _check_names(self, names: Sequence[str], kind: str) -> None:
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.problems.append(
                f"{describe(self.function)}: two {kind}s are named `{name}`; give each its own {tsp_tensor.NAME}"
            )

    def _origin(self, value: SSAValue) -> SSAValue:
        """The value that a chain of reshapes renames."""
        while isinstance(value.owner, tsp_tensor.ReshapeOp):
            value = value.owner.input
        return value

    # -- ops ---------------------------------------------------------------------------------------------------

    def _lower(self, op: Operation, outputs: list[tuple[SSAValue, Output]]) -> None:
        match op:
            case tsp_tensor.ParameterOp():
                type_ = op.result.type
                self.values[op.result] = Tensor(type_, Named("parameter", op.tensor_name.data, type_))
            case tsp_tensor.ConstantOp():
                type_ = op.result.type
                self.values[op.result] = Tensor(type_, Named("constant", "", type_, op.value))
            case tsp_tensor.ReshapeOp():
                self._reshape(op)
            case tsp_tensor.MatmulOp():
                self._matmul(op)
            case tsp_tensor.MapOp():
                self._map(op)
            case c2c.TransferOp():
                self._transfer(op)
            case func.ReturnOp():
                self._return(outputs)
            case _:
                raise Unsupported("has no lowering to streams; express it with tsp_tensor ops")

    def _reshape(self, op: tsp_tensor.ReshapeOp) -> None:
        tensor = self.values.get(op.input)
        if tensor is None:
            return  # its producer is among the problems already
        to = op.result.type
        moves = isinstance(tensor.source, Stored) and tensor.columns != rows_and_columns(to.get_shape())[1]
        if moves and any(not isinstance(use.operation, func.ReturnOp) for use in op.result.uses):
            raise Unsupported(
                f"reshaping the computed {tensor.type} to {to} moves elements between lanes; "
                "keep the last dimension, or reshape inputs, parameters and outputs only"
            )
        self.values[op.result] = Tensor(to, tensor.source)

    def _matmul(self, op: tsp_tensor.MatmulOp) -> None:
        if any(v not in self.values for v in op.operands):
            return
        right = self.values[op.rhs]
        if not isinstance(right.source, Named):
            raise Unsupported("its right operand is computed; the weights of a plane must be an input or a parameter")
        type_ = op.result.type
        if self._feeds_one_map(op):
            self.values[op.result] = Tensor(type_, Pending(op))
            return
        self.values[op.result] = self._store(op.result, _chip(op))
        buffer = cast(Stored, self.values[op.result].source).buffer
        for run in self._products(op):
            self._write(run.stream, buffer, AccessPattern.run(run.first_word, run.rows), run.chip)

    def _feeds_one_map(self, op: tsp_tensor.MatmulOp) -> bool:
        uses = list(op.result.uses)
        if len(uses) != 1 or not isinstance(consumer := uses[0].operation, tsp_tensor.MapOp):
            return False
        return _first_product(consumer) is op.result and _chip(consumer) == _chip(op)

    def _map(self, op: tsp_tensor.MapOp) -> None:
        if any(v not in self.values for v in op.inputs):
            return
        output = self._store(op.result, _chip(op))
        inputs, arguments = self._distinct([self.values[v] for v in op.inputs], output)
        region = alu_region(op, arguments)
        copies = self._copies(inputs, _chip(op))
        product = next((t.source.op for t in inputs if isinstance(t.source, Pending)), None)
        runs = self._products(product) if product else iter([Run(0, self._depth(output), 0, _chip(op))])
        for run in runs:
            streams = [
                run.stream if isinstance(t.source, Pending) else self._read_operand(t, copy, output, run)
                for t, copy in zip(inputs, copies, strict=True)
            ]
            vxm = ts.VxmOp.build(
                operands=[[s for s in streams if s is not None]],
                result_types=[ts.StreamType.of((run.rows, self.chip.lanes), output.type.element_type)],
                regions=[region.clone()],
                properties={"chip": IntegerAttr(run.chip, i64)},
            )
            words = AccessPattern.run(run.first_word, run.rows)
            self._write(self.add(vxm), cast(Stored, output.source).buffer, words, run.chip)
        self.values[op.result] = output

    def _distinct(self, inputs: Sequence[Tensor], output: Tensor) -> tuple[list[Tensor], list[int]]:
        """The operands of a map without those that visit the same words again, and for each operand its place there."""
        distinct: dict[tuple[Named | Stored | Pending, AccessPattern | None], Tensor] = {}
        keys = [(t.source, self._words(t, output)) for t in inputs]
        for key, tensor in zip(keys, inputs, strict=True):
            distinct.setdefault(key, tensor)
        places = list(distinct)
        return list(distinct.values()), [places.index(key) for key in keys]

    def _copies(self, inputs: Sequence[Tensor], chip: int) -> list[int]:
        """Which copy of its tensor each operand of a map reads, 0 being the tensor itself.

        Operands that meet, and the activations of the sums among them, lie apart: a slice has one queue, which can
        follow one of them.
        """

        def where(tensor: Tensor) -> tuple[Named | Stored | Pending, tuple[int, ...]]:
            return tensor.source, () if isinstance(tensor.source, Stored) else tensor.type.get_shape()

        taken = [where(self.values[t.source.op.lhs]) for t in inputs if isinstance(t.source, Pending)]
        copies: list[int] = []
        for tensor in inputs:
            copies.append(taken.count(where(tensor)))
            taken.append(where(tensor))
            if copies[-1] and isinstance(tensor.source, Stored):
                self._copy(tensor, copies[-1], chip)  # before all that reads it
        return copies

    def _transfer(self, op: c2c.TransferOp) -> None:
        if op.input not in self.values:
            return
        tensor = self.values[op.input]
        source, target = op.source.value.data, op.target.value.data
        moved = self._store(op.result, target)
        buffer = cast(Stored, moved.source).buffer
        words = AccessPattern.run(0, self._depth(tensor))
        for byte in range(element_bytes(tensor.type.element_type)):
            stream = self._read(self._buffer(tensor, Layout.ROWS, source), words, source, byte)
            transfer = c2c.TransferOp(stream, source, target)
            self._write(self.add(transfer), buffer, words, target, byte)
        self.values[op.result] = moved

    def _return(self, outputs: list[tuple[SSAValue, Output]]) -> None:
        for value, output in outputs:
            tensor = self.values.get(value)
            if tensor is None or output.name in self.built_outputs:
                continue
            chip = 0
            if isinstance(tensor.source, Stored):
                stored = cast(ts.BufferOp, tensor.source.buffer.owner)
                chip, tensor = stored.chip_number, Tensor(stored.type.tensor, tensor.source)
            words = AccessPattern.run(0, self._depth(tensor))
            source = self._read(self._buffer(tensor, Layout.ROWS, chip), words, chip)
            self._write(source, self._output_buffer(output, tensor.type, chip), words, chip)

    # -- buffers -----------------------------------------------------------------------------------------------

    def _depth(self, tensor: Tensor) -> int:
        return Layout.ROWS.depth(tensor.type.get_shape(), self.chip)

    def _store(self, value: OpResult, chip: int) -> Tensor:
        """The buffer in which a computed value will lie: an output's own, where it is one."""
        type_ = cast("TensorType[Attribute]", value.type)
        output = self.outputs.get(value)
        if output is not None and output.name not in self.built_outputs:
            buffer = self._output_buffer(output, type_, chip)
        else:
            buffer = self._add_buffer("scratch", "", type_, Layout.ROWS, chip)
        return Tensor(type_, Stored(buffer))

    def _output_buffer(self, output: Output, type_: TensorType[Attribute], chip: int) -> SSAValue:
        self.built_outputs.add(output.name)
        return self._add_buffer("output", output.name, type_, Layout.ROWS, chip, host=output.type)

    def _buffer(self, tensor: Tensor, layout: Layout, chip: int, copy: int = 0) -> SSAValue:
        """The buffer of a tensor in a layout on a chip; a named one is made on its first use, once for each `copy`."""
        if isinstance(tensor.source, Stored):
            stored = cast(ts.BufferOp, tensor.source.buffer.owner)
            if stored.chip_number != chip:
                raise Unsupported(f"takes a value of chip {stored.chip_number} on chip {chip}; run c2c-partition")
            return self._copy(tensor, copy, chip) if copy else tensor.source.buffer
        assert isinstance(tensor.source, Named)
        named = tensor.source
        key = (named, tensor.type.get_shape(), layout, chip, copy)
        if key not in self.buffers:
            value = named.value
            name = named.name or f"constant{len(self.buffers)}"
            self.buffers[key] = self._add_buffer(named.kind, name, tensor.type, layout, chip, named.host, value)
        return self.buffers[key]

    def _copy(self, tensor: Tensor, copy: int, chip: int) -> SSAValue:
        """The buffer of copy number `copy` of a computed tensor; it is made when it is first asked for."""
        original = cast(Stored, tensor.source).buffer
        if (original, copy) not in self.copies:
            stored = cast(ts.BufferType, original.type)
            words = AccessPattern.run(0, stored.layout.depth(stored.shape, self.chip))
            stream = self._read(original, words, chip)
            made = self._add_buffer("scratch", "", stored.tensor, stored.layout, chip)
            self._write(stream, made, words, chip)
            self.copies[original, copy] = made
        return self.copies[original, copy]

    def _add_buffer(
        self,
        kind: str,
        name: str,
        type_: TensorType[Attribute],
        layout: Layout,
        chip: int,
        host: TensorType[Attribute] | None = None,
        value: Attribute | None = None,
    ) -> SSAValue:
        _check_element(type_)
        properties: dict[str, Attribute | None] = {
            "kind": StringAttr(kind),
            "tensor_name": StringAttr(name) if name else None,
            "chip": IntegerAttr(chip, i64),
            "external": host if host is not None and host != type_ else None,
            "value": value,
        }
        return self.add(ts.BufferOp.build(result_types=[ts.BufferType.of(type_, layout)], properties=properties))

    # -- streams -----------------------------------------------------------------------------------------------

    def _read(self, buffer: SSAValue, words: AccessPattern, chip: int, byte: int | None = None) -> SSAValue:
        type_ = cast(ts.BufferType, buffer.type)
        element = type_.tensor.element_type if byte is None else IntegerType(8)
        side = (self.chip.weight_streams,) if type_.layout is Layout.WEIGHTS else ()
        stream = ts.StreamType.of((words.count, *side, self.chip.lanes), element)
        properties: dict[str, Attribute | None] = {
            "words": ts.PatternAttr(words.canonicalize()),
            "byte": None if byte is None else IntegerAttr(byte, i64),
            "chip": IntegerAttr(chip, i64),
        }
        return self.add(ts.ReadOp.build(operands=[buffer], result_types=[stream], properties=properties))

    def _write(
        self, stream: SSAValue | None, buffer: SSAValue, words: AccessPattern, chip: int, byte: int | None = None
    ) -> None:
        assert stream is not None
        properties: dict[str, Attribute | None] = {
            "words": ts.PatternAttr(words.canonicalize()),
            "byte": None if byte is None else IntegerAttr(byte, i64),
            "chip": IntegerAttr(chip, i64),
        }
        self.add(ts.WriteOp.build(operands=[stream, buffer], properties=properties))

    def _words(self, tensor: Tensor, result: Tensor) -> AccessPattern | None:
        """The words of a map's operand, broadcast by visiting words again; None for sums straight from the array."""
        if isinstance(tensor.source, Pending):
            return None
        words = broadcast_words(tensor.type.get_shape(), result.type.get_shape(), self.chip)
        if words is None:
            raise Unsupported(
                f"operand {tensor.type} is broadcast along the lanes of {result.type}; "
                "give it the full last dimension (a parameter or constant can be stored that way)"
            )
        return words

    def _read_operand(self, tensor: Tensor, copy: int, result: Tensor, run: Run) -> SSAValue:
        """The words of a map's operand that meet `run` of the result."""
        words = self._words(tensor, result)
        assert words is not None
        if run.rows != words.count:
            step = words.levels[0][1] if words.levels else 0
            first = run.first_word if step else run.tile * tensor.rows
            words = AccessPattern.run(first, run.rows, step)
        return self._read(self._buffer(tensor, Layout.ROWS, run.chip, copy), words, run.chip)

    def _products(self, op: tsp_tensor.MatmulOp) -> Iterator[Run]:
        """Emits a matmul, tile by tile, and gives the runs of sums as they leave the array."""
        left, right, chip = self.values[op.lhs], self.values[op.rhs], _chip(op)
        m, k = left.type.get_shape()
        n = right.type.get_shape()[1]
        k_tiles = tiles(k, self.chip)
        most = m if k_tiles == 1 else min(m, self.chip.accumulators)
        activations = self._buffer(left, Layout.ROWS, chip)
        weights = self._buffer(right, Layout.WEIGHTS, chip)
        for tile in range(tiles(n, self.chip)):
            for row in range(0, m, most):
                rows = min(most, m - row)
                sums: SSAValue | None = None
                for k_tile in range(k_tiles):
                    loaded = self._load(weights, k_tile, tile, chip)
                    vectors = self._read(activations, AccessPattern.run(k_tile * m + row, rows), chip)
                    sums = self._multiply(vectors, loaded, sums, k_tile == k_tiles - 1, chip)
                yield Run(tile * m + row, rows, tile, chip, sums)

    def _load(self, weights: SSAValue, k_tile: int, n_tile: int, chip: int) -> SSAValue:
        shape = cast(ts.BufferType, weights.type).shape
        lanes = self.chip.lanes
        rows, columns = min(lanes, shape[0] - k_tile * lanes), min(lanes, shape[1] - n_tile * lanes)
        offset = Layout.WEIGHTS.weight_offset(shape, k_tile, n_tile, self.chip)
        stream = self._read(weights, AccessPattern.run(offset, weight_groups(shape[0], k_tile, self.chip)), chip)
        properties: dict[str, Attribute | None] = {"chip": IntegerAttr(chip, i64)}
        return self.add(
            ts.LoadWeightsOp.build(
                operands=[stream],
                result_types=[ts.WeightsType.of((rows, columns), IntegerType(8))],
                properties=properties,
            )
        )

    def _multiply(self, vectors: SSAValue, weights: SSAValue, sums: SSAValue | None, emit: bool, chip: int) -> SSAValue:
        shape = cast(ts.StreamType, vectors.type).shape
        result = (ts.StreamType if emit else ts.PartialType).of(shape, i32)
        properties: dict[str, Attribute | None] = {"chip": IntegerAttr(chip, i64)}
        return self.add(
            ts.MatmulOp.build(operands=[vectors, weights, sums], result_types=[result], properties=properties)
        )


@dataclass(frozen=True)
class Run:
    """Consecutive words of a result that are computed in one go."""

    first_word: int
    rows: int
    """Vectors, one a word."""
    tile: int
    """The tile of columns."""
    chip: int
    stream: SSAValue | None = None
    """The sums of a product; None where the run is the whole of a map's result."""


def broadcast_words(shape: Sequence[int], full: Sequence[int], chip: ChipSpec) -> AccessPattern | None:
    """The words of a tensor in rows, in the order in which the words of the broadcast tensor lie.

    None where a single column meets several: lanes cannot be copied on the way.
    """
    columns, full_columns = rows_and_columns(shape)[1], rows_and_columns(full)[1]
    if columns != full_columns:
        return None
    leading, full_leading = list(shape[:-1]), list(full[:-1])
    leading = [1] * (len(full_leading) - len(leading)) + leading
    levels: list[tuple[int, int]] = []
    stride = 1
    for size, count in zip(reversed(leading), reversed(full_leading), strict=True):
        levels.append((count, stride if size == count else 0))
        stride *= size
    levels.append((tiles(columns, chip), stride))
    return AccessPattern(0, tuple(levels)).canonicalize()


def _first_product(op: tsp_tensor.MapOp) -> SSAValue | None:
    """The operand of a map that is a product of the result's own shape: the one whose sums may go straight in."""
    shape = op.result.type.get_shape()
    for value in op.inputs:
        if isinstance(value.owner, tsp_tensor.MatmulOp):
            type_ = cast("TensorType[Attribute]", value.type)
            if type_.get_shape() == shape:
                return value
    return None


def _chip(op: Operation) -> int:
    return c2c.chip_of(op) or 0


def _check_element(type_: TensorType[Attribute]) -> None:
    try:
        element_bytes(type_.element_type)
    except ValueError as e:
        raise Unsupported(str(e)) from e
    if any(d < 1 for d in type_.get_shape()):
        raise Unsupported(f"{type_} has a dynamic or empty dimension; give static shapes")
