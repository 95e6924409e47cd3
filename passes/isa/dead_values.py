"""Values that are driven onto streams and that nothing samples: no hazard, but seldom what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...dialects.errors import Actor
from ...dialects.program import Program
from ...dialects.stream_code import StreamCode, is_westward, stream_text
from .issues import ChipIssues
from .stations import Stations, newest, stream_uses


class DeadValues(NamedTuple):
    """Values of one stream of a chip that are overwritten or leave the chip before anything samples them."""

    chip: int
    stream: StreamCode
    """The code of the stream."""
    number: int
    cycle: int
    """The cycle in which the first of them is driven."""
    first: Actor
    """What drives the first of them."""

    def __str__(self) -> str:
        what = "1 value is" if self.number == 1 else f"{self.number} values are"
        return (
            f"dead value: chip {self.chip}, stream {stream_text(self.stream)}: {what} driven and never sampled, the "
            f"first in cycle {self.cycle} by {self.first}; leave the instruction out, or let something take its result"
        )


def dead_values(program: Program) -> Iterator[DeadValues]:
    """The dead values of a program without hazards, stream by stream, in the order of chips and stream codes."""
    for chip_program in program.chips:
        chip = ChipIssues(chip_program.chip, chip_program.dispatches, program.system.chip)
        drives, samples = stream_uses(chip, "drive"), stream_uses(chip, "read")
        for code in sorted(drives):
            stations = Stations(is_westward(code), chip.spec.mxm_distance)
            keys = drives[code].keys(stations)
            dead = np.ones(len(keys), np.bool_)
            if code in samples:
                dead[newest(drives[code], samples[code], stations)] = False
            if dead.any():
                cycles = stations.cycle(keys[dead])
                first = int(np.flatnonzero(dead)[np.argmin(cycles)])
                actor = drives[code].issues.actor(first)
                yield DeadValues(chip.number, code, int(dead.sum()), int(cycles.min()), actor)
