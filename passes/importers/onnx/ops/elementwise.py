"""Ops that give every element of a tensor, or of tensors that broadcast, a function of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce as fold_left
from math import pi, sqrt
from typing import Any

import numpy as np

from .. import functions as fn
from ..registry import Node, dtype_of_code, lowers
from ..scalars import Scalar, where
from ..values import Refused, Value, known

UNARY: dict[str, Callable[[Node, Scalar], Scalar]] = {
    "Abs": lambda node, x: fn.absolute(x),
    "Neg": lambda node, x: -x,
    "Sign": lambda node, x: fn.sign(x),
    "Exp": lambda node, x: x.exp(),
    "Log": lambda node, x: x.log(),
    "Sqrt": lambda node, x: fn.square_root(x),
    "Reciprocal": lambda node, x: fn.reciprocal(x),
    "Tanh": lambda node, x: x.tanh(),
    "Sigmoid": lambda node, x: fn.sigmoid(x),
    "Relu": lambda node, x: x.max(0),
    "LeakyRelu": lambda node, x: where(x < 0, x * node.float("alpha", 0.01), x),
    "ThresholdedRelu": lambda node, x: where(x > node.float("alpha", 1.0), x, 0),
    "Elu": lambda node, x: where(x < 0, (x.exp() - 1.0) * node.float("alpha", 1.0), x),
    "Selu": lambda node, x: _selu(node, x),
    "Celu": lambda node, x: _celu(node, x),
    "HardSigmoid": lambda node, x: fn.clipped(x * node.float("alpha", 0.2) + node.float("beta", 0.5), 0.0, 1.0),
    "HardSwish": lambda node, x: x * fn.clipped(x * (1 / 6) + 0.5, 0.0, 1.0),
    "Softplus": lambda node, x: fn.log1p_exp(x),
    "Softsign": lambda node, x: fn.divided(x, fn.absolute(x) + 1.0),
    "Mish": lambda node, x: x * fn.log1p_exp(x).tanh(),
    "Swish": lambda node, x: x * fn.sigmoid(x * node.float("alpha", 1.0)),
    "Erf": lambda node, x: fn.erf(x),
    "Floor": lambda node, x: fn.floor(x),
    "Ceil": lambda node, x: fn.ceil(x),
    "Round": lambda node, x: x.round(),
    "Sin": lambda node, x: fn.sine(x),
    "Cos": lambda node, x: fn.sine(x, 1),
    "Tan": lambda node, x: fn.tan(x),
    "Asin": lambda node, x: fn.asin(x),
    "Acos": lambda node, x: fn.acos(x),
    "Atan": lambda node, x: fn.atan(x),
    "Sinh": lambda node, x: fn.sinh(x),
    "Cosh": lambda node, x: fn.cosh(x),
    "Asinh": lambda node, x: fn.asinh(x),
    "Acosh": lambda node, x: fn.acosh(x),
    "Atanh": lambda node, x: fn.atanh(x),
    "Shrink": lambda node, x: _shrink(node, x),
    "BitwiseNot": lambda node, x: ~x,
}


@lowers(*UNARY)
def unary(node: Node) -> Value:
    """A function of one tensor, of its own element type."""
    x, function = node.value(0), UNARY[node.op]
    if x.kind == "u" and node.op in ("Abs", "Sign", "Relu"):
        return node.emit.map(lambda v: where(v.differs(0), 1, v), x, to=x.dtype) if node.op == "Sign" else x
    bound = 1.0 if node.op in WITHIN_ONE else x.bound if node.op in SHRINKING else None
    return node.emit.map(lambda v: function(node, v), x, to=x.dtype).bounded(bound)


WITHIN_ONE = {"Sigmoid", "Tanh", "HardSigmoid", "Erf", "Sin", "Cos", "Softsign"}
SHRINKING = {"Relu", "Abs", "Neg", "ThresholdedRelu"}
"""What gives numbers within one, and within the bound of the operand."""


def _selu(node: Node, x: Scalar) -> Scalar:
    alpha, gamma = node.float("alpha", 1.67326319217681884765625), node.float("gamma", 1.05070102214813232421875)
    return where(x > 0, x * gamma, (x.exp() - 1.0) * (alpha * gamma))


def _celu(node: Node, x: Scalar) -> Scalar:
    alpha = node.float("alpha", 1.0)
    return x.max(0.0) + (((x * (1 / alpha)).exp() - 1.0) * alpha).min(0.0)


def _shrink(node: Node, x: Scalar) -> Scalar:
    lambd, bias = node.float("lambd", 0.5), node.float("bias")
    number: Callable[[float], float | int] = float if x.floating else int
    inner = where(x > number(lambd), x - number(bias), x.like(0))
    return where(x < number(-lambd), x + number(bias), inner)


@lowers("Gelu")
def gelu(node: Node) -> Value:
    x = node.value(0)
    if node.text("approximate", "none") == "tanh":
        return node.emit.map(
            lambda v: v * 0.5 * (((v * v * v * 0.044715 + v) * sqrt(2 / pi)).tanh() + 1.0), x, to=x.dtype
        )
    return node.emit.map(lambda v: v * 0.5 * (fn.erf(v * sqrt(0.5)) + 1.0), x, to=x.dtype)


# -- of two and more -----------------------------------------------------------------------------------------------


def wide(value: Value) -> bool:
    """Whether integers have 32 bits and more."""
    return value.dtype.itemsize >= 4


def unsigned(value: Value) -> bool:
    """Whether all 32 bits of a scalar are a number without a sign; narrower ones are signed while they are computed."""
    return value.kind == "u" and wide(value)


def larger(a: Scalar, b: Scalar, without_sign: bool) -> Scalar:
    return where(a.is_("gt", b, True), a, b) if without_sign else a.max(b)


def smaller(a: Scalar, b: Scalar, without_sign: bool) -> Scalar:
    return where(a.is_("lt", b, True), a, b) if without_sign else a.min(b)


@lowers("Add", "Sub", "Mul", "Div", "PRelu", "Mod", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
def binary(node: Node) -> Value:
    """A function of two tensors of one element type."""
    a, b = node.value(0), node.value(1)
    a, b = _legacy_broadcast(node, a, b)
    return node.emit.map(lambda x, y: _binary(node, a, b, x, y), a, b, to=a.dtype)


def _legacy_broadcast(node: Node, a: Value, b: Value) -> tuple[Value, Value]:
    """Before version 7, the second operand began at an axis of the first."""
    if node.version < 7 and "axis" in node.attributes and b.rank < a.rank:
        b = node.emit.reshape(b, (*b.shape, *[1] * (a.rank - b.rank - node.int("axis"))))
    return a, b


def _binary(node: Node, a: Value, b: Value, x: Scalar, y: Scalar) -> Scalar:
    match node.op:
        case "Add":
            return x + y
        case "Sub":
            return x - y
        case "Mul":
            return x * y
        case "Div" if x.floating:
            return over(x, y, b)
        case "Div":
            return fn.unsigned_quotient(x, y) if unsigned(a) else fn.integer_quotient(x, y, wide(a))
        case "PRelu":
            return where(x < 0, x * y, x)
        case "Mod":
            return _modulo(node, a, x, y)
        case "BitwiseAnd":
            return x & y
        case "BitwiseOr":
            return x | y
        case "BitwiseXor":
            return x ^ y
        case _:
            return x.left(y) if node.text("direction") == "LEFT" else x.right(y, a.kind == "u")


def over(x: Scalar, y: Scalar, divisor: Value) -> Scalar:
    """x / y: of a divisor of one known number its product with the reciprocal."""
    if divisor.array is not None and divisor.size == 1 and (number := float(divisor.array.reshape(-1)[0])):
        return x * float(np.float32(1) / np.float32(number))
    return fn.divided(x, y)


def _modulo(node: Node, a: Value, x: Scalar, y: Scalar) -> Scalar:
    if x.floating:
        rest = fn.remainder(x, y)
        return rest if node.int("fmod") else where(rest * y < 0, rest + y, rest)
    if unsigned(a):
        return x - fn.unsigned_quotient(x, y) * y
    rest = x - fn.integer_quotient(x, y, wide(a)) * y
    if node.int("fmod"):
        return rest
    return where((rest.differs(0).i32() & ((rest ^ y) < 0).i32()).differs(0), rest + y, rest)


@lowers("Sum", "Max", "Min", "Mean")
def variadic(node: Node) -> Value:
    """A function of any number of tensors."""
    values = node.tensors()
    dtype, bare = values[0].dtype, unsigned(values[0])

    def joined(a: Value, b: Value) -> Value:
        def function(x: Scalar, y: Scalar) -> Scalar:
            match node.op:
                case "Max":
                    return larger(x, y, bare)
                case "Min":
                    return smaller(x, y, bare)
                case _:
                    return x + y

        return node.emit.map(function, a, b, to=dtype)

    total = fold_left(joined, values)
    if node.op != "Mean":
        return total
    return node.emit.map(lambda x: x * (1 / len(values)), total, to=dtype)


@lowers("Pow")
def pow_(node: Node) -> Value:
    x, y = node.value(0), node.value(1)
    if y.array is not None and y.size == 1:
        exponent = float(y.array.reshape(-1)[0])
        if exponent == int(exponent) and abs(exponent) <= 16 and (x.kind == "f" or exponent >= 0):
            return node.emit.map(lambda v, _: fn.whole_power(v, int(exponent)), x, y, to=x.dtype)
        if exponent == 0.5 and x.kind == "f":
            return node.emit.map(lambda v, _: fn.square_root(v), x, y, to=x.dtype)
        if exponent == -0.5 and x.kind == "f":
            return node.emit.map(lambda v, _: v.rsqrt(), x, y, to=x.dtype)
    if x.kind != "f" and y.kind != "f":
        return node.emit.map(fn.integer_power, x, y, to=x.dtype)
    if x.kind == "f":
        return node.emit.map(lambda v, w: fn.power(v, w.f32()), x, y, to=x.dtype)
    return node.emit.map(lambda v, w: fn.power(v.f32(), w).round(), x, y, to=x.dtype)


@lowers("Clip")
def clip(node: Node) -> Value:
    """Between bounds, which before version 11 were attributes."""
    x, bare = node.value(0), unsigned(node.value(0))
    bounds: list[tuple[Value, Callable[..., Scalar]]] = []
    for i, name, function in ((1, "min", larger), (2, "max", smaller)):
        bound = node.optional(i) if node.version >= 11 else None
        if node.version < 11 and name in node.attributes:
            bound = known(np.array(node.float(name), x.dtype))
        if bound is not None:
            bounds.append((bound, function))

    def clipped(v: Scalar, *limits: Scalar) -> Scalar:
        for (_, function), limit in zip(bounds, limits, strict=True):
            v = function(v, limit, bare)
        return v

    return node.emit.map(clipped, x, *(b for b, _ in bounds), to=x.dtype) if bounds else x


@lowers("Identity")
def identity(node: Node) -> Any:
    return node.inputs[0]


@lowers("Dropout")
def dropout(node: Node) -> Any:
    """As in inference: nothing is dropped."""
    x = node.value(0)
    training = node.has(2) and bool(node.array(2, "whether it is training").reshape(-1)[0])
    if training and (not node.has(1) or node.array(1, "the ratio").any()):
        raise Refused("it is to drop elements by chance, as in training", "export the model for inference")
    if node.outputs < 2:
        return x
    mask = known(np.ones(x.shape, np.bool_ if node.version >= 10 else x.dtype))
    return (x, mask)


@lowers("Cast", "CastLike")
def cast(node: Node) -> Value:
    """Floats go to integers toward zero."""
    x = node.value(0)
    dtype = dtype_of_code(node.int("to")) if node.op == "Cast" else node.value(1).dtype
    return node.emit.cast(x, dtype)


@lowers("Where")
def where_(node: Node) -> Value:
    condition, a, b = node.tensors()
    return node.emit.map(where, condition, a, b, to=a.dtype)


@lowers("BitCast")
def bit_cast(node: Node) -> Value:
    """Between integers of one size."""
    x, dtype = node.value(0), dtype_of_code(node.int("to"))
    if "f" in (x.dtype.kind, dtype.kind) or dtype.kind == "b":
        raise Refused(f"no ALU takes the bits of {x.dtype} as {dtype}", "keep to integers of one size")
    return node.emit.map(lambda v: v.i32(), x, to=dtype)
