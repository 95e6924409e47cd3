"""ICU: what every instruction queue understands."""

from __future__ import annotations

from typing import ClassVar

from ..machine.effects import Effect
from .table import InstructionOp, instruction, number, reads


@instruction(0x01, effect=Effect.WAIT)
class NopOp(InstructionOp):
    """Waits `count` cycles."""

    name = "tsp_isa.nop"
    PACKED_ONLY: ClassVar[bool] = True
    count = number(16, "cycles to wait", low=1)


@instruction(0x02, effect=Effect.REPEAT)
class RepeatOp(InstructionOp):
    """Issues the instruction before it `count` more times, `every` cycles apart, moving its stepping field by `step`
    each time. After another repeat it repeats the whole group: the levels nest."""

    name = "tsp_isa.repeat"
    PACKED_ONLY: ClassVar[bool] = True
    count = number(16, "further rounds", low=1)
    every = number(16, "cycles from one round to the next", low=1)
    step = number(16, "movement of the stepping field, two's complement")


@instruction(0x03, effect=Effect.SYNC)
class SyncOp(InstructionOp):
    """Parks at the head of the queue until a notify releases all queues."""

    name = "tsp_isa.sync"
    PACKED_ONLY: ClassVar[bool] = True


@instruction(0x04, effect=Effect.NOTIFY)
class NotifyOp(InstructionOp):
    """Releases every parked queue, `barrier` cycles after its dispatch."""

    name = "tsp_isa.notify"
    PACKED_ONLY: ClassVar[bool] = True


@instruction(0x07, effect=Effect.FETCH)
class FetchOp(InstructionOp):
    """Appends the instruction text that arrives on a pair of streams to the queue that dispatches it: `fetch_bytes`,
    but no more than two vectors, the first stream's first. `config` does not concern it."""

    name = "tsp_isa.ifetch"
    PACKED_ONLY: ClassVar[bool] = True
    stream = reads("first of the two streams", group=2)


@instruction(0x08, effect=Effect.CONFIGURE)
class ConfigOp(InstructionOp):
    """Leaves only the first `tiles` superlanes on for all that the queue dispatches from now on: what it samples and
    drives is zero in the others, and what it writes leaves their bytes as they were."""

    name = "tsp_isa.config"
    tiles = number(8, "superlanes that stay on", low=1)
