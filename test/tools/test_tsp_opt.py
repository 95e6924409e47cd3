"""tsp-opt as a person meets it: what is wrong is said in one paragraph on stderr, with exit code 1 and no traceback."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from harness import DIGITS, opt, refusal, stage_text
from tspc.passes import pipelines
from tspc.passes.pipelines import STAGES
from tspc.tools import tsp_opt, universe
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, ModuleOp, f32
from xdsl.passes import ModulePass

MODEL = DIGITS / "digits.mlir"


def refused(*args: str | Path) -> str:
    return refusal(tsp_opt.main, *args)


def refused_text(tmp_path: Path, text: str, *args: str | Path) -> str:
    """The error for a module, without the folder of its file."""
    (tmp_path / "m.mlir").write_text(text, encoding="utf-8")
    return refused(tmp_path / "m.mlir", *(args or ("-p", "tsp-compile"))).replace(f"{tmp_path}/", "")


# -- command lines -------------------------------------------------------------------------------------------------

USAGE = {
    "unknown pass": (["-p", "tsp-compil"], "unknown pass `tsp-compil`; did you mean `tsp-compile`?"),
    "unlike every pass": (["-p", "zzzzzz"], "unknown pass `zzzzzz`"),
    "second pass": (["-p", "c2c-partition,stream-plase"], "unknown pass `stream-plase`; did you mean `stream-place`?"),
    "pass option": (["-p", 'set-target{fil="a"}'], "pass `set-target` has no option `fil`; did you mean `file`?"),
    "no pass options": (["-p", "stream-place{fast=1}"], "pass `stream-place` has no option `fast`; it takes none"),
    "option missing": (["-p", "set-target"], 'pass `set-target`: set-target requires argument "file"'),
    "option of another type": (["-p", "set-target{file=3}"], "pass `set-target`: Incompatible types"),
    "open brace": (["-p", "set-target{"], "Error parsing pass pipeline specification"),
    "no comma": (["-p", "isa-verify isa-verify"], "Error parsing pass pipeline specification"),
    "bracket": (["-p", "isa-verify("], "Error parsing pass pipeline specification"),
    "option": (
        ["--chek-by-running", "x"],
        "unrecognized arguments: --chek-by-running x; did you mean `--check-by-running`?",
    ),
    "unlike every option": (["--zzzzzz"], "unrecognized arguments: --zzzzzz"),
    "output folder": (["-o", "/none/x.mlir"], "/none/x.mlir: No such file or directory"),
    "output target": (["-t", "llvm"], "target `llvm` cannot print this module: "),
    "unknown output target": (["-t", "arm"], "argument -t/--target: invalid choice: 'arm' (choose from "),
    "no output target": (["-t", "{"], "Error parsing pass pipeline specification"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_command_lines_are_answered_with_what_is_near(case: str) -> None:
    args, message = USAGE[case]
    assert refused(MODEL, *args).startswith(message)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.mlir") == f"{tmp_path}/none.mlir: No such file or directory"
    assert refused(tmp_path) == f"{tmp_path}: unknown extension; give an .mlir file"
    (tmp_path / "folder.mlir").mkdir()
    assert refused(tmp_path / "folder.mlir") == f"{tmp_path}/folder.mlir: Is a directory"
    (tmp_path / "text.txt").write_text("builtin.module {}")
    assert refused(tmp_path / "text.txt") == f"{tmp_path}/text.txt: unknown extension; give an .mlir file"


def test_the_output_may_be_the_input_and_is_left_alone_by_a_run_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "m.mlir"
    path.write_text(MODEL.read_text())
    refused(path, "-p", "stream-allocate,convert-stream-to-isa", "-o", path)
    assert path.read_text() == MODEL.read_text()
    assert opt(path, "-p", "tsp-compile", "-o", path) == ""
    assert path.read_text() == opt(MODEL, "-p", "tsp-compile")


# -- texts that are no module --------------------------------------------------------------------------------------


def test_garbage_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_bytes(bytes(range(256)))
    assert refused(tmp_path / "m.mlir").startswith(f"{tmp_path}/m.mlir is not UTF-8 text: byte 0x80 in line 2; save")


DEEP = 20_000

UNREADABLE = {
    "empty": ("", "m.mlir:1:1: there is no module in the text"),
    "comment": ("// nothing\n", "m.mlir:2:1: there is no module in the text"),
    "control characters": ("\0\1\2", "m.mlir:1:1: "),
    "half": ("builtin.module {", "m.mlir:1:17: unexpected text in block definition"),
    "nested": (f"func.func @a() {{ %0 = arith.constant dense<{'[' * DEEP} : i8 }}", "m.mlir:1:"),
    "nested attribute": (f"builtin.module attributes {{a = {'[' * DEEP}{']' * DEEP}}} {{}}", "m.mlir:1:"),
    "nested regions": ("builtin.module {" * DEEP + "}" * DEEP, "m.mlir:1:"),
    "bits of no f32": ("%0 = arith.constant 0x1FFFFFFFF : f32", "m.mlir:1:"),
    "no i8": ("%0 = arith.constant 300 : i8", "m.mlir:1:"),
    "unknown op": (
        "%0 = tsp_tensor.matmull",
        "m.mlir:1:6: there is no op `tsp_tensor.matmull`; did you mean `tsp_tensor.matmul`?",
    ),
    "unknown type": ("func.func @a(%x: !tsp_stream.steam<4x320xi8>) { func.return }", "m.mlir:1:"),
    "use before definition": ('"tsp_tensor.yield"(%x) : (i8) -> ()', "m.mlir:"),
    "target": (
        "builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.streems = 16>} {}",
        "m.mlir:1:60: target field `chip.streems` is unknown; did you mean `chip.streams`?",
    ),
    "target's range": (
        "builtin.module attributes {tsp_isa.target = #tsp_isa.target<chip.streams = 4>} {}",
        "m.mlir:1:60: target field `streams`: 4 is outside 16..128 (streams)",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_texts_that_are_no_module_name_the_place(case: str, tmp_path: Path) -> None:
    text, message = UNREADABLE[case]
    assert refused_text(tmp_path, text).startswith(message)


# -- modules that are wrong ----------------------------------------------------------------------------------------

MATMUL = """func.func @main(%x: tensor<{x}>) -> tensor<{y}> {{
  %w = tsp_tensor.parameter "w" : tensor<{w}>
  %y = tsp_tensor.matmul %x, %w : tensor<{x}>, tensor<{w}> -> tensor<{y}>
  func.return %y : tensor<{y}>
}}"""

MAP = """func.func @main(%x: tensor<4xi32>) -> tensor<4xi32> {{
  %0 = tsp_tensor.map %x : (tensor<4xi32>) -> tensor<4xi32> {{
  ^bb0(%v: i32):
    {}
  }}
  func.return %0 : tensor<4xi32>
}}"""

ON = "builtin.module attributes {{tsp_isa.target = {}}} {{\n{}}}"

WRONG = {
    "shapes": (
        MATMUL.format(x="4x8xi8", w="9x4xi8", y="4x4xi32"),
        "m.mlir:3:3: `tsp_tensor.matmul`: shapes do not multiply: tensor<4x8xi8> by tensor<9x4xi8> is not tensor<4x4",
    ),
    "element types": (
        MATMUL.format(x="4x8xi8", w="8x4xi8", y="4x4xi8"),
        "m.mlir:3:3: `tsp_tensor.matmul`: sums of tensor<4x8xi8> by tensor<8x4xi8> are i32, the result is "
        "tensor<4x4xi8>",
    ),
    "f64": (
        MATMUL.format(x="4x8xf64", w="8x4xf64", y="4x4xf64"),
        "m.mlir:2:3: `tsp_tensor.parameter`: tensor<8x4xf64>: element type f64 is not supported; use f32",
    ),
    "dynamic shape": (
        MATMUL.format(x="?x8xi8", w="8x4xi8", y="?x4xi32"),
        "m.mlir:3:3: `tsp_tensor.matmul`: tensor<?x8xi8>: dimensions must be static and at least 1",
    ),
    "no return": (
        'func.func @main(%x: tensor<4xi8>) {\n  %w = tsp_tensor.parameter "w" : tensor<4xi8>\n}',
        "m.mlir:2:3: `tsp_tensor.parameter`: Operation tsp_tensor.parameter terminates block in single-block region",
    ),
    "no yield": (
        MAP.format("%1 = arith.addi %v, %v : i32"),
        "m.mlir:2:3: `tsp_tensor.map`: the region ends with tsp_tensor.yield",
    ),
    "foreign op in a map": (
        MAP.format("%1 = arith.divsi %v, %v : i32\n    tsp_tensor.yield %1 : i32"),
        "m.mlir:2:3: `tsp_tensor.map`: `arith.divsi` is not a scalar op of an ALU; there are arith.constant, ",
    ),
    "chip": (
        MATMUL.format(x="4x8xi8", w="8x4xi8", y="4x4xi32").replace("%x, %w", "%x, %w {c2c.chip = 1 : i64}"),
        "m.mlir:3:3: `tsp_tensor.matmul`: `c2c.chip` 1: the system has 1 (target field `system.chips`)",
    ),
    "target of another kind": (
        ON.format("3 : i32", MATMUL.format(x="4x8xi8", w="8x4xi8", y="4x4xi32")),
        "module attribute `tsp_isa.target` must be a #tsp_isa.target<...>",
    ),
    "no function": ("builtin.module {}", "the module has no function; write one as func.func @main"),
    "declaration": (
        "func.func private @main(tensor<4xi8>) -> tensor<4xi8>",
        "m.mlir:1:1: `func.func`: `main` is declared and has no body; remove it, and inline what it",
    ),
    "branches": (
        "func.func @main(%x: tensor<4xi8>) -> tensor<4xi8> {\n  cf.br ^b\n^b:\n  func.return %x : tensor<4xi8>\n}",
        "m.mlir:1:1: `func.func`: has 2 blocks; use a single one",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_modules_name_op_place_and_reason(case: str, tmp_path: Path) -> None:
    text, message = WRONG[case]
    assert refused_text(tmp_path, text).startswith(message)


def test_all_that_has_no_lowering_is_listed_at_once(tmp_path: Path) -> None:
    text = """func.func @main(%a: tensor<4x4xf64>, %b: tensor<?x4xi8>, %c: i32, %d: tensor<4x4xi8>, %e: tensor<4x1xi32>)
    -> (tensor<4x4xf64>, i32, tensor<4x4xi32>) {
  %0 = tsp_tensor.map %d : (tensor<4x4xi8>) -> tensor<4x4xi8> {
  ^bb0(%v: i8):
    tsp_tensor.yield %v : i8
  }
  %1 = tsp_tensor.matmul %d, %0 : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  %2 = tsp_tensor.reshape %0 : tensor<4x4xi8> -> tensor<2x8xi8>
  %3 = tsp_tensor.map %2 : (tensor<2x8xi8>) -> tensor<2x8xi8> {
  ^bb0(%v: i8):
    tsp_tensor.yield %v : i8
  }
  %4 = tsp_tensor.map %e, %1 : (tensor<4x1xi32>, tensor<4x4xi32>) -> tensor<4x4xi32> {
  ^bb0(%v: i32, %w: i32):
    tsp_tensor.yield %w : i32
  }
  %5 = tsp_tensor.matmul %d, %d : tensor<4x4xi8>, tensor<4x4xi8> -> tensor<4x4xi32>
  %7 = tsp_tensor.map %e : (tensor<4x1xi32>) -> tensor<4x1xi32> {
  ^bb0(%v: i32):
    %8 = arith.addi %v, %v : i32
    tsp_tensor.yield %8 : i32
  }
  %6 = tsp_tensor.map %7, %5 : (tensor<4x1xi32>, tensor<4x4xi32>) -> tensor<4x4xi32> {
  ^bb0(%v: i32, %w: i32):
    tsp_tensor.yield %w : i32
  }
  func.return %a, %c, %6 : tensor<4x4xf64>, i32, tensor<4x4xi32>
}
func.func @other() {
  func.return
}"""
    assert refused_text(tmp_path, text).split("\n") == [
        "m.mlir:29:1: `func.func`: a program is one function; inline or remove the others, or mark those that run "
        "on chips with tsp_tensor.program",
        "m.mlir:1:1: `func.func`: argument `arg0`: element type f64 is not supported; use f32",
        "m.mlir:1:1: `func.func`: argument `arg1`: tensor<?x4xi8> has a dynamic or empty dimension; give static shapes",
        "m.mlir:1:1: `func.func`: argument `arg2`: is i32, not a tensor",
    ]


def test_an_op_that_no_alu_executes_is_named(tmp_path: Path) -> None:
    text = """func.func @main(%x: tensor<4xf16>) -> tensor<4xf16> {
  %0 = tsp_tensor.map %x : (tensor<4xf16>) -> tensor<4xf16> {
  ^bb0(%v: f16):
    %1 = arith.divf %v, %v : f16
    tsp_tensor.yield %1 : f16
  }
  func.return %0 : tensor<4xf16>
}"""
    assert refused_text(tmp_path, text).startswith(
        "m.mlir:2:3: `tsp_tensor.map`: `arith.divf` is not a scalar op of an ALU"
    )


def test_a_region_longer_than_the_mesh_says_how_long(tmp_path: Path) -> None:
    adds = "".join(f"    %{i + 1} = arith.addi %{i}, %{i} : i32\n" for i in range(17))
    text = f"""func.func @main(%x: tensor<4xi32>) -> tensor<4xi32> {{
  %y = tsp_tensor.map %x : (tensor<4xi32>) -> tensor<4xi32> {{
  ^bb0(%0: i32):
{adds}    tsp_tensor.yield %17 : i32
  }}
  func.return %y : tensor<4xi32>
}}"""
    assert refused_text(tmp_path, text, "-p", "convert-tensor-to-stream,stream-place") == (
        "m.mlir:2:3: `tsp_stream.vxm`: its region takes 17 ALUs (without those for delays), the chip has 16; split "
        "the map into several"
    )


# -- capacity ------------------------------------------------------------------------------------------------------


def copy_of_first(count: int, type_: str) -> str:
    """A function of several inputs that returns the first."""
    arguments = ", ".join(f"%x{i}: tensor<{type_}>" for i in range(count))
    return f"func.func @main({arguments}) -> tensor<{type_}> {{\n  func.return %x0 : tensor<{type_}>\n}}\n"


def test_a_tensor_larger_than_a_slice_lies_in_several(tmp_path: Path) -> None:
    """Of 8192 words each: 9000 words are cut in two."""
    (tmp_path / "m.mlir").write_text(copy_of_first(1, "9000x320xi8"))
    placed = opt(tmp_path / "m.mlir", "-p", "convert-tensor-to-stream,stream-place,stream-allocate")
    for kind in ("input", "output"):
        (place,) = re.findall(rf'"{kind}" "\w+" place <\[([^\]]*)\], parts \[0, (\d+)\]', placed)
        assert 9000 - 8192 <= int(place[1]) <= 8192


def test_tensors_of_more_bytes_than_a_chip_say_by_how_much(tmp_path: Path) -> None:
    assert refused_text(tmp_path, copy_of_first(1, "400000x320xi8")) == (
        "m.mlir:2:3: `tsp_stream.read`: 256000000 bytes of SRAM are needed at once here, 25313280 more than the "
        "230686720 of chip 0: 0 by parameters and constants, 256000000 by other tensors (output `result0`: 128000000 "
        "bytes, input `arg0`: 128000000 bytes); split the model over more chips, or use a larger chip"
    )


SMALL = "#tsp_isa.target<chip.slices = 2, chip.words = 16, chip.weight_streams = 1>"
"""Two slices of 16 words on each side."""


def test_a_model_larger_than_sram_says_by_how_much_and_what_takes_the_space(tmp_path: Path) -> None:
    """Four slices of 16 words hold four inputs of 12 words, three of which nothing reads, and the output; not five with
    an output for each."""
    (tmp_path / "fits.mlir").write_text(ON.format(SMALL, copy_of_first(4, "12x320xi8")))
    opt(tmp_path / "fits.mlir", "-p", "tsp-compile")
    kind = "tensor<12x320xi8>"
    names = [f"%{name}" for name in "abcde"]
    message = refused_text(
        tmp_path,
        ON.format(
            SMALL,
            f"func.func @main({', '.join(f'{n}: {kind}' for n in names)}) -> ({', '.join([kind] * 5)}) {{"
            f"func.return {', '.join(reversed(names))} : {', '.join([kind] * 5)} }}",
        ),
    )
    assert "23040 bytes of SRAM are needed at once here, 2560 more than the 20480 of chip 0: " in message
    assert "input `arg1`: 3840 bytes" in message


def test_an_element_of_more_bytes_than_there_are_slices(tmp_path: Path) -> None:
    assert refused_text(tmp_path, ON.format(SMALL, copy_of_first(1, "4x4xi32"))) == (
        "m.mlir:3:3: `tsp_stream.buffer`: output `result0` tensor<4x4xi32> lies in 4 slices, 2 more than a "
        "hemisphere's 2 (target field `chip.slices`); split the tensor"
    )


def test_more_chips_than_a_node(tmp_path: Path) -> None:
    target = '#tsp_isa.target<system.chips = 9, system.wiring = "torus 2 x 4">'
    text = MODEL.read_text().replace("{tsp_tensor.weights", f"{{tsp_isa.target = {target}, a", 1)
    assert refused_text(tmp_path, text) == ("a torus of 2 x 4 is not of 9 chips")


# -- modules that were edited after a pass ------------------------------------------------------------------------


def edited(tmp_path: Path, name: str, stage: str, old: str, new: str) -> str:
    """The error for a module that was edited after a stage; `old` is a pattern."""
    done = [*STAGES].index(stage) + 1
    text, count = re.subn(old, new, stage_text(name, done), count=1)
    assert count == 1
    return refused_text(tmp_path, text, "-p", ",".join([*STAGES][done:]))


def test_a_value_on_another_chip_is_not_taken_silently(tmp_path: Path) -> None:
    message = edited(tmp_path, "digits_two_chips.mlir", "c2c-partition", "%w2 {c2c.chip = 1", "%w2 {c2c.chip = 0")
    assert re.search("`tsp_tensor.map`: uses a value of chip 0 on chip 1; run c2c-partition", message)
    message = edited(tmp_path, "digits_two_chips.mlir", "stream-place", r'"fc2.bias" chip 1', '"fc2.bias" chip 0')
    assert "`tsp_stream.read`: is on chip 1, but `tsp_stream.buffer`, whose result it takes, on chip 0" in message


def test_a_product_on_another_plane_than_its_weights(tmp_path: Path) -> None:
    message = edited(tmp_path, "digits.mlir", "stream-place", r"plane 0 toward", "plane 1 toward")
    assert message.endswith("`tsp_stream.matmul`: weights and product must be on one plane, not 0 and 1")


SUM = """func.func @main(%x: tensor<3x64xi8> {tsp_tensor.name = "x"}, %b: tensor<64xi8> {tsp_tensor.name = "b"})
    -> (tensor<3x64xi8> {tsp_tensor.name = "y"}) {
  %y = tsp_tensor.map %x, %b : (tensor<3x64xi8>, tensor<64xi8>) -> tensor<3x64xi8> {
  ^bb0(%v: i8, %w: i8):
    %0 = arith.addi %v, %w : i8
    tsp_tensor.yield %0 : i8
  }
  func.return %y : tensor<3x64xi8>
}"""


@pytest.mark.parametrize("stage", ["stream-allocate", "stream-schedule"])
def test_buffers_on_top_of_each_other(stage: str, tmp_path: Path) -> None:
    """%x is moved to the slice in which %b lies, in one word from address 0 on."""
    done = [*STAGES].index(stage) + 1
    (tmp_path / "sum.mlir").write_text(SUM)
    text = opt(tmp_path / "sum.mlir", "-p", ",".join([*STAGES][:done]))
    of_b = re.search(r'"b" place <\[(\w+)\]', text)
    assert of_b is not None
    text, count = re.subn(r'"x" place <\[\w+\]', f'"x" place <[{of_b[1]}]', text)
    assert count == 1
    assert refused_text(tmp_path, text, "-p", ",".join([*STAGES][done:])).endswith(
        f"`tsp_stream.buffer`: its words 0..0 of {of_b[1]} overlap input `x` in words 0..2, and both are needed at once"
    )


SCHEDULED = [*STAGES].index("stream-schedule") + 1


def first_write() -> int:
    """When the first layer writes its first vector."""
    found = re.search(r"tsp_stream\.write .* at (\d+)", stage_text("digits.mlir", SCHEDULED))
    assert found is not None
    return int(found[1])


def test_an_op_that_starts_when_its_stream_is_not_there(tmp_path: Path) -> None:
    at = first_write()
    write = rf"(tsp_stream\.write .*) at {at} "
    message = edited(tmp_path, "digits.mlir", "stream-schedule", write, rf"\1 at {at + 1} ")
    assert re.fullmatch(
        rf"m.mlir:\d+:5: `tsp_stream.write`: starts in cycle {at + 1}, but by the streams that join it to "
        rf"m.mlir:\d+:5: `tsp_stream.read` it is due in {at}",
        message,
    )


def test_two_values_on_one_stream(tmp_path: Path) -> None:
    """Two planes of a hemisphere take their activations at once; on the same stream they would mix."""
    message = edited(tmp_path, "digits.mlir", "stream-schedule", r'toward "E" on 31 at', 'toward "E" on 30 at')
    assert re.search(r"it, or an op that streams join to it, takes stream E\d+ while another op needs it", message)


def test_work_before_its_turn(tmp_path: Path) -> None:
    """The second layer, all of it in earlier cycles, would read words that the first has not written yet."""
    second = 'tsp_stream.buffer "parameter" "fc2.bias"'
    head, layer = stage_text("digits.mlir", SCHEDULED).split(second)
    layer = re.sub(r" at (\d+)", lambda m: f" at {int(m[1]) - 6}", layer)
    message = refused_text(tmp_path, f"{head}{second}{layer}", "-p", "convert-stream-to-isa")
    found = re.search(
        r"`tsp_stream.read`: starts in cycle (\d+), but what it needs is there for a start in (\d+)", message
    )
    assert found is not None, message
    assert int(found[1]) < int(found[2]) <= int(found[1]) + 6


# -- targets -------------------------------------------------------------------------------------------------------

TARGETS = {
    "unknown field": ("[chip]\nstream = 16", "target field `chip.stream` is unknown; did you mean `chip.streams`?"),
    "unknown table": ("[chp]\nstreams = 16", "target table `[chp]` is unknown; the tables are [chip] and [system]"),
    "no table": ("chip = 3", "target entry `chip` must be a table: write `[chip]`"),
    "nested table": ("[chip.x]\na = 1", "target field `chip.x` is unknown"),
    "type": ('[chip]\nstreams = "16"', "target field `streams`: expected int, got '16'; give a plain number"),
    "bool": ("[chip]\nstreams = true", "target field `streams`: expected int, got True; give a plain number"),
    "date": ("[chip]\nstreams = 2020-01-01", "target field `streams`: expected int, got datetime.date(2020, 1, 1)"),
    "float": ("[chip]\nstreams = 16.0", "target field `streams`: expected int, got 16.0; give a plain number"),
    "range": ("[chip]\nstreams = 8", "target field `streams`: 8 is outside 16..128 (streams)"),
    "huge": ("[chip]\nwords = 99999999999999999999", "target field `words`: 99999999999999999999 is outside 2..65536"),
    "nan": ("[system]\nlane_gbps = nan", "target field `lane_gbps`: nan is outside 0.001..10000 (Gb/s)"),
    "odd": ("[chip]\nplanes = 3", "target field `planes`: 3 is odd; the hemispheres need an equal share"),
    "misfit": ("[chip]\nweight_streams = 7", "target field `weight_streams`: 7 does not divide the 320 lanes"),
    "syntax": ("[chip", "target is not valid TOML: Expected ']' at the end of a table declaration"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_wrong_targets_name_the_file_and_the_field(case: str, tmp_path: Path) -> None:
    toml, message = TARGETS[case]
    path = tmp_path / "chip.toml"
    path.write_text(toml)
    assert refused(MODEL, "-p", f'set-target{{file="{path}"}}').startswith(f"{path}: {message}")


def test_unreadable_targets(tmp_path: Path) -> None:
    path = tmp_path / "chip.toml"
    assert "chip.toml cannot be read: [Errno 2] No such file or directory" in refused(
        MODEL, "-p", f'set-target{{file="{path}"}}'
    )
    path.write_bytes(b"\xff")
    assert "chip.toml cannot be read: 'utf-8' codec can't decode" in refused(
        MODEL, "-p", f'set-target{{file="{path}"}}'
    )
    path.write_text("a = " + "[" * DEEP)
    assert refused(MODEL, "-p", f'set-target{{file="{path}"}}') == "the input is nested too deeply to be read"


# -- --check-by-running --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BreakScalePass(ModulePass):
    """Changes one constant: a pass that is wrong."""

    name = "break-scale"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        constant = next(c for c in op.walk() if isinstance(c, arith.ConstantOp))
        constant.properties["value"] = FloatAttr(0.5, f32)


@pytest.mark.parametrize("at", [0, 3, 6])
def test_the_first_pass_that_changes_a_bit_is_named(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**pipelines.PASSES, "break-scale": lambda: BreakScalePass}
    monkeypatch.setattr(universe.TSPC_UNIVERSE, "all_passes", broken)
    stages = [*STAGES]
    stages.insert(at, "break-scale")
    message = refused(MODEL, "-p", ",".join(stages), "--check-by-running", DIGITS / "held_out.npz")
    assert re.fullmatch(
        r"after pass `break-scale`: output `logits` differs in \d+ of 3600 elements, first at \[0, \d\]: "
        r"-?\d+, was -?\d+",
        message,
    )


CHECKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "the inputs {path} cannot be read: [Errno 2] No such file or directory"),
    "no archive": (lambda path: path.write_bytes(b"x"), "{path} is not an .npz file; give one with the inputs by name"),
    "name": (
        lambda path: np.savez(path, image=np.zeros((360, 8, 8), np.int8)),
        "input `images` (360x8x8 of int8) is missing; did you mean `image`?; input `image` is unknown; did you mean ",
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_inputs_of_a_check_that_misfit(case: str, tmp_path: Path) -> None:
    write, message = CHECKS[case]
    path = tmp_path / "x.npz"
    write(path)
    found = refused(MODEL, "-p", "tsp-compile", "--check-by-running", path)
    assert found.startswith(message.format(path=path))


def test_a_check_takes_other_weights(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path)
    args = ("-p", "c2c-partition", "--check-by-running", DIGITS / "held_out.npz")
    assert refused(tmp_path / "digits.mlir", *args).startswith(
        f"the weights file {tmp_path}/digits.safetensors cannot be"
    )
    opt(tmp_path / "digits.mlir", *args, "--weights", DIGITS / "digits.safetensors")


# -- console script ------------------------------------------------------------------------------------------------


def test_the_console_script_reads_from_a_pipe() -> None:
    def piped(data: bytes) -> subprocess.CompletedProcess[bytes]:
        tool = Path(sys.executable).with_name("tsp-opt")
        return subprocess.run([tool, "-p", "tsp-compile"], input=data, capture_output=True, check=False)

    right = piped(MODEL.read_bytes())
    assert (right.returncode, right.stderr) == (0, b"")
    assert right.stdout.decode() == opt(MODEL, "-p", "tsp-compile")
    wrong = piped(b"\xff\xfe")
    assert (wrong.returncode, wrong.stdout) == (1, b"")
    assert wrong.stderr.startswith(b"error: stdin is UTF-16 text; save it as UTF-8")
