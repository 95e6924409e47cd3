"""outline-programs: host code stays, and what runs on chips becomes modules of its own, as kernels for GPUs do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr, SymbolRefAttr
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp
from xdsl.ir import Attribute, Operation, Region
from xdsl.passes import ModulePass
from xdsl.traits import SymbolTable

from ..dialects.errors import UnsupportedModel
from ..dialects.functions import INPUTS, OUTPUTS, PROGRAM, mark_problem, marked_functions, programs_of
from ..dialects.locations import describe, located
from ..dialects.target_attr import TARGET
from ..dialects.tsp_tensor import WEIGHTS, tensor_names

_OF_MODULES = (TARGET, WEIGHTS)
"""The attributes of a program's module: those of the function, or else of the nearest module around it."""

_MOVED = ("tsp_tensor", "tsp_stream", "c2c")
"""The dialects of ops that a program has before it has time."""


@dataclass(frozen=True)
class OutlineProgramsPass(ModulePass):
    """Moves each function marked `tsp_tensor.program` to a module of its own, and leaves its declaration, which host
    code calls as before.

    The module is called `<function>_program`; the declaration names it, and the program's inputs and outputs.
    Raises UnsupportedModel for all marks that cannot stand, and for all host code within programs.
    """

    name = "outline-programs"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        if problems := [f"{describe(place)}: {what}" for place, what in outline_problems(op)]:
            raise UnsupportedModel("\n".join(problems))
        for function in [*marked_functions(op)]:
            _outline(function)


def _outline(function: FuncOp) -> None:
    """Puts a declaration in the place of a function, and the module with the function behind it."""
    host = function.parent_block()
    assert host is not None
    taken = {name.data for op in host.ops if isinstance(name := op.get_attr_or_prop("sym_name"), StringAttr)}
    name = stem = f"{function.sym_name.data}_program"
    number = 0
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    type_ = function.function_type
    names = {
        INPUTS: _named(function.arg_attrs, len(type_.inputs), "arg"),
        OUTPUTS: _named(function.res_attrs, len(type_.outputs), "result"),
    }
    attributes = {key: value for key in _OF_MODULES if (value := _nearest(function, key)) is not None}
    declaration = located(
        FuncOp(
            function.sym_name.data,
            function.function_type,
            Region(),
            "private",
            arg_attrs=function.arg_attrs,
            res_attrs=function.res_attrs,
        ),
        function,
    )
    for key in [*function.attributes]:
        attribute = function.attributes.pop(key)
        if key not in _OF_MODULES:
            declaration.attributes[key] = attribute
    declaration.attributes[PROGRAM] = SymbolRefAttr(name)
    declaration.attributes |= names
    function.sym_visibility = None
    host.insert_op_before(declaration, function)
    function.detach()
    module = ModuleOp([function], attributes, StringAttr(name))
    module.location = function.location
    host.insert_op_after(module, declaration)


def _named(attrs: Attribute | None, count: int, default: str) -> ArrayAttr[StringAttr]:
    return ArrayAttr(StringAttr(name) for name in tensor_names(attrs, count, default))


def _nearest(op: Operation, key: str) -> Attribute | None:
    """An attribute of an op, or of the nearest op around it that has it."""
    node: Operation | None = op
    while node is not None and key not in node.attributes:
        node = node.parent_op()
    return node.attributes[key] if node is not None else None


# -- what cannot be outlined ---------------------------------------------------------------------------------------


def outline_problems(module: ModuleOp) -> Iterator[tuple[Operation, str]]:
    """Ops with what is wrong with them, for all marks of a module and all programs in it."""
    marked = [*marked_functions(module)]
    outlined = programs_of(module)
    called = _called(module)
    for op in module.walk():
        if PROGRAM not in op.attributes:
            continue
        if not isinstance(op, FuncOp):
            yield op, f"{PROGRAM} marks functions; take it away, or write a func.func of what this op does"
        elif not isinstance(op.parent_op(), ModuleOp):
            yield op, f"`{op.sym_name.data}` is marked {PROGRAM} and lies in an op that is no module; move it out"
        elif op not in outlined and (problem := mark_problem(op)):
            yield op, f"`{op.sym_name.data}`: {problem}"
    programs = {*marked, *outlined}
    for function in marked:
        if function.body.blocks:
            yield from _host_code_in(function, programs)
        private = function.sym_visibility == StringAttr("private")
        if private and function.body.blocks and function not in called:
            yield function, f"`{function.sym_name.data}` is private and no host code calls it; call it, or remove it"


def _host_code_in(program: FuncOp, programs: set[FuncOp]) -> Iterator[tuple[Operation, str]]:
    """The ops of a function for chips that only a host can run."""
    name = program.sym_name.data
    if len(program.body.blocks) > 1:
        yield program, f"`{name}` has {len(program.body.blocks)} blocks; branches are host code: write straight code"
    for op in (op for block in program.body.blocks for op in block.ops):
        if isinstance(op, CallOp):
            yield op, _call_problem(op, program, programs)
        elif not isinstance(op, ReturnOp) and op.dialect_name() not in _MOVED and not op.successors:
            yield op, f"is host code in the program `{name}`; move it out of it, or write it in tsp_tensor"


def _call_problem(call: CallOp, program: FuncOp, programs: set[FuncOp]) -> str:
    name, callee = program.sym_name.data, call.callee.string_value()
    found = SymbolTable.lookup_symbol(call, call.callee)
    if found is program:
        return f"the program `{name}` calls itself; chips do not decide: repeat the call in host code"
    if found in programs:
        return f"the program `{name}` calls `{callee}`, another one; call both from host code, or inline it"
    return f"the program `{name}` calls `{callee}`, which is host code; inline it, or call it from host code"


def _called(module: ModuleOp) -> set[Operation]:
    """The functions that are named anywhere but in their own body: called, or taken as a value."""
    found: set[Operation] = set()
    for op in module.walk():
        for attribute in (*op.properties.values(), *op.attributes.values()):
            named = SymbolTable.lookup_symbol(op, attribute) if isinstance(attribute, SymbolRefAttr) else None
            if named is not None and not named.is_ancestor(op):
                found.add(named)
    return found
