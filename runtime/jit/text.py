"""The handlers of program text as IR: an ifetch compares what it takes with what was decoded, and writes to slices that
hold text look whether they meet it. Programs without text have no such issues."""

from __future__ import annotations

from .build import I8, Module, Value, number
from .layout import Chip, Hazard, Row
from .mem import Memory
from .streams import Handler, Streams, vector_at


class Text:
    """The handlers of ifetch, and of the writes beside text."""

    def __init__(self, module: Module, streams: Streams, memory: Memory):
        self.module, self.streams, self.memory = module, streams, memory
        self.fetch = self._fetch()
        self.write = self._write()
        self.scatter = memory.scatter_handler("scatter_beside_text", self._keep)

    def _fetch(self) -> Handler:
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

    def _write(self) -> Handler:
        f = Handler(self.module, "write_beside_text")
        self._keep(f, f.value)
        f.call(self.memory.write, *f.arguments)
        f.give()
        return f

    def _keep(self, f: Handler, address: Value) -> None:
        """Notes a hazard where a word of the unit's slice holds text."""
        word = f.b.add(f.b.mul(f.unit, f.size(Chip.SRAM_WORDS)), address)
        with f.when(f.compare("!=", f.load(f.at(f.table(Chip.TEXT), word), I8, 1), 0)):
            self.streams.note(f, Hazard.TEXT_OVERWRITTEN, word)
