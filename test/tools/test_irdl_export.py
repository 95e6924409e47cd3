"""Our dialects as IRDL: xDSL reads it, and so does LLVM's mlir-opt, which then reads and checks our models."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import DIGITS, opt, refusal
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.tools import tsp_opt
from tspc.tools.universe import TSPC_UNIVERSE
from xdsl.dialects.irdl.irdl import AttributeOp, AttributesOp, DialectOp, OperationOp, RegionsOp, TypeOp
from xdsl.ir import TypeAttribute
from xdsl.parser import Parser

DENSE = """func.func @main(%x: tensor<1x6x6x8xi8>) -> tensor<8x16xi32> {
  %w = tsp_tensor.parameter "w" : tensor<3x3x8x4xi8>
  %c = tsp_tensor.conv %x, %w : tensor<1x6x6x8xi8>, tensor<3x3x8x4xi8> -> tensor<1x4x4x4xi32>
  %r = tsp_tensor.reshape %c : tensor<1x4x4x4xi32> -> tensor<16x4xi32>
  %t = tsp_tensor.transpose %r permutation [1, 0] : tensor<16x4xi32> -> tensor<4x16xi32>
  %y = tsp_tensor.concat dim(0) %t, %t : (tensor<4x16xi32>, tensor<4x16xi32>) -> tensor<8x16xi32>
  func.return %y : tensor<8x16xi32>
}
"""
"""Operands, variadic ones, results and attributes."""

MLIR_OPT = next((tool for name in ("mlir-opt-19", "mlir-opt") if (tool := shutil.which(name))), None)

with_mlir_opt = pytest.mark.skipif(
    MLIR_OPT is None, reason="LLVM's mlir-opt, of the package mlir-19-tools, is not here"
)


@pytest.mark.parametrize("name", TSPC_UNIVERSE.all_dialects)
def test_every_op_type_and_attribute_is_defined(name: str) -> None:
    module = Parser(make_context(), opt("--print-irdl", name)).parse_module()
    module.verify()
    parts = [op for op in module.walk() if isinstance(op, DialectOp)]
    assert {part.sym_name.data for part in parts} == {name}
    dialect = TSPC_UNIVERSE.all_dialects[name]()

    def names(kind: type[OperationOp] | type[AttributeOp] | type[TypeOp]) -> list[str]:
        return [f"{name}.{op.sym_name.data}" for part in parts for op in part.body.block.ops if isinstance(op, kind)]

    assert names(OperationOp) == [op.name for op in dialect.operations]
    types = [one.name for one in dialect.attributes if issubclass(one, TypeAttribute)]
    assert names(TypeOp) == types
    assert names(AttributeOp) == [one.name for one in dialect.attributes if one.name not in types]


def test_an_op_says_what_it_must_have() -> None:
    module = Parser(make_context(), opt("--print-irdl", "tsp_tensor")).parse_module()
    ops = {op.sym_name.data: op for op in module.walk() if isinstance(op, OperationOp)}
    for name, attributes, regions in (("transpose", 1, 0), ("matmul", 0, 0), ("map", 0, 1), ("parameter", 1, 0)):
        inside = list(ops[name].body.block.ops)
        assert sum(len(op.attribute_values) for op in inside if isinstance(op, AttributesOp)) == attributes
        assert sum(len(op.args) for op in inside if isinstance(op, RegionsOp)) == regions


def test_a_dialect_that_there_is_not() -> None:
    assert refusal(tsp_opt.main, "--print-irdl", "tsp_tensr") == (
        "there is no dialect `tsp_tensr` of tspc; did you mean `tsp_tensor`?"
    )
    assert opt("--print-irdl", "all") == opt("--print-irdl", "tsp_tensor, tsp_stream,tsp_isa,c2c")


# -- LLVM's mlir-opt -----------------------------------------------------------------------------------------------


def mlir_opt(*args: str | Path, text: str) -> subprocess.CompletedProcess[str]:
    assert MLIR_OPT is not None
    return subprocess.run([MLIR_OPT, *args], input=text, capture_output=True, text=True, check=False)


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    path = tmp_path / "tsp_tensor.irdl.mlir"
    path.write_text(opt("--print-irdl", "tsp_tensor"))
    return path


@with_mlir_opt
def test_mlir_opt_takes_all_dialects() -> None:
    read = mlir_opt(text=opt("--print-irdl", "all"))
    assert (read.returncode, read.stderr) == (0, "")
    assert {*re.findall(r"irdl.dialect @(\w+)", read.stdout)} == {*TSPC_UNIVERSE.all_dialects}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "dense.mlir"
    path.write_text(DENSE)
    return path


def generic(model: Path, *args: str) -> str:
    """A model as mlir-opt reads it."""
    return opt(model, *args, "--print-op-generic", "--print-no-properties")


@with_mlir_opt
def test_a_model_goes_through_mlir_opt_and_back(model: Path, definitions: Path) -> None:
    read = mlir_opt(f"--irdl-file={definitions}", "--mlir-print-op-generic", text=generic(model))
    assert (read.returncode, read.stderr) == (0, "")
    assert parse(read.stdout).is_structurally_equivalent(parse(DENSE))


@with_mlir_opt
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r'\{tensor_name = "w"\}', "", 'attribute "tensor_name" is expected but not provided'),
        (r'conv"\(%x, %w\)(.*): \(tensor<1x6x6x8xi8>, ', r'conv"(%w)\1: (', "op expects exactly 2 operands, but got 1"),
        (r'"tsp_tensor.reshape"', '"tsp_tensor.reshap"', "unregistered operation"),
    ],
    ids=["attribute", "operand", "name"],
)
def test_mlir_opt_checks_models(old: str, new: str, message: str, model: Path, definitions: Path) -> None:
    text, count = re.subn(old, new, generic(model))
    assert count
    read = mlir_opt(f"--irdl-file={definitions}", text=text)
    assert read.returncode == 1
    assert message in read.stderr


@with_mlir_opt
@pytest.mark.parametrize("until", [None, "stream-schedule", "convert-stream-to-isa", "isa-verify"])
def test_all_levels_go_through_mlir_opt_without_definitions(until: str | None) -> None:
    pipeline = ",".join([*STAGES][: [*STAGES].index(until) + 1]) if until else ""
    text = generic(DIGITS / "digits.mlir", "-p", pipeline)
    read = mlir_opt("--allow-unregistered-dialect", "--mlir-print-op-generic", text=text)
    assert (read.returncode, read.stderr) == (0, "")
    assert parse(read.stdout).is_structurally_equivalent(parse(text))
