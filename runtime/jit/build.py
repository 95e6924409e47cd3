"""A small typed front to llvmlite.ir: words and vectors in memory, variables, loops and branches as `with` blocks.

llvmlite has no type information, so it is imported here once, as `Any`; the rest of the package builds code through
`Function` only. Variables are stack slots, which the optimiser turns into registers.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

ir: Any = importlib.import_module("llvmlite.ir")

Value = Any
"""A value of the code being built."""
Type = Any
"""A type of it."""

I1: Type = ir.IntType(1)
I8: Type = ir.IntType(8)
I16: Type = ir.IntType(16)
I32: Type = ir.IntType(32)
I64: Type = ir.IntType(64)
F32: Type = ir.FloatType()
F64: Type = ir.DoubleType()
PTR: Type = ir.PointerType()
VOID: Type = ir.VoidType()

WORD = 8
"""Bytes of the words in which parameters, records and bookkeeping are kept."""


def vector(element: Type, count: int) -> Type:
    return ir.VectorType(element, count)


V64I8 = vector(I8, 64)
"""64 lanes of one byte plane: the unit in which vectors are copied."""
V32I16 = vector(I16, 32)
V16I32 = vector(I32, 16)
V16F32 = vector(F32, 16)
V8I64 = vector(I64, 8)
V8F32 = vector(F32, 8)
V8F64 = vector(F64, 8)


def number(value: int, type_: Type = I64) -> Value:
    """An integer constant; negative ones in two's complement."""
    return ir.Constant(type_, value)


def splat(value: int | float, type_: Type) -> Value:
    """A constant vector of equal elements."""
    return ir.Constant(type_, [value] * type_.count)


def constant(values: Iterable[int], type_: Type) -> Value:
    """A constant vector of integers."""
    return ir.Constant(type_, list(values))


class Module:
    """The code being built: functions and the intrinsics that they call."""

    def __init__(self, name: str):
        self.ir = ir.Module(name)

    def intrinsic(self, name: str, result: Type, arguments: Sequence[Type]) -> Value:
        """The LLVM intrinsic of this full name, such as `llvm.rint.v16f32`."""
        if name not in self.ir.globals:
            ir.Function(self.ir, ir.FunctionType(result, arguments), name)
        return self.ir.globals[name]

    def __str__(self) -> str:
        return str(self.ir)


class Variable:
    """A local variable."""

    def __init__(self, function: Function, initial: Value):
        self._function = function
        with function.b.goto_entry_block():
            # Before any call: where one is inlined, the entry block ends.
            function.b.position_at_start(function.b.block)
            self._slot = function.b.alloca(initial.type)
        self._type = initial.type
        self.set(initial)

    def get(self) -> Value:
        return self._function.b.load(self._slot, typ=self._type)

    def set(self, value: Value) -> None:
        self._function.b.store(value, self._slot)

    def add(self, amount: int) -> None:
        self.set(self._function.b.add(self.get(), number(amount, self._type)))


