"""VXM: what an ALU does. Operands come from stream groups, another ALU's chain, or are 32 bits."""

from __future__ import annotations

from ..machine.instruction import ElementType
from .table import InstructionOp, element_type, instruction, result, source

_I8, _I16, _I32, _F16, _F32 = ElementType.I8, ElementType.I16, ElementType.I32, ElementType.F16, ElementType.F32
INTEGERS = (_I8, _I16, _I32)
FLOATS = (_F16, _F32)
ALL = (*INTEGERS, *FLOATS)

_ALU = ("latency_vxm_entry", "latency_alu")


@instruction(0x30, "VXM", func=_ALU)
class AddOp(InstructionOp):
    """a + b; integers wrap."""

    name = "tsp_isa.add"
    type = element_type(*ALL)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x31, "VXM", func=_ALU)
class SubOp(InstructionOp):
    """a - b; integers wrap."""

    name = "tsp_isa.sub"
    type = element_type(*ALL)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x32, "VXM", func=_ALU)
class MulOp(InstructionOp):
    """a * b; integers wrap."""

    name = "tsp_isa.mul"
    type = element_type(*ALL)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x33, "VXM", func=_ALU)
class MaxOp(InstructionOp):
    """The greater of a and b, signed. NaN if either is NaN; +0 is greater than -0."""

    name = "tsp_isa.max"
    type = element_type(*ALL)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x34, "VXM", func=_ALU)
class MinOp(InstructionOp):
    """The lesser of a and b, signed. NaN if either is NaN; -0 is less than +0."""

    name = "tsp_isa.min"
    type = element_type(*ALL)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x35, "VXM", func=_ALU)
class AddSatOp(InstructionOp):
    """a + b, saturating."""

    name = "tsp_isa.add_sat"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x36, "VXM", func=_ALU)
class SubSatOp(InstructionOp):
    """a - b, saturating."""

    name = "tsp_isa.sub_sat"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x37, "VXM", func=_ALU)
class MulSatOp(InstructionOp):
    """a * b, saturating."""

    name = "tsp_isa.mul_sat"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x38, "VXM", func=_ALU)
class AndOp(InstructionOp):
    """The bitwise and of a and b."""

    name = "tsp_isa.and"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x39, "VXM", func=_ALU)
class OrOp(InstructionOp):
    """The bitwise or of a and b."""

    name = "tsp_isa.or"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x3A, "VXM", func=_ALU)
class XorOp(InstructionOp):
    """The bitwise exclusive or of a and b."""

    name = "tsp_isa.xor"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x3B, "VXM", func=_ALU)
class ShiftLeftOp(InstructionOp):
    """a shifted left by b bits, zeros entering; all zero from the width of the type on, b being unsigned."""

    name = "tsp_isa.shl"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x3C, "VXM", func=_ALU)
class ShiftRightOp(InstructionOp):
    """a shifted right by b bits, the sign entering; all sign from the width of the type on, b being unsigned."""

    name = "tsp_isa.shr"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x3D, "VXM", func=_ALU)
class ShiftRightUnsignedOp(InstructionOp):
    """a shifted right by b bits, zeros entering; all zero from the width of the type on, b being unsigned."""

    name = "tsp_isa.shr_u"
    type = element_type(*INTEGERS)
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes")


@instruction(0x40, "VXM", func=_ALU)
class CopyOp(InstructionOp):
    """a, one ALU later; its bits."""

    name = "tsp_isa.copy"
    type = element_type(*ALL)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x41, "VXM", func=_ALU)
class RoundOp(InstructionOp):
    """a rounded to an integral value, ties to even."""

    name = "tsp_isa.round"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x42, "VXM", func=_ALU)
class TruncOp(InstructionOp):
    """a rounded to an integral value toward zero."""

    name = "tsp_isa.trunc"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x45, "VXM", func=_ALU)
class ReluOp(InstructionOp):
    """The greater of a and zero; NaN for NaN, +0 for -0."""

    name = "tsp_isa.relu"
    type = element_type(*ALL)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x46, "VXM", func=_ALU)
class ExpOp(InstructionOp):
    """e to the power of a, at most 1 ulp off."""

    name = "tsp_isa.exp"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x47, "VXM", func=_ALU)
class LogOp(InstructionOp):
    """The natural logarithm of a, at most 1 ulp off."""

    name = "tsp_isa.log"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x48, "VXM", func=_ALU)
class TanhOp(InstructionOp):
    """The hyperbolic tangent of a, at most 1 ulp off."""

    name = "tsp_isa.tanh"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x49, "VXM", func=_ALU)
class RsqrtOp(InstructionOp):
    """One over the square root of a, at most 1 ulp off."""

    name = "tsp_isa.rsqrt"
    type = element_type(*FLOATS)
    a = source("operand")
    to = result("where the result goes")


@instruction(0x43, "VXM", func=_ALU)
class ConvertOp(InstructionOp):
    """Converts: to an integer to the nearest, ties to even, saturating, NaN to 0; to a float to the nearest, ties to
    even."""

    name = "tsp_isa.convert"
    type = element_type(*ALL, doc="element type of the operand")
    a = source("operand")
    result_type = element_type(*ALL, doc="element type of the result")
    to = result("where the result goes", group="result_type")


@instruction(0x44, "VXM", func=_ALU)
class WrapOp(InstructionOp):
    """Converts between integers by keeping the low bits; a wider result is sign-extended."""

    name = "tsp_isa.wrap"
    type = element_type(*INTEGERS, doc="integer type of the operand")
    a = source("operand")
    result_type = element_type(*INTEGERS, doc="integer type of the result")
    to = result("where the result goes", group="result_type")


@instruction(0x50, "VXM", func=_ALU)
class EqualOp(InstructionOp):
    """1 where a = b, else 0, as i8."""

    name = "tsp_isa.eq"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x51, "VXM", func=_ALU)
class NotEqualOp(InstructionOp):
    """1 where a is not b, or either is NaN, else 0, as i8."""

    name = "tsp_isa.ne"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x52, "VXM", func=_ALU)
class LessOp(InstructionOp):
    """1 where a < b, else 0, as i8."""

    name = "tsp_isa.lt"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x53, "VXM", func=_ALU)
class LessEqualOp(InstructionOp):
    """1 where a <= b, else 0, as i8."""

    name = "tsp_isa.le"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x54, "VXM", func=_ALU)
class GreaterOp(InstructionOp):
    """1 where a > b, else 0, as i8."""

    name = "tsp_isa.gt"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x55, "VXM", func=_ALU)
class GreaterEqualOp(InstructionOp):
    """1 where a >= b, else 0, as i8."""

    name = "tsp_isa.ge"
    type = element_type(*ALL, doc="element type of the operands")
    a = source("left operand")
    b = source("right operand")
    to = result("where the result goes", group=1)


@instruction(0x56, "VXM", func=_ALU)
class SelectOp(InstructionOp):
    """a where the i8 condition is not 0, else b; bits are kept."""

    name = "tsp_isa.select"
    type = element_type(*ALL)
    condition = source("condition, i8", group=1)
    a = source("operand where it holds")
    b = source("operand where it does not")
    to = result("where the result goes")
