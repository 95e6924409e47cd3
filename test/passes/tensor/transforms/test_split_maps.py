"""split-maps: what has too few ALUs becomes several maps, with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from harness import same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tspc.dialects.machine.target import ChipSpec, SystemSpec
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.dialects.tsp_tensor import MapOp
from tspc.passes.pipelines import PASSES, STAGES, compile, make_context, parse
from tspc.passes.tensor.transforms.fuse_maps import alus_of_map
from tspc.runtime.levels import run_module
from tspc.runtime.tensor_level import run_tensor
from xdsl.dialects.builtin import ModuleOp

ROWS, COLUMNS = 3, 5


def model(body: str, alus: int = 16, result: str = "f32") -> ModuleOp:
    """A map of a matrix %m and a row %r, both f32."""
    x, row = f"tensor<{ROWS}x{COLUMNS}xf32>", f"tensor<{COLUMNS}xf32>"
    y = f"tensor<{ROWS}x{COLUMNS}x{result}>"
    module = parse(f"""
        func.func @main(%x: {x} {{tsp_tensor.name = "x"}}, %row: {row} {{tsp_tensor.name = "row"}})
            -> ({y} {{tsp_tensor.name = "y"}}) {{
          %y = tsp_tensor.map %x, %row : ({x}, {row}) -> {y} {{
          ^bb0(%m: f32, %r: f32):
            {body}
          }}
          func.return %y : {y}
        }}""")
    module.attributes[TARGET] = TargetAttr(SystemSpec(ChipSpec(alus=alus)))
    return module


def split(module: ModuleOp) -> list[MapOp]:
    for name in ("decompose-tensor-ops", "split-maps"):
        PASSES[name]()().apply(make_context(), module)
    module.verify()
    return [op for op in module.walk() if isinstance(op, MapOp)]


def inputs(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(ROWS, COLUMNS)).astype(np.float32),
        "row": rng.normal(size=COLUMNS).astype(np.float32),
    }


def check(module: ModuleOp) -> None:
    """The compiled program gives the bits of the map as it was."""
    expected = run_tensor(module, inputs(), {})
    assert same_bits(run_module(compile(module), inputs(), {}).outputs, expected)


@pytest.mark.parametrize("alus", [16, 8, 6])
@pytest.mark.parametrize("element", ["f16", "f32"])
def test_gelu_is_cut(element: str, alus: int) -> None:
    type_ = f"tensor<4x5x{element}>"
    module = parse(f"""func.func @main(%x: {type_}) -> {type_} {{
      %y = tsp_tensor.gelu "erf" %x : {type_}
      func.return %y : {type_}
    }}""")
    module.attributes[TARGET] = TargetAttr(SystemSpec(ChipSpec(alus=alus)))
    x = np.random.default_rng(1).normal(size=(4, 5)).astype({"f16": np.float16, "f32": np.float32}[element])
    expected = run_tensor(module, {"arg0": x}, {})
    maps = split(module.clone())
    assert len(maps) > 1
    assert all(alus_of_map(op) <= alus for op in maps)
    assert same_bits(run_module(compile(module), {"arg0": x}, {}).outputs, expected)


def test_a_long_chain_is_cut_again_and_again() -> None:
    body = "\n".join(f"%s{i} = arith.addf {f'%s{i - 1}' if i else '%m'}, %m : f32" for i in range(20))
    module = model(f"{body}\ntsp_tensor.yield %s19 : f32")
    maps = split(module.clone())
    assert all(alus_of_map(op) <= 16 for op in maps)
    assert len(maps) == 3  # of 20 sums and 19 delays
    check(module)


def test_what_rows_share_is_computed_once() -> None:
    """The tensor between two maps has no more rows than what it is made of."""
    body = "\n".join(f"%s{i} = math.exp {f'%s{i - 1}' if i else '%r'} : f32" for i in range(14))
    body += "\n%y0 = arith.mulf %m, %s13 : f32\n%y1 = arith.addf %y0, %m : f32"
    module = model(f"{body}\ntsp_tensor.yield %y1 : f32")
    first, rest = split(module.clone())
    assert first.result.type.get_shape() == (COLUMNS,)
    assert rest.result.type.get_shape() == (ROWS, COLUMNS)
    check(module)


def test_what_fits_stays() -> None:
    module = model("%y0 = arith.mulf %m, %r : f32\ntsp_tensor.yield %y0 : f32")
    before = str(module)
    split(module)
    assert str(module) == before


@st.composite
def regions(draw: DrawFn) -> str:
    """Up to 30 operations of f32, each on any two scalars that are there."""
    names, lines = ["%m", "%r"], list[str]()
    for i in range(draw(st.integers(1, 30))):
        op = draw(st.sampled_from(("addf", "mulf", "maximumf", "minimumf", "subf")))
        a, b = (draw(st.sampled_from(names[-6:])) for _ in range(2))
        lines.append(f"%s{i} = arith.{op} {a}, {b} : f32")
        names.append(f"%s{i}")
    return "\n".join([*lines, f"tsp_tensor.yield {names[-1]} : f32"])


@settings(deadline=None, derandomize=True, max_examples=25, print_blob=False)
@given(regions(), st.sampled_from((16, 8, 6)))
def test_random_regions(body: str, alus: int) -> None:
    module = model(body, alus)
    expected = run_tensor(module, inputs(), {})
    before = module.clone()
    assert all(alus_of_map(op) <= alus for op in split(before))
    assert same_bits(run_tensor(before, inputs(), {}), expected)
    for stage in STAGES:
        STAGES[stage]()().apply(make_context(), module)
    assert same_bits(run_module(module, inputs(), {}).outputs, expected)


def r4(length: int) -> str:
    """Each scalar is made of the one before and of the third, or fourth, before."""
    lines = ["%s0 = arith.mulf %m, %r : f32"]
    for i in range(1, length):
        op, before = ("addf", i - 2) if i % 2 else ("mulf", i - 4)
        lines.append(f"%s{i} = arith.{op} %s{i - 1}, {f'%s{before}' if before >= 0 else '%m'} : f32")
    return "\n".join([*lines, f"tsp_tensor.yield %s{length - 1} : f32"])


@pytest.mark.parametrize(("length", "maps"), [(60, 24), (300, 130)])
def test_long_maps(length: int, maps: int) -> None:
    """Of operations that use early values again and again; the work of this is bounded in test_cones.py."""
    module = model(r4(length))
    expected = run_tensor(module, inputs(), {})
    found = split(module)
    assert all(alus_of_map(op) <= 16 for op in found)
    assert len(found) <= maps
    assert same_bits(run_tensor(module, inputs(), {}), expected)


def test_a_long_chain_of_maps_is_fused_by_local_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The regions that are built for a chain of maps are as many for each of 25 and of 100."""
    from tspc.passes.tensor.transforms import fuse_maps

    built = [0]
    region = fuse_maps.alu_region

    def counting(*args: object) -> object:
        built[0] += 1
        return region(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(fuse_maps, "alu_region", counting)

    def regions_for_each(length: int) -> float:
        type_ = "tensor<4x6xf32>"
        maps = "\n".join(
            f"""%y{i + 1} = tsp_tensor.map %y{i} : ({type_}) -> {type_} {{
                ^bb0(%a: f32):
                  %s = math.exp %a : f32
                  tsp_tensor.yield %s : f32
                }}"""
            for i in range(length)
        )
        module = parse(f"func.func @main(%y0: {type_}) -> {type_} {{\n{maps}\nfunc.return %y{length} : {type_}\n}}")
        built[0] = 0
        PASSES["fuse-maps"]()().apply(make_context(), module)
        return built[0] / length

    assert regions_for_each(100) <= 1.1 * regions_for_each(25)


@pytest.mark.parametrize("count", [10, 40])
def test_many_operands(count: int) -> None:
    """More than the streams of both directions together are summed by several maps, each with those of half a
    direction; fewer stay one map."""
    type_ = "tensor<4x6xf32>"
    names = [f"a{i}" for i in range(count)]
    arguments = ", ".join(f'%{n}: {type_} {{tsp_tensor.name = "{n}"}}' for n in names)
    sums = "\n".join(f"%s{i + 1} = arith.addf %s{i}, %e{i + 1} : f32" for i in range(count - 1))
    module = parse(f"""
        func.func @main({arguments}) -> ({type_} {{tsp_tensor.name = "y"}}) {{
          %y = tsp_tensor.map {", ".join(f"%{n}" for n in names)} : ({", ".join([type_] * count)}) -> {type_} {{
          ^bb0({", ".join(f"%{f'e{i}' if i else 's0'}: f32" for i in range(count))}):
            {sums}
            tsp_tensor.yield %s{count - 1} : f32
          }}
          func.return %y : {type_}
        }}""")
    rng = np.random.default_rng(2)
    values = {n: rng.normal(size=(4, 6)).astype(np.float32) for n in names}
    total = values["a0"]
    for n in names[1:]:
        total = total + values[n]
    maps = split(module.clone())
    assert (len(maps) == 1) == (count == 10)
    assert count == 10 or all(len(op.inputs) <= 4 for op in maps)
    outputs = run_module(compile(module), values, {}).outputs
    assert same_bits(outputs, {"y": total})
