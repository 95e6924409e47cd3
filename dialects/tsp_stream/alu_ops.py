"""What an ALU region holds: one op for each ALU, and which instruction executes it.

Scalar ops of `arith` and `math` stand for an instruction where they mean the same; where an ALU does something else
(saturates, gives a mask as a byte) it has an op of this dialect. There is no i1: a mask is an i8, 1 or 0.
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import StringAttr, i8
from xdsl.ir import Attribute, Operation, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from ..elements import element_of
from ..instructions import OP_CLASSES
from ..regions import check_inside


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Gives the value of an ALU region."""

    name = "tsp_stream.yield"
    value = operand_def()
    traits = traits_def(IsTerminator(), Pure())
    assembly_format = "$value attr-dict `:` type($value)"

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value])


@irdl_op_definition
class DelayOp(IRDLOperation):
    """Hands a value on, one ALU later, so that it meets another that takes longer."""

    name = "tsp_stream.delay"
    value = operand_def()
    result = result_def()
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict `:` type($value) `->` type($result)"

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value], result_types=[value.type])


@irdl_op_definition
class ConvertOp(IRDLOperation):
    """Converts as an ALU does: to an integer to the nearest, ties to even, saturating; NaN to 0."""

    name = "tsp_stream.convert"
    value = operand_def()
    result = result_def()
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict `:` type($value) `->` type($result)"

    def __init__(self, value: SSAValue, type_: Attribute):
        super().__init__(operands=[value], result_types=[type_])


@irdl_op_definition
class ReluOp(IRDLOperation):
    """The greater of a value and zero; NaN for NaN, +0 for -0."""

    name = "tsp_stream.relu"
    _T: ClassVar = VarConstraint("T", AnyAttr())
    value = operand_def(_T)
    result = result_def(_T)
    traits = traits_def(Pure())
    assembly_format = "$value attr-dict `:` type($result)"

    def __init__(self, value: SSAValue):
        super().__init__(operands=[value], result_types=[value.type])


class _SaturatingOp(IRDLOperation):
    """Integer arithmetic that stops at the ends of its type."""

    _T: ClassVar = VarConstraint("T", AnyAttr())
    lhs = operand_def(_T)
    rhs = operand_def(_T)
    result = result_def(_T)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($result)"

    def __init__(self, lhs: SSAValue, rhs: SSAValue):
        super().__init__(operands=[lhs, rhs], result_types=[lhs.type])


@irdl_op_definition
class AddSatOp(_SaturatingOp):
    """The sum of two integers, saturating."""

    name = "tsp_stream.add_sat"


@irdl_op_definition
class SubSatOp(_SaturatingOp):
    """The difference of two integers, saturating."""

    name = "tsp_stream.sub_sat"


@irdl_op_definition
class MulSatOp(_SaturatingOp):
    """The product of two integers, saturating."""

    name = "tsp_stream.mul_sat"


@irdl_op_definition
class CompareOp(IRDLOperation):
    """1 where the relation holds, else 0, as i8: `tsp_stream.compare "lt" %a, %b : f32 -> i8`. NaN is not equal to
    anything, and neither less nor greater."""

    name = "tsp_stream.compare"
    RELATIONS: ClassVar[tuple[str, ...]] = ("eq", "ne", "lt", "le", "gt", "ge")
    _T: ClassVar = VarConstraint("T", AnyAttr())
    relation = prop_def(StringAttr)
    lhs = operand_def(_T)
    rhs = operand_def(_T)
    result = result_def(i8)
    traits = traits_def(Pure())
    assembly_format = "$relation $lhs `,` $rhs attr-dict `:` type($lhs) `->` type($result)"

    def __init__(self, relation: str, lhs: SSAValue, rhs: SSAValue):
        super().__init__(operands=[lhs, rhs], result_types=[i8], properties={"relation": StringAttr(relation)})

    def verify_(self) -> None:
        if self.relation.data not in self.RELATIONS:
            raise VerifyException(f"relation `{self.relation.data}` is none of {', '.join(self.RELATIONS)}")


