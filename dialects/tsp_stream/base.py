"""What the ops of the stream level share: the chip, the start, and the stream that an op drives."""

from __future__ import annotations

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import IRDLOperation, opt_prop_def, prop_def
from xdsl.utils.exceptions import VerifyException

from ..target_attr import target_of
from .types import FlightType, StreamType

_CHIP_0 = IntegerAttr(0, i64)


class StreamOp(IRDLOperation):
    """What all ops of this level share: the chip on which they happen."""

    chip = prop_def(IntegerAttr[I64], default_value=_CHIP_0)

    @property
    def chip_number(self) -> int:
        return self.chip.value.data

    def verify_(self) -> None:
        system = target_of(self)
        if not 0 <= self.chip_number < system.chips:
            raise VerifyException(
                f"chip {self.chip_number}: the system has {system.chips} (target field `system.chips`)"
            )
        for value in self.operands:
            source = value.owner
            if isinstance(source, StreamOp) and source.chip != self.chip and not isinstance(value.type, FlightType):
                raise VerifyException(
                    f"happens on chip {self.chip_number}, but `{source.name}`, whose result it takes, on chip "
                    f"{source.chip_number}; between chips a value is sent and received"
                )


class TimedOp(StreamOp):
    """An op that issues instructions, from cycle `at` on once it is scheduled."""

    at = opt_prop_def(IntegerAttr[I64])

    @property
    def start(self) -> int | None:
        return None if self.at is None else self.at.value.data


class DrivingOp(TimedOp):
    """An op that drives a stream: in `direction` once placed, from stream number `on` once scheduled."""

    direction = opt_prop_def(StringAttr)
    on = opt_prop_def(IntegerAttr[I64])

    @property
    def driven(self) -> SSAValue:
        """The stream value that it drives."""
        return self.results[0]

    @property
    def first_stream(self) -> int | None:
        return None if self.on is None else self.on.value.data

    def verify_(self) -> None:
        super().verify_()
        if self.direction is not None and self.direction.data not in ("E", "W"):
            raise VerifyException(f"direction {self.direction} is neither E nor W")
        if (on := self.first_stream) is not None and isinstance(type_ := self.driven.type, StreamType):
            streams = target_of(self).chip.streams
            if on % type_.width or not 0 <= on <= streams - type_.width:
                raise VerifyException(
                    f"stream {on}: a group of {type_.width} starts at a multiple of it in 0..{streams - type_.width}"
                )


def check_lanes(op: Operation, type_: Attribute) -> None:
    """Raises VerifyException unless a stream's vectors have the chip's lanes."""
    lanes = target_of(op).chip.lanes
    if isinstance(type_, StreamType) and type_.shape[-1] != lanes:
        raise VerifyException(f"{type_} has vectors of {type_.shape[-1]} lanes, the chip has {lanes}")
