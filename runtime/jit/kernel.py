"""The interpreter as IR: the loop over cycles, and the switch over operations.

Every activity (a queue's cursor, or what the machine does by itself) has a next cycle in the table of times. A cycle
makes the drives that are due, then runs the activities whose time it is, in the order of the table: installs, reads
and the other instructions, writes, and last the detection of what nobody took. A cycle without any activity is
followed by a jump to the next that has one.
"""

from __future__ import annotations

from ...dialects.instructions import TABLE
from ...dialects.machine.effects import STORES, Effect
from ...dialects.machine.instruction import Instruction
from .build import I1, I8, I64, PTR, V8I64, WORD, Function, Module, Value, number
from .c2c import Links
from .cache import ENTRY
from .dots import Dot
from .guard import GuardedStreams
from .ifetch import Text
from .lanes import Lanes
from .layout import ACTIVITY_WORDS, LEVELS, NEVER, ROW_WORDS, Activity, Chip, Op, Row
from .matrix import Matrix
from .mem import Memory
from .moves import Moves
from .semantics import EXECUTES
from .streams import Handler, Streams, row
from .sxm import Switch
from .vxm import Alus


class Kernel:
    """The whole kernel, built into one module."""

    def __init__(self, dot: Dot, secded: bool = False):
        """With `secded` vectors carry check bits; without it nothing in the code knows of them."""
        self.module = Module("tspc")
        self.lanes = Lanes(self.module)
        self.streams = (GuardedStreams if secded else Streams)(self.module, self.lanes)
        moves = Moves(self.module, self.lanes, self.streams.carried)
        memory = Memory(self.module, self.lanes, moves, self.streams)
        matrix = Matrix(self.module, dot, self.lanes, self.streams)
        self.links, text = Links(self.module, self.lanes, self.streams), Text(self.module, self.streams, memory)
        alus, switch = Alus(self.module, self.lanes, self.streams), Switch(self.module, moves, self.streams)
        self.units = {"": text, "MEM": memory, "MXM": matrix, "VXM": alus, "SXM": switch, "C2C": self.links}
        """By kind of queue, without its part, what has the handlers of its instructions; text those for every queue."""
        self._built: dict[object, Handler] = {}
        self.handlers: dict[Handler, list[int]] = {
            matrix.install: [Op.INSTALL],
            matrix.lose_sums: [Op.LOSE_SUMS],
            self.links.lose_vector: [Op.LOSE_VECTOR],
        }
        """The operations of every handler."""
        for instruction in (i for i in TABLE.by_name.values() if not i.is_clocked):
            handler = self._handler(instruction, memory, switch)
            self.handlers.setdefault(handler, []).append(instruction.opcode)
            if instruction.effect in STORES:
                self.handlers[text.beside(instruction, handler)] = [Op.BESIDE_TEXT + instruction.opcode]
        self.next_event = self._next_event()
        self.dispatch = self._dispatch()
        self.advance = self._advance()
        self._run()

    def _handler(self, instruction: Instruction, memory: Memory, switch: Switch) -> Handler:
        """What executes an instruction: its semantics function, or what samples and drives around it."""
        match instruction.effect:
            case Effect.MOVE:
                return switch.handler(instruction)
            case Effect.GATHER:
                return memory.gather(instruction)
            case Effect.SCATTER:
                return memory.scatter(instruction, instruction.name)
            case _:
                function = EXECUTES[instruction]
                if function not in self._built:
                    kind, *_ = instruction.kinds or ("",)
                    self._built[function] = function(self.units[kind.partition(".")[0]])
                return self._built[function]

    # -- time --------------------------------------------------------------------------------------------------

    def _next_event(self) -> Function:
        """next_event(chip, t) -> the first cycle from t on in which anything happens. Looks for new arrivals, too."""
        f = Function(self.module, "next_event", [PTR, I64], I64)
        chip, t = f.arguments
        self.links.look(f, chip)
        smin = f.module.intrinsic("llvm.smin.v8i64", V8I64, [V8I64, V8I64])
        least = f.variable(f.broadcast(number(NEVER), 8))
        with f.loop(f.word(chip, Chip.TIMES_BLOCKS)) as i:
            least.set(f.call(smin, least.get(), _times(f, chip, i)))
        reduce = f.module.intrinsic("llvm.vector.reduce.smin.v8i64", I64, [V8I64])
        event = f.variable(f.call(reduce, least.get()))
        with f.when(f.compare(">", f.word(chip, Chip.CALENDAR_PENDING), 0)):
            counts, mask = f.pointer(chip, Chip.CALENDAR_COUNT), f.word(chip, Chip.CALENDAR_MASK)
            day = f.variable(t)
            with f.forever() as end:
                f.stop_if(f.compare(">=", day.get(), event.get()), end)
                f.stop_if(f.compare("!=", f.word(counts, f.b.and_(day.get(), mask)), 0), end)
                day.add(1)
            event.set(day.get())
        late = f.compare("<", event.get(), t)
        f.give(f.b.select(late, t, event.get()))
        return f

    def _dispatch(self) -> Function:
        """dispatch(chip, activity, t): does what an activity does in cycle t, and sets its next cycle."""
        f = Function(self.module, "dispatch", [PTR, I64, I64])
        chip, index, t = f.arguments
        activity = row(f, f.pointer(chip, Chip.ACTIVITIES), index, ACTIVITY_WORDS)
        record_number = f.word(activity, Activity.RECORD)
        record = row(f, f.pointer(chip, Chip.RECORDS), record_number, ROW_WORDS)
        op, value = f.word(record, Row.OP), f.word(activity, Activity.VALUE)
        with f.cases(op) as cases:
            for handler, ops in self.handlers.items():
                with cases.case(*ops):
                    f.call(handler, chip, record, record_number, t, value)
        with f.when(f.compare("!=", f.word(record, Row.TILES), 0)):
            f.call(self.streams.mask_drives, chip, record, t)
        self.streams.finish(f, chip, record, t, op)
        with f.when(f.compare("<", op, Op.INSTALL)):
            f.add_to(activity, Activity.ISSUES, 1)
            f.put(activity, Activity.LAST, t)
            self._step(f, chip, index, activity, record, t)
        f.give()
        return f

    def _step(self, f: Function, chip: Value, index: Value, activity: Value, record: Value, t: Value) -> None:
        """Moves a cursor to its next issue: a further round of the innermost loop that has one, or the next record."""
        times = f.pointer(chip, Chip.TIMES)
        end = f.b.append_basic_block()
        for level in range(LEVELS):
            done = f.b.add(f.word(activity, Activity.ROUND + level), number(1))
            with f.when(f.compare("<", done, f.word(record, Row.COUNT + level))):
                f.put(activity, Activity.ROUND + level, done)
                f.put(times, index, f.b.add(t, f.word(record, Row.TIME + level)))
                value = f.word(activity, Activity.VALUE)
                f.put(activity, Activity.VALUE, f.b.add(value, f.word(record, Row.STEP + level)))
                f.b.branch(end)
            f.put(activity, Activity.ROUND + level, 0)
        following = f.b.add(f.word(activity, Activity.RECORD), number(1))
        with f.either(f.compare("<", following, f.word(activity, Activity.END))) as (more, finished):
            with more:
                record = row(f, f.pointer(chip, Chip.RECORDS), following, ROW_WORDS)
                f.put(activity, Activity.RECORD, following)
                f.put(activity, Activity.VALUE, f.word(record, Row.VALUE))
                f.put(times, index, f.word(record, Row.AT))
            with finished:
                f.put(times, index, NEVER)
        f.b.branch(end)
        f.b.position_at_end(end)

    def _advance(self) -> Function:
        """advance(chip, start, end): the cycles from start to end - 1, or up to the first one with a hazard."""
        f = Function(self.module, "advance", [PTR, I64, I64])
        chip, start, end = f.arguments
        time = f.variable(start)
        with f.forever() as done:
            t = time.get()
            f.stop_if(f.compare(">=", t, end), done)
            day = f.b.and_(t, f.word(chip, Chip.CALENDAR_MASK))
            with f.when(f.compare(">", f.word(f.pointer(chip, Chip.CALENDAR_COUNT), day), 0)):
                f.call(self.streams.drive, chip, t)
            idle = self._activities(f, chip, t)
            f.put(chip, Chip.STOPPED, t)
            f.stop_if(f.compare(">", f.word(chip, Chip.HAZARD_COUNT), 0), done)
            time.set(f.b.add(t, number(1)))
            with f.when(idle):
                time.set(f.call(self.next_event, chip, time.get()))
        f.give()
        return f

    def _activities(self, f: Function, chip: Value, t: Value) -> Value:
        """Runs the activities of cycle t; gives whether there were none."""
        now = f.broadcast(t, 8)
        any_ = f.variable(number(0, I8))
        with f.loop(f.word(chip, Chip.TIMES_BLOCKS)) as block:
            due = f.variable(f.as_type(f.b.icmp_signed("==", _times(f, chip, block), now), I8))
            any_.set(f.b.or_(any_.get(), due.get()))
            with f.forever() as end:
                left = due.get()
                f.stop_if(f.compare("==", left, 0), end)
                due.set(f.b.and_(left, f.b.sub(left, number(1, I8))))
                bit = f.b.zext(f.b.cttz(left, number(1, I1)), I64)
                index = f.b.add(f.b.mul(block, number(8)), bit)
                # A handler may have taken what this activity would have found lost.
                with f.when(f.compare("==", f.word(f.pointer(chip, Chip.TIMES), index), t)):
                    f.call(self.dispatch, chip, index, t)
        return f.compare("==", any_.get(), 0)

    def _run(self) -> None:
        """run(chips, count, start, end, window) -> the cycle to go on from, or that of a hazard.

        Advances chips from `start` to at least `end`, each by at most `window` cycles before the others catch up. After
        a hazard the chips that follow in its window advance no further than its cycle.
        """
        f = Function(self.module, ENTRY, [PTR, I64, I64, I64, I64], I64, exported=True)
        chips, count, start, end, window = f.arguments
        time = f.variable(start)
        with f.forever() as done:
            t = time.get()
            f.stop_if(f.compare(">=", t, end), done)
            ahead = f.b.add(t, window)
            limit = f.variable(f.b.select(f.compare("<", ahead, end), ahead, end))
            hazard = f.variable(0)
            with f.loop(count) as i:
                chip = f.pointer(chips, i)
                f.call(self.advance, chip, t, limit.get())
                with f.when(f.compare(">", f.word(chip, Chip.HAZARD_COUNT), 0)):
                    limit.set(f.b.add(f.word(chip, Chip.STOPPED), number(1)))
                    hazard.set(number(1))
            following = f.variable(NEVER)
            with f.loop(count) as i:
                event = f.call(self.next_event, f.pointer(chips, i), limit.get())
                earlier = f.compare("<", event, following.get())
                following.set(f.b.select(earlier, event, following.get()))
            f.stop_if(f.compare("!=", hazard.get(), 0), done)
            time.set(following.get())
        f.give(time.get())


def _times(f: Function, chip: Value, block: Value) -> Value:
    """Eight of the times."""
    return f.load(f.at(f.pointer(chip, Chip.TIMES), f.b.mul(block, number(8 * WORD))), V8I64, 8 * WORD)
