"""Verification of a whole module with short diagnostics: the op, its place and the reason, never a dump of the module.

Also checks what xDSL's verifier does not: that a value is defined before it is used.
"""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import IsolatedFromAbove
from xdsl.utils.exceptions import VerifyException

from .locations import describe


def verify_module(module: ModuleOp) -> None:
    """Raises VerifyException for the first op that does not verify or uses a value that is not yet defined."""
    _verify_op(module)
    for region in module.regions:
        for block in region.blocks:
            _verify_block(block, set())


def _verify_block(block: Block, outer: set[SSAValue]) -> None:
    defined = outer | set(block.args)
    for op in block.ops:
        for value in op.operands:
            if value not in defined:
                raise VerifyException(f"{describe(op)}: uses a value before it is defined, or one of another region")
        _verify_op(op)
        inner: set[SSAValue] = set() if op.has_trait(IsolatedFromAbove) else defined
        for region in op.regions:
            for nested in region.blocks:
                _verify_block(nested, inner)
        defined.update(op.results)


def _verify_op(op: Operation) -> None:
    try:
        op.verify_()
        if op.parent is not None and op.parent.last_op is op:
            op.verify(verify_nested_ops=False)  # what only concerns ends of blocks
    except VerifyException as e:
        raise VerifyException(f"{describe(op)}: {e}") from e
