"""The handlers of program text as IR: an ifetch compares what it takes with what was decoded, and writes to slices that
hold text look whether they meet it. Programs without text have no such issues."""

from __future__ import annotations

from ...dialects.instructions import ConfigOp, FetchOp
from ...dialects.machine.effects import MAPPED
from ...dialects.machine.instruction import Instruction
from .build import I8, Module, Value, number
from .layout import Chip, Hazard, Row
from .mem import Memory
from .semantics import EXECUTES
from .streams import Handler, Streams, vector_at


class Text:
    """The handlers of what all queues understand, and of the writes beside text."""

    def __init__(self, module: Module, streams: Streams, memory: Memory):
        self.module, self.streams, self.memory = module, streams, memory

    @EXECUTES.executes(ConfigOp)
    def config(self) -> Handler:
        """Has its effect in the records that follow it."""
        f = Handler(self.module, "config")
        f.give()
        return f

    @EXECUTES.executes(FetchOp)
    def fetch(self) -> Handler:
        f = Handler(self.module, "fetch")
        vectors = self.streams.sample_group(f, 2)
        wrong = f.variable(number(0, I8))
        for i, size in enumerate((Chip.FETCH_FIRST, Chip.FETCH_SECOND)):
            index = f.b.add(f.b.mul(f.field(Row.MODE), number(2)), number(i))
            text = vector_at(f, f.chip, f.table(Chip.FETCHED), index)
            with f.loop(f.size(size)) as lane:
                taken, wanted = (f.load(f.at(base, lane), I8, 1) for base in (vectors[i], text))
                wrong.set(f.b.or_(wrong.get(), f.b.xor(taken, wanted)))
        with f.when(f.compare("!=", wrong.get(), 0)):
            self.streams.note(f, Hazard.TEXT_WRONG, f.unit)
        f.give()
        return f

    def beside(self, instruction: Instruction, handler: Handler) -> Handler:
        """The handler of a store, with a look at the words that it writes."""
        name = f"{instruction.name}_beside_text"
        if instruction.effect in MAPPED:
            return self.memory.scatter(instruction, name, self._keep)
        f = Handler(self.module, name)
        self._keep(f, f.value)
        f.call(handler, *f.arguments)
        f.give()
        return f

    def _keep(self, f: Handler, address: Value) -> None:
        """Notes a hazard where a word of the unit's slice holds text."""
        word = f.b.add(f.b.mul(f.unit, f.size(Chip.SRAM_WORDS)), address)
        with f.when(f.compare("!=", f.load(f.at(f.table(Chip.TEXT), word), I8, 1), 0)):
            self.streams.note(f, Hazard.TEXT_OVERWRITTEN, word)
