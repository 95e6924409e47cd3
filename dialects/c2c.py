"""The `c2c` dialect: what crosses between chips, at every level."""

from __future__ import annotations

from functools import cache

from xdsl.dialects.builtin import I64, IntegerAttr, TensorType, i64
from xdsl.ir import Attribute, Dialect, Operation, SSAValue
from xdsl.irdl import (
    AnyOf,
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from .machine.target import SystemSpec
from .machine.topology import Topology
from .target_attr import target_of
from .tsp_stream import StreamOp, StreamType

CHIP = "c2c.chip"
"""The attribute of a tensor op that says its chip: `{c2c.chip = 1 : i64}`."""


def topology_of(op: Operation) -> Topology:
    """The cables of the system of the module that holds `op`. Raises LinkError or VerifyException for a wiring that is
    none of the system."""
    return _checked(target_of(op))


@cache
def _checked(system: SystemSpec) -> Topology:
    """The cables of a system, which every transfer asks for."""
    topology = Topology.of(system)
    if reason := topology.check(system):
        raise VerifyException(f"target field `system.wiring`: {reason}")
    return topology


_TENSOR_OR_STREAM: AnyOf[Attribute] = AnyOf((BaseAttr(TensorType), BaseAttr(StreamType)))


@irdl_op_definition
class TransferOp(IRDLOperation):
    """Moves a value to another chip: a tensor, or a stream between SRAM and SRAM.

    `%1 = c2c.transfer %0 from 0 to 1 : tensor<360x128xi8> -> tensor<360x128xi8>`
    """

    name = "c2c.transfer"
    input = operand_def(_TENSOR_OR_STREAM)
    source = prop_def(IntegerAttr[I64])
    target = prop_def(IntegerAttr[I64])
    result = result_def(_TENSOR_OR_STREAM)
    traits = traits_def(Pure())
    assembly_format = "$input `from` $source `to` $target attr-dict `:` type($input) `->` type($result)"

    def __init__(self, value: SSAValue, source: int, target: int):
        super().__init__(
            operands=[value],
            result_types=[value.type],
            properties={"source": IntegerAttr(source, i64), "target": IntegerAttr(target, i64)},
        )

    def verify_(self) -> None:
        if self.input.type != self.result.type:
            raise VerifyException(f"a transfer changes no type: {self.input.type} to {self.result.type}")
        chips = target_of(self).chips
        for chip in (self.source.value.data, self.target.value.data):
            if not 0 <= chip < chips:
                raise VerifyException(f"chip {chip}: the system has {chips} (target field `system.chips`)")
        if self.source == self.target:
            raise VerifyException(f"a transfer joins two chips, both are {self.source.value.data}")
        ends = [(self.input.owner, self.source), *((use.operation, self.target) for use in self.result.uses)]
        for op, chip in ends:
            if isinstance(op, StreamOp) and op.chip != chip:
                raise VerifyException(
                    f"one end is chip {chip.value.data}, but `{op.name}` there is on {op.chip_number}"
                )


def chip_of(op: Operation) -> int | None:
    """The chip that a tensor op's `c2c.chip` attribute names, or None. Raises VerifyException for a bad one."""
    attr: Attribute | None = op.attributes.get(CHIP)
    if attr is None:
        return None
    if not isinstance(attr, IntegerAttr):
        raise VerifyException(f"`{CHIP}` must be an integer, not {attr}")
    chips = target_of(op).chips
    if not 0 <= attr.value.data < chips:
        raise VerifyException(f"`{CHIP}` {attr.value.data}: the system has {chips} (target field `system.chips`)")
    return attr.value.data


C2C = Dialect("c2c", [TransferOp], [])
