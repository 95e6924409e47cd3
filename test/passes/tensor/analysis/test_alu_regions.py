"""Regions of scalar ops as work for ALUs: one ALU an op, all operands of an op in the same cycle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import same_bits
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import UnsupportedModel
from tspc.dialects.instructions import TABLE
from tspc.dialects.tsp_stream.alu_ops import ALU_INSTRUCTIONS
from tspc.passes.pipelines import STAGES, compile, make_context, parse
from tspc.passes.stream.analysis.alu_levels import alu_levels
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument, Operation


def model(region: str, types: str = "i32", result: str = "i32") -> str:
    """A map of 4 x 5 elements; `types` are those of its arguments %a, %b, ..."""
    names = "abcdefgh"[: len(types.split())]
    pairs = list(zip(names, types.split(), strict=True))
    inputs = ", ".join(f'%t{n}: tensor<4x5x{t}> {{tsp_tensor.name = "{n}"}}' for n, t in pairs)
    operands = f"{', '.join(f'%t{n}' for n in names)} : ({', '.join(f'tensor<4x5x{t}>' for _, t in pairs)})"
    arguments = ", ".join(f"%{n}: {t}" for n, t in pairs)
    return f"""
        func.func @main({inputs}) -> tensor<4x5x{result}> {{
          %out = tsp_tensor.map {operands} -> tensor<4x5x{result}> {{
          ^bb0({arguments}):
            {region}
          }}
          func.return %out : tensor<4x5x{result}>
        }}"""


def vxm(text: str, until: str = "stream-place", whole: bool = False) -> ts.VxmOp:
    """The only region of a module, which is not split if it is to be lowered as a `whole`."""
    module = parse(text)
    for stage in list(STAGES)[: list(STAGES).index(until) + 1]:
        if stage != "split-maps" or not whole:
            STAGES[stage]()().apply(make_context(), module)
    (op,) = (op for op in module.walk() if isinstance(op, ts.VxmOp))
    return op


def names(op: ts.VxmOp) -> list[str]:
    """The ALU operations of a region, in order."""
    return [inner.name.partition(".")[2] for inner in op.alu_ops]


# -- what an ALU executes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "types", "result", "expected"),
    [
        ("%0 = arith.addi %a, %b : i32  tsp_tensor.yield %0 : i32", "i32 i32", "i32", "addi"),
        ("%0 = arith.addi %a, %b : i8  tsp_tensor.yield %0 : i8", "i8 i8", "i8", "addi"),
        ("%0 = arith.maxsi %a, %b : i16  tsp_tensor.yield %0 : i16", "i16 i16", "i16", "maxsi"),
        # An ALU converts to the nearest integer, fptosi toward zero.
        ("%0 = arith.fptosi %a : f32 to i8  tsp_tensor.yield %0 : i8", "f32", "i8", "trunc convert"),
        (
            "%0 = math.trunc %a : f32  %1 = arith.fptosi %0 : f32 to i8  tsp_tensor.yield %1 : i8",
            "f32", "i8", "trunc convert",
        ),
        (
            "%0 = math.roundeven %a : f32  %1 = arith.fptosi %0 : f32 to i8  tsp_tensor.yield %1 : i8",
            "f32", "i8", "convert",
        ),
        # What saturates is one operation, on whichever side of the rounding the bounds stand.
        (
            """%l = arith.constant -128.0 : f32  %h = arith.constant 127.0 : f32
               %0 = math.roundeven %a : f32  %1 = arith.maximumf %0, %l : f32  %2 = arith.minimumf %h, %1 : f32
               %3 = arith.fptosi %2 : f32 to i8  tsp_tensor.yield %3 : i8""",
            "f32", "i8", "convert",
        ),
        (
            """%l = arith.constant -128.0 : f32  %h = arith.constant 127.0 : f32
               %0 = arith.minimumf %a, %h : f32  %1 = arith.maximumf %0, %l : f32  %2 = math.roundeven %1 : f32
               %3 = arith.fptosi %2 : f32 to i8  tsp_tensor.yield %3 : i8""",
            "f32", "i8", "convert",
        ),
        (
            """%l = arith.constant -128 : i32  %h = arith.constant 127 : i32
               %0 = math.roundeven %a : f32  %1 = arith.fptosi %0 : f32 to i32  %2 = arith.minsi %1, %h : i32
               %3 = arith.maxsi %2, %l : i32  %4 = arith.trunci %3 : i32 to i8  tsp_tensor.yield %4 : i8""",
            "f32", "i8", "convert",
        ),
        (
            """%l = arith.constant -128 : i32  %h = arith.constant 127 : i32
               %0 = arith.extsi %a : i8 to i32  %1 = arith.extsi %b : i8 to i32  %2 = arith.addi %0, %1 : i32
               %3 = arith.maxsi %2, %l : i32  %4 = arith.minsi %3, %h : i32
               %5 = arith.trunci %4 : i32 to i8  tsp_tensor.yield %5 : i8""",
            "i8 i8", "i8", "add_sat",
        ),
        # Other bounds stay.
        (
            """%l = arith.constant 0 : i32  %h = arith.constant 127 : i32
               %0 = arith.maxsi %a, %l : i32  %1 = arith.minsi %0, %h : i32
               %2 = arith.trunci %1 : i32 to i8  tsp_tensor.yield %2 : i8""",
            "i32", "i8", "maxsi minsi trunci",
        ),
        # Widening is no work of its own before a conversion.
        (
            "%0 = arith.extsi %a : i8 to i32  %1 = arith.sitofp %0 : i32 to f32  tsp_tensor.yield %1 : f32",
            "i8", "f32", "sitofp",
        ),
        # The same twice is done once.
        (
            """%0 = math.exp %a : f32  %1 = math.exp %a : f32  %2 = arith.mulf %0, %1 : f32
               tsp_tensor.yield %2 : f32""",
            "f32", "f32", "exp mulf",
        ),
        # A mask is a byte.
        (
            """%0 = arith.cmpf olt, %a, %b : f32  %1 = arith.select %0, %a, %b : f32  tsp_tensor.yield %1 : f32""",
            "f32 f32", "f32", "delay delay compare select",
        ),
        (
            "%0 = arith.cmpi ne, %a, %b : i16  %1 = arith.extui %0 : i1 to i8  tsp_tensor.yield %1 : i8",
            "i16 i16", "i8", "compare",
        ),
        (
            "%0 = arith.cmpi ult, %a, %b : i16  %1 = arith.extui %0 : i1 to i8  tsp_tensor.yield %1 : i8",
            "i16 i16", "i8", "xori xori compare",
        ),
        # What nobody uses takes no ALU.
        ("%0 = arith.muli %a, %a : i32  %1 = arith.addi %a, %a : i32  tsp_tensor.yield %1 : i32", "i32", "i32", "addi"),
        # A number alone needs an ALU that drives it.
        ("%0 = arith.constant 7 : i32  tsp_tensor.yield %0 : i32", "i32", "i32", "delay"),
    ],
)  # fmt: skip
def test_the_work_of_a_region(region: str, types: str, result: str, expected: str) -> None:
    text = model(region, types, result)
    assert names(vxm(text)) == expected.split()
    rng = np.random.default_rng(1)
    inputs = {name: edges(rng, type_) for name, type_ in zip("abc", types.split(), strict=False)}
    lowered = compile(parse(text), until="convert-tensor-to-stream")
    assert same_bits(run_module(lowered, inputs, {}).outputs, run_module(parse(text), inputs, {}).outputs)


def edges(rng: np.random.Generator, type_: str) -> npt.NDArray[Any]:
    """4 x 5 numbers; floats at the ends of i8 and past them, and what is no number."""
    if type_ == "f32":
        return np.array(
            [-128.5, -128.51, -129, -127.5, -0.5, -0.0, 0, 0.5, 1.5, 126.5, 127, 127.49, 127.5, 127.51, 128, 3e38,
             np.inf, -np.inf, np.nan, -1e-45], np.float32,
        ).reshape(4, 5)  # fmt: skip
    return rng.integers(-(2**31), 2**31, (4, 5), np.int32).astype(type_.replace("i", "int"))


def test_a_rounding_that_is_used_elsewhere_stays() -> None:
    region = """%0 = math.roundeven %a : f32
                %1 = arith.fptosi %0 : f32 to i32
                %2 = arith.sitofp %1 : i32 to f32
                %3 = arith.subf %2, %0 : f32
                tsp_tensor.yield %3 : f32"""
    assert "roundeven" in names(vxm(model(region, "f32", "f32")))


def test_every_instruction_of_the_vxm_can_be_said() -> None:
    of_the_vxm = {name for name, i in TABLE.by_name.items() if i.kinds == ("VXM",)}
    assert of_the_vxm == {*ALU_INSTRUCTIONS.values(), *ts.CompareOp.RELATIONS}


def test_an_operand_that_stands_twice_is_one_stream() -> None:
    text = model("%0 = arith.subi %a, %b : i32  tsp_tensor.yield %0 : i32", "i32 i32")
    op = vxm(text.replace("map %ta, %tb", "map %ta, %ta"))
    assert len(op.inputs) == len(op.body.block.args) == 1


# -- ALUs ----------------------------------------------------------------------------------------------------------


def chain(length: int) -> str:
    """So many additions, one after the other."""
    lines = [
        f"%{i} = arith.addi {f'%{i - 1}' if i else '%a'}, {f'%{i - 1}' if i else '%a'} : i32" for i in range(length)
    ]
    return "\n".join([*lines, f"tsp_tensor.yield %{length - 1} : i32"])


def test_a_region_takes_as_many_alus_as_it_has_ops() -> None:
    op = vxm(model(chain(16)))
    assert op.alus is not None and sorted(op.alus.get_values()) == list(range(16))


def test_a_region_of_too_many_ops() -> None:
    with pytest.raises(
        UnsupportedModel, match=r"its region takes 17 ALUs \(without those for delays\), the chip has 16; split"
    ):
        vxm(model(chain(17)), whole=True)


def test_delays_count_as_well() -> None:
    """%a is used by the first addition and by the last, 14 ALUs later."""
    region = chain(14).replace("tsp_tensor.yield %13", "%14 = arith.addi %13, %a : i32\ntsp_tensor.yield %14")
    with pytest.raises(UnsupportedModel, match=r"its region takes 29 ALUs \(14 of them delays\)"):
        vxm(model(region), whole=True)


# -- delays --------------------------------------------------------------------------------------------------------


@st.composite
def regions(draw: st.DrawFn) -> str:
    """Up to five additions of arguments and of earlier sums, at any depth."""
    values, lines = ["%a", "%b", "%c"], list[str]()
    for i in range(draw(st.integers(1, 5))):
        left, right = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        lines.append(f"%{i} = arith.subi {left}, {right} : i32")
        values.append(f"%{i}")
    return "\n".join([*lines, f"tsp_tensor.yield {values[-1]} : i32"])


DEEP = """\
%0 = arith.subi %b, %b : i32
%1 = arith.subi %a, %0 : i32
%2 = arith.subi %a, %1 : i32
tsp_tensor.yield %2 : i32"""
"""Uses %a at two depths, neither of them the first."""


RESIDUAL = """\
%0 = arith.subi %a, %a : i32
%1 = arith.subi %0, %a : i32
%2 = arith.subi %b, %b : i32
%3 = arith.subi %1, %2 : i32
tsp_tensor.yield %3 : i32"""
"""A short branch that meets a long one: it starts late."""


def operands(op: ts.VxmOp) -> Iterator[tuple[Operation, Operation | BlockArgument]]:
    """Every operand of every ALU operation that is no constant: the operation, and where the value comes from."""
    for inner in op.alu_ops:
        for value in inner.operands:
            owner = value if isinstance(value, BlockArgument) else value.owner
            if isinstance(owner, BlockArgument) or owner in op.alu_ops:
                assert isinstance(owner, Operation | BlockArgument)
                yield inner, owner


@given(regions())
@example(DEEP)
def test_all_operands_meet(region: str) -> None:
    """A chain's value is there in one cycle only, and a stream's as well: an ALU takes the results of the level just
    before its own, and an argument is taken at one level only."""
    op = vxm(model(region, "i32 i32 i32"))
    levels = alu_levels(op)
    sampled: dict[BlockArgument, int] = {}
    for inner, source in operands(op):
        if isinstance(source, BlockArgument):
            assert sampled.setdefault(source, levels[inner]) == levels[inner]
        else:
            assert levels[inner] == levels[source] + 1


@settings(max_examples=60, derandomize=True)
@given(regions())
@example(RESIDUAL)
def test_there_are_as_few_delays_as_can_be(region: str) -> None:
    """Against every way to give the ops levels within the longest chain: each value is handed on from where it is there
    to its last use, once for all uses; an argument from its first use on."""
    before, after = (vxm(model(region, "i32 i32 i32"), until=p) for p in ("convert-tensor-to-stream", "stream-place"))
    inside = before.alu_ops
    edges = [(inside.index(inner), source) for inner, source in operands(before)]
    chains = [(inside.index(source), inner) for inner, source in edges if isinstance(source, Operation)]
    length = max(alu_levels(after).values()) + 1
    least = min(
        delays(edges, inside, levels)
        for levels in product(range(length), repeat=len(inside))
        if all(levels[a] < levels[b] for a, b in chains)
    )
    assert names(after).count("delay") == least


def delays(edges: list[tuple[int, Operation | BlockArgument]], inside: list[Operation], levels: tuple[int, ...]) -> int:
    uses: dict[Operation | BlockArgument, list[int]] = {}
    for inner, source in edges:
        uses.setdefault(source, []).append(levels[inner])
    return sum(
        max(at) - (min(at) if isinstance(source, BlockArgument) else levels[inside.index(source)] + 1)
        for source, at in uses.items()
    )


@settings(max_examples=25)
@given(regions())
@example(DEEP)
def test_the_numbers_are_right_at_every_level(region: str) -> None:
    values = dict(
        zip(("%a", "%b", "%c"), np.random.default_rng(1).integers(-(2**31), 2**31, (3, 4, 5), np.int32), strict=True)
    )
    inputs = {name.removeprefix("%"): value for name, value in values.items()}
    with np.errstate(over="ignore"):
        for line in region.splitlines()[:-1]:
            result, left, right = re.findall(r"%\w+", line)
            values[result] = values[left] - values[right]
    for level in levels_of(parse(model(region, "i32 i32 i32"))):
        assert np.array_equal(run_module(level, inputs, {}).outputs["result0"], values[result])


def levels_of(module: ModuleOp) -> Iterator[ModuleOp]:
    """A module before the first pass and after each."""
    yield module
    for stage in STAGES.values():
        stage()().apply(make_context(), module)
        yield module
