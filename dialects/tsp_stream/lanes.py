"""What moves bytes between lanes: the ops of the SXM, and the streams of a group one by one.

An SXM works on a byte per lane. A wider element is moved byte by byte: read and written with `byte`.
"""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, i8, i16
from xdsl.ir import SSAValue
from xdsl.irdl import irdl_op_definition, operand_def, opt_prop_def, prop_def, result_def
from xdsl.utils.exceptions import VerifyException

from ..instructions import OP_CLASSES
from ..target_attr import target_of
from .base import DrivingOp, StreamOp, check_lanes
from .types import StreamType

_DECIDED = "(`side` $side^)? (`chip` $chip^)? (`toward` $direction^)? (`on` $on^)? (`at` $at^)? attr-dict"


class LaneOp(DrivingOp):
    """An op of the SXM of one hemisphere: on `side` E or W once placed. A vector a cycle."""

    side = opt_prop_def(StringAttr)

    @property
    def mnemonic(self) -> str:
        """The instruction that executes it."""
        return self.name.partition(".")[2]

    @property
    def unit_kind(self) -> str:
        """The kind of unit that executes it, such as `permute`."""
        return OP_CLASSES[self.mnemonic].INSTRUCTION.kinds[0].partition(".")[2]

    @property
    def units(self) -> tuple[str, ...]:
        """The units of a hemisphere that can execute it, as in the names of their queues."""
        return (self.unit_kind,)

    def verify_(self) -> None:
        super().verify_()
        if self.side is not None and self.side.data not in ("E", "W"):
            raise VerifyException(f"side {self.side} is neither E nor W")
        for value in (*self.operands, *self.results):
            check_lanes(self, value.type)
            if cast(StreamType, value.type).vectors != cast(StreamType, self.driven.type).vectors:
                raise VerifyException(f"{value.type} and {self.driven.type} have different numbers of vectors")


def _check_bytes(*values: SSAValue) -> None:
    for value in values:
        type_ = cast(StreamType, value.type)
        if type_.element_type != i8 or len(type_.shape) != 2:
            raise VerifyException(f"{type_} is not one stream of i8; move a wider element byte by byte")


@irdl_op_definition
class ShiftOp(LaneOp):
    """Moves vectors by `count` lanes, "up" to greater lane numbers or "down"; zeros enter."""

    name = "tsp_stream.shift"
    vector = operand_def(StreamType)
    count = prop_def(IntegerAttr[I64])
    way = prop_def(StringAttr)
    result = result_def(StreamType)
    assembly_format = f"$vector `by` $count $way {_DECIDED} `:` type($vector) `->` type($result)"

    def verify_(self) -> None:
        super().verify_()
        _check_bytes(self.vector, self.result)
        if self.way.data not in ("up", "down"):
            raise VerifyException(f"way {self.way} is neither up nor down")
        most = OP_CLASSES["shift"].INSTRUCTION.fields[0].high
        if not 0 <= self.count.value.data <= most:
            raise VerifyException(f"by {self.count.value.data} lanes; an instruction says 0..{most}")


@irdl_op_definition
class LaneSelectOp(LaneOp):
    """Lane by lane one of two vectors: the first where the mask's byte is not 0."""

    name = "tsp_stream.lane_select"
    mask = operand_def(StreamType)
    a = operand_def(StreamType)
    b = operand_def(StreamType)
    result = result_def(StreamType)
    assembly_format = f"$mask `,` $a `,` $b {_DECIDED} `:` type($mask) `,` type($a) `,` type($b) `->` type($result)"

    def verify_(self) -> None:
        super().verify_()
        _check_bytes(self.mask, self.a, self.b, self.result)


@irdl_op_definition
class PermuteOp(LaneOp):
    """Rearranges all lanes: lane i takes lane map[i], zero from the number of lanes on. The map's i16 are unsigned."""

    name = "tsp_stream.permute"
    vector = operand_def(StreamType)
    map = operand_def(StreamType)
    result = result_def(StreamType)
    assembly_format = f"$vector `by` $map {_DECIDED} `:` type($vector) `,` type($map) `->` type($result)"

    def verify_(self) -> None:
        super().verify_()
        _check_bytes(self.vector, self.result)
        map_type = cast(StreamType, self.map.type)
        if map_type.element_type != i16 or len(map_type.shape) != 2:
            raise VerifyException(f"the map is a stream of i16, not {map_type}")


