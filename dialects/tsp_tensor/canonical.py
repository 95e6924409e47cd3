"""The trait of the ops that xDSL's `canonicalize` simplifies."""

from __future__ import annotations

from xdsl.pattern_rewriter import RewritePattern
from xdsl.traits import HasCanonicalizationPatternsTrait


class Canonical(HasCanonicalizationPatternsTrait):
    """Gives the patterns of simplify.py; they are imported when first needed."""

    @classmethod
    def get_canonicalization_patterns(cls) -> tuple[RewritePattern, ...]:
        from .simplify import PATTERNS

        return PATTERNS
