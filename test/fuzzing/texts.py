"""What texts and files could lose: random names of tensors, of all of Unicode, and payloads of NaNs."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from tensors import Array

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


def unused_name(rng: np.random.Generator, taken: Container[str], default: str) -> str:
    """A random name that is not taken and no other's default, most often; else the default."""
    while rng.random() < 0.8:
        if (name := random_name(rng)) not in taken and name.rstrip("0123456789") != default.rstrip("0123456789"):
            return name
    return default


def with_payloads(rng: np.random.Generator, array: Array, share: float) -> Array:
    """The array, and in this share of cases with any NaN in place of the canonical one, signalling ones too."""
    if array.dtype.kind != "f" or rng.random() >= share:
        return array
    bits, size = np.dtype(f"u{array.itemsize}"), array.itemsize
    fraction = {2: 0x3FF, 4: 0x7FFFFF}[size]
    infinity = (1 << 8 * size - 1) - 1 - fraction
    drawn = rng.integers(0, 1 << 8 * size, array.shape, bits)
    nans = np.where(drawn & fraction, drawn | infinity, infinity + 1).astype(bits)  # a fraction of 0 is no NaN
    return np.where(np.isnan(array), nans.view(array.dtype), array)


def with_nans(rng: np.random.Generator, array: Array, share: float) -> Array:
    """The array, and in this share of cases with NaNs of any payload in place of some elements or of all."""
    if array.dtype.kind != "f" or rng.random() >= share:
        return array
    nan = rng.random(array.shape) < rng.choice([0.05, 1])
    return with_payloads(rng, np.where(nan, array.dtype.type(np.nan), array), 1)
