"""Streams whose consumers lie on both sides: they are read, or computed, once for each side, or go through an ALU."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from harness import ENGINES, same_bits
from tensors import Array
from tspc.dialects import tsp_stream as ts
from tspc.dialects.errors import ScheduleError
from tspc.passes.pipelines import STAGES, make_context, parse
from tspc.runtime.levels import run_module
from xdsl.dialects.builtin import ModuleOp

ROWS = 5


def types(element: str) -> tuple[str, str]:
    """The buffer and the stream of some rows."""
    side = {"i8": 1, "i32": 4}[element]
    layout = f"words [1 of d1 * 320, {ROWS} of d0], side [{side} of b], lanes [320 of d1]"
    return f"!tsp_stream.buffer<{ROWS}x320x{element}, {layout}>", f"!tsp_stream.stream<{ROWS}x320x{element}>"


def buffer(name: str, place: str, element: str = "i8") -> str:
    kind = "input" if name in "ab" else "output"
    return f'%{name} = tsp_stream.buffer "{kind}" "{name}" place <{place}> : {types(element)[0]}'


def read(name: str, element: str = "i8") -> str:
    whole, stream = types(element)
    return f"%{name}s = tsp_stream.read %{name} words <0, {ROWS} step 1> : {whole} -> {stream}"


def write(stream: str, name: str, element: str = "i8") -> str:
    whole, type_ = types(element)
    return f"tsp_stream.write {stream} to %{name} words <0, {ROWS} step 1> : {type_}, {whole}"


def added(name: str, a: str, b: str) -> str:
    stream = types("i32")[1]
    return f"""{name} = tsp_stream.vxm {a}, {b} : ({stream}, {stream}) -> {stream} {{
    ^bb0(%l: i32, %r: i32):
      %0 = arith.addi %l, %r : i32
      tsp_stream.yield %0 : i32
    }}"""


def checked(lines: list[str], inputs: dict[str, Array], expected: dict[str, Array]) -> Counter[type]:
    """How many ops there are of each kind once a program is placed, which gives the expected values on all engines."""
    module = parse("func.func @main() {\n" + "\n".join(lines) + "\nfunc.return\n}")
    assert same_bits(run_module(module, inputs, {}).outputs, expected)
    counts: Counter[type] = Counter()
    for stage in [*STAGES][[*STAGES].index("stream-place") :]:
        STAGES[stage]()().apply(make_context(), module)
        if stage == "stream-place":
            counts.update(type(op) for op in module.walk())
    for engine in ENGINES.values():
        assert same_bits(run_module(module, inputs, {}, engine()).outputs, expected)
    return counts


def numbers(element: type[np.signedinteger]) -> Array:
    return np.random.default_rng(0).integers(-100, 100, (ROWS, 320)).astype(element)


def test_a_read_for_each_side() -> None:
    lines = [
        buffer("a", "[E0]"),
        buffer("y", "[E8]"),
        buffer("z", "[W8]"),
        read("a"),
        write("%as", "y"),
        write("%as", "z"),
    ]
    a = numbers(np.int8)
    assert checked(lines, {"a": a}, {"y": a, "z": a})[ts.ReadOp] == 2


def test_a_sum_for_each_side() -> None:
    """With both reads that lead to it: three places take the sum, two of them on one side."""
    places = {"a": "[E0 to E3]", "b": "[W0 to W3]", "x": "[E8 to E11]", "y": "[W8 to W11]", "z": "[E16 to E19]"}
    lines = [buffer(name, place, "i32") for name, place in places.items()]
    lines += [read("a", "i32"), read("b", "i32"), added("%s", "%as", "%bs"), *(write("%s", n, "i32") for n in "xyz")]
    a, b = numbers(np.int32), 3 * numbers(np.int32)
    counts = checked(lines, {"a": a, "b": b}, {name: a + b for name in "xyz"})
    assert (counts[ts.ReadOp], counts[ts.VxmOp], counts[ts.WriteOp]) == (4, 2, 3)


@pytest.mark.parametrize("element", [np.int8, np.int32])
def test_slices_on_both_sides_of_those_that_are_read(element: type[np.signedinteger]) -> None:
    """The bytes of a word, or the copies of a buffer, on both sides: all of them lie on one side of the ALUs."""
    places = ("[E8]", "[E2, E20], copies 2") if element is np.int8 else ("[E8 to E11]", "[E2, E3, E20, E21]")
    name = {np.int8: "i8", np.int32: "i32"}[element]
    lines = [buffer("a", places[0], name), buffer("y", places[1], name), read("a", name), write("%as", "y", name)]
    a = numbers(element)
    counts = checked(lines, {"a": a}, {"y": a})
    assert (counts[ts.ReadOp], counts[ts.VxmOp]) == (1, 1)


def test_one_that_cannot_be_parted() -> None:
    """Two positions of one write, one on each side of the ALUs."""
    lines = [buffer("a", "[E8]"), buffer("y", "[E20, W2], copies 2"), read("a"), write("%as", "y")]
    with pytest.raises(ScheduleError, match=r"`tsp_stream\.vxm`: its consumers lie on both sides"):
        placed(lines)


def placed(lines: list[str]) -> ModuleOp:
    module = parse("func.func @main() {\n" + "\n".join(lines) + "\nfunc.return\n}")
    STAGES["stream-place"]()().apply(make_context(), module)
    return module
