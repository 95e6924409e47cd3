"""The bulk kernel as IR: the loop over groups, blocks and steps, and the steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from ....dialects.instructions import TABLE
from ....dialects.machine.effects import Effect
from ....dialects.machine.instruction import Instruction
from .. import arithmetic
from ..build import I64, PTR, V16I32, VOID, WORD, Function, Module, Value, ir, number
from ..dots import DOTS
from ..lanes import QUARTER, WIDE, Lanes
from ..layout import BLOCK, SOURCES, Chip, Finish
from ..moves import Moves, width_of
from .gemm import Gemm
from .half_gemm import HalfGemm
from .rows import (
    GROUP_WORDS,
    LISTED,
    NARROWS,
    OPERAND_WORDS,
    OPERANDS,
    PREPARES,
    STEP_WORDS,
    WIDENS,
    Env,
    Group,
    Op,
    Operand,
    Step,
)

ENTRY = "tspc_bulk"
"""The function that the kernel exports: tspc_bulk(env, first group, end of the groups)."""


class Handler(Function):
    """A step on `count` vectors of a block, the first being number `first` of the group."""

    FORM = ir.FunctionType(VOID, [PTR, PTR, I64, I64])

    def __init__(self, module: Module, name: str, exported: bool = False):
        super().__init__(module, name, [PTR, PTR, I64, I64], exported=exported)
        self.env, self.step, self.first, self.count = self.arguments
        self.mode = self.word(self.step, Step.MODE)
        self.blocks = self.word(self.env, Chip.BLOCKS)

    def operand(self, index: int | Value) -> Vectors:
        """An operand of the step, by its number."""
        if isinstance(index, int):
            row, place = divmod(index, OPERANDS)
            word = number(STEP_WORDS * row + Step.OPERANDS + OPERAND_WORDS * place)
        else:
            row, place = self.b.udiv(index, number(OPERANDS)), self.b.urem(index, number(OPERANDS))
            word = self.b.add(self.b.mul(row, number(STEP_WORDS)), self.b.mul(place, number(OPERAND_WORDS)))
            word = self.b.add(word, number(Step.OPERANDS))
        base, outer, inner = (self.word(self.step, self.b.add(word, number(part))) for part in Operand)
        address = self.b.add(base, self.b.mul(self.first, outer))
        return Vectors(self, self.b.inttoptr(address, PTR), inner)


class Vectors:
    """The vectors of a block that an operand names."""

    def __init__(self, f: Function, first: Value, step: Value):
        self._f, self.first, self.step = f, first, step
        """`first` is the address of the first vector, and `step` the bytes to the next, unless they are listed."""

    def at(self, v: Value) -> Value:
        """The address of vector `v`."""
        f = self._f
        place = f.variable(f.at(self.first, f.b.mul(v, self.step)))
        with f.when(f.compare("==", self.step, LISTED)):
            place.set(f.pointer(self.first, v))
        return place.get()

    def number(self, v: Value) -> Value:
        """The number in place of an address."""
        return self._f.b.ptrtoint(self._f.at(self.first, self._f.b.mul(v, self.step)), I64)


class BulkKernel:
    """The whole kernel, built into one module."""

    def __init__(self, path: str):
        self.module = Module("tspc_bulk")
        self.lanes = Lanes(self.module)
        self.moves = Moves(self.module, self.lanes)
        dot = DOTS[path]()
        self.gemm, self.half = Gemm(self.module, path, dot), HalfGemm(self.module, dot, self.lanes)
        self.handlers: dict[int, Handler] = {
            Op.COPY: self._copy(),
            Op.CUT: self._masked("cut_step", self.lanes.cut),
            Op.BLEND: self._masked("blend_step", self.lanes.blend),
            Op.ALU: self._alu(),
            Op.HALVE: self._halve(),
            Op.MULTIPLY: self._multiply(),
            Op.MULTIPLY_HALF: self._multiply_half(),
            Op.PACK: self._pack("pack_step", self.gemm.pack, 2),
            Op.PACK_BYTES: self._pack("pack_bytes_step", self.half.pack, 2),
            Op.PAIR: self._pack("pair_step", self.half.pair, 3),
            **{Op.INSTRUCTION + i.opcode: self._move(i) for i in TABLE.with_effect(Effect.MOVE)},
            **{Op.INSTRUCTION + i.opcode: self._gather(i) for i in TABLE.with_effect(Effect.GATHER)},
            **{Op.INSTRUCTION + i.opcode: self._scatter(i) for i in TABLE.with_effect(Effect.SCATTER)},
            **{op: self._widen(op, form.bytes, self.lanes.widen[form]) for op, form in WIDENS.items()},
            **{op: self._prepare(op, self.lanes.prepare[form]) for op, form in PREPARES.items()},
            **{op: self._narrow(width) for op, width in NARROWS.items()},
        }
        self._run()

    # -- vectors as they are -----------------------------------------------------------------------------------

    def _copy(self) -> Handler:
        f = Handler(self.module, "copy_step")
        target, source = f.operand(0), f.operand(1)
        size = f.b.mul(f.mode, number(BLOCK))
        dense = f.b.and_(*(f.b.icmp_signed("==", place.step, size) for place in (target, source)))
        with f.either(dense) as (whole, apart):
            with whole:
                f.call(self.lanes.copy, target.first, source.first, f.b.mul(f.mode, f.count))
            with apart, f.loop(f.count) as v:
                f.call(self.lanes.copy, target.at(v), source.at(v), f.mode)
        f.give()
        return f

    def _masked(self, name: str, function: Function) -> Handler:
        f = Handler(self.module, name)
        target, source = f.operand(0), f.operand(1)
        lanes = f.b.mul(f.mode, f.word(f.env, Chip.TILE_LANES))
        with f.loop(f.count) as v:
            f.call(function, target.at(v), source.at(v), lanes, f.blocks)
        f.give()
        return f

    # -- ALUs --------------------------------------------------------------------------------------------------

    def _widen(self, op: int, width: int, function: Function) -> Handler:
        return self._each(f"widen_step{op}", [*range(width + 1)], function)

    def _prepare(self, op: int, function: Function) -> Handler:
        return self._each(f"prepare_step{op}", [0, 1], function)

    def _narrow(self, width: int) -> Handler:
        """The planes are operands 1 and on; the lanes are operand 0, as they are for widen."""
        return self._each(f"narrow_step{width}", [*range(1, width + 1), 0], self.lanes.narrow[width])

    def _each(self, name: str, operands: Sequence[int], function: Function) -> Handler:
        """Calls a function for every vector with the addresses of some operands, and the blocks of a vector."""
        f = Handler(self.module, name)
        places = [f.operand(i) for i in operands]
        with f.loop(f.count) as v:
            f.call(function, *(place.at(v) for place in places), f.blocks)
        f.give()
        return f

    def _alu(self) -> Handler:
        """Results and operands lie without gaps; an immediate is one block. An operation looks at as many operands as
        it has."""
        f = Handler(self.module, "alu_step")
        target, *places = (f.operand(i) for i in range(1 + SOURCES))
        operands = [word for place in places for word in (place.first, self._block_step(f, place.step))]
        f.call(self.lanes.alu, f.mode, target.first, *operands, f.b.mul(f.blocks, f.count))
        f.give()
        return f

    def _block_step(self, f: Function, step: Value) -> Value:
        return f.b.select(f.compare("==", step, 0), number(0), number(WIDE))

    def _halve(self) -> Handler:
        """Both operands lie without gaps."""
        f = Handler(self.module, "halve_step")
        target, source = f.operand(0).first, f.operand(1).first
        with f.loop(f.b.mul(f.b.mul(f.blocks, f.count), number(4))) as i:
            offset = f.b.mul(i, number(QUARTER))
            lanes = arithmetic.finish(f, f.load(f.at(source, offset), V16I32, QUARTER), Finish.HALF)
            f.store(lanes, f.at(target, offset), QUARTER)
        f.give()
        return f

    # -- products ----------------------------------------------------------------------------------------------

    def _multiply(self) -> Handler:
        f = Handler(self.module, "multiply_step")
        target, source, array = (f.operand(i) for i in range(3))
        with f.loop(f.count) as v:
            self.gemm.put_input(f, f.env, v, source.at(v))
        f.call(self.gemm.multiply, f.env, f.count, target.first, target.step, array.first, f.mode)
        f.give()
        return f

    def _multiply_half(self) -> Handler:
        f = Handler(self.module, "multiply_half_step")
        target, low, high, weights = (f.operand(i) for i in range(4))
        with f.loop(f.count) as v:
            self.half.put_input(f, f.env, v, low.at(v), high.at(v))
        inputs = f.pointer(f.env, Env.INPUTS)
        f.call(self.half.multiply, f.env, f.count, target.first, target.step, inputs, weights.first, f.mode)
        f.give()
        return f

    def _pack(self, name: str, function: Function, operands: int) -> Handler:
        f = Handler(self.module, name)
        f.call(function, f.env, *(f.operand(i).first for i in range(operands)))
        f.give()
        return f

    # -- lanes and words that move -----------------------------------------------------------------------------

    def _move(self, instruction: Instruction) -> Handler:
        """Fills the table of vectors for every vector, and has the lanes moved."""
        f = Handler(self.module, f"{instruction.name}_step")
        groups = [field.group for field in instruction.fields if field.role]
        widths = [group for group in groups if isinstance(group, int)]
        if len(widths) == len(groups):
            places = [f.operand(i) for i in range(sum(widths))]
            with f.loop(f.count) as v:
                for i, place in enumerate(places):
                    f.put(f.pointer(f.env, Chip.VECTORS), i, f.b.ptrtoint(place.at(v), I64))
                f.call(self.moves.moves[instruction.name], f.env, f.mode)
        else:
            operands = reduce(f.b.add, [width_of(f, f.env, group) for group in groups])
            with f.loop(f.count) as v:
                with f.loop(operands) as i:
                    f.put(f.pointer(f.env, Chip.VECTORS), i, f.b.ptrtoint(f.operand(i).at(v), I64))
                f.call(self.moves.moves[instruction.name], f.env, f.mode)
        f.give()
        return f

    def _gather(self, instruction: Instruction) -> Handler:
        f = Handler(self.module, f"{instruction.name}_step")
        target, numbers, slice_, added = (f.operand(i) for i in range(4))
        with f.loop(f.count) as v:
            places = (target.at(v), numbers.at(v), slice_.first)
            f.call(self.moves.gathers[instruction.name], f.env, *places, added.number(v))
        f.give()
        return f

    def _scatter(self, instruction: Instruction) -> Handler:
        f = Handler(self.module, f"{instruction.name}_step")
        numbers, source, slice_, added = (f.operand(i) for i in range(4))
        with f.loop(f.count) as v:
            places = (numbers.at(v), source.at(v), slice_.first)
            f.call(self.moves.scatters[instruction.name], f.env, *places, added.number(v), f.mode)
        f.give()
        return f

    # -- all ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """tspc_bulk(env, first, end): runs these groups in their order."""
        f = Function(self.module, ENTRY, [PTR, I64, I64], exported=True)
        env, start, end = f.arguments
        groups, steps = f.pointer(env, Env.GROUPS), f.pointer(env, Env.STEPS)
        with f.loop(f.b.sub(end, start)) as i:
            group = f.at(groups, f.b.mul(f.b.add(start, i), number(GROUP_WORDS * WORD)))
            first, last = f.word(group, Group.FIRST), f.word(group, Group.END)
            count, block = f.word(group, Group.COUNT), f.word(group, Group.BLOCK)
            done = f.variable(0)
            with f.forever() as over:
                left = f.b.sub(count, done.get())
                f.stop_if(f.compare("<=", left, 0), over)
                vectors = f.b.select(f.b.icmp_signed("<", left, block), left, block)
                with f.loop(f.b.sub(last, first)) as j:
                    step = f.at(steps, f.b.mul(f.b.add(first, j), number(STEP_WORDS * WORD)))
                    with f.cases(f.word(step, Step.OP)) as cases:
                        for op, handler in self.handlers.items():
                            with cases.case(op):
                                f.call(handler, env, step, done.get(), vectors)
                        with cases.case(Op.CALL):
                            chain = f.load(f.at(step, Step.MODE * WORD), Handler.FORM.as_pointer(), WORD)
                            f.b.call(chain, [env, step, done.get(), vectors])
                done.set(f.b.add(done.get(), vectors))
        f.give()
