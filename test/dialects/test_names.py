"""Names of inputs, outputs and parameters: any text survives every level and file; what is none is refused alike."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzzing.texts import AWKWARD, literal, random_name
from harness import opt, refusal, run, same_bits
from safetensors.numpy import save_file
from tspc.dialects.errors import InputError, MalformedProgram, TspError
from tspc.dialects.machine.limits import MOST_NAME_BYTES
from tspc.dialects.names import fault_of, printable
from tspc.passes.pipelines import compile, parse
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.executable import executable_from_module
from tspc.runtime.interface import interface_of, load_inputs, save_tensors
from tspc.runtime.levels import run_module
from tspc.tools import tsp_opt, tsp_run
from xdsl.dialects.builtin import StringAttr
from xdsl.utils.exceptions import VerifyException

NAMES = [*AWKWARD, "x" * MOST_NAME_BYTES, *(random_name(np.random.default_rng(seed)) for seed in range(12))]
NAMES = list(dict.fromkeys(NAMES))

ONE = """func.func @main(%x: tensor<4xi8> {{tsp_tensor.name = {name}}})
    -> (tensor<4xi8> {{tsp_tensor.name = {name}}}) {{
  %w = tsp_tensor.parameter {name} : tensor<4xi8>
  %y = tsp_tensor.map %x, %w : (tensor<4xi8>, tensor<4xi8>) -> tensor<4xi8> {{
  ^bb0(%a: i8, %b: i8):
    %0 = arith.addi %a, %b : i8
    tsp_tensor.yield %0 : i8
  }}
  func.return %y : tensor<4xi8>
}}"""
"""An input, a parameter and an output of one name, which is no conflict."""

MANY = """func.func @main({arguments}) -> ({results}) {{
  func.return {values} : {types}
}}"""


# -- names that are ------------------------------------------------------------------------------------------------


def test_all_names_survive_printing_and_parsing_at_every_level_and_a_program_file() -> None:
    count = len(NAMES)
    text = MANY.format(
        arguments=", ".join(f"%{i}: tensor<2xi8> {{tsp_tensor.name = {literal(n)}}}" for i, n in enumerate(NAMES)),
        results=", ".join(f"tensor<2xi8> {{tsp_tensor.name = {literal(n)}}}" for n in NAMES[::-1]),
        values=", ".join(f"%{i}" for i in range(count)),
        types=", ".join(["tensor<2xi8>"] * count),
    )
    for stage in (None, "convert-tensor-to-stream", "stream-schedule", "convert-stream-to-isa", "isa-verify"):
        text = compile(text, stage) if stage else str(parse(text))
        interface = interface_of(parse(text))
        assert {*interface.inputs} == {*interface.outputs} == {*NAMES}, stage
    executable = from_bytes(to_bytes(executable_from_module(parse(text), {})))
    assert {*executable.interface.inputs} == {*executable.interface.outputs} == {*NAMES}


def test_all_names_survive_a_file_of_inputs(tmp_path: Path) -> None:
    tensors = {name: np.array([i, -i], np.int16) for i, name in enumerate(NAMES)}
    save_tensors(tensors, tmp_path / "x.npz")
    assert same_bits(load_inputs(tmp_path / "x.npz"), tensors)


@pytest.mark.parametrize("name", ["é", "allow_pickle", '../a\\b"\n', "x.npy"])
def test_the_tools_take_and_give_any_name(name: str, tmp_path: Path) -> None:
    module, inputs, weights, outputs, program = (tmp_path / n for n in ("m.mlir", "x.npz", "w", "y.npz", "m.tspx"))
    module.write_text(ONE.format(name=literal(name)))
    x, w = np.array([1, 2, 3, 4], np.int8), np.array([5, 6, 7, 8], np.int8)
    save_tensors({name: x}, inputs)
    save_file({name: w}, weights)
    text = opt(module, "-p", "tsp-compile", "--check-by-running", inputs, "--weights", weights)
    (tmp_path / "c.mlir").write_text(text)
    given = ("--inputs", inputs, "--output", outputs)
    for args in (
        (module, "--level", "tensor", "--weights", weights),
        (module, "--level", "stream", "--weights", weights),
        (tmp_path / "c.mlir", "--weights", weights, "-o", program),
        (program,),
    ):
        run(*args, *given)
        assert same_bits(load_inputs(outputs), {name: x + w}), args


def test_names_that_are_defaults_elsewhere_are_kept() -> None:
    text = MANY.format(
        arguments='%a: tensor<2xi8> {tsp_tensor.name = "arg2"}, %b: tensor<2xi8>',
        results='tensor<2xi8> {tsp_tensor.name = "result7"}, tensor<2xi8>',
        values="%a, %b",
        types="tensor<2xi8>, tensor<2xi8>",
    )
    interface = interface_of(parse(compile(text)))
    assert [*interface.inputs] == ["arg2", "arg1"]
    assert [*interface.outputs] == ["result7", "result1"]


# -- names that are none -------------------------------------------------------------------------------------------


def module(first: str, second: str, kind: str) -> str:
    """Two inputs, or two outputs, with these attributes as names; nothing for the default."""
    attributes = [f" {{tsp_tensor.name = {name}}}" if name else "" for name in (first, second)]
    none = ["", ""]
    arguments, results = (attributes, none) if kind == "input" else (none, attributes)
    return MANY.format(
        arguments=f"%a: tensor<2xi8>{arguments[0]}, %b: tensor<2xi8>{arguments[1]}",
        results=f"tensor<2xi8>{results[0]}, tensor<2xi8>{results[1]}",
        values="%a, %b",
        types="tensor<2xi8>, tensor<2xi8>",
    )


FAULTS: dict[str, tuple[tuple[str, str], str]] = {
    "twice": (('"a"', '"a"'), "two {kind}s are named `a`; give each its own tsp_tensor.name"),
    "twice in Unicode": (('"é"', r'"\C3\A9"'), "two {kind}s are named `é`; give each its own tsp_tensor.name"),
    "as a default": (('"{default}1"', ""), "two {kind}s are named `{default}1`; give each its own tsp_tensor.name"),
    "empty": (('""', '"a"'), "the name of an {kind} is empty; give it one"),
    "NUL": ((r'"a\00b"', '"a"'), r"the name `a\x00b` of an {kind} has a NUL in it, which files cannot hold; give it"),
    "number": (("3 : i32", '"a"'), "the name of an {kind} is 3 : i32, which is no string; write it in quotes"),
    "bytes": ((r'"\FF"', '"a"'), r'the name of an {kind} is "\FF", which is no string; write it in quotes'),
    "too long": (
        (f'"{"x" * (MOST_NAME_BYTES + 1)}"', '"a"'),
        f"the name `{'x' * 40}...{'x' * 20} ({MOST_NAME_BYTES + 1} characters)` of an {{kind}} has "
        f"{MOST_NAME_BYTES + 1} bytes; a name may have {MOST_NAME_BYTES}",
    ),
}


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("case", FAULTS)
def test_a_name_that_is_none_is_refused_by_every_tool_in_the_same_words(case: str, kind: str, tmp_path: Path) -> None:
    default = "arg" if kind == "input" else "result"
    names, message = FAULTS[case]
    text = module(*(n.format(default=default) for n in names), kind)
    expected = f"m.mlir:1:1: `func.func`: {message.format(kind=kind, default=default)}"
    path = tmp_path / "m.mlir"
    path.write_text(text, encoding="utf-8")
    tools: list[Callable[[], str]] = [
        lambda: refusal(tsp_opt.main, path),
        lambda: refusal(tsp_run.main, path),
        lambda: refusal(tsp_run.main, path, "--level", "tensor"),
        lambda: refusal(tsp_run.main, path, "--level", "stream"),
    ]
    for tool in tools:
        assert tool().replace(f"{tmp_path}/", "").startswith(expected)
    with pytest.raises(VerifyException) as error:
        compile(text)
    assert str(error.value).replace("<text>", "m.mlir").startswith(expected)


@pytest.mark.parametrize(
    "stage", ["convert-tensor-to-stream", "stream-schedule", "convert-stream-to-isa", "isa-verify"]
)
def test_lower_levels_and_program_files_know_the_same_faults(stage: str) -> None:
    text = compile(module('"first"', '"second"', "output"), stage)
    assert text.count('"second"') == 1
    for name, message in (
        ("first", "two outputs are named `first`; give each its own tsp_tensor.name"),
        ("", "the name of an output is empty; give it one"),
        (r"\00", r"the name `\x00` of an output has a NUL in it, which files cannot hold; give it another"),
    ):
        with pytest.raises(VerifyException, match=r"tsp_(stream\.buffer|isa\.bind)`: ") as error:
            parse(text.replace('"second"', f'"{name}"'))
        assert str(error.value).endswith(message)


def test_a_program_file_with_such_names_is_refused() -> None:
    program = executable_from_module(parse(compile(module('"first"', '"second"', "output"))), {})
    (chip,) = program.program.chips
    for name, message in (
        ("first", "two outputs are named `first`; give each its own tsp_tensor.name"),
        ("", "the name of an output is empty; give it one"),
        ("\0", r"the name `\x00` of an output has a NUL in it, which files cannot hold; give it another"),
    ):
        bindings = tuple(replace(b, name=name) if b.name == "second" else b for b in chip.bindings)
        changed = replace(program, program=replace(program.program, chips=(replace(chip, bindings=bindings),)))
        with pytest.raises(MalformedProgram) as error:
            from_bytes(to_bytes(changed))
        assert str(error.value) == message


@pytest.mark.parametrize("stage", [None, "convert-tensor-to-stream", "isa-verify"])
def test_a_parameter_may_be_used_twice_with_one_type(stage: str | None) -> None:
    text = TWO_USES.format(type="4xi8")
    assert [*interface_of(parse(compile(text, stage) if stage else text)).parameters] == ["w"]


def test_a_parameter_of_two_types_is_refused() -> None:
    with pytest.raises(VerifyException) as error:
        parse(TWO_USES.format(type="2x2xi8"))
    assert str(error.value).endswith("parameter `w` is used as tensor<4xi8> and as tensor<2x2xi8>; give both one type")


TWO_USES = """func.func @main() -> (tensor<4xi8>, tensor<{type}>) {{
  %a = tsp_tensor.parameter "w" : tensor<4xi8>
  %b = tsp_tensor.parameter "w" : tensor<{type}>
  func.return %a, %b : tensor<4xi8>, tensor<{type}>
}}"""


def test_a_name_that_no_text_can_hold() -> None:
    assert fault_of("input", "\ud800") == r"the name `\ud800` of an input is no Unicode text; give it another"
    assert fault_of("parameter", StringAttr("w")) is None
    assert fault_of("output", None) == "an output has no name; give it one"


# -- messages ------------------------------------------------------------------------------------------------------


def test_messages_show_names_in_one_line() -> None:
    assert printable("é\n\0\u202e") == r"é\n\x00\u202e"
    assert len(printable("x" * 10_000)) < 100
    with pytest.raises(InputError, match=r"^input `a\\nb` \(4 of int8\) is missing$"):
        run_module(parse(ONE.format(name=literal("a\nb"))), {}, {})


@pytest.mark.parametrize("entry", ["a.txt", "folder/"])
def test_what_is_no_array_is_refused(entry: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr(entry, b"")
    with pytest.raises(TspError, match=r"is no array; the entries of an \.npz file end in \.npy"):
        load_inputs(tmp_path / "x.npz")
