"""Chains of ALUs that are compiled for a program: what steps would do one after the other, through a block's buffers,
is done in registers, 64 lanes at a time.

A chain is compiled once for all groups and programs that have it, and kept on disk like the kernel. A program with many
chains shares those that differ only in immediates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from ..arithmetic import ANY_NAN, BINARY, RAW, TERNARY, UNARY, canonical, finish, prepare
from ..build import V16F32, V16I32, V64I8, Module, Value, number, splat
from ..cache import building, cache_directory, compile_module, link, object_code
from ..lanes import QUARTER, WIDE, deinterleave, interleave
from ..layout import BLOCK, Alu, Finish
from .kernel import Handler
from .rows import PREPARES, WIDENS, Op

ENTRY = "tspc_chain"
"""The function that a chain's object code exports."""

_PACKAGES = (__package__ or "", (__package__ or "").rpartition(".")[0])

LANEWISE = (Op.ALU, Op.HALVE, *PREPARES)
"""From 32-bit lanes to such lanes."""

_OPERATIONS: dict[Alu, Callable[..., Value]] = {**UNARY, **BINARY, **TERNARY}

VECTORS, ANY = -1, -2

SPECIAL = 16
"""The most chains of a program that are compiled for their immediates, which spares many of the checks for NaN."""


class Register(NamedTuple):
    """A value of 64 lanes of 32 bits."""

    number: int


class Memory(NamedTuple):
    """An operand in memory: its number among those of the chain."""

    number: int
    bits: int = VECTORS
    """VECTORS; or of an immediate, which is one block for all vectors, its bits, or ANY, left to memory."""


class Link(NamedTuple):
    """One step of a chain: as a row of `Step`, the result first, of NARROW and COPY the source first."""

    op: int
    mode: int
    operands: tuple[Register | Memory, ...]


Chain = tuple[Link, ...]


def generic(chain: Chain) -> Chain:
    """The chain that leaves its immediates to memory."""

    def left(operand: Register | Memory) -> Register | Memory:
        return Memory(operand.number, ANY) if isinstance(operand, Memory) and operand.bits != VECTORS else operand

    return tuple(Link(op, mode, tuple(left(o) for o in operands)) for op, mode, operands in chain)


def build(chain: Chain) -> Module:
    """The code of a chain."""
    module = Module(ENTRY)
    f = Handler(module, ENTRY, exported=True)
    uses = {o.number: o for link_ in chain for o in link_.operands if isinstance(o, Memory)}
    places = {n: f.operand(n) for n in uses}
    constants = {
        n: f.load(places[n].first, V16I32, QUARTER)
        if use.bits == ANY
        else splat(use.bits - (use.bits >> 31 << 32), V16I32)
        for n, use in uses.items()
        if use.bits != VECTORS
    }
    with f.loop(f.count) as v:
        vectors = {n: place.at(v) for n, place in places.items()}
        with f.loop(f.blocks) as i:
            plane, wide = f.b.mul(i, number(BLOCK)), f.b.mul(i, number(WIDE))
            registers: dict[int, list[Value]] = {}
            raw: dict[int, list[Value]] = {}
            """Of registers with floats, what they hold but for the bits of NaN; made canonical when these are seen."""

            def quarters(operand: Register | Memory, any_nan: bool = False) -> list[Value]:
                if isinstance(operand, Register):
                    n = operand.number
                    if any_nan and n in raw:
                        return raw[n]
                    if n not in registers:
                        registers[n] = [canonical(f, f.as_type(a, V16F32)) for a in raw[n]]
                    return registers[n]
                if operand.bits != VECTORS:
                    return [constants[operand.number]] * 4
                block = f.at(vectors[operand.number], wide)
                return [f.load(f.at(block, j * QUARTER), V16I32, QUARTER) for j in range(4)]

            def address(operand: Register | Memory, offset: Value) -> Value:
                return f.at(vectors[operand.number], offset)

            for op, mode, operands in chain:
                if op == Op.ALU:
                    alu = Alu(mode)
                    lanes = zip(*(quarters(o, alu in ANY_NAN) for o in operands[1:]), strict=True)
                    result = [f.as_type(RAW.get(alu, _OPERATIONS[alu])(f, *own), V16I32) for own in lanes]
                    (raw if alu in RAW else registers)[operands[0].number] = result
                elif op in PREPARES:
                    registers[operands[0].number] = [prepare(f, a, PREPARES[op]) for a in quarters(operands[1])]
                elif op == Op.HALVE:
                    registers[operands[0].number] = [
                        finish(f, a, Finish.HALF) for a in quarters(operands[1], any_nan=True)
                    ]
                elif op == Op.COPY:
                    block = address(operands[1], wide)
                    for j, quarter in enumerate(quarters(operands[0])):
                        f.store(quarter, f.at(block, j * QUARTER), QUARTER)
                elif op in WIDENS:
                    form = WIDENS[op]
                    planes = [f.load(address(o, plane), V64I8, BLOCK) for o in operands[1:]]
                    lanes = interleave(f, planes * (4 // form.bytes))
                    registers[operands[0].number] = [prepare(f, a, form) for a in lanes]
                else:
                    planes = deinterleave(f, quarters(operands[0]))
                    for value, target in zip(planes, operands[1:], strict=False):
                        f.store(value, address(target, plane), BLOCK)
    f.give()
    return module


class CompiledChain:
    """A chain in memory; the code lives as long as this object."""

    def __init__(self, chain: Chain, path: str, cached: bool):
        directory, key = cache_directory() if cached else None, f"{path} {chain}"
        code = object_code("chain", key, directory, lambda: compile_module(str(build(chain)), path), _PACKAGES)
        self._library: Any = link(code, ENTRY)
        self.address: int = self._library[ENTRY]


def compiled_chain(chain: Chain, path: str, cached: bool) -> CompiledChain:
    """A chain for a path, compiled once per process."""
    with building:
        return _shared(chain, path, cached)


@lru_cache(1024)
def _shared(chain: Chain, path: str, cached: bool) -> CompiledChain:
    """The chains of programs that are loaded live as long as those, more of them or not."""
    return CompiledChain(chain, path, cached)
