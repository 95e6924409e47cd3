"""Flips: bits of memory words and stream registers that a run turns over, to see what SECDED makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..dialects.errors import InputError, LinkError
from ..dialects.machine.instruction_fetch import Word
from ..dialects.machine.stream_code import StreamCode, register_text
from ..dialects.machine.target import ChipSpec
from ..dialects.programs.records import ChipProgram, Program
from .snapshot import check_register, check_word


class Register(NamedTuple):
    """A stream register: `stream E4 at position +3`."""

    code: StreamCode
    """The code of the stream."""
    position: int

    def __str__(self) -> str:
        return register_text(self.code, self.position)


class Packet(NamedTuple):
    """The packet that leaves by a link: `packet on link 3`. The flip's cycle is that in which its `send` is
    dispatched."""

    link: int

    def __str__(self) -> str:
        return f"packet on link {self.link}"


@dataclass(frozen=True)
class Flip:
    """One bit that flips in a cycle, in tile 0's time: after the drives of the cycle, before its instructions. In a
    stream register that holds no value there is nothing to flip."""

    chip: int
    cycle: int
    place: Word | Register | Packet
    bit: int
    """8 * lane + bit of the lane; after the lanes, check bits, code word by code word; of a packet, what link_code.py
    says."""


FlipsByCycle = Mapping[int, Sequence[Flip]]
"""The flips of one chip."""


def bits_of(chip: ChipSpec) -> int:
    """The bits of a vector, its check bits among them."""
    return 8 * chip.lanes + 8 * chip.lanes // chip.secded_data_bits * chip.secded_check_bits


def program_of(chip: int, program: Program) -> ChipProgram:
    """What the chip of a flip runs. Raises LinkError for a chip that runs nothing."""
    for one in program.chips:
        if one.chip == chip:
            return one
    there = ", ".join(str(one.chip) for one in program.chips)
    raise LinkError(f"flip on chip {chip}: it has no program; the chips that have one: {there}")


def flips_by_chip(flips: Sequence[Flip], secded: bool, program: Program) -> dict[int, FlipsByCycle]:
    """The flips for each chip of a program, those of packets apart (link_errors.py).

    Raises InputError for flips without SECDED, and for a cycle, place or bit that there is not; LinkError for a chip
    that runs no program.
    """
    flips = [flip for flip in flips if not isinstance(flip.place, Packet)]
    if flips and not secded:
        raise InputError("flips need SECDED: without it nothing would detect them")
    chips: dict[int, dict[int, list[Flip]]] = {c.chip: {} for c in program.chips}
    for flip in flips:
        program_of(flip.chip, program)
        if not 0 <= flip.cycle < program.cycles:
            raise InputError(f"flip in cycle {flip.cycle}: the program has the cycles 0..{program.cycles - 1}")
        _check_place(flip, program.system.chip)
        chips[flip.chip].setdefault(flip.cycle, []).append(flip)
    return {chip: by_cycle for chip, by_cycle in chips.items()}


def _check_place(flip: Flip, spec: ChipSpec) -> None:
    if isinstance(flip.place, Register):
        check_register(*flip.place, spec)
    elif isinstance(flip.place, Word):
        if flip.place.slice >= spec.slices:
            raise InputError(f"slice {flip.place.hemisphere}{flip.place.slice}: the chip has 0..{spec.slices - 1}")
        check_word(flip.place.unit(spec), flip.place.address, spec)
    if not 0 <= flip.bit < (end := bits_of(spec)):
        raise InputError(f"flip of bit {flip.bit} of {flip.place}: a vector with its check bits has 0..{end - 1}")
