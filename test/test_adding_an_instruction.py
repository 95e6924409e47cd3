"""docs/adding-an-instruction.md is true: what it writes is an instruction of every layer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tspc.runtime.jit.moves as moves
import tspc.runtime.reference as reference
from fuzzing.maker import Maker
from tspc.dialects import instructions
from tspc.dialects.instructions import OP_CLASSES, TABLE, InstructionOp
from tspc.dialects.locations import LocatedParser
from tspc.dialects.machine.effects import Effect
from tspc.dialects.machine.instruction import INSTRUCTION_BYTES, Record, stream_code
from tspc.dialects.programs.records import Program, program_from_module
from tspc.passes.isa.assemble.isa_assemble import IsaAssemblePass
from tspc.passes.isa.assemble.isa_disassemble import IsaDisassemblePass
from tspc.passes.isa.verify.isa_verify import IsaVerifyPass
from tspc.passes.pipelines import make_context
from tspc.runtime.engine import Engine
from tspc.runtime.jit import JitEngine
from tspc.runtime.jit import semantics as jit
from tspc.runtime.jit.kernel import Kernel
from tspc.runtime.reference import ReferenceEngine
from tspc.tools.flows import Flows
from tspc.tools.profile import profile
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

PAGE = Path(__file__).parent.parent / "docs" / "adding-an-instruction.md"

ENGINES = {"reference": reference.EXECUTES, "JIT": jit.EXECUTES}
"""The semantics functions of every engine."""

BASE, COUNT = 64, 40
"""The cycle of the first issue, and the vectors of a run."""


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, type[InstructionOp]]]:
    """The instructions that the page declares, while the modules for which it is written have its code."""
    codes = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:6]
    table = {**vars(instructions.table), "Effect": Effect}
    space: dict[str, dict[str, Any]] = {
        "instruction": table,
        "Issue": {**vars(reference)},
        "Function": {**vars(moves)},
    }
    for code in codes:
        known = next(names for word, names in space.items() if re.search(rf"\b{word}\b", code))
        known |= {op.__name__: op for op in OP_CLASSES.values()}
        exec(compile(f"from __future__ import annotations\n{code}", str(PAGE), "exec"), known)
    made = {name: OP_CLASSES[name] for name in ("merge", "gather_last")}
    yield made
    for name, op in made.items():
        TABLE.remove(op.INSTRUCTION)
        del OP_CLASSES[name]
        for functions in ENGINES.values():
            functions.forget(op)


def context_of(page: dict[str, type[InstructionOp]]) -> Context:
    context = make_context()
    context.load_registered_dialect("tsp_isa")
    for op in page.values():
        context.load_op(op)
    return context


def merging() -> Maker:
    """Slice E8 gets the words of slice E0 or the complement of those of E4, joined by an SXM."""
    m, code = Maker(), [stream_code("E", 0), stream_code("E", 1), stream_code("W", 0)]
    where, loops = m.at("SXM.E.shift"), ((COUNT, 1, 1),)
    for slice_, stream in zip(("MEM.E0", "MEM.E4"), code, strict=False):
        m.bring(slice_, 0, stream, where, BASE, loops)
    m.add("SXM.E.shift", BASE, "merge", 1, *code, loops=((COUNT, 1, 0),))
    m.keep("MEM.E8", 0, code[2], where, BASE + m.delay("merge"), loops)
    return m


def gathering() -> Maker:
    """Slice E8 gets words of slice E4, the numbers being in the last lanes of the words of slice E0."""
    m, code = Maker(), [stream_code("E", 0), stream_code("E", 1)]
    where, loops = m.at("MEM.E4"), ((COUNT, 1, 1),)
    m.bring("MEM.E0", 0, code[0], where, BASE, loops)
    m.add("MEM.E4", BASE, "gather_last", 5, *code, loops=loops)
    m.keep("MEM.E8", 0, code[1], where, BASE + m.delay("gather_last"), loops)
    return m


MAKERS = {"merge": merging, "gather_last": gathering}
each_of_the_page = pytest.mark.parametrize("name", MAKERS)


def text_of(program: Program) -> str:
    """The program in timed form."""
    chip = program.chips[0]

    def line(record: Record) -> str:
        name, _, rest = record.text.partition(" ")
        return f"tsp_isa.{name} at {record.at} {rest}"

    queues = [
        (q.name, [line(r) for r in chip.records if r.queue == n]) for n, q in enumerate(program.system.chip.queues)
    ]
    body = "\n".join(f'tsp_isa.queue "{queue}" {{ {" ".join(lines)} }}' for queue, lines in queues if lines)
    return f"tsp_isa.program @p chip 0 cycles {chip.cycles} {{\n{body}\n}}"


def fill(sram: np.ndarray) -> None:
    random = np.random.default_rng(0)
    for slice_ in (0, 4):
        sram[slice_, :COUNT] = random.integers(0, 256, sram[slice_, :COUNT].shape)


def expected(name: str, sram: np.ndarray) -> np.ndarray:
    """What slice E8 holds after a run: [COUNT, lanes]."""
    a, b = sram[0, :COUNT], sram[4]
    if name == "merge":
        return a | ~b[:COUNT]
    tiles = a.reshape(COUNT, -1, 16).astype(int)
    words = (5 + np.arange(COUNT)[:, None] + tiles[..., 14] + 256 * tiles[..., 15]) % len(b)
    return b.reshape(len(b), -1, 16)[words, np.arange(words.shape[1])].reshape(a.shape)


def verified(page: dict[str, type[InstructionOp]], name: str) -> ModuleOp:
    """The packed form of a program, which came from text and is proven."""
    context = context_of(page)
    module = LocatedParser(context, text_of(MAKERS[name]().program())).parse_module()
    module.verify()
    assert str(LocatedParser(context, str(module)).parse_module()) == str(module)
    for pass_ in (IsaVerifyPass(), IsaAssemblePass(), IsaVerifyPass()):
        pass_.apply(context, module)
    return module


@each_of_the_page
def test_text_bytes_and_proof(page: dict[str, type[InstructionOp]], name: str) -> None:
    module, made = verified(page, name), MAKERS[name]().program()
    assert program_from_module(module).chips[0].records == made.chips[0].records
    opcodes = [d[::INSTRUCTION_BYTES] for d in program_from_module(module).chips[0].packed.values()]
    assert any(page[name].INSTRUCTION.opcode in of_queue for of_queue in opcodes)
    IsaDisassemblePass().apply(context_of(page), module)
    assert program_from_module(module).chips[0].records == made.chips[0].records


@each_of_the_page
@pytest.mark.parametrize(
    "engine", [ReferenceEngine(), JitEngine(), JitEngine(mode="bulk")], ids=["reference", "cycle", "bulk"]
)
def test_every_engine_gives_its_bits(page: dict[str, type[InstructionOp]], name: str, engine: Engine) -> None:
    session = engine.load(program_from_module(verified(page, name)))
    assert session.mode == getattr(engine, "mode", "cycle")
    fill(session.sram(0))
    want = expected(name, session.sram(0).copy())
    session.run()
    assert np.array_equal(session.sram(0)[8, :COUNT], want)


@each_of_the_page
def test_tools_see_it(page: dict[str, type[InstructionOp]], name: str) -> None:
    program = MAKERS[name]().program()
    records = program.chips[0].records
    names = [r.instruction.name for r in records]
    found = {
        (names[giver], names[taker])
        for pairs in Flows(program).pairs()
        for giver, taker in zip(pairs.giver.tolist(), pairs.taker.tolist(), strict=True)
    }
    assert found == {("read", name), (name, "write")}
    number = records[names.index(name)].queue
    assert next(u.busy for u in profile(program).units if u.number == number) == COUNT


@pytest.mark.parametrize("instruction", [i for i in TABLE.by_name.values() if not i.is_clocked], ids=lambda i: i.name)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_instruction_has_one_function_in_every_engine(engine: str, instruction: Any) -> None:
    assert Kernel.__module__  # its units register theirs when they are imported
    assert len(ENGINES[engine].found(instruction)) == 1


@pytest.mark.parametrize("instruction", [i for i in TABLE.by_name.values() if i.is_clocked], ids=lambda i: i.name)
def test_what_moves_the_clock_has_none(instruction: Any) -> None:
    assert OP_CLASSES[instruction.name].PACKED_ONLY
    assert not any(functions.found(instruction) for functions in ENGINES.values())


def test_a_second_function_is_refused() -> None:
    with pytest.raises(AssertionError, match="the reference engine has two functions for shift"):
        reference.EXECUTES.executes(instructions.ShiftOp)(lambda *_: None)
