"""Runs ops at the tensor level, at the stream level, and as programs on every engine, and compares all bits."""

from __future__ import annotations

from collections.abc import Sequence

from harness import ENGINES, same_bits
from tensors import Array, module_of
from tspc.dialects.verify import verify_module
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.levels import run_module

RAN_AFTER = {"convert-tensor-to-stream": (), "isa-verify": tuple(ENGINES)}
"""The stages after which a module is run, with the engines that do; none runs the stream level."""


def assert_lowers(text: str, inputs: Sequence[Array], result: str, lanes: int = 320) -> Array:
    """Lowers a module of ops of which the last defines %y of type `result`, on inputs %a, %b, ..., to a program that
    the verifier proves. Raises AssertionError unless all levels and engines give the same bits, which it returns."""
    module = parse(module_of(text, inputs, result, lanes))
    named = dict(zip("abcdefgh", inputs, strict=False))
    expected = run_module(module, named, {}).outputs
    for stage, factory in STAGES.items():
        factory()().apply(make_context(), module)
        verify_module(module)
        for engine in [ENGINES[n]() for n in RAN_AFTER[stage]] or [None] if stage in RAN_AFTER else ():
            got = run_module(module, named, {}, engine).outputs
            assert same_bits(got, expected), f"{stage}, {type(engine).__name__}: {got['y']} is not {expected['y']}"
    return expected["y"]
