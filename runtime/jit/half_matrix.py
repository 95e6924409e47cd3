"""Products of fp16 vectors with fp16 weights as IR.

The weights of two planes, low bytes and high bytes, are made f32 once, when the first vector meets them: in each block
of 64 columns row after row, in the wide order of `lanes.py`. Products are exact in f64, where they are summed in
ascending k, each column by itself; so a fused multiply-add gives the same sums as two operations, and is used where
the CPU has one.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import halves
from .arithmetic import canonical
from .build import F64, I16, I32, I64, PTR, V8F32, V8F64, V16I32, V64I8, Function, Module, Value, number, splat, vector
from .dots import Dot
from .lanes import QUARTER, WIDE, deinterleave, interleave
from .layout import BLOCK, GROUP, LIST, Chip, Plane
from .streams import vector_at

_V16I16 = vector(I16, 16)
_V16F64 = vector(F64, 16)
EIGHTH = WIDE // 8
"""Bytes of 8 columns of weights."""


class HalfMatrix:
    """What the MXM does with fp16."""

    def __init__(self, module: Module, dot: Dot):
        self.module, self.dot = module, dot
        self.refresh = self._refresh()
        """refresh(chip, plane): makes the weights of the two arrays in effect, unless they are made"""
        self.batch = self._multiply(dot.half_vectors, dot.half_columns)
        self.single = self._multiply(1, dot.half_columns)

    # -- weights -----------------------------------------------------------------------------------------------

    def _refresh(self) -> Function:
        f = Function(self.module, "refresh", [PTR, PTR])
        chip, low = f.arguments
        high = f.pointer(low, Plane.HIGH)
        installs = [f.word(plane, Plane.INSTALLED) for plane in (low, high)]
        made = [f.word(low, word) for word in (Plane.LOW_MADE_OF, Plane.HIGH_MADE_OF)]
        same = [f.b.icmp_signed("==", a, b) for a, b in zip(installs, made, strict=True)]
        with f.when(f.b.not_(f.b.and_(*same))):
            rows = f.pointer(chip, Chip.HALF_BYTES)
            size = f.b.mul(f.b.mul(f.word(chip, Chip.ROW_GROUPS), number(GROUP)), f.word(chip, Chip.STRIDE))
            for i, plane in enumerate((low, high)):
                self._unpack(f, chip, plane, f.at(rows, f.b.mul(size, number(i))), size)
            self._widen(f, chip, low, rows, size)
            f.put(low, Plane.LOW_MADE_OF, installs[0])
            f.put(low, Plane.HIGH_MADE_OF, installs[1])
        f.give()
        return f

    def _unpack(self, f: Function, chip: Value, plane: Value, rows: Value, size: Value) -> None:
        """The weights of the array in effect as rows of bytes, as they were loaded; the others are zero."""
        with f.loop(f.b.lshr(size, number(6))) as i:
            f.store(splat(0, V64I8), f.at(rows, f.b.mul(i, number(BLOCK))), BLOCK)
        array = f.pointer(plane, Plane.ACTIVE)
        count = f.word(array, 0)
        quarter = QUARTER * self.dot.parts
        with f.loop(f.word(chip, Chip.BLOCKS)) as block, f.loop(count) as i:
            index = f.b.add(f.b.mul(block, count), i)
            packed = f.at(f.at(array, f.word(chip, Chip.WEIGHTS)), f.b.mul(index, number(4 * quarter)))
            quarters = [self.dot.unpack(f, f.at(packed, j * quarter)) for j in range(4)]
            group = f.b.sext(f.load(f.at(f.at(array, LIST), f.b.mul(i, number(4))), I32, 4), I64)
            first = f.b.mul(group, number(GROUP))
            for r, weights in enumerate(deinterleave(f, quarters)):
                row = vector_at(f, chip, rows, f.b.add(first, number(r)))
                target = f.at(row, f.b.mul(block, number(BLOCK)))
                # Groups that only pad the list are zero, and have the number of another.
                f.store(f.b.or_(f.load(target, V64I8, BLOCK), weights), target, BLOCK)

    def _widen(self, f: Function, chip: Value, plane: Value, rows: Value, size: Value) -> None:
        """The weights as f32, from rows of low and of high bytes."""
        widen_weights(f, chip, f.pointer(plane, Plane.HALF_WEIGHTS), rows, f.at(rows, size))

    # -- products ----------------------------------------------------------------------------------------------

    def _multiply(self, vectors: int, columns: int) -> Function:
        """multiply(chip, plane, first): the sums of `vectors` vectors from number `first` on, 8 x `columns` columns of
        a block at a time."""
        f = Function(self.module, f"multiply_half{vectors}", [PTR, PTR, I64])
        chip, plane, first = f.arguments
        rows, stride = f.word(chip, Chip.LANES), f.word(chip, Chip.STRIDE)
        inputs: list[Value] = []
        sums: list[Value] = []
        for v in range(vectors):
            index = f.b.and_(f.b.add(first, number(v)), f.word(chip, Chip.SUM_MASK))
            inputs.append(f.at(f.pointer(plane, Plane.HALF_INPUTS), f.b.mul(index, f.b.mul(stride, number(8)))))
            sums.append(vector_at(f, chip, f.pointer(plane, Plane.SUMS), f.b.mul(index, number(4))))
        with f.loop(f.word(chip, Chip.BLOCKS)) as block, f.loop(8 // columns) as strip:
            place = f.b.mul(strip, number(columns * EIGHTH))
            weights = f.at(f.pointer(plane, Plane.HALF_WEIGHTS), f.b.mul(f.b.mul(block, rows), number(WIDE)))
            products = half_products(f, inputs, f.at(weights, place), rows, columns)
            offset = f.b.add(f.b.mul(block, number(WIDE)), place)
            for target, quarters in zip(sums, products, strict=True):
                for j, rounded in enumerate(quarters):
                    f.store(rounded, f.at(f.at(target, offset), j * QUARTER), QUARTER)
        f.give()
        return f


# -- what bulk mode needs too ------------------------------------------------------------------------------------------


def put_half_input(f: Function, low: Value, high: Value, target: Value, blocks: Value) -> None:
    """A vector of activations, given by its byte planes, as f64 in the order of lanes."""
    with f.loop(blocks) as i:
        offset = f.b.mul(i, number(BLOCK))
        left, right = (f.load(f.at(source, offset), V64I8, BLOCK) for source in (low, high))
        for first in range(0, BLOCK, 16):
            pairs = f.shuffle(left, right, [i + side for i in range(first, first + 16) for side in (0, BLOCK)])
            half = f.b.zext(f.as_type(pairs, _V16I16), V16I32)
            x = f.b.fpext(halves.widen(f, half), _V16F64)
            f.store(x, f.at(target, f.b.mul(f.b.add(offset, number(first)), number(8))), BLOCK)


def widen_weights(f: Function, chip: Value, target: Value, low_rows: Value, high_rows: Value) -> None:
    """The weights of a pair of planes as f32 in blocks of 64 columns, from rows of their low and their high bytes."""
    count = f.word(chip, Chip.LANES)
    with f.loop(f.word(chip, Chip.BLOCKS)) as block, f.loop(count) as k:
        column = f.b.mul(block, number(BLOCK))
        low, high = (f.load(f.at(vector_at(f, chip, rows, k), column), V64I8, BLOCK) for rows in (low_rows, high_rows))
        here = f.at(target, f.b.mul(f.b.add(f.b.mul(block, count), k), number(WIDE)))
        for j, lanes in enumerate(interleave(f, [low, high, low, high])):
            weights = halves.widen(f, f.b.lshr(lanes, splat(16, V16I32)))
            f.store(weights, f.at(here, j * QUARTER), QUARTER)


def half_products(f: Function, inputs: Sequence[Value], weights: Value, rows: Value, columns: int) -> list[list[Value]]:
    """By vector, the sums of its products with 8 x `columns` columns of weights, rounded to f32 as i32, 16 at a time.

    `inputs` are the vectors as `put_half_input` leaves them; `weights` the first row's, WIDE bytes before the next's.
    """
    fma = f.module.intrinsic("llvm.fmuladd.v8f64", V8F64, [V8F64] * 3)
    totals = [[f.variable(splat(0.0, V8F64)) for _ in range(columns)] for _ in inputs]
    with f.loop(rows) as k:
        here = f.at(weights, f.b.mul(k, number(WIDE)))
        w = [f.b.fpext(f.load(f.at(here, j * EIGHTH), V8F32, EIGHTH), V8F64) for j in range(columns)]
        for source, own in zip(inputs, totals, strict=True):
            x = f.broadcast(f.load(f.at(source, f.b.mul(k, number(8))), F64, 8), 8)
            for total, weight in zip(own, w, strict=True):
                total.set(f.call(fma, x, weight, total.get()))
    results: list[list[Value]] = []
    for own in totals:
        parts = [f.b.fptrunc(total.get(), V8F32) for total in own]
        pairs = zip(parts[::2], parts[1::2], strict=True)
        results.append([canonical(f, f.shuffle(left, right, range(16))) for left, right in pairs])
    return results
