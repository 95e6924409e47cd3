"""isa-assemble: packs every queue: repeat for runs, nop for gaps, the prologue that starts all queues together, and
ifetch with the reads that feed it for every queue whose text is longer than the queue.

All queues park in `sync`. A C2C queue, mostly the first, starts them: with several chips it first waits for the common
epoch with `deskew`, then it notifies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ....dialects import instructions as ops
from ....dialects import tsp_isa as isa
from ....dialects.errors import CapacityError, MalformedProgram, ScheduleError
from ....dialects.locations import describe
from ....dialects.machine.instruction import Record
from ....dialects.machine.target import SystemSpec
from ....dialects.programs.records import Binding, ChipProgram, program_from_module
from ....dialects.target_attr import target_of
from .fold import MAX_NOP, fold, fold_tight, nops, size
from .instruction_supply import Supplier, prologue_of
from .queue_instructions import QueueInstructions


@dataclass(frozen=True)
class IsaAssemblePass(ModulePass):
    """Replaces timed queues by packed ones."""

    name = "isa-assemble"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        checked = program_from_module(op)  # a queue that dispatches two instructions at once has no packed form
        chips = {chip.chip: chip for chip in checked.chips}
        for program in [p for p in op.ops if isinstance(p, isa.ProgramOp)]:
            assemble(program, chips[program.chip.value.data])


def assemble(program: isa.ProgramOp, checked: ChipProgram) -> None:
    """Packs the queues of one chip; the starter comes first, then the others in the chip's order.

    Raises MalformedProgram for a dispatch before the release, and what Supplier.run raises.
    """
    system = target_of(program)
    timed = {q.queue.data: q for q in program.queues}
    if not timed:
        return
    queues: dict[str, list[Record]] = defaultdict(list)
    for record in checked.records:
        queues[system.chip.queues[record.queue].name].append(record._replace(tiles=0))
    for name, records in queues.items():
        _check_release(timed[name], records, system)
    try:
        starter = starter_of(queues, system)
        supplier = supply(queues, starter, checked.bindings, system)
    except (CapacityError, ScheduleError) as e:
        raise type(e)(f"{describe(program)} chip {checked.chip}: {e}") from e
    texts = {name: text for name, text in supplier.texts.items() if text.records or name == starter}
    for name in sorted(texts, key=lambda n: (n != starter, system.chip.queue_numbers[n])):
        payload = pack(texts[name], system, starts=name == starter)
        packed = isa.PackedOp(name, payload, supplier.chunks.get(name, ()))
        packed.location = (timed.get(name) or program).location
        program.body.block.add_op(packed)
    for queue in timed.values():
        queue.detach()
        queue.erase()


def starter_of(queues: Mapping[str, Sequence[Record]], system: SystemSpec) -> str:
    """The queue that starts a chip's program: the first C2C queue, since `deskew` runs on those, or the idlest of them
    where the text of the first, which that makes longer, does not fit into a queue."""
    links = [q.name for q in system.chip.queues if q.kind == "C2C"]
    first = sum(map(size, fold(queues.get(links[0], ()), system.chip.loop_levels)))
    if not first or len(prologue_of(True, system)) + 2 * first <= system.chip.queue_slots:
        return links[0]
    return min(links, key=lambda name: len(queues.get(name, ())))


def supply(
    queues: Mapping[str, Sequence[Record]], starter: str, bindings: Iterable[Binding], system: SystemSpec
) -> Supplier:
    """The queues with their runs folded and their fetches placed. Raises what Supplier.run raises.

    A run that is folded keeps its queue to itself, from its first record to its last. A queue in which no place is left
    for a fetch is therefore folded again, only where that costs no free cycle, and all fetches are placed anew; so are
    all queues where the search is given up.
    """
    levels = system.chip.loop_levels
    folded = {name: fold(records, levels) for name, records in ({starter: ()} | dict(queues)).items()}
    while True:
        supplier = Supplier(folded, starter, bindings, system)
        try:
            supplier.run()
            return supplier
        except (ScheduleError, CapacityError):
            stuck = queues.keys() if supplier.gave_up else [name for name in (supplier.stuck,) if name in queues]
            tight = {name: fold_tight(queues[name], levels) for name in stuck}
            if all(len(records) == len(folded[name]) for name, records in tight.items()):
                raise
            folded |= tight


def _check_release(queue: isa.QueueOp, records: Sequence[Record], system: SystemSpec) -> None:
    early = next((r for r in records if r.at < system.release), None)
    if early is not None:
        raise MalformedProgram(
            f"{describe(queue)} {queue.queue.data}: dispatches in cycle {early.at}, but its queue is released in "
            f"{system.release}"
        )


def pack(text: QueueInstructions, system: SystemSpec, starts: bool) -> bytes:
    """The bytes of one queue."""
    words = [_encode(name) for name in prologue_of(starts, system)]
    clock = system.release
    for record in text.records:
        gap = record.at - clock
        pad = max(0, text.pads.get(record.at, 0) - nops(gap))
        words += [_encode("nop", 1)] * pad
        words += [_encode("nop", min(MAX_NOP, gap - done)) for done in range(pad, gap, MAX_NOP)]
        words.append(record.instruction.encode(record.values))
        words += [_encode("repeat", loop.count - 1, loop.every, loop.step & 0xFFFF) for loop in record.loops]
        clock = record.last + 1
    return b"".join(words)


def _encode(name: str, *values: int) -> bytes:
    return ops.TABLE.by_name[name].encode(values)
