"""on-programs: a pipeline for the programs of host code, as mlir-opt nests one in an op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass, PassPipeline
from xdsl.utils.arg_spec import parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

from ..dialects.errors import InputError, TspError, UnsupportedModel
from ..dialects.functions import marked_functions, programs_of
from ..dialects.locations import describe
from ..dialects.machine.target import nearest
from ..dialects.names import quoted
from ..dialects.verify import verify_module


@dataclass(frozen=True)
class OnProgramsPass(ModulePass):
    """Applies a pipeline to each program that `outline-programs` has moved out of host code.

    Raises what the passes raise, the UnsupportedModel of all programs at once; InputError for a pipeline that is none.
    """

    name = "on-programs"

    pipeline: str = "tsp-compile"
    """The passes, as `-p` takes them."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if marked := [*marked_functions(op)]:
            raise UnsupportedModel(
                "\n".join(
                    f"{describe(f)}: {quoted(f.sym_name.data)} is not outlined yet; put `outline-programs` before"
                    for f in marked
                )
            )
        passes = self._passes()
        on_each(programs_of(op), lambda declaration, program: passes.apply(ctx, program))

    def _passes(self) -> PassPipeline:
        from xdsl.universe import Universe

        available = Universe.get_multiverse().all_passes
        try:
            specs = [*parse_pipeline(self.pipeline)]
            for spec in specs:
                if spec.name not in available:
                    hint = nearest(spec.name, [*available])
                    raise InputError(f"on-programs: there is no pass `{spec.name}`{hint}")
            passes = tuple(available[spec.name]().from_pass_spec(spec) for spec in specs)
        except (ArgSpecParseError, ValueError) as e:
            reason = " ".join(str(e).split())
            raise InputError(f"on-programs: the pipeline `{self.pipeline}` is none: {reason}") from None
        return PassPipeline(passes, lambda before, program, after: verify_module(program))


def on_each(programs: Mapping[FuncOp, ModuleOp], work: Callable[[FuncOp, ModuleOp], None]) -> None:
    """Does something with each program of host code, given with its declaration.

    Raises the UnsupportedModel of all programs at once; any other error says in which program it is.
    """
    problems: list[str] = []
    for declaration, program in programs.items():
        try:
            work(declaration, program)
        except UnsupportedModel as e:
            problems.append(str(e))
        except TspError as e:
            e.args = (f"program {quoted(declaration.sym_name.data)}: {e}", *e.args[1:])
            raise
    if problems:
        raise UnsupportedModel("\n".join(problems))
