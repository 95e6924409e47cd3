"""Packed queues: one walk over their bytes resolves `nop`, `repeat`, `sync` and the like into absolute cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush

from ..errors import MalformedProgram
from ..instructions import TABLE
from ..machine.effects import Effect
from ..machine.instruction import INSTRUCTION_BYTES, Instruction, Loop, Record
from ..machine.target import SystemSpec

IFETCH = TABLE.by_name["ifetch"].opcode


def decode_queues(packed: Mapping[str, bytes], system: SystemSpec) -> list[Record]:
    """The timed records of packed queues, those of ifetch among them, by queue and then by cycle.

    Raises MalformedProgram for unknown opcodes, stray bits, a repeat of nothing, or a sync that nothing releases.
    """
    numbers = system.chip.queue_numbers
    for name in packed:
        if name not in numbers:
            raise MalformedProgram(f'the chip has no queue "{name}"')
    return [record for walk in _walks(packed, system) for record in walk.records]


def cycles_of(name: str, packed: Mapping[str, bytes], system: SystemSpec) -> list[int]:
    """For each instruction of a queue the cycle in which the queue comes to it, each later than the one before."""
    return next(walk.cycles for walk in _walks(packed, system) if walk.name == name)


def _walks(packed: Mapping[str, bytes], system: SystemSpec) -> list[_Walk]:
    """All queues, in the chip's order, walked to their ends."""
    walks = [_Walk(name, packed[name], system) for name in sorted(packed, key=system.chip.queue_numbers.__getitem__)]
    _walk_together(walks)
    return walks


def _walk_together(walks: Sequence[_Walk]) -> None:
    """Walks all queues to their ends.

    A notify that is still to come is later than the earliest known one, since its queue is parked until that at least:
    so the earliest known one is the next.
    """
    notifies: list[int] = []
    known: list[int] = []
    parked = list(walks)
    while parked:
        for walk in parked:
            for time in walk.go_on(notifies):
                heappush(known, time)
        parked = [walk for walk in parked if walk.parked]
        if parked and not known:
            raise MalformedProgram(f"{parked[0].place}: no notify releases this sync")
        if known:
            notifies.append(heappop(known))


class _Walk:
    """One packed queue, and how far it has been walked."""

    def __init__(self, name: str, data: bytes, system: SystemSpec):
        if len(data) % INSTRUCTION_BYTES:
            raise MalformedProgram(f"queue {name}: {len(data)} bytes are no multiple of {INSTRUCTION_BYTES}")
        self.name, self.data, self.system = name, data, system
        self.queue = system.chip.queue_numbers[name]
        self.records: list[Record] = []
        self.cycles: list[int] = []
        """By instruction, the cycle in which the queue comes to it."""
        self.parked = False
        """Whether it stands at a sync whose notify is not known."""
        self._at = self._time = self._syncs = 0
        self._repeatable = False
        self._decoded: dict[bytes, tuple[Instruction, tuple[int, ...]]] = {}
        """What the same bytes were before."""

    @property
    def place(self) -> str:
        """The instruction at which it stands, for messages."""
        return f"queue {self.name}, byte {self._at}"

    def go_on(self, notifies: Sequence[int]) -> list[int]:
        """Walks to the end, or to a sync beyond the known notifies; gives the cycles of notifies on the way."""
        found: list[int] = []
        self.parked = False
        while self._at < len(self.data) and not self.parked:
            instruction, values = self._decode()
            come = self._time
            match instruction.effect:
                case Effect.WAIT:
                    self._time += values[instruction.index("count")]
                case Effect.REPEAT:
                    self._repeat(values)
                case Effect.SYNC:
                    self._sync(notifies)
                case Effect.NOTIFY:
                    found.append(self._time)
                    self._time += 1
                case Effect.EPOCH:
                    self._time = (self._time // self.system.hac_period + 1) * self.system.hac_period
                case Effect.SIGNAL:
                    self._time += 1
                case _:
                    self.records.append(Record(self.queue, self._time, instruction, values))
                    self._time = self.records[-1].last + 1
            if not self.parked:
                timed = not instruction.is_clocked and instruction.effect is not Effect.FETCH
                self._repeatable = timed or instruction.effect is Effect.REPEAT
                self.cycles.append(come)
                self._at += INSTRUCTION_BYTES
        return found

    def _decode(self) -> tuple[Instruction, tuple[int, ...]]:
        data = self.data[self._at : self._at + INSTRUCTION_BYTES]
        if (known := self._decoded.get(data)) is not None:
            return known
        try:
            instruction, values = TABLE.decode(data)
        except MalformedProgram as e:
            raise MalformedProgram(f"{self.place}: {e}") from e
        if reason := instruction.check(values, self.system.chip):
            raise MalformedProgram(f"{self.place}, `{instruction.name}`: {reason}")
        self._decoded[data] = instruction, values
        return instruction, values

    def _repeat(self, values: Sequence[int]) -> None:
        if not self._repeatable:
            raise MalformedProgram(f"{self.place}: repeat follows no instruction that can repeat")
        if len(self.records[-1].loops) == self.system.chip.loop_levels:
            raise MalformedProgram(
                f"{self.place}: the chip nests {self.system.chip.loop_levels} levels of repeat, no more"
            )
        self.records[-1] = _repeated(self.records[-1], values)
        self._time = self.records[-1].last + 1

    def _sync(self, notifies: Sequence[int]) -> None:
        if self._syncs == len(notifies):
            self.parked = True
            return
        release = notifies[self._syncs] + self.system.chip.barrier
        if release <= self._time:
            raise MalformedProgram(f"{self.place}: parks in cycle {self._time}, after its release in {release}")
        self._time, self._syncs = release, self._syncs + 1


def _repeated(record: Record, values: Sequence[int]) -> Record:
    count, every, step = values
    signed = step - 65536 if step > 32767 else step
    return record._replace(loops=(*record.loops, Loop(count + 1, every, signed)))
