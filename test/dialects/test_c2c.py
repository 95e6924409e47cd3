"""What cannot cross between chips, and the wiring that a module says."""

from __future__ import annotations

import pytest
from tspc.dialects.c2c import topology_of
from tspc.dialects.machine.target import SystemSpec
from tspc.dialects.machine.topology import Port, Topology
from tspc.passes.pipelines import compile, parse
from xdsl.utils.exceptions import ParseError, VerifyException

MODULE = """
builtin.module attributes {{tsp_isa.target = #tsp_isa.target<system.chips = 3>{}}} {{
  func.func @main(%x: tensor<4x4xi8>, %w: tensor<4x4xi8>) -> tensor<4x4xi32> {{
    {}
    %y = tsp_tensor.matmul %x, %w : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
    func.return %y : tensor<4x4xi32>
  }}
}}
"""


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("from 0 to 3 : tensor<4x4xi8> -> tensor<4x4xi8>", "chip 3: the system has 3 (target field `system.chips`)"),
        ("from 1 to 1 : tensor<4x4xi8> -> tensor<4x4xi8>", "a transfer joins two chips, both are 1"),
        (
            "from 0 to 1 : tensor<4x4xi8> -> tensor<2x8xi8>",
            "a transfer changes no type: tensor<4x4xi8> to tensor<2x8xi8>",
        ),
    ],
)
def test_a_transfer_that_makes_no_sense(op: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        parse(MODULE.format("", f"%t = c2c.transfer %x {op}"))
    assert str(e.value) == f"<text>:4:5: `c2c.transfer`: {reason}"


def test_a_transfer_changes_no_stream_type() -> None:
    with pytest.raises(VerifyException, match="a transfer changes no type"):
        parse("""
            builtin.module attributes {tsp_isa.target = #tsp_isa.target<system.chips = 2>} {
              func.func @main(%s: !tsp_stream.stream<4x320xi8>) {
                %t = c2c.transfer %s from 0 to 1 : !tsp_stream.stream<4x320xi8> -> !tsp_stream.stream<5x320xi8>
                func.return
              }
            }""")


@pytest.mark.parametrize(
    ("chip", "reason"),
    [
        ("3 : i64", "`c2c.chip` 3: the system has 3 (target field `system.chips`)"),
        ("-1 : i64", "`c2c.chip` -1: the system has 3 (target field `system.chips`)"),
        ('"first"', '`c2c.chip` must be an integer, not "first"'),
    ],
)
def test_a_chip_that_does_not_exist(chip: str, reason: str) -> None:
    text = MODULE.format("", "").replace("%x, %w :", f"%x, %w {{c2c.chip = {chip}}} :")
    with pytest.raises(VerifyException) as e:
        compile(text, until="c2c-partition")
    assert str(e.value) == f"<text>:5:5: `tsp_tensor.matmul`: {reason}"


def test_without_a_wiring_the_chips_are_one_node() -> None:
    module = parse(MODULE.format("", ""))
    assert topology_of(module) == Topology.of(SystemSpec(chips=3))


def test_the_wiring_of_a_module() -> None:
    module = parse(MODULE.format(", c2c.topology = #c2c.topology<[0, 3] to [2, 5]>", ""))
    assert topology_of(module) == Topology(((Port(0, 3), Port(2, 5)),))


@pytest.mark.parametrize(
    ("cables", "reason"),
    [
        ("[0, 0] to [3, 0]", "module attribute `c2c.topology`: port 3.0: the system has 3 chips"),
        ("[0, 0] to [1, 0], [0, 0] to [2, 0]", "module attribute `c2c.topology`: port 0.0 has two cables"),
    ],
)
def test_a_wiring_that_does_not_fit_the_system(cables: str, reason: str) -> None:
    with pytest.raises(VerifyException) as e:
        topology_of(parse(MODULE.format(f", c2c.topology = #c2c.topology<{cables}>", "")))
    assert str(e.value) == reason


def test_text_that_is_no_wiring() -> None:
    with pytest.raises(ParseError, match="Expected 'to'"):
        parse(MODULE.format(", c2c.topology = #c2c.topology<[0, 0] [1, 0]>", ""))
