"""Comparisons and truth values."""

from __future__ import annotations

from .. import functions as fn
from ..registry import Node, lowers
from ..scalars import Pair
from ..values import Value
from .elementwise import unsigned

RELATIONS = {"Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le"}


@lowers(*RELATIONS)
def compare(node: Node) -> Value:
    a, b = node.value(0), node.value(1)
    if a.kind == "b":
        return node.emit.map(lambda x, y: ~(x ^ y), a, b, to=bool)
    return node.emit.map(lambda x, y: x.is_(RELATIONS[node.op], y, unsigned(a)), a, b, to=bool)


@lowers("And", "Or", "Xor")
def join(node: Node) -> Value:
    a, b = node.value(0), node.value(1)
    functions: dict[str, Pair] = {"And": lambda x, y: x & y, "Or": lambda x, y: x | y, "Xor": lambda x, y: x ^ y}
    return node.emit.map(functions[node.op], a, b, to=bool)


@lowers("Not")
def negate(node: Node) -> Value:
    return node.emit.map(lambda x: ~x, node.value(0), to=bool)


@lowers("IsNaN")
def is_nan(node: Node) -> Value:
    return node.emit.map(lambda x: x.differs(x), node.value(0), to=bool)


@lowers("IsInf")
def is_inf(node: Node) -> Value:
    positive, negative = bool(node.int("detect_positive", 1)), bool(node.int("detect_negative", 1))
    return node.emit.map(lambda x: fn.is_infinite(x, positive, negative), node.value(0), to=bool)
