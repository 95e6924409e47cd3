"""decompose-tensor-ops: writes named tensor ops out as the primitive ones that they stand for.

Each named op says itself what it stands for (dialects/tsp_tensor/named.py), so the bits are those of running it. Passes
that come later know of no named op, and of no groups of channels that cannot lie side by side (split_groups.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import GreedyRewritePatternApplier, PatternRewriter, PatternRewriteWalker, RewritePattern

from ....dialects.tsp_tensor import NamedOp
from ....dialects.tsp_tensor.expansion import Expansion
from .split_groups import SplitGroups


@dataclass(frozen=True)
class DecomposeTensorOpsPass(ModulePass):
    """Replaces softmax, norms, activations, attention and the like by matmul, map, reduce, and movement."""

    name = "decompose-tensor-ops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        PatternRewriteWalker(GreedyRewritePatternApplier([Decompose(), SplitGroups()])).rewrite_module(op)


class Decompose(RewritePattern):
    """A named op becomes its expression, in which there may be others."""

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if isinstance(op, NamedOp):
            expansion = Expansion(op)
            result = op.expand(expansion, list(op.operands))
            rewriter.replace(op, expansion.ops, [result])
