"""Verification of a whole module with short diagnostics: the op, its place and the reason, never a dump of the module.

Also checks what xDSL's verifier does not: that a value is defined before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.traits import IsolatedFromAbove, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException

from .locations import describe, where
from .names import fault_of, name_of, named_twice, of_two_types
from .tsp_isa import ProgramOp
from .tsp_stream import BufferOp
from .tsp_tensor import ParameterOp
from .tsp_tensor.types import name_attrs


def verify_module(module: ModuleOp) -> None:
    """Raises VerifyException for all ops that do not verify or use a value that is not yet defined; and, if there are
    none, for all names that are none or stand for two things."""
    problems: list[str] = []
    _verify_op(module, problems)
    for region in module.regions:
        _verify_region(region, set(), problems)
    if problems := problems or name_problems(module):
        more = [f"and {len(problems) - _MOST_SHOWN} more"] if len(problems) > _MOST_SHOWN else []
        raise VerifyException("\n".join([*problems[:_MOST_SHOWN], *more]))


_MOST_SHOWN = 20
"""Problems in a message; a pass that breaks one op may break thousands."""


# -- names ---------------------------------------------------------------------------------------------------------


def name_problems(module: ModuleOp) -> list[str]:
    """What is wrong with the names of inputs, outputs and parameters, at every level: each op with a sentence.

    Below the tensor level an input lies in as many buffers as its uses want, and so does a parameter at all levels:
    they must agree in its type.
    """
    problems = [problem for op in module.ops if isinstance(op, ModuleOp) for problem in name_problems(op)]
    types: dict[tuple[FuncOp | None, str, str], Attribute] = {}
    for function, (op, kind, attr, type_) in _names(module):
        name = name_of(attr) if isinstance(attr, Attribute) else attr
        fault = fault_of(kind, attr)
        if name is None or fault is not None:
            problems.append(f"{describe(op)}: {fault}")
            continue
        unique = kind == "output" or (kind == "input" and isinstance(op, FuncOp))
        key = (function, kind, name)
        if key not in types:
            types[key] = type_
        elif unique:
            problems.append(f"{describe(op)}: {named_twice(kind, name)}")
        elif types[key] != type_:
            problems.append(f"{describe(op)}: {of_two_types(kind, name, types[key], type_)}")
    return list(dict.fromkeys(problems))


_Name: TypeAlias = tuple[Operation, str, Attribute | str | None, Attribute]
"""A name with its op, its kind and the type by which the host knows the tensor: (op, kind, name, type)."""


def _names(module: ModuleOp) -> Iterator[tuple[FuncOp | None, _Name]]:
    """Every name with its function; the programs of all chips are one, without a function."""
    for op in module.ops:
        if isinstance(op, FuncOp):
            yield from ((op, name) for name in _names_of_function(op))
        elif isinstance(op, ProgramOp):
            for bind in op.bindings:
                if bind.kind.data in _NAMED:
                    yield None, (bind, bind.kind.data, bind.tensor_name, bind.external or bind.tensor)


def _names_of_function(function: FuncOp) -> Iterator[_Name]:
    types = function.function_type
    for kind, default, attrs, some in (
        ("input", "arg", function.arg_attrs, types.inputs),
        ("output", "result", function.res_attrs, types.outputs),
    ):
        for i, (attr, type_) in enumerate(zip(name_attrs(attrs, len(some)), some, strict=True)):
            yield function, kind, f"{default}{i}" if attr is None else attr, type_
    for op in (op for block in function.body.blocks for op in block.ops):
        if isinstance(op, ParameterOp):
            yield op, "parameter", op.tensor_name, op.result.type
        elif isinstance(op, BufferOp):
            if op.kind.data in _NAMED:
                yield op, op.kind.data, op.tensor_name, op.host_type
            if op.returned is not None:
                yield op, "output", op.returned, op.host_type


_NAMED = ("input", "output", "parameter")


# -- ops -----------------------------------------------------------------------------------------------------------


def _verify_region(region: Region, defined: set[SSAValue], problems: list[str]) -> None:
    for block in region.blocks:
        # The order of blocks is not that of execution, so what the others define counts as defined.
        elsewhere = {v for other in region.blocks if other is not block for v in _values(other)}
        _verify_block(block, defined | elsewhere if elsewhere else defined, problems)


def _values(block: Block) -> Iterator[SSAValue]:
    yield from block.args
    for op in block.ops:
        yield from op.results


def _verify_block(block: Block, defined: set[SSAValue], problems: list[str]) -> None:
    """`defined` grows with what the block defines, and is what it was at the end."""
    defined.update(block.args)
    for op in block.ops:
        if all(value in defined for value in op.operands):
            _verify_op(op, problems)
        else:
            problems.append(f"{describe(op)}: uses a value before it is defined, or one of another region")
        for region in op.regions:
            _verify_region(region, set() if op.has_trait(IsolatedFromAbove) else defined, problems)
        defined.update(op.results)
    defined.difference_update(_values(block))


def _verify_op(op: Operation, problems: list[str]) -> None:
    if isinstance(op, ModuleOp) and (twice := [*_symbols_twice(op)]):
        problems += twice
        return
    try:
        if op.parent is not None and op.parent.last_op is op:
            _verify_last(op)
        else:
            op.verify_()
            for trait in _uses_symbols(type(op)):
                trait.verify(op)
    except VerifyException as e:
        problems.append(f"{describe(op)}: {e}")
    except Exception:
        if not problems:
            raise
        # A verifier that looks at other ops may trip over one that is known not to verify.


@cache
def _uses_symbols(kind: type[Operation]) -> tuple[SymbolUserOpInterface, ...]:
    """What checks the symbols that ops of a class use, such as the function that a call names."""
    return tuple(kind.get_traits_of_type(SymbolUserOpInterface))


def _symbols_twice(module: ModuleOp) -> Iterator[str]:
    """The second op of each name in a module, and which is the first."""
    first: dict[str, Operation] = {}
    for op in module.ops:
        name = op.get_attr_or_prop("sym_name")
        if isinstance(name, StringAttr) and (other := first.setdefault(name.data, op)) is not op:
            place = where(other) or f"the first is a `{other.name}`"
            yield f"{describe(op)}: `{name.data}` is defined twice ({place}); rename one"


def _verify_last(op: Operation) -> None:
    """Also what only concerns ends of blocks, which xDSL checks together with the rest."""
    try:
        op.verify(verify_nested_ops=False)
    except VerifyException:
        op.verify_()  # of the reasons the short one
        raise
