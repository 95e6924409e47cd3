"""The one function that a program of the upper levels is."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from .locations import describe


def functions_of(module: ModuleOp) -> list[FuncOp]:
    """The functions of a module that have a body; a program is the first."""
    return [f for f in module.ops if isinstance(f, FuncOp) and f.body.blocks]


def function_problems(module: ModuleOp) -> list[str]:
    """Why a module is not one function of straight code: each function with a sentence and the remedy."""
    functions = [f for f in module.ops if isinstance(f, FuncOp)]
    if not functions:
        return ["the module has no function; write one as func.func @main"]
    problems = [
        f"{describe(f)}: `{f.sym_name.data}` is declared and has no body; remove it, and inline what it does"
        for f in functions
        if not f.body.blocks
    ]
    bodies = functions_of(module)
    problems += [f"{describe(f)}: a program is one function; inline or remove the others" for f in bodies[1:]]
    problems += [
        f"{describe(f)}: has {len(f.body.blocks)} blocks; use a single one"
        for f in bodies[:1]
        if len(f.body.blocks) > 1
    ]
    return problems
