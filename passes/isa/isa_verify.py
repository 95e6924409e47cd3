"""The pass `isa-verify`: proves that a timed or packed program has no hazard, or names the earliest."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects.program import program_from_module
from .dead_values import dead_values
from .proof import first_hazard


@dataclass(frozen=True)
class IsaVerifyPass(ModulePass):
    """Proves that no stream register is driven twice, that every operand, weight, sum and vector from a link is there
    when it is taken, and that none of them is lost. Changes nothing.

    Raises HazardError for the earliest hazard, and what `check_program` raises for a program that is none. With
    `dead-values=true` it also warns, with DeadValueWarning, of values on streams that nothing samples.
    """

    name = "isa-verify"
    dead_values: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        program = program_from_module(op)
        if hazard := first_hazard(program):
            raise hazard
        if self.dead_values:
            for dead in dead_values(program):
                warnings.warn(str(dead), DeadValueWarning, stacklevel=2)


class DeadValueWarning(UserWarning):
    """Values are driven onto a stream and never sampled."""
