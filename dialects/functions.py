"""The one function that a program of the upper levels is; and host code, of which several functions are programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from xdsl.dialects.builtin import ArrayAttr, ModuleOp, SymbolRefAttr, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute
from xdsl.traits import SymbolTable

from .errors import MalformedProgram
from .locations import describe
from .names import name_of

PROGRAM = "tsp_tensor.program"
"""The attribute of a function that runs on chips, and not on the host: a unit before `outline-programs`; after it the
symbol of the module that holds it, on the declaration that is left."""

INPUTS, OUTPUTS = "tsp_tensor.inputs", "tsp_tensor.outputs"
"""The attributes of such a declaration with the names of the program's inputs and outputs, in the order of its type.
Declarations are printed without the attributes of arguments."""

_OURS = ("tsp_tensor", "tsp_stream", "tsp_isa", "c2c")


def functions_of(module: ModuleOp) -> list[FuncOp]:
    """The functions of a module that have a body; a program is the first."""
    return [f for f in module.ops if isinstance(f, FuncOp) and f.body.blocks]


def function_problems(module: ModuleOp) -> list[str]:
    """Why a module is not one function of straight code: each op that is in the way with a sentence and the remedy."""
    if problem := host_problem(module):
        return [problem]
    functions = [f for f in module.ops if isinstance(f, FuncOp)]
    problems = [
        f"{describe(op)}: is no part of a program, which is one function; move it out of the module"
        for op in module.ops
        if not isinstance(op, FuncOp) and op.dialect_name() not in _OURS
    ]
    if not functions:
        return [*problems, "the module has no function; write one as func.func @main"]
    problems += [
        f"{describe(f)}: `{f.sym_name.data}` is declared and has no body; remove it, and inline what it does"
        for f in functions
        if not f.body.blocks
    ]
    bodies = functions_of(module)
    problems += [
        f"{describe(f)}: a program is one function; inline or remove the others, or mark those that run on "
        f"chips with {PROGRAM}"
        for f in bodies[1:]
    ]
    problems += [
        f"{describe(f)}: has {len(f.body.blocks)} blocks; use a single one"
        for f in bodies[:1]
        if len(f.body.blocks) > 1
    ]
    return problems


def host_problem(module: ModuleOp) -> str | None:
    """What to do with a module that is host code around programs. A marked function alone is as one without a mark."""
    functions = [f for f in module.ops if isinstance(f, FuncOp)]
    marked = list(marked_functions(module))
    if programs := programs_of(module):
        first, remedy = next(iter(programs)), "compile it with the pass `on-programs`, or with tspc.compile_host"
    elif marked and marked != functions:
        first = marked[0]
        remedy = "compile it with the passes `outline-programs,on-programs`, or with tspc.compile_host"
    else:
        return None
    name = first.sym_name.data
    return f"{describe(first)}: `{name}` is a program, so the module is host code, which calls programs; {remedy}"


def marked_functions(module: ModuleOp) -> Iterator[FuncOp]:
    """The functions of a module, and of modules in it, that are marked as programs and not yet outlined."""
    for f in _functions_in(module):
        if PROGRAM in f.attributes and not isinstance(f.attributes[PROGRAM], SymbolRefAttr):
            yield f


def programs_of(module: ModuleOp) -> dict[FuncOp, ModuleOp]:
    """The programs of host code that `outline-programs` has moved out, by the declarations that host code calls."""
    programs: dict[FuncOp, ModuleOp] = {}
    for f in _functions_in(module):
        symbol = f.attributes.get(PROGRAM)
        if isinstance(symbol, SymbolRefAttr) and isinstance(found := SymbolTable.lookup_symbol(f, symbol), ModuleOp):
            programs[f] = found
    return programs


def names_of(declaration: FuncOp) -> tuple[list[str], list[str]]:
    """The names of the inputs and outputs of a program, in the order of its declaration's type.

    Raises MalformedProgram when the declaration does not say them.
    """
    type_ = declaration.function_type
    inputs, outputs = (_strings(declaration.attributes.get(key)) for key in (INPUTS, OUTPUTS))
    if inputs is None or outputs is None or (len(inputs), len(outputs)) != (len(type_.inputs), len(type_.outputs)):
        raise MalformedProgram(
            f"{describe(declaration)}: {INPUTS} and {OUTPUTS} must name {len(type_.inputs)} inputs and "
            f"{len(type_.outputs)} outputs, each by a string; `outline-programs` writes them"
        )
    return inputs, outputs


def _strings(attribute: Attribute | None) -> list[str] | None:
    if not isinstance(attribute, ArrayAttr):
        return None
    names = [name_of(entry) for entry in cast("ArrayAttr[Attribute]", attribute)]
    return None if None in names else [name for name in names if name is not None]


def mark_problem(function: FuncOp) -> str | None:
    """What is wrong with the mark of a function itself, whatever its body."""
    mark = function.attributes[PROGRAM]
    if isinstance(mark, SymbolRefAttr):
        found = SymbolTable.lookup_symbol(function, mark)
        if not isinstance(found, ModuleOp):
            return f"{PROGRAM} = {mark} names no module; write {PROGRAM} at the function itself, without a value"
        return None if not function.body.blocks else f"{PROGRAM} has a value; a function with a body has none there"
    if not isinstance(mark, UnitAttr):
        return f"{PROGRAM} = {mark}: the mark of a program has no value; write {PROGRAM} alone"
    return None if function.body.blocks else "a declaration is no program; give it a body, or take the mark away"


def _functions_in(module: ModuleOp) -> Iterator[FuncOp]:
    """The functions of a module and of the modules in it."""
    for op in module.ops:
        if isinstance(op, FuncOp):
            yield op
        elif isinstance(op, ModuleOp):
            yield from _functions_in(op)
