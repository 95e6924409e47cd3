"""What instructions do beside sampling and driving streams.

Decoder, engines, planner, profiler and the tools of the compiler ask an instruction for its effect, never for its
mnemonic: what they know of an effect they know of every instruction that is declared with it. What a unit makes of the
bytes that it takes is no effect: that is for the semantics function of each engine to say.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Effect(IntEnum):
    """One of these each instruction has."""

    COMPUTE = 0
    """Every lane of the result is made of the same lanes of the operands, of which each may be an ALU's chain or 32
    bits, and the result may stay in the chain. The field `type` is the type of the operands."""
    MOVE = 1
    """What it drives is made of what it samples in the same cycle, as whole vectors."""
    READ = 2
    """Drives the word of its slice that the stepping field names."""
    WRITE = 3
    """Writes what it samples to the word of its slice that the stepping field names."""
    GATHER = 4
    """Drives, for every tile, a word of its slice: one that the first operand and the stepping field say."""
    SCATTER = 5
    """Writes the second operand, for every tile, to a word of its slice that the first and the stepping field say."""
    LOAD = 6
    """Puts what it samples into the rows of the plane's weight buffer that the stepping field names."""
    INSTALL = 7
    """Makes the weight buffer the array that is met from `latency_install` cycles later on, and empties it."""
    ENTER = 8
    """A vector of int8 meets the array; its sums leave `latency_array` cycles later."""
    ENTER_PAIR = 9
    """A vector of fp16 meets the arrays of a pair of planes, whose first it enters; likewise."""
    ACCUMULATE = 10
    """Takes the sums that leave the array into the entry that the stepping field names; adds them where the field
    `mode` is 1. It may drive the entry's new value."""
    SEND = 11
    """What it samples leaves by the link."""
    RECEIVE = 12
    """Drives what arrives by the link in this cycle."""
    FETCH = 13
    """Takes its queue's next text. It is no issue of the program, and not of its length."""
    CONFIGURE = 14
    """The queue has the first `tiles` superlanes on from now on."""
    WAIT = 15
    """The queue goes on `count` cycles later."""
    REPEAT = 16
    """What the queue did before is done again: `count`, `every` and `step`."""
    SYNC = 17
    """The queue parks until it is notified."""
    NOTIFY = 18
    """Releases all queues that are parked; takes a cycle."""
    EPOCH = 19
    """The queue goes on at the next epoch."""
    SIGNAL = 20
    """Concerns nobody on this chip; takes a cycle."""


ENTERING = (Effect.ENTER, Effect.ENTER_PAIR)
"""What feeds an array."""

STORES = (Effect.WRITE, Effect.SCATTER)
"""What changes words of SRAM."""

FROM_MEMORY = (Effect.READ, Effect.GATHER)
"""What drives words of SRAM as they are."""

MAPPED = (Effect.GATHER, Effect.SCATTER)
"""What finds its words by data."""

CLOCKED = (Effect.WAIT, Effect.REPEAT, Effect.SYNC, Effect.NOTIFY, Effect.EPOCH, Effect.SIGNAL)
"""What only moves the clock of a queue: it leaves no record, and timed form says the same with `at` and `repeat`."""

Groups = tuple[int | str, ...]
"""The widths of groups of streams, as fields declare them."""


class Needs(NamedTuple):
    """What an instruction of an effect must declare, for those who rely on it."""

    fields: tuple[str, ...] = ()
    """The names of fields."""
    steps: str = ""
    """The name of the field that `repeat` moves; any or none where it is empty. The chip bounds its values."""
    reads: Groups | None = ()
    """The groups that it samples; None for any."""
    drives: Groups | None = ()
    """The groups that it drives; None for any one or none."""
    silent: bool = False
    """Whether it may drive nothing in place of these."""


NEEDS: dict[Effect, Needs] = {
    Effect.COMPUTE: Needs(("type",), reads=None, drives=None),
    Effect.MOVE: Needs(reads=None, drives=None),
    Effect.READ: Needs(steps="address", drives=(1,)),
    Effect.WRITE: Needs(steps="address", reads=(1,)),
    Effect.GATHER: Needs(steps="address", reads=(1,), drives=(1,)),
    Effect.SCATTER: Needs(steps="address", reads=(1, 1)),
    Effect.LOAD: Needs(steps="row", reads=("weight_streams",)),
    Effect.ENTER: Needs(reads=(1,)),
    Effect.ENTER_PAIR: Needs(reads=(2,)),
    Effect.ACCUMULATE: Needs(("mode",), steps="entry", drives=(4,), silent=True),
    Effect.SEND: Needs(reads=(1,)),
    Effect.RECEIVE: Needs(drives=(1,)),
    Effect.FETCH: Needs(reads=(2,)),
    Effect.CONFIGURE: Needs(("tiles",)),
    Effect.WAIT: Needs(("count",)),
    Effect.REPEAT: Needs(("count", "every", "step")),
}
"""By effect; what is not here has nothing to declare and no streams."""