class Function:
    """One function under construction. `b` is llvmlite's builder, for plain arithmetic."""

    def __init__(
        self,
        module: Module,
        name: str,
        arguments: Sequence[Type],
        result: Type = VOID,
        *,
        exported: bool = False,
        inline: bool = False,
        rare: bool = False,
    ):
        self.module = module
        self.ir = ir.Function(module.ir, ir.FunctionType(result, arguments), name)
        self.ir.attributes.add("nounwind")
        if not exported:
            self.ir.linkage = "internal"
        if inline:
            self.ir.attributes.add("alwaysinline")
        if rare:
            self.ir.attributes.add("noinline")
            self.ir.attributes.add("cold")
        self.b = ir.IRBuilder(self.ir.append_basic_block())
        self.arguments: tuple[Value, ...] = tuple(self.ir.args)

    # -- memory ------------------------------------------------------------------------------------------------

    def at(self, base: Value, offset: Value | int) -> Value:
        """The address `offset` bytes after `base`."""
        offset = number(offset) if isinstance(offset, int) else offset
        return self.b.gep(base, [offset], source_etype=I8)

    def load(self, address: Value, type_: Type, align: int) -> Value:
        return self.b.load(address, typ=type_, align=align)

    def store(self, value: Value, address: Value, align: int) -> None:
        self.b.store(value, address, align=align)

    def prefetch(self, address: Value) -> None:
        """Has the line at an address fetched into the caches; any address will do."""
        target = self.module.intrinsic("llvm.prefetch.p0", VOID, [PTR, I32, I32, I32])
        self.call(target, address, *(number(word, I32) for word in (0, 3, 1)))

    def _word_address(self, base: Value, index: Value | int) -> Value:
        index = number(int(index)) if isinstance(index, int) else index
        return self.b.gep(base, [index], source_etype=I64)

    def word(self, base: Value, index: Value | int) -> Value:
        """The 64-bit word number `index` after `base`."""
        return self.load(self._word_address(base, index), I64, WORD)

    def pointer(self, base: Value, index: Value | int) -> Value:
        """The address kept in word number `index` after `base`."""
        return self.load(self._word_address(base, index), PTR, WORD)

    def put(self, base: Value, index: Value | int, value: Value | int) -> None:
        """Stores a 64-bit word."""
        value = number(value) if isinstance(value, int) else value
        self.store(value, self._word_address(base, index), WORD)

    def add_to(self, base: Value, index: Value | int, amount: int) -> None:
        """Adds to a 64-bit word."""
        self.put(base, index, self.b.add(self.word(base, index), number(amount)))

    # -- control -----------------------------------------------------------------------------------------------

    def variable(self, initial: Value | int) -> Variable:
        return Variable(self, number(initial) if isinstance(initial, int) else initial)

    def compare(self, relation: str, left: Value, right: Value | int) -> Value:
        """A signed comparison."""
        right = number(right, left.type) if isinstance(right, int) else right
        return self.b.icmp_signed(relation, left, right)

    @contextmanager
    def when(self, condition: Value) -> Generator[None, None, None]:
        with self.b.if_then(condition):
            yield

    @contextmanager
    def either(
        self, condition: Value
    ) -> Generator[tuple[AbstractContextManager[None], AbstractContextManager[None]], None, None]:
        """Two blocks: for the condition, and for its contrary."""
        with self.b.if_else(condition) as (then, otherwise):
            yield then, otherwise

    @contextmanager
    def loop(self, count: Value | int) -> Generator[Value, None, None]:
        """Repeats the block for an index from 0 to `count` - 1."""
        i = self.variable(0)
        head, body, end = (self.b.append_basic_block() for _ in range(3))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.compare("<", i.get(), count), body, end)
        self.b.position_at_end(body)
        yield i.get()
        i.add(1)
        self.b.branch(head)
        self.b.position_at_end(end)

    @contextmanager
    def forever(self) -> Generator[Value, None, None]:
        """Repeats the block until it branches to the block that is yielded."""
        body, end = (self.b.append_basic_block() for _ in range(2))
        self.b.branch(body)
        self.b.position_at_end(body)
        yield end
        self.b.branch(body)
        self.b.position_at_end(end)

    def stop_if(self, condition: Value, end: Value) -> None:
        """Branches to `end` where the condition holds, and goes on in a new block where not."""
        onward = self.b.append_basic_block()
        self.b.cbranch(condition, end, onward)
        self.b.position_at_end(onward)

    @contextmanager
    def cases(self, value: Value) -> Generator[Cases, None, None]:
        """A `switch`; a value without a case does nothing."""
        end = self.b.append_basic_block()
        switch = self.b.switch(value, end)
        yield Cases(self, switch, end)
        self.b.position_at_end(end)

    def call(self, function: Function | Value, *arguments: Value | int) -> Value:
        """Calls a function or an intrinsic; plain integers become 64-bit constants."""
        target = function.ir if isinstance(function, Function) else function
        return self.b.call(target, [number(a) if isinstance(a, int) else a for a in arguments])

    def give(self, value: Value | None = None) -> None:
        """Returns from the function."""
        if value is None:
            self.b.ret_void()
        else:
            self.b.ret(value)

    # -- vectors -----------------------------------------------------------------------------------------------

    def broadcast(self, value: Value, count: int) -> Value:
        """A vector of `count` equal elements."""
        type_ = vector(value.type, count)
        one = self.b.insert_element(ir.Constant(type_, ir.Undefined), value, number(0, I32))
        return self.shuffle(one, one, [0] * count)

    def shuffle(self, left: Value, right: Value, mask: Sequence[int]) -> Value:
        """The elements of both vectors, one after the other, that the mask names."""
        return self.b.shuffle_vector(left, right, ir.Constant(vector(I32, len(mask)), list(mask)))

    def as_type(self, value: Value, type_: Type) -> Value:
        return self.b.bitcast(value, type_)

    def apply(self, name: str, type_: Type, *arguments: Value) -> Value:
        """Calls the LLVM intrinsic of this full name."""
        return self.call(self.module.intrinsic(name, type_, [a.type for a in arguments]), *arguments)


class Cases:
    """The cases of a `switch`."""

    def __init__(self, function: Function, switch: Value, end: Value):
        self._function, self._switch, self._end = function, switch, end

    @contextmanager
    def case(self, *values: int) -> Generator[None, None, None]:
        """The block for some values."""
        block = self._function.b.append_basic_block()
        for value in values:
            self._switch.add_case(number(value), block)
        self._function.b.position_at_end(block)
        yield
        self._function.b.branch(self._end)
