"""The handlers of C2C as IR, and the inboxes in which vectors wait for their cycle."""

from __future__ import annotations

from ...dialects.instructions import ReceiveOp, SendOp
from .build import WORD, Function, Module, Value, number
from .lanes import Lanes
from .layout import ARRIVAL_WORDS, INBOX_WORDS, LINK_WORDS, NEVER, Arrival, Chip, Hazard, Inbox, Link
from .semantics import EXECUTES
from .streams import Handler, Streams, row, vector_at


class Links:
    """The handlers of C2C."""

    def __init__(self, module: Module, lanes: Lanes, streams: Streams):
        self.module, self.lanes, self.streams = module, lanes, streams
        self.lose_vector = self._lose_vector()

    def look(self, f: Function, chip: Value) -> None:
        """Sets the times of all links to those of their next arrivals."""
        with f.loop(f.word(chip, Chip.LINK_COUNT)) as i:
            box = f.pointer(row(f, f.pointer(chip, Chip.LINKS), i, LINK_WORDS), Link.INBOX)
            f.put(f.pointer(chip, Chip.LINK_TIMES), i, _next_arrival(f, chip, box))

    @EXECUTES.executes(SendOp)
    def send(self) -> Handler:
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

    @EXECUTES.executes(ReceiveOp)
    def receive(self) -> Handler:
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
