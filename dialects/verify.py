"""Verification of a whole module with short diagnostics: the op, its place and the reason, never a dump of the module.

Also checks what xDSL's verifier does not: that a value is defined before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.traits import IsolatedFromAbove
from xdsl.utils.exceptions import VerifyException

from .locations import describe


def verify_module(module: ModuleOp) -> None:
    """Raises VerifyException for the first op that does not verify or uses a value that is not yet defined."""
    _verify_op(module)
    for region in module.regions:
        _verify_region(region, set())


def _verify_region(region: Region, defined: set[SSAValue]) -> None:
    for block in region.blocks:
        # The order of blocks is not that of execution, so what the others define counts as defined.
        elsewhere = {v for other in region.blocks if other is not block for v in _values(other)}
        _verify_block(block, defined | elsewhere if elsewhere else defined)


def _values(block: Block) -> Iterator[SSAValue]:
    yield from block.args
    for op in block.ops:
        yield from op.results


def _verify_block(block: Block, defined: set[SSAValue]) -> None:
    """`defined` grows with what the block defines, and is what it was at the end."""
    defined.update(block.args)
    for op in block.ops:
        for value in op.operands:
            if value not in defined:
                raise VerifyException(f"{describe(op)}: uses a value before it is defined, or one of another region")
        _verify_op(op)
        for region in op.regions:
            _verify_region(region, set() if op.has_trait(IsolatedFromAbove) else defined)
        defined.update(op.results)
    defined.difference_update(_values(block))


def _verify_op(op: Operation) -> None:
    try:
        if op.parent is not None and op.parent.last_op is op:
            _verify_last(op)
        else:
            op.verify_()
    except VerifyException as e:
        raise VerifyException(f"{describe(op)}: {e}") from e


def _verify_last(op: Operation) -> None:
    """Also what only concerns ends of blocks, which xDSL checks together with the rest."""
    try:
        op.verify(verify_nested_ops=False)
    except VerifyException:
        op.verify_()  # of the reasons the short one
        raise
