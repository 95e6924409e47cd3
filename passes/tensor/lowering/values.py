"""The values of a program while it is lowered: what is known of each of them, and where its users find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ....dialects import c2c, tsp_tensor
from ....dialects.machine.layout import Layout, tiles
from ..analysis.requirements import Requirements, requirements
from ..analysis.views import Tensor
from ..emit.buffers import Buffers, Destination, Output, rows_layout
from ..emit.column_views import ColumnView, settled
from ..emit.concatenation import Interleaved
from ..emit.padding import emit_masked, harmless
from ..emit.products import Product


@dataclass(eq=False)
class Value:
    """A value of the program."""

    type: TensorType[Attribute]
    required: Requirements
    """What its users want of its buffer."""
    output: Output | None
    """What it is to the host, where it is returned or only reshapes stand between."""
    state: Tensor | Product | ColumnView | Interleaved | None = None
    """Where it is. A tensor is named, so that the host places it, or stored in SRAM; a product is pending: its sums go
    straight into the map that uses it; the rows of a column view are columns of the words of a wider tensor; what is
    interleaved is made by the reshape that uses it. None before its op is lowered, and after if that has no
    lowering."""
    own: Tensor | None = None
    """The rows of a column view in words of their own, once a user wants them so."""
    requirement_met: bool = False
    """Whether it lies as its users want it: all do that are computed, but none that only views another."""

    @property
    def tensor(self) -> Tensor | None:
        """The value in words of its own, if it is there already."""
        return self.state if isinstance(self.state, Tensor) else self.own

    @property
    def pending(self) -> Product | None:
        return self.state if isinstance(self.state, Product) else None

    @property
    def column_view(self) -> ColumnView | None:
        return self.state if isinstance(self.state, ColumnView) else None

    @property
    def interleaved(self) -> Interleaved | None:
        return self.state if isinstance(self.state, Interleaved) else None


class Values:
    """The values of a function's body, and the buffers in which they lie. What users ask for is made where it is not
    there yet."""

    def __init__(self, body: Block, outputs: Sequence[Output], to: Buffers):
        self.chip, self.to = to.chip, to
        self.outputs = outputs
        """Those of the function, in the order in which it returns them."""
        returned = body.last_op.operands if outputs and body.last_op is not None else ()
        output_of: dict[SSAValue, Output] = {}
        for value, output in zip(returned, outputs, strict=True):
            output_of.setdefault(_origin(value), output)
        wanted = requirements(body, to.policy)
        self._all: dict[SSAValue, Value] = {
            value: Value(
                cast("TensorType[Attribute]", value.type), wanted.get(value, Requirements()), output_of.get(value)
            )
            for value in (*body.args, *(result for op in body.ops for result in op.results))
        }

    def __getitem__(self, value: SSAValue) -> Value:
        return self._all[value]

    def define(self, value: SSAValue, state: Tensor | Product | ColumnView | Interleaved) -> None:
        """Says where a value is."""
        self._all[value].state = state

    def known(self, op: Operation) -> bool:
        """Whether all operands of an op are lowered; a producer of any other is among the problems."""
        return all(self._all[v].state is not None for v in op.operands)

    def stored(self, value: SSAValue, chip: int) -> Tensor:
        """A value in words of its own, as the host places it or in SRAM; a column view is moved there."""
        known = self._all[value]
        if known.column_view is not None and known.own is None:
            known.own = settled(known.column_view, self.to, known.required.copies, chip)
        assert known.tensor is not None
        return known.tensor

    def operands(self, op: Operation) -> list[Tensor]:
        """The operands of an op, each in words of its own."""
        return [self.stored(value, chip_of(op)) for value in op.operands]

    def activations(self, value: SSAValue, chip: int) -> Tensor:
        """A value that meets weights, without numbers beyond its last column that would matter: where there are some,
        it is copied, and from then on the copy is the value."""
        tensor, known = self.stored(value, chip), self._all[value]
        if harmless(tensor, self.to):
            return tensor
        layout = rows_layout(known.type, self.chip, known.required.pads)
        place = Destination(self.to, "scratch", "", known.type, layout, chip, known.required.copies)
        tensor = emit_masked(tensor, self.to, place, chip)
        if known.column_view is None:
            known.state = tensor
        else:
            known.own = tensor
        known.requirement_met = True
        return tensor

    # -- results -----------------------------------------------------------------------------------------------

    def destination(self, value: SSAValue, chip: int, swapped: bool = False) -> Destination:
        """Where a computed value will lie, as its users want it: in an output's own buffer, where it is one."""
        known = self._all[value]
        known.requirement_met = True
        if isinstance(value.owner, tsp_tensor.ReshapeOp) and self._all[value.owner.input].interleaved is not None:
            known.output = self._all[value.owner.input].output
        layout = rows_layout(known.type, self.chip, known.required.pads, swapped)
        # each plane may write a group of slices of its own, and what is deep takes several: all of them take half a
        # hemisphere at most
        groups = self.chip.planes - 1 + tiles(layout.depth, self.chip.words)
        copies = max(1, min(known.required.copies, self.chip.slices // (2 * layout.width * groups)))
        if known.output is not None and not known.output.built:
            return self.in_output(known.output, known.type, layout, chip, copies)
        return Destination(self.to, "scratch", "", known.type, layout, chip, copies)

    def changed_in_place(self, value: SSAValue) -> None:
        """Says that a value lies in the buffer of an operand, which is that of its output too, if it is one."""
        known = self._all[value]
        known.requirement_met = True
        if known.output is not None:
            known.output.built = True

    def in_output(
        self, output: Output, type_: TensorType[Attribute], layout: Layout, chip: int, copies: int = 1
    ) -> Destination:
        """The buffer of an output, which is built now, as the place of a value of this type."""
        output.built = True
        return Destination(self.to, "output", output.name, type_, layout, chip, copies, output.type)


def _origin(value: SSAValue) -> SSAValue:
    """The value that a chain of reshapes renames."""
    while isinstance(value.owner, tsp_tensor.ReshapeOp):
        value = value.owner.input
    return value


def chip_of(op: Operation) -> int:
    """The number of the chip that executes an op."""
    return c2c.chip_of(op) or 0
