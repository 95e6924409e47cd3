"""The pass `isa-verify`: proves that a timed or packed program has no hazard, or names the earliest."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects.program import program_from_module
from .proof import first_hazard


@dataclass(frozen=True)
class IsaVerifyPass(ModulePass):
    """Proves that no stream register is driven twice, that every operand, weight, sum and vector from a link is there
    when it is taken, and that none of them is lost. Changes nothing.

    Raises HazardError for the earliest hazard, and what `check_program` raises for a program that is none.
    """

    name = "isa-verify"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if hazard := first_hazard(program_from_module(op)):
            raise hazard
