"""Host code around programs: what is marked runs on chips, what is around it in xDSL's interpreter."""

from __future__ import annotations

import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tspc
from harness import DIGITS, opt, refusal
from tspc.dialects.errors import CapacityError, InputError, MalformedProgram, TspError, UnsupportedModel
from tspc.dialects.machine.target import ChipSpec
from tspc.passes import pipelines
from tspc.passes.pipelines import make_context, parse
from tspc.runtime.interface import load_inputs
from tspc.tools import tsp_opt, tsp_run
from tspc.tools.universe import TSPC_UNIVERSE
from xdsl.interpreter import Interpreter, InterpreterFunctions, impl_external, register_impls
from xdsl.interpreters import register_implementations
from xdsl.interpreters.shaped_array import ShapedArray
from xdsl.passes import PassPipeline

DOUBLE = """func.func @double(%x: tensor<4x8xi32>) -> tensor<4x8xi32> attributes {tsp_tensor.program} {
  %y = tsp_tensor.map %x, %x : (tensor<4x8xi32>, tensor<4x8xi32>) -> tensor<4x8xi32> {
  ^bb0(%a: i32, %b: i32):
    %c = arith.addi %a, %b : i32
    tsp_tensor.yield %c : i32
  }
  func.return %y : tensor<4x8xi32>
}
"""
# Its inputs and outputs have names, and stand in another order than it uses them.
SUB = """func.func @sub(%q: tensor<4x8xi32> {tsp_tensor.name = "q"}, %p: tensor<4x8xi32> {tsp_tensor.name = "p"})
    -> (tensor<4x8xi32> {tsp_tensor.name = "d"}, tensor<4x8xi32> {tsp_tensor.name = "copy"})
    attributes {tsp_tensor.program} {
  %d = tsp_tensor.map %p, %q : (tensor<4x8xi32>, tensor<4x8xi32>) -> tensor<4x8xi32> {
  ^bb0(%a: i32, %b: i32):
    %c = arith.subi %a, %b : i32
    tsp_tensor.yield %c : i32
  }
  func.return %d, %q : tensor<4x8xi32>, tensor<4x8xi32>
}
"""
# Doubles n times, and where the first element is negative then, takes that from 0.
HOST = (
    DOUBLE
    + SUB
    + """func.func private @log(index) -> ()
func.func @main(%x: tensor<4x8xi32>, %n: index) -> (tensor<4x8xi32>, i32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0 : i32
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%v = %x) -> (tensor<4x8xi32>) {
    %w = func.call @double(%v) : (tensor<4x8xi32>) -> tensor<4x8xi32>
    scf.yield %w : tensor<4x8xi32>
  }
  %first = tensor.extract %r[%c0, %c0] : tensor<4x8xi32>
  %negative = arith.cmpi slt, %first, %zero : i32
  %s = scf.if %negative -> (tensor<4x8xi32>) {
    %d, %copy = func.call @sub(%r, %x) : (tensor<4x8xi32>, tensor<4x8xi32>) -> (tensor<4x8xi32>, tensor<4x8xi32>)
    scf.yield %d : tensor<4x8xi32>
  } else {
    scf.yield %r : tensor<4x8xi32>
  }
  func.return %s, %first : tensor<4x8xi32>, i32
}
func.func @logs(%n: index) -> () {
  func.call @log(%n) : (index) -> ()
  func.return
}
"""
)
X = np.arange(32, dtype=np.int32).reshape(4, 8) + 5


@pytest.fixture(scope="module")
def host() -> tspc.Host:
    return tspc.compile_host(HOST)


def expected(x: np.ndarray, n: int) -> np.ndarray:
    doubled = x << n
    return x - doubled if doubled[0, 0] < 0 else doubled


@pytest.mark.parametrize("x", [X, -X], ids=["positive", "negative"])
def test_host_code_calls_programs(host: tspc.Host, x: np.ndarray) -> None:
    result, first = host.run("main", x, 3)
    assert np.array_equal(result, expected(x, 3))
    assert result.dtype == np.int32
    assert first == 8 * x[0, 0]
    assert np.array_equal(host.run("main", x, 0)[0], expected(x, 0))


def test_programs_are_there_by_name(host: tspc.Host) -> None:
    assert [*host.programs] == ["double", "sub"]
    assert host.programs["double"].cycles == tspc.compile(DOUBLE).cycles
    difference, copy = host.run("sub", 3 * X, X)
    assert np.array_equal(difference, -2 * X)
    assert np.array_equal(copy, 3 * X)


