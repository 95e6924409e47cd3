"""The pass `isa-verify`: proves that a timed or packed program has no hazard and does what it was compiled to do, or
names the earliest instruction that is wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ....dialects.programs.records import Program, program_from_module
from .dataflow_proof import Dataflow
from .dead_values import dead_values
from .issues import issues_of
from .proof import first_hazard


@dataclass(frozen=True)
class IsaVerifyPass(ModulePass):
    """Proves that no stream register is driven twice, that every operand, weight, sum and vector from a link is there
    when it is taken, and that none of them is lost; and of a program that says what every instruction is meant to take
    (`tsp_isa.dataflow`), that it takes that. Changes nothing.

    Raises HazardError for the earliest hazard, DataflowError for the earliest instruction that takes something else,
    and what `check_program` raises for a program that is none. With `dead-values=true` it also warns, with
    DeadValueWarning, of values on streams that nothing samples.
    """

    name = "isa-verify"
    dead_values: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        program = program_from_module(op)
        prove(program)
        if self.dead_values:
            for dead in dead_values(program):
                warnings.warn(str(dead), DeadValueWarning, stacklevel=2)


def prove(program: Program) -> None:
    """Raises HazardError for the earliest hazard of a program that `check_program` has accepted; without one,
    DataflowError for the earliest instruction that takes something else than it is meant to."""
    chips = issues_of(program)
    flow = Dataflow(program, chips) if any(chip.dataflow for chip in program.chips) else None
    if hazard := first_hazard(program, chips, flow.follow if flow else None):
        raise hazard
    if flow and (error := flow.error()):
        raise error


class DeadValueWarning(UserWarning):
    """Values are driven onto a stream and never sampled."""
