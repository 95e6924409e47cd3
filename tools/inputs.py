"""The inputs of a run: those of a file, or made on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..dialects.errors import InputError
from ..dialects.names import quoted
from ..runtime.interface import Array, Signature, check_tensors, load_inputs


def inputs_for(wanted: Mapping[str, Signature], path: Path | None, seed: int | None) -> dict[str, Array]:
    """The wanted inputs by name, of a file or random ones. Raises InputError for what is missing or misfits."""
    if path is None and seed is None:
        if wanted:
            named = ", ".join(f"{quoted(name)} ({signature})" for name, signature in wanted.items())
            what = f"input {named} is" if len(wanted) == 1 else f"inputs {named} are"
            raise InputError(f"{what} missing; give --inputs X.npz, or --random-inputs")
        return {}
    inputs = load_inputs(path) if path else random_inputs(wanted, seed or 0)
    check_tensors("input", wanted, inputs)
    return inputs


def random_inputs(wanted: Mapping[str, Signature], seed: int) -> dict[str, Array]:
    """Inputs that a seed determines: integers of the whole range of their type, floats of the normal distribution."""
    rng = np.random.default_rng(seed)
    return {name: _random(rng, signature) for name, signature in wanted.items()}


def _random(rng: np.random.Generator, signature: Signature) -> Array:
    dtype = signature.dtype
    if dtype.kind == "b":
        return rng.integers(0, 2, signature.shape).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, signature.shape, dtype, endpoint=True)
    return rng.standard_normal(signature.shape).astype(dtype)
