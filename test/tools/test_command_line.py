"""What the command lines of the tools have in common, and what tsp-opt takes as mlir-opt does: pipelines, stdin, lists,
dumps and versions; and how an error shows the line that it speaks of."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from harness import DIGITS, call, opt, refusal, succeeds
from tspc.passes.pipelines import PASSES
from tspc.tools import tsp_opt, tsp_run, tsp_translate
from tspc.tools.command_line import plain_pipeline
from tspc.tools.diagnostics import UsageError

MODEL = DIGITS / "digits.mlir"
TOOLS = {"tsp-opt": tsp_opt.main, "tsp-run": tsp_run.main, "tsp-translate": tsp_translate.main}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_says_its_version(tool: str) -> None:
    assert succeeds(TOOLS[tool], "--version") == f"tspc {version('tspc')} (xDSL {version('xdsl')})\n"


def test_a_tool_starts_without_what_it_does_not_use() -> None:
    """As quick as xdsl-opt: help needs neither numpy nor llvmlite, rich or any of the passes."""
    for tool in ("tsp_opt", "tsp_run", "tsp_translate"):
        code = f"""
import contextlib, sys
from tspc.tools import {tool}
with contextlib.suppress(SystemExit):
    {tool}.main(["--help"])
print(sorted(m for m in sys.modules if m in ("numpy", "llvmlite", "rich", "safetensors", "tspc.dialects.tsp_isa")))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", tool


# -- pipelines -----------------------------------------------------------------------------------------------------

PIPELINES = {
    "a,b": "a,b",
    " a , b\n": "a,b",
    "a,b{x=1 y=2}, c": "a,b{x=1 y=2},c",
    "builtin.module(a,b{x=1})": "a,b{x=1}",
    " builtin.module ( a, b { x=1 y=2 } ) ": "a,b{x=1 y=2}",
    'set-target{file="a , b(c.d(e).toml"}, b': 'set-target{file="a , b(c.d(e).toml"},b',
    'set-target{file="}"} , b': 'set-target{file="}"},b',
    "mlir-opt[cse, func.func(canonicalize)] , a": "mlir-opt[cse, func.func(canonicalize)],a",
    "builtin.module()": "",
    "a b": "a b",  # which xDSL refuses
}


@pytest.mark.parametrize("written", PIPELINES)
def test_pipelines_are_written_as_for_mlir_opt_or_for_xdsl_opt(written: str) -> None:
    assert plain_pipeline(written) == PIPELINES[written]


def test_a_pipeline_of_another_op_than_the_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"pipeline `func\.func\(\.\.\.\)`: every pass works on the whole module"):
        plain_pipeline("builtin.module(func.func(a))")


def test_all_ways_to_write_a_pipeline_do_the_same() -> None:
    expected = opt(MODEL, "-p", "c2c-partition,fuse-maps")
    assert opt(MODEL, "--pass-pipeline", "builtin.module(c2c-partition, fuse-maps)") == expected
    assert opt(MODEL, "--pass-pipeline=c2c-partition,fuse-maps") == expected
    assert opt(MODEL, "-p", " c2c-partition, fuse-maps ") == expected
    args = (MODEL, "-p", "fuse-maps", "--pass-pipeline", "fuse-maps")
    assert refusal(tsp_opt.main, *args) == "-p and --pass-pipeline say the same; give one of them"
    args = (MODEL, "--pass-pipeline", "builtin.module(fuse-map)")
    assert refusal(tsp_opt.main, *args) == "unknown pass `fuse-map`; did you mean `fuse-maps`?"


def test_the_list_of_passes_has_ours_in_order_and_all_others() -> None:
    lines = opt("--list-passes").splitlines()
    names = [re.split(r"[{ ]", line)[0] for line in lines]
    assert names[: len(PASSES)] == [*PASSES]
    assert "canonicalize" in names[len(PASSES) :]
    assert "set-target{file=...}" in lines[names.index("set-target")]
    assert all(re.search(r"\s{2,}\S", line) for line in lines[: len(PASSES)])


# -- streams -------------------------------------------------------------------------------------------------------


def test_a_dash_is_the_standard_input_and_output() -> None:
    tool = Path(sys.executable).with_name("tsp-opt")
    args = [tool, "-", "-p", "fuse-maps", "-o", "-"]
    done = subprocess.run(args, input=MODEL.read_text(), capture_output=True, text=True, check=True)
    assert done.stdout == opt(MODEL, "-p", "fuse-maps")


