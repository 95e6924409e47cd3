"""stream-search: better places for buffers, by trial.

The length of a program is known only once it is scheduled. So this pass places, allocates and schedules copies of a
module, each time with other choices for a few buffers, and keeps a change that made the program no longer: a hill climb
in the space of choices. It leaves the places of the best one in the module; the passes that follow decide the rest as
they did there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ....dialects import tsp_stream as ts
from ....dialects.errors import TspError
from ...policy import Policy
from ..placement.buffer_places import Choice, place_buffers
from ..placement.stream_allocate import StreamAllocatePass
from ..placement.stream_place import StreamPlacePass, place_planes
from ..placement.sxm_units import place_sxm_units
from .account import scheduled_length
from .stream_schedule import StreamSchedulePass


@dataclass(frozen=True)
class StreamSearchPass(ModulePass):
    """Places the buffers of a module so that its schedule is the shortest of those tried."""

    name = "stream-search"

    tries: int = 32
    """Schedules made at most, the one without changes included."""
    seed: int = 0
    """Of the random choices: equal seeds give equal places, unless the time ends the search."""
    seconds: float = 60.0
    """Time after which no new try begins."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        end, random = time.monotonic() + self.seconds, Random(self.seed)
        count = len(_buffers(op))
        best: tuple[int, dict[int, Choice]] | None = None
        refusal: TspError | None = None
        for number in range(self.tries):
            if number and (time.monotonic() >= end or count == 0):
                break
            choices = dict(best[1]) if best is not None else {}
            for _ in range(random.choice(Policy.search_changes) if number else 0):
                choices[random.randrange(count)] = random.choice(list(Choice))
            try:
                length = _length(ctx, op.clone(), choices)
            except TspError as e:
                refusal = refusal or e
                continue
            if best is None or length <= best[0]:
                best = length, choices
        if best is None:
            if refusal is not None:
                raise refusal
            return
        place_planes(op)
        place_sxm_units(op)
        place_buffers(op, best[1])


def _buffers(module: ModuleOp) -> list[ts.BufferOp]:
    return [op for op in module.walk() if isinstance(op, ts.BufferOp)]


def _length(ctx: Context, module: ModuleOp, choices: dict[int, Choice]) -> int:
    """The cycles of a module, of which this takes hold, with these choices. Raises a TspError where they are none."""
    place_planes(module)
    place_sxm_units(module)
    place_buffers(module, choices)
    for stage in (StreamPlacePass(), StreamAllocatePass(), StreamSchedulePass()):
        stage.apply(ctx, module)
    return scheduled_length(module)
