"""The handler of the VXM as IR: operands become 32-bit lanes, an operation makes lanes of them, and these go to streams
or stay in a chain. Lanes are in wide order: in the scratch, or where a chain keeps them."""

from __future__ import annotations

from ...dialects.machine.effects import Effect
from .build import I32, Module, Value, number
from .lanes import QUARTER, WIDE, Lanes
from .layout import SOURCES, Chip, Finish, Form, Hazard, Row, Source
from .semantics import EXECUTES
from .streams import Handler, Streams, vector_at


class Alus:
    """The handler of all ALU instructions."""

    def __init__(self, module: Module, lanes: Lanes, streams: Streams):
        self.module, self.lanes, self.streams = module, lanes, streams

    @EXECUTES.executes(Effect.COMPUTE)
    def compute(self) -> Handler:
        f = Handler(self.module, "alu_issue")
        size = f.b.mul(f.size(Chip.STRIDE), number(4))
        scratch = [f.at(f.table(Chip.SCRATCH), f.b.mul(number(i), size)) for i in range(SOURCES + 1)]
        operands = [word for i in range(SOURCES) for word in self._operand(f, i, scratch[i])]
        width = f.field(Row.TARGET_WIDTH)
        chains = f.compare("==", width, 0)
        result = f.b.select(chains, self._chain(f, f.unit, f.t), scratch[SOURCES])
        f.call(self.lanes.alu, f.field(Row.MODE), result, *operands, f.size(Chip.BLOCKS))
        with f.when(f.compare("!=", f.field(Row.FINISH), Finish.NONE)):
            f.call(self.lanes.finish, f.field(Row.FINISH), result, f.size(Chip.BLOCKS))
        with f.when(chains):
            f.put(f.table(Chip.CHAIN_TAGS), self._chain_row(f, f.unit, f.t), f.t)
        with f.cases(width) as cases:
            for n, narrow in self.lanes.narrow.items():
                with cases.case(n):
                    targets = [self.streams.start_drive(f, i) for i in range(n)]
                    f.call(narrow, *targets, result, f.size(Chip.BLOCKS))
        f.give()
        return f

    def _operand(self, f: Handler, i: int, scratch: Value) -> tuple[Value, Value]:
        """Operand i as the address of its 32-bit lanes, and the bytes from one block of them to the next."""
        address, step = f.variable(scratch), f.variable(WIDE)
        with f.cases(f.field(Row.KIND + i)) as kinds:
            for form, widen in self.lanes.widen.items():
                with kinds.case(Source.STREAM + form):
                    planes = self.streams.sample_group(f, form.bytes, 0, i)
                    f.call(widen, scratch, *planes, f.size(Chip.BLOCKS))
            for form in Form:
                with kinds.case(Source.CHAIN + form):
                    found = self._find_chain(f, f.field(Row.SOURCE + i))
                    if form == Form.WORD:
                        address.set(found)
                    else:
                        f.call(self.lanes.prepare[form], scratch, found, f.size(Chip.BLOCKS))
            with kinds.case(Source.IMMEDIATE):
                bits = f.broadcast(f.b.trunc(f.field(Row.SOURCE + i), I32), 16)
                for j in range(4):
                    f.store(bits, f.at(scratch, j * QUARTER), QUARTER)
                step.set(number(0))
        return address.get(), step.get()

    # -- chains ------------------------------------------------------------------------------------------------

    def _find_chain(self, f: Handler, alu: Value) -> Value:
        """The address of the result that an ALU's chain has ready now; notes a hazard where there is none."""
        cycle = f.b.sub(f.t, f.size(Chip.ALU_LATENCY))
        tag = f.word(f.table(Chip.CHAIN_TAGS), self._chain_row(f, alu, cycle))
        with f.when(f.compare("!=", tag, cycle)):
            self.streams.note(f, Hazard.CHAIN_EMPTY, alu)
        return self._chain(f, alu, cycle)

    def _chain_row(self, f: Handler, alu: Value, cycle: Value) -> Value:
        """The row of a chain's ring for a result dispatched in a cycle."""
        mask = f.size(Chip.CHAIN_MASK)
        return f.b.add(f.b.mul(alu, f.b.add(mask, number(1))), f.b.and_(cycle, mask))

    def _chain(self, f: Handler, alu: Value, cycle: Value) -> Value:
        """The address of a chain result."""
        return vector_at(f, f.chip, f.table(Chip.CHAINS), f.b.mul(self._chain_row(f, alu, cycle), number(4)))
