"""How a stream is coded in the fields of instructions: its direction and its number in one byte.

A value on a stream moves one position a cycle, so two numbers stay with it. Its **diagonal** never changes on its way,
and the **place** of a position counts the registers of the stream in the order in which a value passes them. They are
linear, and so are defined for arrays of positions and cycles as for single ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NewType, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

StreamCode = NewType("StreamCode", int)
"""A direction and a number: direction << 7 | number, west being 1. The streams of a group follow each other."""

STREAM_BITS = 8
"""Bits of a field that holds one."""

DIRECTIONS = "EW"
"""The directions by their letters, in the order of their codes."""

_NUMBER_BITS = STREAM_BITS - 1

MOST_STREAMS = 1 << _NUMBER_BITS
"""Streams of a direction that a code can tell apart."""

_N = TypeVar("_N", int, npt.NDArray[np.int64])


def stream_code(direction: str, number: int) -> StreamCode:
    """The code of a stream: direction `E` or `W` and its number."""
    return code_of(direction == "W", number)


def code_of(westward: bool, number: int) -> StreamCode:
    """The same, with the direction as a truth value."""
    return StreamCode(number & MOST_STREAMS - 1 | westward << _NUMBER_BITS)


def is_stream(value: int) -> TypeGuard[StreamCode]:
    """Whether the value of a field that may name a stream does so: not so a chain, or an ALU's operand of 32 bits."""
    return 0 <= value < 1 << STREAM_BITS


def is_westward(code: StreamCode) -> bool:
    return bool(code >> _NUMBER_BITS)


def direction_of(code: StreamCode) -> str:
    """`E` or `W`."""
    return DIRECTIONS[is_westward(code)]


def number_of(code: StreamCode) -> int:
    """The number of a stream in its direction."""
    return code & MOST_STREAMS - 1


def group_of(code: StreamCode, width: int) -> Iterator[StreamCode]:
    """The streams of a group of `width`, from the first on."""
    return map(StreamCode, range(code, code + width))


def stream_text(code: StreamCode) -> str:
    """As written in assembly: `E4`."""
    return f"{direction_of(code)}{number_of(code)}"


def register_text(code: StreamCode, position: int) -> str:
    """A stream register, as errors and tools name it: `stream E4 at position +3`."""
    return f"stream {stream_text(code)} at position {position:+d}"


def flowing(code: StreamCode, position: _N) -> _N:
    """How far a position lies along the way of a stream's values, the middle of the chip being 0."""
    return -position if is_westward(code) else position


def place_of(code: StreamCode, position: _N, distance: int) -> _N:
    """The place of a position on the way of a stream's values, from 0 on: the first register is `distance` hops before
    the middle of the chip."""
    return distance + flowing(code, position)


def diagonal_of(code: StreamCode, position: _N, cycle: _N) -> _N:
    """The diagonal of a register in a cycle: constant along the way of a value."""
    return cycle - flowing(code, position)


def position_of(code: StreamCode, diagonal: _N, cycle: _N) -> _N:
    """Where a value of this diagonal is in a cycle."""
    return flowing(code, cycle - diagonal)
