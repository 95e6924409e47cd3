"""isa-disassemble: the timed form of packed queues; the inverse of isa-assemble."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects import instructions as ops
from ...dialects import tsp_isa as isa
from ...dialects.program import decode_queues
from ...dialects.target_attr import target_of


@dataclass(frozen=True)
class IsaDisassemblePass(ModulePass):
    """Replaces packed queues by timed ones."""

    name = "isa-disassemble"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for program in [p for p in op.ops if isinstance(p, isa.ProgramOp)]:
            disassemble(program)


def disassemble(program: isa.ProgramOp) -> None:
    """Unpacks the queues of one chip. Queues that only start the others vanish."""
    system = target_of(program)
    packed = program.packed
    queues: dict[int, list[ops.InstructionOp]] = defaultdict(list)
    for record in decode_queues({q.queue.data: q.bytes for q in packed}, system):
        made = ops.OP_CLASSES[record.instruction.name].make(record.at, record.values, record.loops)
        queues[record.queue].append(made)
    for number in sorted(queues):
        program.body.block.add_op(isa.QueueOp(system.chip.queues[number].name, queues[number]))
    for queue in packed:
        queue.detach()
        queue.erase()
