"""ALU operations on 16 lanes of 32 bits as IR, bit for bit those of dialects/semantics/arithmetic.py."""

from __future__ import annotations

from collections.abc import Callable

from ...dialects.machine.instruction import ElementType
from . import halves
from .build import I64, V16F32, V16I32, Function, Type, Value, ir, splat, vector
from .layout import Alu, Finish, Form
from .special import special_operation

Unary = Callable[[Function, Value], Value]
"""From 16 lanes as i32 to the result as i32 or f32; Binary and Ternary likewise."""
Binary = Callable[[Function, Value, Value], Value]
Ternary = Callable[[Function, Value, Value, Value], Value]

_NAN = 0x7FC00000
_V16I64 = vector(I64, 16)


# -- operands and results ----------------------------------------------------------------------------------------------


def prepare(f: Function, a: Value, form: Form) -> Value:
    """32-bit lanes from the low bits of lanes."""
    match form:
        case Form.WORD:
            return a
        case Form.SIGNED_8 | Form.SIGNED_16:
            return _sign(f, a, 8 * form.bytes)
        case Form.UNSIGNED_8 | Form.UNSIGNED_16:
            return f.b.and_(a, splat((1 << 8 * form.bytes) - 1, V16I32))
        case Form.HALF:
            return f.as_type(halves.widen(f, f.b.and_(a, splat(0xFFFF, V16I32))), V16I32)


def finish(f: Function, a: Value, how: Finish) -> Value:
    """What becomes of the lanes of a result."""
    match how:
        case Finish.NONE:
            return a
        case Finish.SIGN_8:
            return _sign(f, a, 8)
        case Finish.SIGN_16:
            return _sign(f, a, 16)
        case Finish.HALF:
            return halves.narrow(f, f.as_type(a, V16F32))


def is_constant(a: Value) -> bool:
    """Whether all lanes are known while the code is built."""
    return isinstance(a, ir.Constant)


def canonical(f: Function, x: Value) -> Value:
    """Floats as i32, every NaN being the canonical one."""
    return f.b.select(f.b.fcmp_unordered("uno", x, x), splat(_NAN, V16I32), f.as_type(x, V16I32))


def _sign(f: Function, a: Value, bits: int) -> Value:
    """The low bits, sign-extended."""
    amount = splat(32 - bits, V16I32)
    return f.b.ashr(f.b.shl(a, amount), amount)


# -- integers ----------------------------------------------------------------------------------------------------------


def add_integers(f: Function, a: Value, b: Value) -> Value:
    """Sums, which wrap."""
    return f.b.add(a, b)


def _integer(method: str) -> Binary:
    """By the name of the builder's method."""
    return lambda f, a, b: getattr(f.b, method)(a, b)


def _intrinsic(name: str) -> Binary:
    return lambda f, a, b: f.apply(f"llvm.{name}.v16i32", V16I32, a, b)


def _clamp(f: Function, a: Value, bits: int, type_: Type = V16I32) -> Value:
    """Saturated to a signed integer of `bits`."""
    high, suffix = (1 << bits - 1) - 1, f"v16i{type_.element.width}"
    a = f.apply(f"llvm.smin.{suffix}", type_, a, splat(high, type_))
    return f.apply(f"llvm.smax.{suffix}", type_, a, splat(-high - 1, type_))


def _saturating(method: str, bits: int) -> Binary:
    """Of integers of up to 16 bits, for which the operation is exact in 32."""
    return lambda f, a, b: _clamp(f, getattr(f.b, method)(a, b), bits)


def _saturating_product(f: Function, a: Value, b: Value) -> Value:
    exact = f.b.mul(f.b.sext(a, _V16I64), f.b.sext(b, _V16I64))
    return f.b.trunc(_clamp(f, exact, 32, _V16I64), V16I32)


def _shift(method: str, f: Function, a: Value, amount: Value) -> Value:
    """By an unsigned amount, which all but fills the lane where it is greater."""
    within = f.apply("llvm.umin.v16i32", V16I32, amount, splat(31, V16I32))
    return getattr(f.b, method)(a, within)


