"""Values that nothing samples, found on the streams of hand-written programs; compiled ones have none."""

from __future__ import annotations

import warnings

import pytest
from harness import DIGITS
from tspc.dialects.programs.records import program_from_module
from tspc.passes.isa.verify.dead_values import dead_values
from tspc.passes.isa.verify.isa_verify import DeadValueWarning, IsaVerifyPass
from tspc.passes.pipelines import compile, make_context, parse

PROGRAM = """
tsp_isa.program @main chip 0 cycles {cycles} {{
  tsp_isa.queue "MEM.E0" {{
    tsp_isa.read at 40 address 0 stream E4 repeat 3 step 1
  }}
  tsp_isa.queue "MEM.E8" {{
    {taker}
  }}
}}
"""


def test_a_value_that_is_taken_is_alive() -> None:
    module = parse(PROGRAM.format(cycles=66, taker="tsp_isa.write at 43 address 0 stream E4 repeat 3 step 1"))
    assert list(dead_values(program_from_module(module))) == []


def test_values_that_nothing_takes() -> None:
    module = parse(PROGRAM.format(cycles=65, taker="tsp_isa.write at 44 address 0 stream E4"))
    (dead,) = dead_values(program_from_module(module))
    assert (dead.chip, dead.stream, dead.number, dead.cycle) == (0, 4, 2, 41)
    assert dead.first.text == "read address 0 stream E4"
    with pytest.warns(
        DeadValueWarning, match=r"stream E4: 2 values are driven and never sampled, the first in cycle 41"
    ):
        IsaVerifyPass(dead_values=True).apply(make_context(), module)


def test_the_pass_says_nothing_unless_asked() -> None:
    module = parse(PROGRAM.format(cycles=65, taker="tsp_isa.write at 44 address 0 stream E4"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IsaVerifyPass().apply(make_context(), module)


def test_compiled_programs_drive_nothing_in_vain() -> None:
    module = compile(parse((DIGITS / "digits.mlir").read_text()))
    assert list(dead_values(program_from_module(module))) == []
