"""isa-disassemble: the timed form of packed queues; the inverse of isa-assemble."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ....dialects import instructions as ops
from ....dialects import tsp_isa as isa
from ....dialects.machine.effects import Effect
from ....dialects.machine.instruction import Record
from ....dialects.machine.instruction_fetch import Word, word_of
from ....dialects.machine.target import ChipSpec
from ....dialects.programs.packed import decode_queues
from ....dialects.target_attr import target_of


@dataclass(frozen=True)
class IsaDisassemblePass(ModulePass):
    """Replaces packed queues by timed ones."""

    name = "isa-disassemble"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in [p for p in op.ops if isinstance(p, isa.ProgramOp)]:
            disassemble(program)


def disassemble(program: isa.ProgramOp) -> None:
    """Unpacks the queues of one chip. What only starts or feeds others vanishes: queues without an instruction of their
    own, every ifetch, and the reads of program text."""
    system = target_of(program)
    packed = program.packed
    text = {word for q in packed if q.text is not None for chunk in q.text.data for word in chunk}
    queues: dict[int, list[ops.InstructionOp]] = defaultdict(list)
    for record in decode_queues({q.queue.data: q.bytes for q in packed}, system):
        name, effect = record.instruction.name, record.instruction.effect
        if effect is Effect.FETCH or (effect is Effect.READ and _word(record, system.chip) in text):
            continue
        queues[record.queue].append(ops.OP_CLASSES[name].make(record.at, record.values, record.loops))
    for number in sorted(queues):
        program.body.block.add_op(isa.QueueOp(system.chip.queues[number].name, queues[number]))
    for queue in packed:
        queue.detach()
        queue.erase()


def _word(record: Record, chip: ChipSpec) -> Word:
    """The first word that a read reads."""
    return word_of(chip.queues[record.queue].unit, record.instruction.moved(record.values), chip)