def _logical_shift(method: str) -> Binary:
    def apply(f: Function, a: Value, amount: Value) -> Value:
        beyond = f.b.icmp_unsigned(">=", amount, splat(32, V16I32))
        return f.b.select(beyond, splat(0, V16I32), _shift(method, f, a, amount))

    return apply


def _truth(f: Function, condition: Value) -> Value:
    return f.b.zext(condition, V16I32)


def _compare_integers(relation: str) -> Binary:
    return lambda f, a, b: _truth(f, f.b.icmp_signed(relation, a, b))


# -- floats ------------------------------------------------------------------------------------------------------------


def _canonical(apply: Callable[..., Value]) -> Callable[..., Value]:
    """An operation, every NaN of its results being the canonical one."""

    def whole(f: Function, *operands: Value) -> Value:
        return canonical(f, f.as_type(apply(f, *operands), V16F32))

    return whole


def _float(method: str) -> Binary:
    """A binary operation on floats, by the name of the builder's method."""
    return lambda f, a, b: f.as_type(getattr(f.b, method)(f.as_type(a, V16F32), f.as_type(b, V16F32)), V16I32)


def _compare_floats(relation: str) -> Binary:
    """Only `!=` holds where either is NaN."""

    def apply(f: Function, a: Value, b: Value) -> Value:
        compare = f.b.fcmp_unordered if relation == "!=" else f.b.fcmp_ordered
        return _truth(f, compare(relation, f.as_type(a, V16F32), f.as_type(b, V16F32)))

    return apply


def _extreme(relation: str, of_zeros: str) -> Binary:
    """max or min of floats: NaN if either is; the bits of equal ones are joined by an operation that gives of two zeros
    the right one."""

    def apply(f: Function, a: Value, b: Value) -> Value:
        if is_constant(b):
            a, b = b, a
        x, y = f.as_type(a, V16F32), f.as_type(b, V16F32)
        chosen = f.b.select(f.b.fcmp_ordered(relation, x, y), x, y)  # y where it is NaN
        result = f.as_type(f.b.select(f.b.fcmp_unordered("uno", x, x), x, chosen), V16I32)
        if is_constant(a) and all(lane.constant & 0x7FFFFFFF for lane in a.constant):
            return result
        return f.b.select(f.b.fcmp_ordered("==", x, y), getattr(f.b, of_zeros)(a, b), result)

    return apply


def _relu(f: Function, a: Value) -> Value:
    x = f.as_type(a, V16F32)
    return f.b.select(f.b.fcmp_unordered(">", x, splat(0.0, V16F32)), a, splat(0, V16I32))


def _rounding(name: str) -> Unary:
    return lambda f, a: f.as_type(f.apply(f"llvm.{name}.v16f32", V16F32, f.as_type(a, V16F32)), V16I32)


def _to_integer(bits: int) -> Unary:
    """To the nearest integer, ties to even, saturated; NaN to 0. Both limits and what is between are exact in f32."""

    def apply(f: Function, a: Value) -> Value:
        whole = f.apply("llvm.rint.v16f32", V16F32, f.as_type(a, V16F32))
        limit = 1 << bits - 1
        above = f.b.fcmp_ordered(">=", whole, splat(float(limit), V16F32))
        below = f.b.fcmp_ordered("<", whole, splat(float(-limit), V16F32))
        inside = f.b.not_(f.b.or_(f.b.or_(above, below), f.b.fcmp_unordered("uno", whole, whole)))
        result = f.b.fptosi(f.b.select(inside, whole, splat(0.0, V16F32)), V16I32)
        result = f.b.select(above, splat(limit - 1, V16I32), result)
        return f.b.select(below, splat(-limit, V16I32), result)

    return apply


def _special(name: str, element: ElementType) -> Unary:
    apply = special_operation(name, element)
    return lambda f, a: apply(f, a, a)