@irdl_op_definition
class SelectOp(IRDLOperation):
    """One value where the i8 mask is not 0, else the other; bits are kept."""

    name = "tsp_stream.select"
    _T: ClassVar = VarConstraint("T", AnyAttr())
    mask = operand_def(i8)
    lhs = operand_def(_T)
    rhs = operand_def(_T)
    result = result_def(_T)
    traits = traits_def(Pure())
    assembly_format = "$mask `,` $lhs `,` $rhs attr-dict `:` type($result)"

    def __init__(self, mask: SSAValue, lhs: SSAValue, rhs: SSAValue):
        super().__init__(operands=[mask, lhs, rhs], result_types=[lhs.type])


ALU_INSTRUCTIONS: dict[type[Operation], str] = {
    arith.AddiOp: "add",
    arith.AddfOp: "add",
    arith.SubiOp: "sub",
    arith.SubfOp: "sub",
    arith.MuliOp: "mul",
    arith.MulfOp: "mul",
    arith.MaxSIOp: "max",
    arith.MaximumfOp: "max",
    arith.MinSIOp: "min",
    arith.MinimumfOp: "min",
    AddSatOp: "add_sat",
    SubSatOp: "sub_sat",
    MulSatOp: "mul_sat",
    arith.AndIOp: "and",
    arith.OrIOp: "or",
    arith.XOrIOp: "xor",
    arith.ShLIOp: "shl",
    arith.ShRSIOp: "shr",
    arith.ShRUIOp: "shr_u",
    DelayOp: "copy",
    math.RoundEvenOp: "round",
    math.TruncOp: "trunc",
    ReluOp: "relu",
    math.ExpOp: "exp",
    math.LogOp: "log",
    math.TanhOp: "tanh",
    math.RsqrtOp: "rsqrt",
    ConvertOp: "convert",
    arith.ExtSIOp: "convert",
    arith.SIToFPOp: "convert",
    arith.ExtFOp: "convert",
    arith.TruncFOp: "convert",
    arith.TruncIOp: "wrap",
    SelectOp: "select",
}
"""The instruction, by mnemonic, that executes each op but `compare`, whose relation is the mnemonic."""

SCALAR_OPS: tuple[type[Operation], ...] = (
    YieldOp, DelayOp, ConvertOp, ReluOp, AddSatOp, SubSatOp, MulSatOp, CompareOp, SelectOp,
)  # fmt: skip
"""The ops of this dialect that stand in ALU regions."""

ALU_OPS: tuple[type[Operation], ...] = (*ALU_INSTRUCTIONS, CompareOp)
"""The ops that take an ALU each."""


def alu_instruction(op: Operation) -> str | None:
    """The mnemonic of the instruction that executes an op of an ALU region, or None for what no ALU executes."""
    return op.relation.data if isinstance(op, CompareOp) else ALU_INSTRUCTIONS.get(type(op))


def check_alu_region(region: Region) -> None:
    """Raises VerifyException unless every op is a constant or is executed by an ALU, in a type that its instruction
    has, and every value is used."""
    last = region.block.last_op
    if not isinstance(last, YieldOp):
        raise VerifyException("the region ends with tsp_stream.yield")
    here = {region.block, *region.block.ops}
    for op in region.block.ops:
        check_inside(op, here)
        if op is last:
            continue
        if isinstance(op, CompareOp):
            op.verify_()
        mnemonic = alu_instruction(op)
        if mnemonic is None and not isinstance(op, arith.ConstantOp):
            known = ", ".join(o.name for o in ALU_OPS)
            raise VerifyException(f"no ALU executes `{op.name}`; there are arith.constant, {known}")
        for value in (*op.operands, *op.results):
            if element_of(value.type) is None:
                raise VerifyException(f"`{op.name}` has a value of {value.type}; ALUs know i8, i16, i32, f16, f32")
        if mnemonic is not None:
            types = next(f.types for f in OP_CLASSES[mnemonic].INSTRUCTION.fields if f.name == "type")
            if element_of(operated := op.operands[-1].type) not in types:
                raise VerifyException(f"`{op.name}` takes {', '.join(t.text for t in types)}, not {operated}")
        if not op.results[0].first_use:
            raise VerifyException(f"nothing uses the result of `{op.name}`; leave it out")