def test_dumps_and_times_leave_the_output_alone() -> None:
    args = (MODEL, "-p", "fuse-maps,c2c-partition")
    outcome = call(tsp_opt.main, *args, "--print-between-passes", "--time-passes")
    assert outcome.out == opt(*args)
    assert outcome.err.startswith("Pass fuse-maps took ")
    dumped = outcome.err.partition("// -----// IR Dump After fuse-maps //----- //\n")[2]
    assert dumped.startswith(opt(MODEL, "-p", "fuse-maps"))


def test_a_part_of_a_file_knows_its_lines(tmp_path: Path) -> None:
    good = "builtin.module {}\n// ----- no cut\n"
    bad = "func.func @main(%x: tensor<4xi8>) -> tensor<4xi8> {\n  %y = tsp_tensor.abs %x\n}\n"
    (tmp_path / "m.mlir").write_text(f"{good}// -----\n{good}// -----  \n{bad}")
    outcome = call(tsp_opt.main, tmp_path / "m.mlir", "--split-input-file")
    assert outcome.err.startswith(f"error: {tmp_path}/m.mlir:8:8: there is no op `tsp_tensor.abs`")
    assert outcome.err.endswith("\n    8 |   %y = tsp_tensor.abs %x\n      |        ^\n")
    (tmp_path / "m.mlir").write_text(
        f"{good}// -----\n" + bad.replace("tsp_tensor.abs %x", '"tsp_tensor.yield"() : () -> i8')
    )
    assert call(tsp_opt.main, tmp_path / "m.mlir", "--split-input-file").err.startswith(f"error: {tmp_path}/m.mlir:5:")


def test_a_run_that_fails_in_a_part_writes_none(tmp_path: Path) -> None:
    path, out = tmp_path / "m.mlir", tmp_path / "out.mlir"
    path.write_text("builtin.module {}\n// -----\nbuiltin.modul {}\n")
    for option in ([], ["--verify-diagnostics"]):
        assert call(tsp_opt.main, path, "--split-input-file", "-o", out, *option).code == 1
        assert not out.exists()
    path.write_text("builtin.module {}\n// -----\nbuiltin.module {}\n")
    for option in ([], ["--verify-diagnostics"]):
        assert opt(path, "--split-input-file", "-o", out, *option) == ""
        assert out.read_text().count("builtin.module") == 2


# -- excerpts ------------------------------------------------------------------------------------------------------

WRONG = "%c = tsp_tensor.reshape %x : tensor<4xi8> -> tensor<5xi8>"


def shown(tmp_path: Path, line: str, tool: str = "tsp-opt") -> list[str]:
    """The lines on stderr for a module whose second line is wrong."""
    text = f"func.func @main(%x: tensor<4xi8>) -> tensor<5xi8> {{\n{line}\nfunc.return %c : tensor<5xi8>\n}}\n"
    (tmp_path / "m.mlir").write_text(text, newline="")
    outcome = call(TOOLS[tool], tmp_path / "m.mlir")
    assert outcome.code == 1
    return outcome.err.splitlines()


@pytest.mark.parametrize("tool", ["tsp-opt", "tsp-run"])
def test_an_error_shows_its_line_with_a_caret(tool: str, tmp_path: Path) -> None:
    first, line, caret = shown(tmp_path, f"  {WRONG}", tool)
    assert first.startswith(f"error: {tmp_path}/m.mlir:2:3: `tsp_tensor.reshape`: ")
    assert line == f"    2 |   {WRONG}"
    assert caret == "      |   ^"


def test_tabs_and_line_ends_of_windows_stay_where_they_are(tmp_path: Path) -> None:
    assert shown(tmp_path, f"\t\t{WRONG}\r")[1:] == [f"    2 | \t\t{WRONG}", "      | \t\t^"]


def test_a_long_line_is_shown_around_the_caret(tmp_path: Path) -> None:
    _, line, caret = shown(tmp_path, f"{' ' * 300}{WRONG} // {'x' * 300}")
    assert line == f"    2 | ...{' ' * 60}{f'{WRONG} // xxx'[:60]}..."
    assert line[caret.index("^") :].startswith(WRONG[:10])


def test_each_of_several_problems_shows_its_line(tmp_path: Path) -> None:
    lines = shown(tmp_path, f"  {WRONG}\n    {WRONG.replace('%c', '%d')}")
    assert [line.index("^") - len("      | ") for line in lines if line.endswith("^")] == [2, 4]
    assert len(lines) == 6
