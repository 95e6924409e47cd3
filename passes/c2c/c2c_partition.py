"""c2c-partition: assigns every tensor op to a chip, and makes transfers between chips explicit.

An op's `c2c.chip` attribute says its chip. An op without one goes where the last computed of its operands is. Inputs,
parameters and constants have no chip: the host places them on every chip that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter
from xdsl.utils.exceptions import VerifyException

from ...dialects import c2c, tsp_tensor
from ...dialects.locations import describe, located


@dataclass(frozen=True)
class C2cPartitionPass(ModulePass):
    """Assigns every tensor op its chip and inserts the transfers between chips."""

    name = "c2c-partition"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.walk():
            if isinstance(function, FuncOp) and len(function.body.blocks) == 1:
                _Partition().run(function.body.block)


class _Partition:
    """The chips of the values of one function."""

    def __init__(self) -> None:
        self.chips: dict[SSAValue, int] = {}
        """The chip of every computed value; inputs, parameters and constants are not in it."""
        self.moved: dict[tuple[SSAValue, int], SSAValue] = {}
        """The copy of a value on another chip."""

    def run(self, block: Block) -> None:
        for op in list(block.ops):
            if isinstance(op, c2c.TransferOp):
                self.chips[op.result] = op.target.value.data
            elif op.dialect_name() == tsp_tensor.TSP_TENSOR.name and op.operands:
                self._assign(op)

    def _assign(self, op: Operation) -> None:
        computed = [self.chips[v] for v in op.operands if v in self.chips]
        try:
            chip = c2c.chip_of(op)
        except VerifyException as e:
            raise VerifyException(f"{describe(op)}: {e}") from e
        if isinstance(op, tsp_tensor.ReshapeOp) and not computed:
            return  # a reshaped input or parameter is as much everywhere as the input itself
        if chip is None:
            chip = computed[-1] if computed else 0
        op.attributes[c2c.CHIP] = IntegerAttr(chip, i64)
        for i, value in enumerate(op.operands):
            if self.chips.get(value, chip) != chip:
                op.operands[i] = self._move(value, chip)
        for result in op.results:
            self.chips[result] = chip

    def _move(self, value: SSAValue, chip: int) -> SSAValue:
        if (value, chip) not in self.moved:
            source = value.owner
            assert isinstance(source, Operation)  # block arguments are on no chip
            transfer = located(c2c.TransferOp(value, self.chips[value], chip), source)
            Rewriter.insert_op(transfer, InsertPoint.after(source))
            self.moved[value, chip] = transfer.result
        return self.moved[value, chip]
