"""set-target: compiles for the machine of a TOML file: `-p 'set-target{file="chip.toml"},tsp-compile'`."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ..dialects.target_attr import overlay_target


@dataclass(frozen=True)
class SetTargetPass(ModulePass):
    """Sets fields of the module's target. Raises TargetError, naming the field, for a file that is none."""

    name = "set-target"

    file: str
    """The TOML file; fields that it omits stay as the module has them."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        overlay_target(op, self.file)