# -- all of them -------------------------------------------------------------------------------------------------------


def add_floats(f: Function, a: Value, b: Value) -> Value:
    """Sums of floats, operands and result as i32."""
    return BINARY[Alu.ADD_F](f, a, b)


_RELATIONS = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}

_RAW_UNARY: dict[Alu, Unary] = {
    Alu.ROUND: _rounding("rint"),
    Alu.TRUNC: _rounding("trunc"),
    Alu.RELU_F: _relu,
    Alu.CANONICAL: lambda f, a: a,
}
_RAW_BINARY: dict[Alu, Binary] = {
    Alu.ADD_F: _float("fadd"),
    Alu.SUB_F: _float("fsub"),
    Alu.MUL_F: _float("fmul"),
    Alu.MAX_F: _extreme(">", "and_"),
    Alu.MIN_F: _extreme("<", "or_"),
}

RAW: dict[Alu, Callable[..., Value]] = {**_RAW_UNARY, **_RAW_BINARY}
"""Operations on floats whose NaN may have any bits, in operands and results; they become the machine's when their
results are made canonical."""

UNARY: dict[Alu, Unary] = {
    **{alu: _canonical(apply) for alu, apply in _RAW_UNARY.items()},
    Alu.COPY: lambda f, a: a,
    Alu.RELU_I: lambda f, a: f.apply("llvm.smax.v16i32", V16I32, a, splat(0, V16I32)),
    Alu.CLAMP_8: lambda f, a: _clamp(f, a, 8),
    Alu.CLAMP_16: lambda f, a: _clamp(f, a, 16),
    Alu.FLOAT: lambda f, a: f.b.sitofp(a, V16F32),
    Alu.FIX_8: _to_integer(8),
    Alu.FIX_16: _to_integer(16),
    Alu.FIX_32: _to_integer(32),
}

SPECIAL: dict[Alu, Unary] = {
    Alu[f"{name.upper()}_{letter}"]: _special(name, element)
    for name in ("exp", "log", "tanh", "rsqrt")
    for letter, element in (("F", ElementType.F32), ("H", ElementType.F16))
}
"""Those of many instructions."""

BINARY: dict[Alu, Binary] = {
    **{alu: _canonical(apply) for alu, apply in _RAW_BINARY.items()},
    Alu.ADD_I: add_integers,
    Alu.SUB_I: _integer("sub"),
    Alu.MUL_I: _integer("mul"),
    Alu.MAX_I: _intrinsic("smax"),
    Alu.MIN_I: _intrinsic("smin"),
    **{
        Alu[f"{method.upper()}_SAT_{bits}"]: _saturating(method, bits)
        for method in ("add", "sub", "mul")
        for bits in (8, 16)
    },
    Alu.ADD_SAT_32: _intrinsic("sadd.sat"),
    Alu.SUB_SAT_32: _intrinsic("ssub.sat"),
    Alu.MUL_SAT_32: _saturating_product,
    Alu.AND: _integer("and_"),
    Alu.OR: _integer("or_"),
    Alu.XOR: _integer("xor"),
    Alu.SHL: _logical_shift("shl"),
    Alu.SHR: lambda f, a, amount: _shift("ashr", f, a, amount),
    Alu.SHR_U: _logical_shift("lshr"),
    **{Alu[f"{name}_I"]: _compare_integers(relation) for name, relation in _RELATIONS.items()},
    **{Alu[f"{name}_F"]: _compare_floats(relation) for name, relation in _RELATIONS.items()},
}

TERNARY: dict[Alu, Ternary] = {
    Alu.SELECT: lambda f, condition, a, b: f.b.select(f.b.icmp_signed("!=", condition, splat(0, V16I32)), a, b),
}

ANY_NAN = {*RAW, Alu.FIX_8, Alu.FIX_16, Alu.FIX_32, *(Alu[f"{name}_F"] for name in _RELATIONS)}
"""Operations on floats that do not see which bits a NaN has."""
