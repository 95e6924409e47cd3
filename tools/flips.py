"""`tsp-run --flip`: bits that flip, as one writes them."""

from __future__ import annotations

import re

from ..dialects.errors import InputError
from ..dialects.machine.instruction_fetch import Word
from ..dialects.machine.stream_code import stream_code
from ..dialects.machine.target import ChipSpec
from ..runtime.flips import Flip, Register

FORMS = "stream:E4@-3:lane17.3:cycle119 or sram:E12:0x10:check4.8:cycle0, where :chip1 may follow"
"""How a flip is written, for messages."""

_FLIP = re.compile(
    r"(?:stream:(?P<stream>[EW]\d{1,9})@(?P<position>[+-]?\d{1,9})"
    r"|sram:(?P<slice>[EW]\d{1,9}):(?P<address>0x[0-9a-fA-F]{1,8}|\d{1,9}))"
    r":(?P<kind>lane|check)(?P<index>\d{1,9})\.(?P<bit>\d{1,9})"
    r":cycle(?P<cycle>\d{1,15})(?::chip(?P<chip>\d{1,9}))?"
)


def parse_flip(text: str, spec: ChipSpec) -> Flip:
    """The flip that `text` names on chips of a kind. Raises InputError for one that cannot be read, and for a stream,
    lane, code word or bit that there is not; the engine says whether there are the word, position, cycle and chip."""
    match = _FLIP.fullmatch(text)
    if match is None:
        raise InputError(f"--flip {text}: write it as {FORMS}")
    if match["stream"]:
        number = int(match["stream"][1:])
        if number >= spec.streams:
            raise InputError(f"--flip {text}: the chip has streams 0..{spec.streams - 1} in each direction")
        place: Word | Register = Register(stream_code(match["stream"][0], number), int(match["position"]))
    else:
        place = Word(match["slice"][0], int(match["slice"][1:]), int(match["address"], 0))
    return Flip(int(match["chip"] or 0), int(match["cycle"]), place, _bit(text, match, spec))


def _bit(text: str, match: re.Match[str], spec: ChipSpec) -> int:
    """The number of a bit of a vector: those of the lanes first, then the check bits of the code words."""
    index, bit = int(match["index"]), int(match["bit"])
    if match["kind"] == "lane":
        what, there, bits, before = "lanes", spec.lanes, 8, 0
    else:
        words = 8 * spec.lanes // spec.secded_data_bits
        what, there, bits, before = "code words", words, spec.secded_check_bits, 8 * spec.lanes
    if index >= there or bit >= bits:
        raise InputError(f"--flip {text}: a vector has {what} 0..{there - 1} with bits 0..{bits - 1} in each")
    return before + bits * index + bit
