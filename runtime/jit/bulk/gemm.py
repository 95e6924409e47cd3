"""Matrix products of a block of vectors, as IR.

Weights are packed once for each install: of every block of 64 columns all groups of four rows, one after the other, so
that a strip of columns stays in the first-level cache while the vectors of a block pass by. Sums stay in registers
for a few vectors at once.
"""

from __future__ import annotations

from ..build import I64, PTR, V16I32, V64I8, WORD, Function, Module, Value, number, splat
from ..dots import Dot
from ..lanes import QUARTER, WIDE, interleave
from ..layout import BLOCK, GROUP, Chip
from .rows import ROWS_WORDS, Env, Rows

TILE = {"vnni": 6, "plain": 2, "avx2": 2}
"""Vectors whose sums are in registers at once, by path: with VNNI 24 sums, 4 weights and an activation fill 32."""

_AHEAD = 6
"""Groups of rows that are fetched before they are packed: rows lie in many places, which no CPU foresees."""

_GROUPS, _FIRST = 0, 1
"""Words of an array before its column constants."""


def array_bytes(lanes: int, stride: int, unroll: int, quarter: int) -> int:
    """Bytes of an array of `lanes` rows; a group's weights of 16 columns take `quarter`."""
    groups = -(-lanes // GROUP) + unroll
    return BLOCK + 4 * stride + stride // BLOCK * groups * 4 * quarter


class Gemm:
    """The functions of MULTIPLY and PACK."""

    def __init__(self, module: Module, path: str, dot: Dot):
        self.module, self.dot = module, dot
        self.quarter = QUARTER * dot.parts
        """Bytes of the weights of 16 columns and a group of rows."""
        self.tile = self._tile(TILE[path], 1)
        self.single = self._tile(1, dot.unroll)
        self.vectors = TILE[path]
        self.prepare = self._prepare()
        self.multiply = self._multiply()
        self.pack = self._pack()

    def _prepare(self) -> Function:
        """prepare(target, source, blocks): a vector of activations as dot products take them"""
        f = Function(self.module, "prepare", [PTR, PTR, I64])
        target, source, blocks = f.arguments
        size = BLOCK * self.dot.input_bytes
        with f.loop(blocks) as i:
            lanes = f.load(f.at(source, f.b.mul(i, number(BLOCK))), V64I8, BLOCK)
            f.store(self.dot.prepare(f, lanes), f.at(target, f.b.mul(i, number(size))), BLOCK)
        f.give()
        return f

    def put_input(self, f: Function, env: Value, v: Value, source: Value) -> None:
        """Vector `v` of a block as products take it."""
        size = f.b.mul(f.word(env, Chip.STRIDE), number(self.dot.input_bytes))
        f.call(self.prepare, f.at(f.pointer(env, Env.INPUTS), f.b.mul(v, size)), source, f.word(env, Chip.BLOCKS))

    def _tile(self, vectors: int, unroll: int) -> Function:
        """tile(inputs, bytes from one input to the next, weights, groups, column constants, target, bytes from one
        target to the next, mask): 16 x `dot.quarters` columns of some vectors' sums, added to the target's bits that
        the mask keeps"""
        f = Function(self.module, f"tile{vectors}", [PTR, I64, PTR, I64, PTR, PTR, I64, I64])
        inputs, input_step, weights, groups, bias, target, target_step, mask = f.arguments
        quarters, parts = self.dot.quarters, self.dot.parts
        sources = [f.at(inputs, f.b.mul(input_step, number(v))) for v in range(vectors)]
        totals = [
            [[f.variable(splat(0, V16I32)) for _ in range(quarters * parts)] for _ in range(unroll)]
            for _ in range(vectors)
        ]
        with f.loop(f.b.sdiv(groups, number(unroll))) as step:
            for u in range(unroll):
                i = f.b.add(f.b.mul(step, number(unroll)), number(u))
                x = [self.dot.load(f, f.at(s, f.b.mul(i, number(GROUP * self.dot.input_bytes)))) for s in sources]
                here = f.at(weights, f.b.mul(i, number(4 * self.quarter)))
                for j in range(quarters * parts):
                    w = f.load(f.at(here, j * QUARTER), self.dot.weights, QUARTER)
                    for v in range(vectors):
                        total = totals[v][u][j]
                        total.set(self.dot.add(f, total.get(), x[v], w))
        kept = f.broadcast(f.b.trunc(mask, V16I32.element), 16)
        for v in range(vectors):
            row = f.at(target, f.b.mul(target_step, number(v)))
            for j in range(quarters):
                before = f.b.and_(f.load(f.at(row, j * QUARTER), V16I32, QUARTER), kept)
                total = f.b.add(f.load(f.at(bias, j * QUARTER), V16I32, QUARTER), before)
                for u in range(unroll):
                    mine = [t.get() for t in totals[v][u][j * parts : (j + 1) * parts]]
                    total = f.b.add(total, self.dot.finish(f, mine))
                f.store(total, f.at(row, j * QUARTER), QUARTER)
        f.give()
        return f

    def _multiply(self) -> Function:
        """multiply(env, vectors, target, its step, array, whether sums are added)"""
        f = Function(self.module, "multiply", [PTR, I64, PTR, I64, PTR, I64])
        env, count, target, target_step, array, adds = f.arguments
        blocks, inputs = f.word(env, Chip.BLOCKS), f.pointer(env, Env.INPUTS)
        input_step = f.b.mul(f.word(env, Chip.STRIDE), number(self.dot.input_bytes))
        groups, mask = f.word(array, _GROUPS), f.b.neg(adds)
        first = f.at(inputs, f.b.mul(f.word(array, _FIRST), number(GROUP * self.dot.input_bytes)))
        strip_bytes = self.dot.quarters * self.quarter
        bias = f.at(array, BLOCK)
        weights = f.at(bias, f.b.mul(f.word(env, Chip.STRIDE), number(4)))
        with f.loop(blocks) as block, f.loop(4 // self.dot.quarters) as strip:
            offset = f.b.add(f.b.mul(block, number(WIDE)), f.b.mul(strip, number(self.dot.quarters * QUARTER)))
            packed = f.at(weights, f.b.mul(f.b.mul(block, groups), number(4 * self.quarter)))
            packed = f.at(packed, f.b.mul(strip, number(strip_bytes)))
            done = f.variable(0)
            for tile, vectors in ((self.tile, self.vectors), (self.single, 1)):
                with f.forever() as end:
                    v = done.get()
                    f.stop_if(f.compare(">", f.b.add(v, number(vectors)), count), end)
                    x = f.at(first, f.b.mul(v, input_step))
                    sums = f.at(f.at(target, offset), f.b.mul(v, target_step))
                    f.call(tile, x, input_step, packed, groups, f.at(bias, offset), sums, target_step, mask)
                    done.add(vectors)
        f.give()
        return f

    def _pack(self) -> Function:
        """pack(env, array, rows)"""
        f = Function(self.module, "pack", [PTR, PTR, PTR])
        env, array, rows = f.arguments
        groups = f.word(rows, Rows.GROUPS)
        f.put(array, _GROUPS, groups)
        f.put(array, _FIRST, f.word(rows, Rows.FIRST))
        blocks, last = f.word(env, Chip.BLOCKS), f.b.sub(groups, number(1))
        bias = f.at(array, BLOCK)
        weights = f.at(bias, f.b.mul(f.word(env, Chip.STRIDE), number(4)))
        table = f.at(rows, ROWS_WORDS * WORD)
        smin = f.module.intrinsic("llvm.smin.i64", I64, [I64, I64])
        with f.loop(groups) as group:
            four = f.at(table, f.b.mul(group, number(GROUP * WORD)))
            later = f.call(smin, f.b.add(group, number(_AHEAD)), last)
            ahead = f.at(table, f.b.mul(later, number(GROUP * WORD)))
            with f.loop(blocks) as block:
                column = f.b.mul(block, number(BLOCK))
                for r in range(GROUP):
                    f.prefetch(f.at(f.pointer(ahead, r), column))
                lanes = [f.load(f.at(f.pointer(four, r), column), V64I8, BLOCK) for r in range(GROUP)]
                place = f.b.add(f.b.mul(block, groups), group)
                target = f.at(weights, f.b.mul(place, number(4 * self.quarter)))
                for j, quarter in enumerate(interleave(f, lanes)):
                    f.store(self.dot.pack(f, quarter), f.at(target, j * self.quarter), QUARTER)
        with f.loop(blocks) as block:
            sums = [f.variable(splat(0, V16I32)) for _ in range(4)]
            with f.loop(groups) as group:
                place = f.b.add(f.b.mul(block, groups), group)
                source = f.at(weights, f.b.mul(place, number(4 * self.quarter)))
                for j, total in enumerate(sums):
                    quarter = self.dot.unpack(f, f.at(source, j * self.quarter))
                    total.set(self.dot.offset(f, total.get(), quarter))
            for j, total in enumerate(sums):
                f.store(total.get(), f.at(f.at(bias, f.b.mul(block, number(WIDE))), j * QUARTER), QUARTER)
        f.give()
        return f
