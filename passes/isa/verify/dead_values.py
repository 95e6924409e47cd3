"""Values that are driven onto streams and that nothing samples: no hazard, but seldom what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ....dialects.errors import Actor
from ....dialects.machine.stream_code import StreamCode, stream_text
from ....dialects.programs.records import Program
from .issues import ChipIssues
from .stream_registers import matched


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
        for stream in matched(chip):
            if stream.drives is None:
                continue
            dead = np.ones(len(stream.driven), np.bool_)
            dead[stream.drivers[stream.drivers >= 0]] = False
            if dead.any():
                cycles = stream.stations.cycle(stream.driven[dead])
                first = int(np.flatnonzero(dead)[np.argmin(cycles)])
                actor = stream.drives.issues.actor(first)
                yield DeadValues(chip.number, stream.code, int(dead.sum()), int(cycles.min()), actor)
