"""What front ends write and tspc does not take: every problem of a module at once, each with its place and a remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness import opt, refusal
from tspc.tools import tsp_opt, tsp_run


def refused(tmp_path: Path, text: str, *args: str) -> str:
    (tmp_path / "m.mlir").write_text(text, encoding="utf-8")
    return refusal(tsp_opt.main, tmp_path / "m.mlir", *args).replace(f"{tmp_path}/", "")


NCHW = (
    "these look like images of layout NCHW, and tsp_tensor has NHWC: transpose them with tsp_tensor.transpose, "
    "permutation [0, 2, 3, 1], and the result back with [0, 3, 1, 2]"
)
OIHW = "weights look like OIHW, and tsp_tensor has [rows, columns, channels, outputs]: permutation [2, 3, 1, 0]"


def test_all_that_does_not_verify_is_listed_at_once(tmp_path: Path) -> None:
    text = """func.func @main(%x: tensor<1x3x8x8xi8>) -> tensor<1x3x6x6xi8> {
  %w = tsp_tensor.parameter "w" : tensor<4x3x3x3xi8>
  %a = tsp_tensor.conv %x, %w : tensor<1x3x8x8xi8>, tensor<4x3x3x3xi8> -> tensor<1x4x6x6xi32>
  %b = tsp_tensor.constant dense<1.0> : tensor<3xbf16>
  %c = tsp_tensor.map %x : (tensor<1x3x8x8xi8>) -> tensor<1x3x8x8xi8> {
  ^bb0(%v: i8):
    %d = arith.divsi %v, %v : i8
    tsp_tensor.yield %d : i8
  }
  %e = tsp_tensor.pool "max" %x window [3, 3] : tensor<1x3x8x8xi8> -> tensor<1x3x6x6xi8>
  func.return %e : tensor<1x3x6x6xi8>
}"""
    lines = refused(tmp_path, text).splitlines()
    assert [line.split("`")[:2] for line in lines] == [
        ["m.mlir:3:3: ", "tsp_tensor.conv"],
        ["m.mlir:4:3: ", "tsp_tensor.constant"],
        ["m.mlir:5:3: ", "tsp_tensor.map"],
        ["m.mlir:10:3: ", "tsp_tensor.pool"],
    ]
    assert lines[0].endswith(f"; {NCHW}; {OIHW}")
    assert lines[3].endswith(f": the result is tensor<1x1x6x8xi8>, not tensor<1x3x6x6xi8>; {NCHW}")


def test_a_module_of_nothing_but_problems_shows_the_first_of_them(tmp_path: Path) -> None:
    lines = [f'%{i} = tsp_tensor.parameter "w{i}" : tensor<4xi64>' for i in range(50)]
    found = refused(tmp_path, "\n".join(["func.func @main() {", *lines, "func.return", "}"])).splitlines()
    assert len(found) == 21
    assert found[-1] == "and 30 more"


LAYOUTS = {
    "NCHW alone": ("1x4x8x9", "3x3x4x5", NCHW),
    "OIHW alone": ("1x8x9x4", "5x4x3x3", OIHW),
    "neither": ("1x8x9x4", "3x3x7x5", "groups divides the outputs"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_other_layouts_are_recognised_by_their_channels(case: str, tmp_path: Path) -> None:
    images, weights, remedy = LAYOUTS[case]
    types = f"tensor<{images}xi8>, tensor<{weights}xi8>"
    text = f"""func.func @main(%x: tensor<{images}xi8>, %w: tensor<{weights}xi8>) {{
      %y = tsp_tensor.conv %x, %w : {types} -> tensor<1x6x7x5xi32>
      func.return
    }}"""
    assert refused(tmp_path, text).endswith(remedy)


ELEMENTS = {
    "f64": "f32",
    "bf16": "f32, or f16 where its range is enough",
    "f8E4M3FN": "f16",
    "i64": "i32",
    "i1": "i8",
    "i4": "i8",
    "ui8": "i8, whose numbers are signed",
    "si32": "i32, whose numbers are signed",
    "index": "i32",
    "complex<f32>": "two tensors, of the real and the imaginary parts",
}


@pytest.mark.parametrize("element", ELEMENTS)
def test_each_element_type_that_no_stream_carries_has_one_to_use_instead(element: str, tmp_path: Path) -> None:
    text = f'func.func @main() {{\n  %w = tsp_tensor.parameter "w" : tensor<4x{element}>\n  func.return\n}}'
    assert refused(tmp_path, text) == (
        f"m.mlir:2:3: `tsp_tensor.parameter`: tensor<4x{element}>: element type {element} is not supported; "
        f"use {ELEMENTS[element]}"
    )


FUNCTIONS = """func.func private @relu(tensor<4xf32>) -> tensor<4xf32>
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = func.call @relu(%x) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}
func.func @other(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.addf %x, %x : tensor<4xf32>
  func.return %y : tensor<4xf32>
}"""


def test_a_program_is_one_function_without_calls(tmp_path: Path) -> None:
    problems = [
        "m.mlir:1:1: `func.func`: `relu` is declared and has no body; remove it, and inline what it does",
        "m.mlir:6:1: `func.func`: a program is one function; inline or remove the others, or mark those that run "
        "on chips with tsp_tensor.program",
    ]
    call = "m.mlir:3:3: `func.call`: calls a function, but a program is a single one; inline the call"
    assert refused(tmp_path, FUNCTIONS, "-p", "tsp-compile").splitlines() == [*problems, call]
    for level in ("tensor", "stream"):
        message = refusal(tsp_run.main, tmp_path / "m.mlir", "--level", level).replace(f"{tmp_path}/", "")
        assert message.splitlines() == problems


def test_ops_of_other_dialects_say_what_to_write(tmp_path: Path) -> None:
    text = FUNCTIONS[FUNCTIONS.index("func.func @other") :]
    assert refused(tmp_path, text, "-p", "tsp-compile") == (
        "m.mlir:2:3: `arith.addf`: has no lowering to streams; express it with tsp_tensor ops, one of scalars in a "
        "tsp_tensor.map"
    )


UNKNOWN = {
    "tsp_tensor.matmull": "there is no op `tsp_tensor.matmull`; did you mean `tsp_tensor.matmul`?",
    '"stablehlo.add"() : () -> i8': "`stablehlo.add`: there is no dialect `stablehlo`; write the model in tsp_tensor",
    "tsp_tensr.map": "`tsp_tensr.map`: there is no dialect `tsp_tensr`; did you mean `tsp_tensor`?",
    "matmul": "`matmul` is not an op; ops are written as dialect.name",
}


@pytest.mark.parametrize("op", UNKNOWN)
def test_unknown_ops_name_the_nearest(op: str, tmp_path: Path) -> None:
    column = 7 if op.startswith('"') else 6
    assert refused(tmp_path, f"%0 = {op}") == f"m.mlir:1:{column}: {UNKNOWN[op]}"


def test_the_generic_form_loses_no_bits_unnoticed(tmp_path: Path) -> None:
    text = 'func.func @main() {{\n  %c = tsp_tensor.constant dense<"0x{}"> : tensor<2xf32>\n  func.return\n}}'
    assert refused(tmp_path, text.format("0100807F0000803F"), "--print-op-generic") == (
        "m.mlir:2:3: `tsp_tensor.constant`: the generic form loses the payload of a NaN; omit --print-op-generic"
    )
    (tmp_path / "m.mlir").write_text(text.format("0000C07F0000803F"))
    generic = opt(tmp_path / "m.mlir", "--print-op-generic")
    (tmp_path / "m.mlir").write_text(generic)
    assert 'dense<"0x0000C07F0000803F">' in opt(tmp_path / "m.mlir")


def test_no_refusal_shows_a_class_of_python(tmp_path: Path) -> None:
    """Of texts over which the parsers of ops and attributes trip, each with an error of its own."""
    for text in (
        "func.func @a() { %0 = arith.constant dense<1> : i8 }",
        "func.func @a() { %0 = arith.constant 1.5 : i8 }",
        "func.func @a() { %0 = tsp_tensor.constant dense<(1, 2)> : tensor<1xi8> }",
        "func.func @a() { %0 = tsp_tensor.constant dense<true> : tensor<1xi8> }",
        "func.func @a() { %0 = tsp_tensor.constant dense<1.0> : tensor<1xf128> }",
        "func.func @a() { %0 = tsp_tensor.constant dense<300> : tensor<1xi8> }",
        "func.func @a() attributes {a = array<i8: 300>} { func.return }",
        "func.func @a() attributes {a = 99999999999999999999 : i64} { func.return }",
    ):
        message = refused(tmp_path, text)
        assert message.startswith("m.mlir:1:")
        assert not re.search(r"\b(\w+(Error|Exception|Attr)|NoneType|Float128Type)\b", message), message
