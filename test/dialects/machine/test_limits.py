"""Whatever asks for more than the limits is refused at once, in every way in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
from fuzzing.hostile import header_size, model_file, signed
from fuzzing.maker import Maker
from safetensors.numpy import load
from tspc.dialects.errors import CapacityError, MalformedProgram
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.instruction import Record, stream_code
from tspc.dialects.machine.limits import MOST_CYCLES, MOST_ELEMENTS, MOST_ISSUES
from tspc.passes.isa.verify.proof import first_hazard
from tspc.passes.pipelines import compile, parse
from tspc.runtime.container import from_bytes
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine
from xdsl.utils.exceptions import ParseError

E4 = stream_code("E", 4)


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """Nothing here takes long, though it would."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 10


def test_issues_of_one_record() -> None:
    m = Maker()
    m.add("MEM.E0", 40, "read", 0, E4, loops=[(65536, 1, 0)])
    m.program()
    m.add("MEM.E1", 40, "read", 0, E4, loops=[(60_000, 1, 0), (10_000, 60_000, 0)])
    with pytest.raises(CapacityError, match=rf"600065536 instruction issues; .* may have {MOST_ISSUES}: split"):
        m.program()


def test_vectors_count_as_issues() -> None:
    m = Maker()
    m.add("MXM.0.activations", 40, "abc", 60_000, E4, loops=[(2000, 60_000, 0)])
    with pytest.raises(CapacityError, match="120000000 instruction issues"):
        m.program()


def test_issues_in_a_file() -> None:
    """48 bytes of a queue."""
    tensors = load(model_file())
    words = (("read", (0, 4)), ("repeat", (59_999, 1, 0)), ("repeat", (9_999, 60_000, 0)))
    queue = b"".join(TABLE.by_name[name].encode(values) for name, values in words)
    tensors["chip0.queue.MEM.E0"] = np.frombuffer(queue, np.uint8)
    with pytest.raises(MalformedProgram, match=r"6000000\d\d instruction issues; one program may have"):
        from_bytes(signed(description(), tensors))


def description() -> str:
    data = model_file()
    return json.loads(data[8 : header_size(data)])["__metadata__"]["tspc"]


def test_cycles() -> None:
    m = Maker()
    m.add("MEM.E0", MOST_CYCLES, "read", 0, E4)
    with pytest.raises(MalformedProgram, match=rf"`at` {MOST_CYCLES} is outside 0..{MOST_CYCLES - 1}"):
        m.program()
    m = Maker()
    m.add("MEM.E0", MOST_CYCLES - 5, "read", 0, E4, loops=[(9, 1, 0)])
    with pytest.raises(CapacityError, match=rf"{MOST_CYCLES + 3} cycles; one program may have {MOST_CYCLES}"):
        m.program()


@pytest.mark.parametrize("engine", [ReferenceEngine(), JitEngine(), JitEngine(mode="bulk")])
def test_waiting_costs_no_time(engine: ReferenceEngine | JitEngine) -> None:
    m = Maker()
    for at in (40, MOST_CYCLES - 50):
        m.bring("MEM.E0", 1, E4, 2, at + 10)
        m.keep("MEM.E4", 0, E4, 2, at + 10)
    program = m.program()
    assert first_hazard(program) is None
    assert engine.load(program).run().cycles == (program.cycles,)


def test_what_exists_in_packed_queues_only_is_no_record() -> None:
    m = Maker()
    m.records[0] = [Record(m.chip.queue_numbers["C2C.0"], 40, TABLE.by_name["deskew"], ())]
    with pytest.raises(MalformedProgram, match="`deskew`: exists only in packed queues"):
        m.program()


# -- text ----------------------------------------------------------------------------------------------------------


def test_a_string_that_does_not_end() -> None:
    """xDSL's own lexer would take time exponential in its length."""
    with pytest.raises(ParseError, match="End of file reached before closing string literal"):
        parse('builtin.module attributes {a = "' + "ab" * 50_000 + "\n}")


def test_a_string_with_escapes() -> None:
    assert str(parse(r'builtin.module attributes {a = "\0Ab\"\\ü\n"} {}')).splitlines()[0].startswith("builtin.module")


def test_elements_of_a_literal() -> None:
    with pytest.raises(
        ParseError, match=rf"a literal of 10000000000000 elements, of which one may have {MOST_ELEMENTS};"
    ):
        parse("builtin.module attributes {a = dense<1> : tensor<10000000000000xi8>} {}")


def test_tensors_beyond_the_chip() -> None:
    x, w, y = (f"tensor<{shape}>" for shape in ("8x100000000000xi8", "100000000000x8xi8", "8x8xi32"))
    text = f"""func.func @main(%x: {x}) -> {y} {{
      %w = tsp_tensor.parameter "w" : {w}
      %a = tsp_tensor.matmul %x, %w : {x}, {w} -> {y}
      func.return %a : {y}
    }}"""
    with pytest.raises(CapacityError, match="has 800000000000 bytes, the SRAM of a chip 230686720"):
        compile(text)
