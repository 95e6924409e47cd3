"""isa-assemble: packs every queue: nop for gaps, repeat for runs, and the prologue that starts all queues together.

All queues park in `sync`. The first C2C queue starts them: with several chips it first waits for the common epoch with
`deskew`, then it notifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects import instructions as ops
from ...dialects import tsp_isa as isa
from ...dialects.errors import MalformedProgram
from ...dialects.instruction import Record
from ...dialects.locations import describe
from ...dialects.program import program_from_module
from ...dialects.target import SystemSpec
from ...dialects.target_attr import target_of

STARTER = "C2C.0"
"""The queue that starts a chip's program; `deskew` runs on C2C queues."""

_NOP_MAX = 65535


@dataclass(frozen=True)
class IsaAssemblePass(ModulePass):
    """Replaces timed queues by packed ones."""

    name = "isa-assemble"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        program_from_module(op)  # a queue that dispatches two instructions at once has no packed form
        for program in [p for p in op.ops if isinstance(p, isa.ProgramOp)]:
            assemble(program)


def assemble(program: isa.ProgramOp) -> None:
    """Packs the queues of one chip; the starter comes first."""
    system = target_of(program)
    timed = {q.queue.data: q for q in program.queues}
    if not timed:
        return
    names = [STARTER, *(name for name in timed if name != STARTER)]
    for name in names:
        records = [i.record(0) for i in timed[name].instructions] if name in timed else []
        try:
            payload = pack(records, system, starts=name == STARTER)
        except MalformedProgram as e:
            raise MalformedProgram(f"{describe(timed[name])} {name}: {e}") from e
        packed = isa.PackedOp(name, payload)
        packed.location = (timed.get(name) or program).location
        program.body.block.add_op(packed)
    for queue in timed.values():
        queue.detach()
        queue.erase()


def pack(records: Sequence[Record], system: SystemSpec, starts: bool) -> bytes:
    """The bytes of one queue. Raises MalformedProgram for a dispatch before the release."""
    words: list[bytes] = []
    if starts:
        words += [_encode("deskew")] if system.chips > 1 else []
        words.append(_encode("notify"))
    words.append(_encode("sync"))
    clock = system.release
    for record in sorted(records, key=lambda r: r.at):
        if record.at < clock:
            raise MalformedProgram(f"dispatches in cycle {record.at}, but its queue is released in {clock}")
        gap = record.at - clock
        words += [_encode("nop", min(_NOP_MAX, gap - done)) for done in range(0, gap, _NOP_MAX)]
        words.append(record.instruction.encode(record.values))
        words += [_encode("repeat", loop.count - 1, loop.every, loop.step & 0xFFFF) for loop in record.loops]
        clock = record.last + 1
    return b"".join(words)


def _encode(name: str, *values: int) -> bytes:
    return ops.TABLE.by_name[name].encode(values)
