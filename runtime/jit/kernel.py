"""The interpreter as IR: the loop over cycles, the switch over operations, and the handlers outside the MXM.

Every activity (a queue's cursor, or what the machine does by itself) has a next cycle in the table of times. A cycle
makes the drives that are due, then runs the activities whose time it is, in the order of the table: installs, reads
and the other instructions, writes, and last the detection of what nobody took. A cycle without any activity is
followed by a jump to the next that has one.
"""

from __future__ import annotations

from .build import I1, I8, I32, I64, PTR, V8I64, WORD, Function, Module, Value, number
from .cache import ENTRY
from .dots import Dot
from .lanes import QUARTER, WIDE, Lanes
from .layout import (
    ACTIVITY_WORDS,
    ARRIVAL_WORDS,
    INBOX_WORDS,
    LEVELS,
    LINK_WORDS,
    NEVER,
    ROW_WORDS,
    Activity,
    Arrival,
    Chip,
    Hazard,
    Inbox,
    Link,
    Op,
    Row,
    Source,
)
from .matrix import Matrix
from .streams import Handler, Streams, row, vector_at


class Kernel:
    """The whole kernel, built into one module."""

    def __init__(self, dot: Dot):
        self.module = Module("tspc")
        self.lanes = Lanes(self.module)
        self.streams = Streams(self.module)
        matrix = Matrix(self.module, dot, self.lanes, self.streams)
        self.handlers: dict[Op, Handler] = {
            Op.READ: self._read(),
            Op.WRITE: self._write(),
            Op.LOAD_WEIGHTS: matrix.load_weights,
            Op.INSTALL_WEIGHTS: matrix.install_weights,
            Op.ACTIVATIONS: matrix.activations,
            Op.ACCUMULATE: matrix.accumulate,
            Op.ALU: self._alu(),
            Op.SEND: self._send(),
            Op.RECEIVE: self._receive(),
            Op.INSTALL: matrix.install,
            Op.LOSE_SUMS: matrix.lose_sums,
            Op.LOSE_VECTOR: self._lose_vector(),
        }
        self.next_event = self._next_event()
        self.dispatch = self._dispatch()
        self.advance = self._advance()
        self._run()

    # -- MEM ---------------------------------------------------------------------------------------------------

    def _word_of_sram(self, f: Handler) -> Value:
        """The address of the word that the value names, in the unit's slice."""
        base = f.at(f.table(Chip.SRAM), f.b.mul(f.unit, f.size(Chip.SLICE_BYTES)))
        return vector_at(f, f.chip, base, f.value)

    def _read(self) -> Handler:
        f = Handler(self.module, "read")
        target = self.streams.start_drive(f)
        f.call(self.lanes.copy, target, self._word_of_sram(f), f.size(Chip.BLOCKS))
        f.give()
        return f

    def _write(self) -> Handler:
        f = Handler(self.module, "write")
        source = self.streams.sample_operand(f)
        f.call(self.lanes.copy, self._word_of_sram(f), source, f.size(Chip.BLOCKS))
        f.give()
        return f

    # -- VXM ---------------------------------------------------------------------------------------------------

    def _alu(self) -> Handler:
        """Operands and result are 32-bit lanes in wide order: in the scratch, or where a chain keeps them."""
        f = Handler(self.module, "alu_issue")
        size = f.b.mul(f.size(Chip.STRIDE), number(4))
        scratch = [f.at(f.table(Chip.SCRATCH), f.b.mul(number(i), size)) for i in range(3)]
        (a, a_step), (b, b_step) = (self._operand(f, i, scratch[i]) for i in range(2))
        width = f.field(Row.TARGET_WIDTH)
        chains = f.compare("==", width, 0)
        result = f.b.select(chains, self._chain(f, f.unit, f.t), scratch[2])
        f.call(self.lanes.alu, f.field(Row.MODE), result, a, a_step, b, b_step, f.size(Chip.BLOCKS))
        with f.when(chains):
            f.put(f.table(Chip.CHAIN_TAGS), self._chain_row(f, f.unit, f.t), f.t)
        with f.cases(width) as cases:
            for n, narrow in self.lanes.narrow.items():
                with cases.case(n):
                    targets = [self.streams.start_drive(f, i) for i in range(n)]
                    f.call(narrow, *targets, result, f.size(Chip.BLOCKS))
        f.give()
        return f

    def _chain_row(self, f: Handler, alu: Value, cycle: Value) -> Value:
        """The row of a chain's ring for a result dispatched in a cycle."""
        mask = f.size(Chip.CHAIN_MASK)
        return f.b.add(f.b.mul(alu, f.b.add(mask, number(1))), f.b.and_(cycle, mask))

    def _chain(self, f: Handler, alu: Value, cycle: Value) -> Value:
        """The address of a chain result."""
        return vector_at(f, f.chip, f.table(Chip.CHAINS), f.b.mul(self._chain_row(f, alu, cycle), number(4)))

    def _operand(self, f: Handler, i: int, scratch: Value) -> tuple[Value, Value]:
        """Operand i as the address of its 32-bit lanes, and the bytes from one block of them to the next."""
        address, step = f.variable(scratch), f.variable(WIDE)
        source = f.field(Row.SOURCE + i)
        with f.cases(f.field(Row.KIND + i)) as kinds:
            with kinds.case(Source.STREAM), f.cases(f.field(Row.WIDTH)) as widths:
                for n, widen in self.lanes.widen.items():
                    with widths.case(n):
                        planes = [self.streams.sample_operand(f, s, i) for s in range(n)]
                        f.call(widen, scratch, *planes, f.size(Chip.BLOCKS))
            with kinds.case(Source.CHAIN):
                cycle = f.b.sub(f.t, f.size(Chip.ALU_LATENCY))
                address.set(self._chain(f, source, cycle))
                tag = f.word(f.table(Chip.CHAIN_TAGS), self._chain_row(f, source, cycle))
                with f.when(f.compare("!=", tag, cycle)):
                    self.streams.note(f, Hazard.CHAIN_EMPTY, source)
            with kinds.case(Source.IMMEDIATE):
                bits = f.broadcast(f.b.trunc(source, I32), 16)
                for j in range(4):
                    f.store(bits, f.at(scratch, j * QUARTER), QUARTER)
                step.set(number(0))
        return address.get(), step.get()

    # -- C2C ---------------------------------------------------------------------------------------------------

    def _send(self) -> Handler:
        f = Handler(self.module, "send")
        source = self.streams.sample_operand(f)
        link = f.row(f.table(Chip.LINKS), f.unit, LINK_WORDS)
        last = f.word(link, Link.LAST_SEND)
        with f.when(f.compare("<", f.b.sub(f.t, last), f.size(Chip.LINK_SLOT))):
            first = (f.word(link, Link.LAST_SENDER), last)
            self.streams.note(f, Hazard.LINK_BUSY, f.unit, first, (f.number, f.t))
        f.put(link, Link.LAST_SEND, f.t)
        f.put(link, Link.LAST_SENDER, f.number)
        box = f.pointer(link, Link.OUTBOX)
        sent = f.word(box, Inbox.SENT)
        arrival, vector = _parcel(f, f.chip, box, sent)
        f.put(arrival, Arrival.CYCLE, f.b.add(f.t, f.size(Chip.FLIGHT)))
        f.put(arrival, Arrival.RECORD, f.number)
        f.call(self.lanes.copy, vector, source, f.size(Chip.BLOCKS))
        f.put(box, Inbox.SENT, f.b.add(sent, number(1)))
        f.give()
        return f

    def _receive(self) -> Handler:
        f = Handler(self.module, "receive")
        arrived = f.compare("==", f.word(f.table(Chip.LINK_TIMES), f.unit), f.t)
        with f.either(arrived) as (here, empty):
            with empty:
                self.streams.note(f, Hazard.LINK_EMPTY, f.unit)
            with here:
                box = f.pointer(f.row(f.table(Chip.LINKS), f.unit, LINK_WORDS), Link.INBOX)
                _, vector = _parcel(f, f.chip, box, f.word(box, Inbox.TAKEN))
                f.call(self.lanes.copy, self.streams.start_drive(f), vector, f.size(Chip.BLOCKS))
                f.add_to(box, Inbox.TAKEN, 1)
                f.put(f.table(Chip.LINK_TIMES), f.unit, _next_arrival(f, f.chip, box))
        f.give()
        return f

    def _lose_vector(self) -> Handler:
        """The first issue of the hazard is the sender's, a record of another chip."""
        f = Handler(self.module, "lose_vector")
        box = f.pointer(f.row(f.table(Chip.LINKS), f.unit, LINK_WORDS), Link.INBOX)
        arrival, _ = _parcel(f, f.chip, box, f.word(box, Inbox.TAKEN))
        sent = f.b.sub(f.t, f.size(Chip.FLIGHT))
        self.streams.note(f, Hazard.LINK_LOST, f.unit, (f.word(arrival, Arrival.RECORD), sent))
        f.put(f.table(Chip.LINK_TIMES), f.unit, NEVER)
        f.give()
        return f

    # -- time --------------------------------------------------------------------------------------------------

    def _next_event(self) -> Function:
        """next_event(chip, t) -> the first cycle from t on in which anything happens. Looks for new arrivals, too."""
        f = Function(self.module, "next_event", [PTR, I64], I64)
        chip, t = f.arguments
        with f.loop(f.word(chip, Chip.LINK_COUNT)) as i:
            box = f.pointer(row(f, f.pointer(chip, Chip.LINKS), i, LINK_WORDS), Link.INBOX)
            f.put(f.pointer(chip, Chip.LINK_TIMES), i, _next_arrival(f, chip, box))
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
            for name, handler in self.handlers.items():
                with cases.case(name):
                    f.call(handler, chip, record, record_number, t, value)
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


def _parcel(f: Function, chip: Value, box: Value, index: Value) -> tuple[Value, Value]:
    """The addresses of the words and of the vector of arrival number `index` of an inbox."""
    mask = f.word(chip, Chip.LINK_MASK)
    arrivals = f.at(box, INBOX_WORDS * WORD)
    vectors = row(f, arrivals, f.b.add(mask, number(1)), ARRIVAL_WORDS)
    place = f.b.and_(index, mask)
    return row(f, arrivals, place, ARRIVAL_WORDS), vector_at(f, chip, vectors, place)


def _next_arrival(f: Function, chip: Value, box: Value) -> Value:
    """The cycle of the next arrival in an inbox, or NEVER."""
    taken = f.word(box, Inbox.TAKEN)
    arrival, _ = _parcel(f, chip, box, taken)
    waiting = f.compare("<", taken, f.word(box, Inbox.SENT))
    return f.b.select(waiting, f.word(arrival, Arrival.CYCLE), number(NEVER))
