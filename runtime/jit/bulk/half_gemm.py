"""Matrix products of a block of fp16 vectors, as IR: exact products summed in f64 in ascending k, as half_matrix.py
says.

The bytes of a plane's weights are kept as rows when they are installed; when a group needs them, those of two planes
are made f32.
"""

from __future__ import annotations

from ..arithmetic import add_floats
from ..build import I64, PTR, V16I32, V64I8, WORD, Function, Module, Value, number, splat
from ..dots import Dot
from ..half_matrix import EIGHTH, half_products, put_half_input, widen_weights
from ..lanes import QUARTER, WIDE, Lanes
from ..layout import BLOCK, GROUP, Chip
from .rows import ROWS_WORDS, Env, Rows

INPUT_BYTES = 8
"""Bytes of an activation."""


def weight_bytes(lanes: int, stride: int) -> int:
    """Bytes of the f32 weights of a pair of planes."""
    return 4 * lanes * stride


class HalfGemm:
    """The functions of MULTIPLY_HALF, PACK_BYTES and PAIR."""

    def __init__(self, module: Module, dot: Dot, lanes: Lanes):
        self.module, self.dot, self.lanes = module, dot, lanes
        self.tiles = [(n, self._tile(n)) for n in (dot.half_vectors, 1)]
        self.multiply = self._multiply()
        self.pack = self._pack()
        self.pair = self._pair()

    def _tile(self, vectors: int) -> Function:
        """tile(inputs, bytes from one input to the next, weights, rows, target, bytes from one target to the next,
        whether sums are added): some columns of some vectors' sums"""
        f = Function(self.module, f"half_tile{vectors}", [PTR, I64, PTR, I64, PTR, I64, I64])
        inputs, input_step, weights, rows, target, target_step, adds = f.arguments
        sources = [f.at(inputs, f.b.mul(input_step, number(v))) for v in range(vectors)]
        products = half_products(f, sources, weights, rows, self.dot.half_columns)
        for v, quarters in enumerate(products):
            row = f.at(target, f.b.mul(target_step, number(v)))
            for j, sums in enumerate(quarters):
                place = f.at(row, j * QUARTER)
                result = f.variable(sums)
                with f.when(f.compare("!=", adds, 0)):
                    result.set(add_floats(f, f.load(place, V16I32, QUARTER), sums))
                f.store(result.get(), place, QUARTER)
        f.give()
        return f

    def _multiply(self) -> Function:
        """multiply(env, vectors, target, its step, inputs, weights, whether sums are added)"""
        f = Function(self.module, "multiply_halves", [PTR, I64, PTR, I64, PTR, PTR, I64])
        env, count, target, target_step, inputs, weights, adds = f.arguments
        rows, columns = f.word(env, Chip.LANES), self.dot.half_columns
        input_step = f.b.mul(f.word(env, Chip.STRIDE), number(INPUT_BYTES))
        with f.loop(f.word(env, Chip.BLOCKS)) as block, f.loop(8 // columns) as strip:
            place = f.b.mul(strip, number(columns * EIGHTH))
            here = f.at(f.at(weights, f.b.mul(f.b.mul(block, rows), number(WIDE))), place)
            sums = f.at(target, f.b.add(f.b.mul(block, number(WIDE)), place))
            done = f.variable(0)
            for vectors, tile in self.tiles:
                with f.forever() as end:
                    v = done.get()
                    f.stop_if(f.compare(">", f.b.add(v, number(vectors)), count), end)
                    x, to = f.at(inputs, f.b.mul(v, input_step)), f.at(sums, f.b.mul(v, target_step))
                    f.call(tile, x, input_step, here, rows, to, target_step, adds)
                    done.add(vectors)
        f.give()
        return f

    def put_input(self, f: Function, env: Value, v: Value, low: Value, high: Value) -> None:
        """Vector `v` of a block, given by its byte planes, as products take it."""
        size = f.b.mul(f.word(env, Chip.STRIDE), number(INPUT_BYTES))
        put_half_input(f, low, high, f.at(f.pointer(env, Env.INPUTS), f.b.mul(v, size)), f.word(env, Chip.BLOCKS))

    def _pack(self) -> Function:
        """pack_bytes(env, target, rows): all rows one after the other; those that were not loaded are zero"""
        f = Function(self.module, "pack_bytes", [PTR, PTR, PTR])
        env, target, rows = f.arguments
        stride, blocks = f.word(env, Chip.STRIDE), f.word(env, Chip.BLOCKS)
        with f.loop(f.b.mul(f.word(env, Chip.ROW_GROUPS), f.b.mul(blocks, number(GROUP)))) as i:
            f.store(splat(0, V64I8), f.at(target, f.b.mul(i, number(BLOCK))), BLOCK)
        first = f.b.mul(f.word(rows, Rows.FIRST), number(GROUP))
        end = f.b.mul(f.word(env, Chip.ROW_GROUPS), number(GROUP))
        with f.loop(f.b.mul(f.word(rows, Rows.GROUPS), number(GROUP))) as i:
            row = f.b.add(first, i)
            with f.when(f.compare("<", row, end)):  # rows beyond only fill up what a dot product takes at a time
                source = f.pointer(f.at(rows, ROWS_WORDS * WORD), i)
                f.call(self.lanes.copy, f.at(target, f.b.mul(row, stride)), source, blocks)
        f.give()
        return f

    def _pair(self) -> Function:
        """pair(env, target, rows of low bytes, rows of high bytes)"""
        f = Function(self.module, "pair_bytes", [PTR] * 4)
        env, target, low, high = f.arguments
        widen_weights(f, env, target, low, high)
        f.give()
        return f