def test_a_module_stays_as_it_was() -> None:
    module = parse(HOST)
    before = str(module)
    assert str(tspc.compile_host(module).module) != before
    assert str(module) == before


def test_what_is_outlined_already_is_taken(host: tspc.Host) -> None:
    """Text keeps the names and the order of inputs, and so does a compiled module."""
    for passes in ("outline-programs", "outline-programs,on-programs"):
        module = parse(HOST)
        PassPipeline.parse_spec(TSPC_UNIVERSE.all_passes, passes).apply(make_context(), module)
        again = tspc.compile_host(str(module))
        assert str(again.module) == str(host.module)
        assert np.array_equal(again.run("main", -X, 2)[0], expected(-X, 2))


def test_an_interpreter_of_ones_own(host: tspc.Host) -> None:
    interpreter = Interpreter(host.module)
    register_implementations(interpreter, make_context())
    interpreter.register_implementations(host.implementations())
    (result,) = interpreter.call_op("double", (X,))
    assert isinstance(result, ShapedArray)
    (again,) = interpreter.call_op("double", (result,))
    assert again.data == [*(4 * X).flat]


def test_what_is_only_declared_is_given(host: tspc.Host) -> None:
    @register_impls
    class Log(InterpreterFunctions):
        @impl_external("log")
        def log(self, interpreter: Interpreter, op: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            logged.extend(args)
            return ()

    logged: list[int] = []
    assert host.run("logs", np.int64(7), implementations=[Log()]) is None
    assert logged == [7]
    with pytest.raises(UnsupportedModel, match=r"`func\.call`: xDSL's interpreter cannot run it: .* log; give `implem"):
        host.run("logs", 7)


def test_programs_have_their_own_machine_and_all_weights(tmp_path: Path) -> None:
    text = (DIGITS / "digits.mlir").read_text().replace("360", "3")
    one = text[text.index("  func.func") : text.rindex("}")]
    marked = one.replace("{\n    %x =", "attributes {tsp_tensor.program} {\n    %x =", 1).replace("@main", "@classify")
    other = marked.replace("@classify", "@other").replace(
        "{tsp_tensor.program}", "{tsp_tensor.program, tsp_isa.target = #tsp_isa.target<chip.slices = 64>}"
    )
    module = text[: text.index("  func.func")] + marked + other + "}"
    (tmp_path / "host.mlir").write_text(module)
    shutil.copy(DIGITS / "digits.safetensors", tmp_path)
    images = load_inputs(DIGITS / "held_out.npz")["images"][:3]
    expected = tspc.compile(text, weights=DIGITS / "digits.safetensors").run({"images": images})["logits"]
    host = tspc.compile_host(tmp_path / "host.mlir")
    for name, chip in (("classify", ChipSpec()), ("other", ChipSpec(slices=64))):
        assert host.programs[name].executable.program.system.chip == chip
        assert np.array_equal(host.run(name, images), expected)
    with pytest.raises(InputError, match=r"program `classify`: the module has parameters .*; give `weights`"):
        tspc.compile_host(module)
    given = tspc.compile_host(module, target=ChipSpec(slices=72), weights=DIGITS / "digits.safetensors")
    assert {p.executable.program.system.chip.slices for p in given.programs.values()} == {72}


def test_threads_share_host_code(host: tspc.Host) -> None:
    def works(i: int) -> bool:
        return np.array_equal(host.run("main", X * i, 2)[0], X * i * 4)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(works, range(12)))


def test_host_code_is_pickled(host: tspc.Host) -> None:
    again = pickle.loads(pickle.dumps(host))
    assert np.array_equal(again.run("main", -X, 1)[0], expected(-X, 1))


def test_programs_of_modules_within() -> None:
    """Each module is a table of symbols of its own."""
    outer = tspc.compile_host(f"builtin.module {{ {DOUBLE} module @inner {{ {DOUBLE} }} }}")
    assert [*outer.programs] == ["double", "inner::double"]
    assert np.array_equal(outer.run("double", X), 2 * X)
    with pytest.raises(UnsupportedModel, match="there is another `::double`; name the modules around them"):
        tspc.compile_host(f"builtin.module {{ module {{ {DOUBLE} }} module {{ {DOUBLE} }} }}")


@pytest.mark.parametrize("name", ["_impls", "name", "a.b"])
def test_functions_have_any_name(name: str) -> None:
    assert np.array_equal(tspc.compile_host(DOUBLE.replace("double", name)).run(name, X), 2 * X)


