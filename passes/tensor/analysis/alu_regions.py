"""Turns the region of a map into one that ALUs execute: one ALU operation per op.

`arith.fptosi` truncates, an ALU converts to the nearest: a truncation is put before it, unless a rounding stands there,
which the conversion then does itself. i1 becomes i8, 1 or 0. Where ALUs do in one operation what the region says in
several, with the same bits, they do: saturating conversions and arithmetic.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import cast

from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, IntegerType, i1, i8, i32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from ....dialects import tsp_tensor
from ....dialects.locations import located
from ....dialects.tsp_stream import AddSatOp, CompareOp, ConvertOp, MulSatOp, SelectOp, SubSatOp, YieldOp
from ....dialects.tsp_stream.alu_ops import alu_instruction

_SATURATING: dict[type[Operation], type[AddSatOp | SubSatOp | MulSatOp]] = {
    arith.AddiOp: AddSatOp,
    arith.SubiOp: SubSatOp,
    arith.MuliOp: MulSatOp,
}
_MASK_OPS = (arith.AndIOp, arith.OrIOp, arith.XOrIOp)

_SIGNED = ("eq", "ne", "lt", "le", "gt", "ge")
"""The first predicates of arith.cmpi as an ALU's relations; the last four are those of unsigned numbers."""

_ORDERED = {1: "eq", 2: "gt", 3: "ge", 4: "lt", 5: "le", 13: "ne"}
"""The predicates of arith.cmpf that are an ALU's relations: oeq, ogt, oge, olt, ole, une."""

_NEGATED = {9: "le", 10: "lt", 11: "ge", 12: "gt"}
"""Those that are the contrary of one: ugt, uge, ult, ule."""


class UnsupportedRegion(Exception):
    """An op of a map region that no ALU executes; carries the op and the reason."""

    def __init__(self, op: Operation, reason: str):
        super().__init__(reason)
        self.op = op
        self.reason = reason


def alu_region(op: tsp_tensor.MapOp, arguments: Sequence[int]) -> Region:
    """The ALU region of a map, in which operand i of the map is argument `arguments[i]`; operands may share one. Raises
    UnsupportedRegion."""
    return alu_values(op, arguments)[0]


def alu_values(op: tsp_tensor.MapOp, arguments: Sequence[int]) -> tuple[Region, dict[SSAValue, SSAValue]]:
    """The ALU region of a map, and in it the values of the map's scalars; those that nothing uses are gone."""
    source = op.body.block
    types = {i: argument.type for argument, i in zip(source.args, arguments, strict=True)}
    block = Block(arg_types=[types[i] for i in range(len(types))])
    values: dict[SSAValue, SSAValue] = {arg: block.args[i] for arg, i in zip(source.args, arguments, strict=True)}
    builder = _Builder(block, values)
    for inner in source.ops:
        builder.lower(inner)
    builder.drop_unused()
    return Region(block), {scalar: value for scalar, value in values.items() if value not in builder.dropped}


