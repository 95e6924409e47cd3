"""What users of a tensor want of the buffer in which it will lie: copies, padding, whether it meets weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tspc.dialects.machine.target import DEFAULT_SYSTEM, ChipSpec
from tspc.passes.pipelines import parse
from tspc.passes.policy import Policy
from tspc.passes.tensor.analysis.requirements import Requirements, requirements
from xdsl.dialects.func import FuncOp

CHIP = DEFAULT_SYSTEM.chip


def required(argument: str, *lines: str, others: str = "", chip: ChipSpec = CHIP) -> Requirements:
    """What is wanted of the argument %x of a function."""
    module = parse(f"func.func @main(%x: tensor<{argument}>{others}) {{\n" + "\n".join(lines) + "\nfunc.return\n}")
    (function,) = (op for op in module.walk() if isinstance(op, FuncOp))
    return requirements(function.body.block, Policy.of(chip)).get(function.body.block.args[0], Requirements())


def product(rows: int, element: str, stack: str = "") -> list[str]:
    x, w, y = (f"tensor<{stack}{s}>" for s in (f"{rows}x64x{element}", f"64x40x{element}", f"{rows}x40x"))
    return [f"%y = tsp_tensor.matmul %x, %w : {x}, {w} -> {y[:-1]}{'i32' if element == 'i8' else 'f32'}>"]


@pytest.mark.parametrize(
    ("rows", "blocks"), [(0, 1), (1, 1), (127, 1), (128, 2), (191, 2), (192, 3), (256, 4), (1 << 20, 4)]
)
def test_blocks_side_by_side(rows: int, blocks: int) -> None:
    assert Policy.of(ChipSpec()).side_by_side(rows) == blocks


@pytest.mark.parametrize(("rows", "copies"), [(1, 2), (2, 2), (3, 4), (20, 4), (21, 2), (400, 2)])
def test_activations_have_a_copy_for_all_planes_that_read_at_once(rows: int, copies: int) -> None:
    """Those of a hemisphere share; of few rows, though not so few that they wait for each other, every plane reads."""
    found = required(f"{rows}x64xi8", *product(rows, "i8"), others=", %w: tensor<64x40xi8>")
    assert found == Requirements(copies=copies, meets_weights=True)


def test_a_pair_of_planes_takes_f16() -> None:
    found = required("20x64xf16", *product(20, "f16"), others=", %w: tensor<64x40xf16>")
    assert found == Requirements(copies=2, meets_weights=True)
    stacked = required("4x20x64xf16", *product(20, "f16", "4x"), others=", %w: tensor<4x64x40xf16>")
    assert stacked == Requirements(copies=1, meets_weights=True)


@pytest.mark.parametrize(("rows", "copies"), [(15, Policy.window_copies), (16, 1)])
def test_computed_weights_of_few_rows(rows: int, copies: int) -> None:
    lines = [f"%y = tsp_tensor.matmul %v, %x : tensor<{rows}x64xi8>, tensor<64x40xi8> -> tensor<{rows}x40xi32>"]
    assert required("64x40xi8", *lines, others=f", %v: tensor<{rows}x64xi8>") == Requirements(copies=copies)


def test_a_machine_with_more_planes_has_more_readers() -> None:
    found = required("400x64xi8", *product(400, "i8"), others=", %w: tensor<64x40xi8>", chip=replace(CHIP, planes=8))
    assert found.copies == 4


def test_a_view_wants_what_its_users_want() -> None:
    lines = ["%x2 = tsp_tensor.reshape %x : tensor<20x64xi8> -> tensor<4x5x64xi8>"]
    lines += ['%r = tsp_tensor.reduce "max" %x2 axes [1] : tensor<4x5x64xi8> -> tensor<4x64xi8>']
    assert required("20x64xi8", *lines) == Requirements(copies=2)


def test_requirements_are_joined() -> None:
    a, b = Requirements(((1, 0),), 2), Requirements(((0, 2), (3, 3)), 1, True)
    assert a.joined(b) == b.joined(a) == Requirements(((1, 2), (3, 3)), 2, True)


@pytest.mark.parametrize(("shape", "copies"), [("256x64", 1), ("1x64", 4), ("256x1", 4), ("64", 4)])
def test_an_operand_that_is_shown_again(shape: str, copies: int) -> None:
    """Every block of rows reads the same words, so each has a copy."""
    out = "tensor<256x64xf32>"
    lines = [
        f"%y = tsp_tensor.map %x, %z : (tensor<{shape}xf32>, {out}) -> {out} {{",
        "^bb0(%a: f32, %b: f32):",
        "%s = arith.addf %a, %b : f32",
        "tsp_tensor.yield %s : f32",
        "}",
    ]
    assert required(f"{shape}xf32", *lines, others=f", %z: {out}") == Requirements(copies=copies)


IMAGES = "1x8x8x64"


@pytest.mark.parametrize(
    ("pads", "wanted"),
    [
        ("", ()),
        ("pads [1, 2, 0, 3]", ((0, 0), (1, 0), (2, 3))),
        ("pads [1, 1, 1, 1]", ((0, 0), (1, 1), (1, 1))),
    ],
)
def test_windows_want_a_border(pads: str, wanted: tuple[tuple[int, int], ...]) -> None:
    """Of a convolution and of a sum over windows; rows are read by the planes of both hemispheres."""
    top, left, bottom, right = map(int, pads[6:-1].split(", ")) if pads else (0,) * 4
    height, width = 8 - 2 + top + bottom, 8 - 2 + left + right
    conv = (
        f"%y = tsp_tensor.conv %x, %w {pads} : tensor<{IMAGES}xi8>, tensor<3x3x64x40xi8> "
        f"-> tensor<1x{height}x{width}x40xi32>"
    )
    assert required(f"{IMAGES}xi8", conv, others=", %w: tensor<3x3x64x40xi8>") == Requirements(wanted, 2, True)
    pool = (
        f'%y = tsp_tensor.pool "sum" %x window [3, 3] {pads} : tensor<{IMAGES}xi8> -> tensor<1x{height}x{width}x64xi32>'
    )
    assert required(f"{IMAGES}xi8", pool) == Requirements(wanted, 2)


@pytest.mark.parametrize(("width", "copies"), [(2, 2), (3, 3), (4, 4), (7, 3)])
def test_a_maximum_over_windows_reads_the_columns_of_its_first_step_at_once(width: int, copies: int) -> None:
    """Of 7 columns 3 are joined first."""
    pool = f'%y = tsp_tensor.pool "max" %x window [1, {width}] : tensor<{IMAGES}xi8> -> tensor<1x8x{9 - width}x64xi8>'
    assert required(f"{IMAGES}xi8", pool) == Requirements(copies=copies)


@pytest.mark.parametrize(
    ("rows", "columns", "copies"),
    [(16, 40, 2), (15, 40, 1), (16, 400, 2)],
    ids=["beside sums", "few rows", "several tiles"],
)
def test_an_operand_that_meets_sums(rows: int, columns: int, copies: int) -> None:
    """Planes of both hemispheres give sums at the same time, unless rows are so few that they come after each other."""
    x, a, w = f"tensor<{rows}x{columns}xi32>", f"tensor<{rows}x64xi8>", f"tensor<64x{columns}xi8>"
    lines = [
        f"%s = tsp_tensor.matmul %a, %w : {a}, {w} -> {x}",
        f"%y = tsp_tensor.map %s, %x : ({x}, {x}) -> {x} {{",
        "^bb0(%p: i32, %q: i32):",
        "%r = arith.addi %p, %q : i32",
        "tsp_tensor.yield %r : i32",
        "}",
    ]
    assert required(x[7:-1], *lines, others=f", %a: {a}, %w: {w}") == Requirements(copies=copies)


def test_activations_that_also_meet_their_sums() -> None:
    """They are read by the planes and, later, by the ALUs of both hemispheres."""
    lines = [
        "%s = tsp_tensor.matmul %x, %w : tensor<20x64xi8>, tensor<64x64xi8> -> tensor<20x64xi32>",
        "%y = tsp_tensor.map %s, %x : (tensor<20x64xi32>, tensor<20x64xi8>) -> tensor<20x64xi32> {",
        "^bb0(%p: i32, %q: i8):",
        "%e = arith.extsi %q : i8 to i32",
        "%r = arith.addi %p, %e : i32",
        "tsp_tensor.yield %r : i32",
        "}",
    ]
    assert required("20x64xi8", *lines, others=", %w: tensor<64x64xi8>") == Requirements(copies=4, meets_weights=True)