@irdl_op_definition
class DistributeOp(LaneOp):
    """Rearranges the lanes of every tile: lane i of a tile takes lane map[i] of the same tile, zero from the lanes of a
    tile on. The map's i8 are unsigned."""

    name = "tsp_stream.distribute"
    vector = operand_def(StreamType)
    map = operand_def(StreamType)
    result = result_def(StreamType)
    assembly_format = f"$vector `by` $map {_DECIDED} `:` type($vector) `,` type($map) `->` type($result)"

    def verify_(self) -> None:
        super().verify_()
        _check_bytes(self.vector, self.map, self.result)


def _check_group(value: SSAValue, *sizes: int) -> int:
    """The vectors side by side of a group of i8. Raises VerifyException unless they are one of `sizes`."""
    type_ = cast(StreamType, value.type)
    if type_.element_type != i8 or len(type_.shape) != 3 or type_.shape[1] not in sizes:
        raise VerifyException(f"{type_} is not {' or '.join(map(str, sizes))} vectors of i8 side by side")
    return type_.shape[1]


@irdl_op_definition
class RotateOp(LaneOp):
    """Takes the lanes of every tile in runs of n, 3 or 4, and gives all rotations of n vectors side by side: vector
    n r + c of the result is vector r, each run rotated by c lanes downward. Lanes that fill no run are zero."""

    name = "tsp_stream.rotate"
    vectors = operand_def(StreamType)
    result = result_def(StreamType)
    assembly_format = f"$vectors {_DECIDED} `:` type($vectors) `->` type($result)"

    @property
    def mnemonic(self) -> str:
        return f"rotate{cast(StreamType, self.vectors.type).shape[1]}"

    def verify_(self) -> None:
        size = _check_group(self.vectors, 3, 4)
        _check_group(self.result, size * size)
        super().verify_()


@irdl_op_definition
class TransposeOp(LaneOp):
    """Transposes the bytes of every tile: lane i of vector s, of as many side by side as a tile has lanes, goes to lane
    s of vector i. `unit` says which transposer of the side."""

    name = "tsp_stream.transpose"
    vectors = operand_def(StreamType)
    unit = opt_prop_def(IntegerAttr[I64])
    result = result_def(StreamType)
    assembly_format = f"$vectors (`unit` $unit^)? {_DECIDED} `:` type($vectors) `->` type($result)"

    @property
    def units(self) -> tuple[str, ...]:
        numbers = range(target_of(self).chip.transposers) if self.unit is None else [self.unit.value.data]
        return tuple(f"{self.unit_kind}{n}" for n in numbers)

    def verify_(self) -> None:
        super().verify_()
        chip = target_of(self).chip
        for value in (self.vectors, self.result):
            _check_group(value, chip.lanes_per_tile)
        if self.unit is not None and not 0 <= self.unit.value.data < chip.transposers:
            raise VerifyException(f"unit {self.unit.value.data}: a side has transposers 0..{chip.transposers - 1}")


@irdl_op_definition
class PartOp(StreamOp):
    """One vector of those side by side: `tsp_stream.part %s[2]`. Names a stream of the group, and takes no time."""

    name = "tsp_stream.part"
    vectors = operand_def(StreamType)
    index = prop_def(IntegerAttr[I64])
    result = result_def(StreamType)
    assembly_format = "$vectors `[` $index `]` (`chip` $chip^)? attr-dict `:` type($vectors) `->` type($result)"

    def verify_(self) -> None:
        super().verify_()
        group = cast(StreamType, self.vectors.type)
        if len(group.shape) != 3 or not 0 <= self.index.value.data < group.shape[1]:
            raise VerifyException(f"{group} has no vector {self.index.value.data} side by side")
        if self.result.type != (part := StreamType.of((group.shape[0], group.shape[2]), group.element_type)):
            raise VerifyException(f"a vector of {group} is {part}, not {self.result.type}")


def origin(value: SSAValue) -> tuple[SSAValue, int]:
    """The value that an op drives of which a stream value is a part, and how many streams of its group come before."""
    before = 0
    while isinstance(part := value.owner, PartOp):
        before += part.index.value.data * cast(StreamType, value.type).width
        value = part.vectors
    return value, before


LANE_OPS: tuple[type[LaneOp], ...] = (ShiftOp, LaneSelectOp, PermuteOp, DistributeOp, RotateOp, TransposeOp)
