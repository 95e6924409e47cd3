"""tsp-tensor-canonicalize: simplifies tensor functions until nothing is left to simplify.

What `canonicalize` knows of tensor ops (dialects/tsp_tensor/simplify.py), with common subexpressions and dead code,
over and over. Unlike xDSL's `canonicalize` it leaves the ops of other dialects alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import GreedyRewritePatternApplier, PatternRewriter, PatternRewriteWalker, RewritePattern
from xdsl.transforms.common_subexpression_elimination import cse
from xdsl.transforms.dead_code_elimination import region_dce

from ....dialects.tsp_tensor.canonical import Canonical
from ....dialects.tsp_tensor.simplify import PATTERNS


@dataclass(frozen=True)
class TspTensorCanonicalizePass(ModulePass):
    """Simplifies tensor ops to a fixpoint; no bit of what is computed changes."""

    name = "tsp-tensor-canonicalize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        walker = PatternRewriteWalker(Simplify())
        while True:
            cse(op)
            region_dce(op.body)
            if not walker.rewrite_module(op):
                return


class Simplify(RewritePattern):
    """All patterns of tensor ops, on tensor ops."""

    patterns = GreedyRewritePatternApplier(list(PATTERNS))

    def match_and_rewrite(self, op: Operation, rewriter: PatternRewriter) -> None:
        if op.has_trait(Canonical):
            self.patterns.match_and_rewrite(op, rewriter)
