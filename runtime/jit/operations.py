"""What every ALU instruction comes down to: an operation on 32-bit lanes, how operands become such lanes, and what
becomes of the result. Integer operands are sign-extended, shift amounts zero-extended, halves widened to f32; where
bits are kept, halves are zero-extended integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...dialects.machine.instruction import ElementType
from .layout import Alu, Finish, Form

_I8, _I16, _I32, _F16, _F32 = ElementType

_VALUES = {_I8: Form.SIGNED_8, _I16: Form.SIGNED_16, _I32: Form.WORD, _F16: Form.HALF, _F32: Form.WORD}
_BITS = {**_VALUES, _F16: Form.UNSIGNED_16}
_UNSIGNED = {_I8: Form.UNSIGNED_8, _I16: Form.UNSIGNED_16, _I32: Form.WORD}
_WRAPPED = {_I8: Finish.SIGN_8, _I16: Finish.SIGN_16, _F16: Finish.HALF}


@dataclass(frozen=True)
class Operation:
    """An ALU instruction on certain types."""

    alu: Alu
    forms: tuple[Form, ...]
    """Of the operands, in the order of the instruction's fields."""
    finish: Finish = Finish.NONE


@cache
def operation(name: str, element: ElementType, result: ElementType) -> Operation:
    """The operation of an ALU instruction on operands of one type; `result` is what it converts to."""
    value, bits = _VALUES[element], _BITS[element]
    wrapped = _WRAPPED.get(element, Finish.NONE)
    rounded = Finish.HALF if element == _F16 else Finish.NONE
    kind = "F" if element in (_F16, _F32) else "I"
    match name:
        case "copy":
            return Operation(Alu.COPY, (bits,))
        case "select":
            return Operation(Alu.SELECT, (Form.SIGNED_8, bits, bits))
        case "wrap":
            return Operation(Alu.COPY, (value,), _WRAPPED.get(result, Finish.NONE))
        case "convert":
            return Operation(_conversion(element, result), (value,), Finish.HALF if result == _F16 else Finish.NONE)
        case "round" | "trunc":
            return Operation(Alu[name.upper()], (value,), rounded)
        case "relu":
            return Operation(Alu[f"RELU_{kind}"], (value,), rounded)
        case "max" | "min":
            return Operation(Alu[f"{name.upper()}_{kind}"], (value, value), rounded)
        case "exp" | "log" | "tanh" | "rsqrt":
            return Operation(Alu[f"{name.upper()}_{'H' if element == _F16 else 'F'}"], (bits,))
        case "and" | "or" | "xor":
            return Operation(Alu[name.upper()], (value, value))
        case "shl" | "shr" | "shr_u":
            amount = _UNSIGNED[element]
            return Operation(Alu[name.upper()], (amount if name == "shr_u" else value, amount), wrapped)
        case "add_sat" | "sub_sat" | "mul_sat":
            return Operation(Alu[f"{name.upper()}_{8 * element.bytes}"], (value, value))
        case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
            return Operation(Alu[f"{name.upper()}_{kind}"], (value, value))
        case _:
            return Operation(Alu[f"{name.upper()}_{kind}"], (value, value), wrapped)


def _conversion(element: ElementType, result: ElementType) -> Alu:
    floats = (_F16, _F32)
    if element in floats:
        return Alu.CANONICAL if result in floats else Alu[f"FIX_{8 * result.bytes}"]
    if result in floats:
        return Alu.FLOAT
    return Alu[f"CLAMP_{8 * result.bytes}"] if result.bytes < element.bytes else Alu.COPY


def immediate(bits: int, form: Form) -> int:
    """The 32-bit lane that an operand of 32 bits becomes."""
    match form:
        case Form.WORD:
            return bits
        case Form.UNSIGNED_8 | Form.UNSIGNED_16:
            return bits & (1 << 8 * form.bytes) - 1
        case Form.SIGNED_8 | Form.SIGNED_16:
            shift = 32 - 8 * form.bytes
            return int(np.int32(np.uint32(bits << shift & 0xFFFFFFFF)) >> shift)
        case Form.HALF:
            return int(np.uint16(bits & 0xFFFF).view(np.float16).astype(np.float32).view(np.uint32))