class _Builder:
    def __init__(self, block: Block, values: dict[SSAValue, SSAValue]):
        self.block, self.values = block, values
        self.known: dict[Hashable, SSAValue] = {}
        """The result of every op, by what it computes of what."""
        self.dropped: set[SSAValue] = set()
        self.source: Operation = cast(Operation, None)
        """The op that is being lowered."""

    def add(self, op: Operation) -> SSAValue:
        """The result of an op, which is appended unless it stands there already. Constants are free and stay apart."""
        properties = frozenset((op.properties | op.attributes).items())
        same = type(op), tuple(op.operands), properties, tuple(op.result_types)
        if same in self.known and not isinstance(op, arith.ConstantOp):
            op.erase()
            return self.known[same]
        self.block.add_op(located(op, self.source))
        self.known[same] = op.results[0]
        return op.results[0]

    def lower(self, op: Operation) -> None:
        self.source = op
        operands = [self.values[v] for v in op.operands]
        match op:
            case tsp_tensor.YieldOp():
                self.block.add_op(located(YieldOp(*operands), op))
                return
            case arith.FPToSIOp():
                value = self._to_integer(op, operands[0])
            case arith.TruncIOp():
                value = self._truncated(op, operands[0])
            case arith.SIToFPOp():
                value = self.add(arith.SIToFPOp(_unextended(operands[0]), op.result.type))
            case arith.ExtSIOp():
                value = self.add(arith.ExtSIOp(_unextended(operands[0]), op.result.type))
            case arith.ExtUIOp():
                value = self._zero_extended(op, operands[0])
            case arith.CmpiOp():
                value = self._compare_integers(op.predicate.value.data, *operands)
            case arith.CmpfOp():
                value = self._compare_floats(op.predicate.value.data, *operands)
            case arith.SelectOp():
                value = self.add(SelectOp(*operands))
            case arith.ConstantOp() if op.result.type == i1:
                value = self._number(cast(IntegerAttr[IntegerType], op.value).value.data & 1, i8)
            case arith.AndIOp() | arith.OrIOp() | arith.XOrIOp():
                value = self.add(type(op)(operands[0], operands[1]))
            case _:
                value = self.add(op.clone(self.values))
                if alu_instruction(cast(Operation, value.owner)) is None and not isinstance(op, arith.ConstantOp):
                    raise UnsupportedRegion(op, "no ALU executes it; express it with other scalar ops")
        self.values[op.results[0]] = value

    # -- conversions -------------------------------------------------------------------------------------------

    def _to_integer(self, op: arith.FPToSIOp, operand: SSAValue) -> SSAValue:
        """A rounding before the conversion is part of it, and so are the bounds of the integer type, on either side of
        the rounding; else a truncation is put before, unless the number is integral."""
        limits = _limits(op.results[0].type)
        inside = _clamped(operand, *limits)
        if isinstance(inside.owner, math.RoundEvenOp):
            return self._convert(_clamped(inside.owner.operands[0], *limits), op.results[0].type)
        if not isinstance(inside.owner, math.TruncOp | arith.SIToFPOp):
            inside = self.add(math.TruncOp(inside))
        return self._convert(inside, op.results[0].type)

    def _truncated(self, op: arith.TruncIOp, operand: SSAValue) -> SSAValue:
        """Bounds of the narrow type before it make the conversion a saturating one, or the arithmetic itself."""
        to = op.results[0].type
        inside = _clamped(operand, *_limits(to))
        if inside is operand:
            return self.add(arith.TruncIOp(operand, cast(IntegerType, to)))
        owner = inside.owner
        if isinstance(owner, arith.AddiOp | arith.SubiOp | arith.MuliOp) and inside.type == i32:
            narrow = [_unextended(v) for v in owner.operands]
            if all(v.type == to for v in narrow):
                return self.add(_SATURATING[type(owner)](*narrow))
        if isinstance(owner, ConvertOp):  # rounded, or out of bounds once, is so twice
            inside = owner.value
        return self._convert(inside, to)

    def _zero_extended(self, op: arith.ExtUIOp, operand: SSAValue) -> SSAValue:
        wide = self._convert(operand, op.results[0].type)
        if op.operands[0].type == i1:
            return wide
        return self.add(arith.AndIOp(wide, self._number((1 << _width(operand.type)) - 1, wide.type)))

    def _convert(self, value: SSAValue, type_: Attribute) -> SSAValue:
        return value if value.type == type_ else self.add(ConvertOp(value, type_))

    def _number(self, number: int, type_: Attribute) -> SSAValue:
        """An integer constant."""
        return self.add(arith.ConstantOp(IntegerAttr(number, cast(IntegerType, type_), truncate_bits=True)))

    # -- comparisons -------------------------------------------------------------------------------------------

    def _compare_integers(self, predicate: int, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        """Unsigned numbers are ordered as signed ones are whose highest bits are flipped."""
        if predicate < len(_SIGNED):
            return self.add(CompareOp(_SIGNED[predicate], lhs, rhs))
        highest = self._number(_limits(lhs.type)[0], lhs.type)
        flipped = [self.add(arith.XOrIOp(v, highest)) for v in (lhs, rhs)]
        return self.add(CompareOp(_SIGNED[predicate - 4], *flipped))

    def _compare_floats(self, predicate: int, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        if predicate in _ORDERED:
            return self.add(CompareOp(_ORDERED[predicate], lhs, rhs))
        if predicate in _NEGATED:
            return self._not(self.add(CompareOp(_NEGATED[predicate], lhs, rhs)))

        def both(join: type[arith.AndIOp | arith.OrIOp], *masks: CompareOp) -> SSAValue:
            return self.add(join(self.add(masks[0]), self.add(masks[1])))

        match arith.CMPF_COMPARISON_OPERATIONS[predicate]:
            case "one":
                return both(arith.OrIOp, CompareOp("lt", lhs, rhs), CompareOp("gt", lhs, rhs))
            case "ueq":
                return self._not(both(arith.OrIOp, CompareOp("lt", lhs, rhs), CompareOp("gt", lhs, rhs)))
            case "ord":
                return both(arith.AndIOp, CompareOp("eq", lhs, lhs), CompareOp("eq", rhs, rhs))
            case "uno":
                return both(arith.OrIOp, CompareOp("ne", lhs, lhs), CompareOp("ne", rhs, rhs))
            case constant:
                return self._number(int(constant == "true"), i8)

    def _not(self, mask: SSAValue) -> SSAValue:
        return self.add(arith.XOrIOp(mask, self._number(1, i8)))

    def drop_unused(self) -> None:
        for op in reversed(list(self.block.ops)):
            if op.results and not any(r.first_use for r in op.results):
                self.dropped.update(op.results)
                op.detach()
                op.erase()


def _width(type_: Attribute) -> int:
    return cast(IntegerType, type_).width.data


def _limits(type_: Attribute) -> tuple[int, int]:
    """The least and the greatest number of an integer type."""
    half = 1 << (_width(type_) - 1)
    return -half, half - 1


def _unextended(value: SSAValue) -> SSAValue:
    """The narrow integer of which a value is the same number."""
    while isinstance(op := value.owner, arith.ExtSIOp):
        value = op.input
    return value


def _clamped(value: SSAValue, low: int, high: int) -> SSAValue:
    """What one max and one min, in either order, hold between exactly these bounds to give `value`; else `value`."""
    inner, bounds = value, {"max": low, "min": high}
    while bounds:
        op = inner.owner
        match op:
            case arith.MaxSIOp() | arith.MaximumfOp():
                bound = bounds.pop("max", None)
            case arith.MinSIOp() | arith.MinimumfOp():
                bound = bounds.pop("min", None)
            case _:
                return value
        sides = [(a, b) for a, b in (op.operands, op.operands[::-1]) if _constant(b) == bound]
        if bound is None or not sides:
            return value
        inner = sides[0][0]
    return inner


def _constant(value: SSAValue) -> float | None:
    """The number that a constant is."""
    if not isinstance(op := value.owner, arith.ConstantOp) or not isinstance(op.value, IntegerAttr | FloatAttr):
        return None
    return op.value.value.data
