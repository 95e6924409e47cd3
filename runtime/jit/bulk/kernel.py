"""The bulk kernel as IR: the loop over groups, blocks and steps, and the steps."""

from __future__ import annotations

from collections.abc import Callable

from ..build import I64, PTR, VOID, WORD, Function, Module, Value, ir, number
from ..dots import DOTS
from ..lanes import WIDE, Lanes
from ..layout import BLOCK, SOURCES, Form
from .gemm import Gemm
from .rows import GROUP_WORDS, OPERAND_WORDS, OPERANDS, STEP_WORDS, Env, Group, Op, Operand, Step

ENTRY = "tspc_bulk"
"""The function that the kernel exports: tspc_bulk(env, first group, end of the groups)."""


class Handler(Function):
    """A step on `count` vectors of a block, the first being number `first` of the group."""

    FORM = ir.FunctionType(VOID, [PTR, PTR, I64, I64])

    def __init__(self, module: Module, name: str, exported: bool = False):
        super().__init__(module, name, [PTR, PTR, I64, I64], exported=exported)
        self.env, self.step, self.first, self.count = self.arguments
        self.mode = self.word(self.step, Step.MODE)
        self.blocks = self.word(self.env, Env.BLOCKS)

    def operand(self, number_: int) -> tuple[Value, Value]:
        """The address of an operand's first vector, and the bytes to the next."""
        row, place = divmod(number_, OPERANDS)
        word = STEP_WORDS * row + Step.OPERANDS + OPERAND_WORDS * place
        outer = self.word(self.step, word + Operand.OUTER)
        address = self.at(self.pointer(self.step, word + Operand.BASE), self.b.mul(self.first, outer))
        return address, self.word(self.step, word + Operand.INNER)


class BulkKernel:
    """The whole kernel, built into one module."""

    def __init__(self, path: str):
        self.module = Module("tspc_bulk")
        self.lanes = Lanes(self.module)
        self.gemm = Gemm(self.module, path, DOTS[path]())
        widths, forms = (1, 2, 4), (Form.SIGNED_8, Form.SIGNED_16, Form.WORD)
        self.handlers: dict[Op, Handler] = {
            Op.COPY: self._copy(),
            **{op: self._widen(form) for op, form in zip((Op.WIDEN_1, Op.WIDEN_2, Op.WIDEN_4), forms, strict=True)},
            **{op: self._narrow(n) for op, n in zip((Op.NARROW_1, Op.NARROW_2, Op.NARROW_4), widths, strict=True)},
            Op.ALU: self._alu(),
            **{op: self._sign(form) for op, form in zip((Op.SIGN_8, Op.SIGN_16), forms, strict=False)},
            Op.MULTIPLY: self._multiply(),
            Op.PACK: self._pack(),
        }
        self._run()

    def _copy(self) -> Handler:
        f = Handler(self.module, "copy_step")
        (target, target_step), (source, source_step) = f.operand(0), f.operand(1)
        size = f.b.mul(f.mode, number(BLOCK))
        dense = f.b.and_(f.b.icmp_signed("==", target_step, size), f.b.icmp_signed("==", source_step, size))
        with f.either(dense) as (whole, apart):
            with whole:
                f.call(self.lanes.copy, target, source, f.b.mul(f.mode, f.count))
            with apart, f.loop(f.count) as v:
                to, from_ = f.at(target, f.b.mul(v, target_step)), f.at(source, f.b.mul(v, source_step))
                f.call(self.lanes.copy, to, from_, f.mode)
        f.give()
        return f

    def _widen(self, form: Form) -> Handler:
        return self._each(f"widen_step{form.bytes}", form.bytes + 1, self.lanes.widen[form])

    def _sign(self, form: Form) -> Handler:
        return self._each(f"sign_step{form.bytes}", 2, self.lanes.prepare[form])

    def _narrow(self, width: int) -> Handler:
        """The planes are operands 1 and on; the lanes are operand 0, as they are for widen."""

        def order(operands: list[Value]) -> list[Value]:
            return [*operands[1:], operands[0]]

        return self._each(f"narrow_step{width}", width + 1, self.lanes.narrow[width], order)

    def _each(
        self,
        name: str,
        operands: int,
        function: Function,
        order: Callable[[list[Value]], list[Value]] = lambda operands: operands,
    ) -> Handler:
        """Calls a function for every vector with the operands' addresses in some order, and the blocks of a vector."""
        f = Handler(self.module, name)
        places = [f.operand(i) for i in range(operands)]
        with f.loop(f.count) as v:
            f.call(function, *order([f.at(address, f.b.mul(v, step)) for address, step in places]), f.blocks)
        f.give()
        return f

    def _alu(self) -> Handler:
        """Results and operands lie without gaps; an immediate is one block. An operation looks at as many operands as
        it has."""
        f = Handler(self.module, "alu_step")
        (target, _), *places = (f.operand(i) for i in range(1 + SOURCES))
        operands = [word for address, step in places for word in (address, self._block_step(f, step))]
        f.call(self.lanes.alu, f.mode, target, *operands, f.b.mul(f.blocks, f.count))
        f.give()
        return f

    def _block_step(self, f: Function, step: Value) -> Value:
        return f.b.select(f.compare("==", step, 0), number(0), number(WIDE))

    def _multiply(self) -> Handler:
        f = Handler(self.module, "multiply_step")
        (target, target_step), (source, source_step), (array, _) = (f.operand(i) for i in range(3))
        f.call(self.gemm.multiply, f.env, f.count, target, target_step, source, source_step, array, f.mode)
        f.give()
        return f

    def _pack(self) -> Handler:
        f = Handler(self.module, "pack_step")
        f.call(self.gemm.pack, f.env, f.operand(0)[0], f.operand(1)[0])
        f.give()
        return f

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
