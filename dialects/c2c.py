"""The `c2c` dialect: what crosses between chips, at every level."""

from __future__ import annotations

from xdsl.dialects.builtin import I64, IntegerAttr, ModuleOp, TensorType, i64
from xdsl.ir import Attribute, Data, Dialect, Operation, SSAValue
from xdsl.irdl import (
    AnyOf,
    BaseAttr,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from .machine.topology import Port, Topology
from .target_attr import target_of
from .tsp_stream import StreamOp, StreamType

CHIP = "c2c.chip"
"""The attribute of a tensor op that says its chip: `{c2c.chip = 1 : i64}`."""

TOPOLOGY = "c2c.topology"
"""The module attribute that holds the wiring; without it the chips form one fully connected node."""


@irdl_attr_definition
class TopologyAttr(Data[Topology]):
    """The cables of the system, each joining two ports: `#c2c.topology<[0, 0] to [1, 0], [0, 1] to [2, 0]>`, a port
    being [chip, link]."""

    name = "c2c.topology"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Topology:
        def parse_port() -> Port:
            with parser.in_square_brackets():
                chip = parser.parse_integer(allow_negative=False)
                parser.parse_punctuation(",")
                return Port(chip, parser.parse_integer(allow_negative=False))

        def parse_cable() -> tuple[Port, Port]:
            a = parse_port()
            parser.parse_keyword("to")
            return a, parse_port()

        return Topology(tuple(parser.parse_comma_separated_list(parser.Delimiter.ANGLE, parse_cable)))

    def print_parameter(self, printer: Printer) -> None:
        cables = (f"[{a.chip}, {a.link}] to [{b.chip}, {b.link}]" for a, b in self.data.cables)
        printer.print_string(f"<{', '.join(cables)}>")


def topology_of(op: Operation) -> Topology:
    """The wiring of the module that holds `op`: its `c2c.topology`, or one fully connected node. Raises LinkError."""
    node: Operation | None = op
    while node is not None:
        if isinstance(node, ModuleOp) and isinstance(attr := node.attributes.get(TOPOLOGY), TopologyAttr):
            if reason := attr.data.check(target_of(op)):
                raise VerifyException(f"module attribute `{TOPOLOGY}`: {reason}")
            return attr.data
        node = node.parent_op()
    return Topology.of(target_of(op))


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


C2C = Dialect("c2c", [TransferOp], [TopologyAttr])