MISFITS: dict[str, tuple[tuple[Any, ...], str]] = {
    "a name": (("mian", X), "there is no function `mian`; did you mean `main`"),
    "a number": (("main", X), "`main` takes 2 arguments, not 1"),
    "a type": (("main", X.astype(np.int8), 1), "argument 0 of `main` must be 4x8 of int32, not 4x8 of int8"),
    "a shape": (("main", X[:2], 1), "argument 0 of `main` must be 4x8 of int32, not 2x8 of int32"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_arguments_that_misfit(host: tspc.Host, what: str) -> None:
    arguments, message = MISFITS[what]
    with pytest.raises(InputError, match=message):
        host.run(*arguments)


def test_programs_that_cannot_be_compiled_are_named_at_once() -> None:
    i64 = re.sub("(?s)%y = .*(?=  func.return)", "", DOUBLE).replace("%y", "%x").replace("i32", "i64")
    with pytest.raises(UnsupportedModel) as refused:
        tspc.compile_host(i64 + i64.replace("@double", "@other"))
    assert str(refused.value).count("input `arg0` is tensor<4x8xi64>: element type i64 is not supported") == 2
    with pytest.raises(UnsupportedModel, match=r"no function of the module is marked tsp_tensor\.program; mark those"):
        tspc.compile_host("func.func @f() -> () { func.return }\n")


def test_an_error_without_a_place_names_the_program() -> None:
    with pytest.raises(CapacityError, match=r"^program `double`: "):
        tspc.compile_host(DOUBLE, target=ChipSpec(slices=1, words=2))


def test_a_declaration_must_name_what_its_program_takes() -> None:
    text = opt_text("outline-programs").replace('["q", "p"]', '["q"]')
    with pytest.raises(MalformedProgram, match=r"tsp_tensor\.inputs and tsp_tensor\.outputs must name 2 inputs and 2"):
        tspc.compile_host(text)


def opt_text(passes: str) -> str:
    module = parse(HOST)
    PassPipeline.parse_spec(TSPC_UNIVERSE.all_passes, passes).apply(make_context(), module)
    return str(module)


# -- everything else says what to do with host code ----------------------------------------------------------------


def test_host_code_is_no_program(tmp_path: Path) -> None:
    file, outlined = tmp_path / "host.mlir", tmp_path / "outlined.mlir"
    file.write_text(HOST)
    outlined.write_text(opt(file, "-p", "outline-programs"))
    said = "`func.func`: `double` is a program, so the module is host code, which calls programs; compile it with"
    marked = f"{said} the passes `outline-programs,on-programs`, or with tspc.compile_host"
    moved = f"{said} the pass `on-programs`, or with tspc.compile_host"
    for path, message in ((file, marked), (outlined, moved)):
        for refused in (refusal(tsp_opt.main, path, "-p", "tsp-compile"), refusal(tsp_run.main, path)):
            assert refused.partition(": ")[2] == message
        with pytest.raises(TspError, match=r"or with tspc\.compile_host"):
            tspc.compile(path)
        with pytest.raises(UnsupportedModel, match=r"or with tspc\.compile_host"):
            pipelines.compile(path.read_text())


def test_on_programs_wants_them_outlined(tmp_path: Path) -> None:
    file = tmp_path / "host.mlir"
    file.write_text(HOST)
    assert "`func.func`: `double` is not outlined yet; put `outline-programs` before" in refusal(
        tsp_opt.main, file, "-p", "on-programs"
    )
    for pipeline, message in (
        ("stream-plac", "on-programs: there is no pass `stream-plac`; did you mean `stream-place`?"),
        ("a{", "on-programs: the pipeline `a{` is none: "),
    ):
        refused = refusal(tsp_opt.main, file, "-p", f'outline-programs,on-programs{{pipeline="{pipeline}"}}')
        assert refused.startswith(message)


def test_a_marked_function_alone_is_a_program() -> None:
    assert np.array_equal(tspc.compile(DOUBLE).run({"arg0": X})["result0"], 2 * X)


def test_what_is_no_function_is_no_part_of_a_program() -> None:
    """Nothing that stands beside the function is left out in silence."""
    text = DOUBLE.replace(" attributes {tsp_tensor.program}", "")
    with pytest.raises(TspError, match=r"`builtin\.module`: is no part of a program, which is one function; move it"):
        tspc.compile(f"builtin.module {{ {text} module {{ {text} }} }}")
