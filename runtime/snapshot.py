"""The state of the chips at the end of a cycle, as `ReferenceSession.run_to` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dialects.errors import Actor, InputError, LinkError
from ..dialects.machine.instruction import ElementType, FieldKind, Instruction, StreamUse
from ..dialects.machine.stream_code import StreamCode, number_of, stream_text
from ..dialects.machine.target import ChipSpec, SystemSpec
from ..dialects.semantics.arithmetic import from_bytes, from_word


@dataclass(frozen=True)
class Seen:
    """A value and where it comes from."""

    data: npt.NDArray[Any]
    """[lanes]: uint8 of streams and SRAM, int32 or float32 of accumulators, the result's own type of ALUs."""
    cycle: int
    """The cycle in which it was driven, written, added up or computed."""
    actor: Actor
    """The instruction issue that did."""
    instruction: Instruction
    values: tuple[int, ...]
    """The field values of that issue."""

    @property
    def element(self) -> ElementType | None:
        """The element type of what an ALU computed; None for what comes from elsewhere."""
        target = next((f for f in self.instruction.fields if f.kind is FieldKind.TARGET), None)
        if target is None:
            return None
        return (
            ElementType(self.values[self.instruction.index(target.group)])
            if isinstance(target.group, str)
            else ElementType.I8
        )

    def group(self, code: StreamCode, chip: ChipSpec) -> StreamUse | None:
        """The group of streams, with that of this code, which the issue drives together."""
        uses = self.instruction.stream_uses("drive", self.values, chip)
        return next((u for u in uses if u.code <= code < u.code + u.width), None)


@dataclass(frozen=True)
class ChipState:
    """The state of one chip; what was never set is absent."""

    sram: npt.NDArray[np.uint8]
    """[2 * slices, words, lanes], the east first: the memory of the session, so valid until its next run."""
    written: Mapping[tuple[int, int], Seen]
    """By slice and word: what the program has written."""
    streams: Mapping[tuple[StreamCode, int], Seen]
    """By stream code and position: the value that is there."""
    accumulators: Mapping[tuple[int, int], Seen]
    """By plane and entry."""
    chains: Mapping[int, Seen]
    """By ALU: the result that its chain holds, as patterns in uint32."""


@dataclass(frozen=True)
class Snapshot:
    """The state of all chips at the end of a cycle, in tile 0's time."""

    cycle: int
    system: SystemSpec
    chips: Mapping[int, ChipState]
    """By the chip's number."""

    def chip(self, number: int) -> ChipState:
        """The state of a chip. Raises LinkError for one that runs no program."""
        if number not in self.chips:
            there = ", ".join(map(str, self.chips))
            raise LinkError(f"chip {number} has no program; the chips that have one: {there}")
        return self.chips[number]

    def stream(self, chip: int, code: StreamCode, position: int) -> Seen | None:
        """The value on a stream at a position. Raises InputError for one that the chip does not have."""
        check_register(code, position, self.system.chip)
        return self.chip(chip).streams.get((code, position))

    def word(self, chip: int, unit: int, address: int) -> tuple[npt.NDArray[np.uint8], Seen | None]:
        """The bytes of a word of SRAM, and who wrote them; None when the program has not. Raises InputError for a word
        that the chip does not have; `unit` counts the slices, the east's first."""
        check_word(unit, address, self.system.chip)
        state = self.chip(chip)
        return state.sram[unit, address], state.written.get((unit, address))

    def accumulator(self, chip: int, plane: int, entry: int) -> Seen | None:
        """The value of an accumulator entry. Raises InputError for one that the chip does not have."""
        spec = self.system.chip
        if not 0 <= plane < spec.planes:
            raise InputError(f"plane {plane}: the chip has 0..{spec.planes - 1}")
        if not 0 <= entry < spec.accumulators:
            raise InputError(f"accumulator {entry}: a plane has 0..{spec.accumulators - 1}")
        return self.chip(chip).accumulators.get((plane, entry))

    def alu(self, chip: int, alu: int) -> Seen | None:
        """The result that leaves an ALU in this cycle, to its chain or to streams. Raises InputError for an ALU that
        the chip does not have."""
        spec = self.system.chip
        if not 0 <= alu < spec.alus:
            raise InputError(f"ALU {alu}: the chip has 0..{spec.alus - 1}")
        state = self.chip(chip)
        if (held := state.chains.get(alu)) is not None and held.element is not None:
            return replace(held, data=from_word(held.data, held.element))
        for (code, position), seen in state.streams.items():
            if position == 0 and seen.cycle == self.cycle and seen.actor.queue == f"VXM.{alu}":
                return self._put_together(state, code, seen)
        return None

    def _put_together(self, state: ChipState, code: StreamCode, seen: Seen) -> Seen:
        """The result of which an ALU has just driven one byte plane."""
        use, element = seen.group(code, self.system.chip), seen.element
        assert use is not None and element is not None  # it drives this stream
        planes = np.stack([state.streams[stream, 0].data for stream in use.codes])
        return replace(seen, data=from_bytes(planes, element))


def check_register(code: StreamCode, position: int, spec: ChipSpec) -> None:
    """Raises InputError for a stream register that the chip does not have."""
    if number_of(code) >= spec.streams:
        raise InputError(f"stream {stream_text(code)}: the chip has 0..{spec.streams - 1} in each direction")
    if abs(position) > (end := spec.mxm_distance):
        raise InputError(f"position {position:+d}: the chip has {-end:+d}..{end:+d}, the VXM being 0")


def check_word(unit: int, address: int, spec: ChipSpec) -> None:
    """Raises InputError for a word of SRAM that the chip does not have."""
    if not 0 <= unit < 2 * spec.slices:
        raise InputError(f"slice {unit}: the chip has {spec.slices} in each hemisphere")
    if not 0 <= address < spec.words:
        raise InputError(f"word {address}: a slice has the words 0..{spec.words - 1}")
