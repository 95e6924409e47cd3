"""Random names of tensors, of all of Unicode, and how MLIR writes them."""

from __future__ import annotations

import numpy as np

AWKWARD = (
    *("arg0", "arg1", "result0", "result1", "x.npy", ".npy", "file", "allow_pickle", "self", "kwds", "__metadata__"),
    *("a/b", "../../up", "/", ".", "..", "\\", '"', "`", "\n", "\r\n", "\t", " ", "%x", "@main", "#loc", "//", "{-#"),
    *("e\u0301", "\u00e9", "\u212b", "\u202e", "\ufeff", "\u2028", "\U0001f600", "\U0010ffff", "NUL", "x" * 3000),
)
"""Names that a file format, a parser or a default takes for something else."""


def random_name(rng: np.random.Generator) -> str:
    """An awkward name, or up to eight characters of any plane but the surrogates and NUL."""
    if rng.random() < 0.5:
        return AWKWARD[int(rng.integers(len(AWKWARD)))]
    most = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)
    codes = [int(rng.integers(1, most[int(rng.integers(4))] + 1)) for _ in range(int(rng.integers(1, 9)))]
    return "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000) or "x"


def literal(text: str) -> str:
    """A string of MLIR: each byte that is not a plain character escaped."""
    plain = (chr(b) if 0x20 <= b < 0x7F and chr(b) not in '"\\' else f"\\{b:02X}" for b in text.encode())
    return f'"{"".join(plain)}"'
