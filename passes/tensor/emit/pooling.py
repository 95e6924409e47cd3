"""Maxima and sums of integers over windows on the ALUs: along one dimension of the images, then along the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from ....dialects import tsp_tensor
from ....dialects.machine.layout import tiles
from ....dialects.tsp_tensor.types import is_float, lowest, scalar_attr
from ..analysis.product_fusion import element_of_value
from ..analysis.requirements import pool_steps
from ..analysis.views import Rows, Shape, Stored, Tensor, rows_of
from ..analysis.window_steps import Line
from .buffers import Buffers, Destination, Part, rows_layout
from .concatenation import constant, fill
from .elementwise import Operand, emit_rows, separate_slices
from .reductions import join_region, with_copies
from .units import distribute

DestinationOf = Callable[[SSAValue, int], Destination]


def emit_pool(op: tsp_tensor.PoolOp, tensor: Tensor, to: Buffers, destination: DestinationOf, chip: int) -> Tensor:
    """Emits the maxima, or sums of integers, over a window that slides over images."""
    element, steps = element_of_value(op.result), pool_steps(op, to.policy)
    for number, (axis, line) in enumerate(steps):
        shape = (*tensor.shape[:axis], line.count, *tensor.shape[axis + 1 :])
        copies = [after.copies for _, after in steps[number + 1 : number + 2]]
        between = 1 if to.policy.tight else max(copies, default=1)
        place = _scratch(element, shape, between, to, chip) if copies else destination(op.result, chip)
        tensor = _Slider(op.kind.data, tensor, axis, to, chip).emit(line, place)
    return tensor


def _scratch(element: Attribute, shape: Shape, copies: int, to: Buffers, chip: int) -> Destination:
    type_ = TensorType(element, shape)
    return Destination(to, "scratch", "", type_, rows_layout(type_, to.chip), chip, copies)


class _Slider:
    """Emits the steps of a window along a leading dimension of a tensor.

    Padding never wins, and adds nothing: terms that lie outside are omitted, and where all do, there is the number
    that changes none.
    """

    def __init__(self, kind: str, tensor: Tensor, axis: int, to: Buffers, chip: int):
        self.kind, self.tensor, self.axis, self.to, self.chip = kind, tensor, axis, to, chip

    def emit(self, line: Line, destination: Destination) -> Tensor:
        """Emits the numbers of a line, and before them all that they are made of: where words are scarce piece by piece
        of the other dimension, since what is copied to be read several times at once then never lies there whole."""
        tensor, other = self.tensor, 3 - self.axis
        pieces = self._pieces(line)
        if pieces == 1:
            return self._emit(line, tensor, destination)
        view, shape, element = self.to.in_rows(tensor, self.chip), destination.shape, destination.type.element_type
        out = rows_of(destination.view, shape, shape[:-1])
        result = destination.make(separate_slices(out, shape[:-1], element))
        for first, end in distribute(shape[other], pieces):
            sizes = [tuple(end - first if d == other else n for d, n in enumerate(of)) for of in (tensor.shape, shape)]
            rows_, place = (replace(of, offset=of.offset + first * of.strides[other]) for of in (view, result))
            made = TensorType(element, sizes[1])
            part = Part(self.to, "scratch", "", made, destination.layout, self.chip, place=place)
            self._emit(line, Tensor(sizes[0], tensor.element, rows_), part)
        return Tensor(shape, element, result)

    def _pieces(self, line: Line) -> int:
        """The pieces of which each, with all copies, takes no more words than a slice has; one where words are not
        scarce, or all copies that a line needs are there."""
        source = self.tensor.source
        there = self.to.copies_of(source.buffer) if isinstance(source, Stored) else 1
        if self.to.policy.tight != 1 or there >= line.copies:
            return 1
        size = self.tensor.shape[3 - self.axis]
        words = prod(self.tensor.leading) * tiles(self.tensor.columns, self.to.chip.lanes) * line.copies // size
        return tiles(size, max(1, self.to.chip.words // words))

    def _emit(self, line: Line, tensor: Tensor, destination: Destination) -> Tensor:
        """Emits the numbers of a line of a tensor at once."""
        element = destination.type.element_type
        made: dict[Line, Tensor] = {}
        for other, copies in line.readers.items():
            if other.terms:
                shape = (*tensor.shape[: self.axis], other.count, *tensor.shape[self.axis + 1 :])
                made[other] = self._joined(other, made, _scratch(element, shape, copies, self.to, self.chip))
            else:
                source = with_copies(tensor, copies, self.to, self.chip, windows=True)
                made[other] = Tensor(tensor.shape, tensor.element, source)
        return self._joined(line, made, destination)

    def _joined(self, line: Line, made: dict[Line, Tensor], destination: Destination) -> Tensor:
        """Emits the numbers of a line, run by run."""
        axis, to, shape, element = self.axis, self.to, destination.shape, destination.type.element_type
        space = shape[:-1]
        out = rows_of(destination.view, shape, space)
        result = destination.make(separate_slices(out, space, element))
        for run, terms in line.runs():
            part = (*space[:axis], len(run), *space[axis + 1 :])
            target = Rows(out.offset + run.start * out.steps[axis], out.steps, out.tile_step)
            if not terms:
                alone = Stored(result.buffer, target.offset, result.strides, result.tile_stride)
                neutral = scalar_attr(0, element) if self.kind == "sum" else lowest(element)
                fill(constant(neutral, to, self.chip), alone, (*part, shape[-1]), to, self.chip)
                continue
            if len(terms) == 1 < len(line.terms) and self.kind == "max" and is_float(element):
                terms = [*terms, *terms]  # a NaN that meets padding becomes the canonical one
            region = join_region(self.kind, [made[term].element for term, *_ in terms], element)
            operands = [self._shown(made[term], at, every, len(run)) for term, at, every in terms]
            written = Operand(result.buffer, target)
            numbers = range(tiles(shape[-1], to.chip.lanes))
            emit_rows(region, operands, written, part, numbers, element, to, self.chip)
        return Tensor(shape, element, result)

    def _shown(self, tensor: Tensor, first: int, every: int, count: int) -> Operand:
        """What a line shows to a run of numbers: its number `first`, and so on."""
        source, axis = tensor.source, self.axis
        assert isinstance(source, Stored)
        space = (*tensor.shape[:axis], count, *tensor.shape[axis + 1 : -1])
        shown = rows_of(source, (*space, tensor.shape[-1]), space)
        stride = source.strides[axis]
        steps = (*shown.steps[:axis], stride * every if count > 1 else 0, *shown.steps[axis + 1 :])
        return Operand(source.buffer, Rows(shown.offset + first * stride, steps, shown.tile_step))
