"""How a queue gets its text: the first of it from the host, the rest from SRAM, a chunk with every `ifetch`.

A queue holds `queue_slots` instructions. Before the start the host fills it with the first of the queue's text; what
is left lies in SRAM, in chunks of `fetch_slots` instructions. A chunk is two words in different slices: it begins in
the lanes of the first and goes on in those of the second. The k-th `ifetch` of a queue appends its k-th chunk.

All of this is arithmetic on places in the text, since a queue comes to one instruction after the other, each in a
later cycle. The k-th ifetch (from 0 on) stands at a place p, counted in instructions, such that

* the chunk has room: what is loaded, `queue_slots` + k * `fetch_slots`, less the p + 1 instructions dispatched in that
  cycle and before, leaves `fetch_slots` of `queue_slots` free: p + 1 >= (k + 1) * `fetch_slots`;
* the queue does not run dry: p is below `queue_slots` + k * `fetch_slots`, and so are all before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .instruction import INSTRUCTION_BYTES, Record
from .target import ChipSpec


class Word(NamedTuple):
    """A word of SRAM: `E40[8191]`."""

    hemisphere: str
    """`E` or `W`."""
    slice: int
    """The number of its slice in the hemisphere."""
    address: int

    def __str__(self) -> str:
        return f"{self.hemisphere}{self.slice}[{self.address}]"

    def unit(self, chip: ChipSpec) -> int:
        """The number of its slice on the chip, the east's first."""
        return self.slice + (chip.slices if self.hemisphere == "W" else 0)


def word_of(unit: int, address: int, chip: ChipSpec) -> Word:
    """The word of a slice that is numbered as on the chip, the east's first."""
    return Word("EW"[unit // chip.slices], unit % chip.slices, address)


Chunk = tuple[Word, Word]
"""The two words of a chunk of text, in the order of the streams on which they are fetched."""


class Fetch(NamedTuple):
    """An `ifetch` in its queue."""

    record: Record
    text: bytes
    """What must arrive: the queue's next chunk; bytes past the end of the text are zero."""


class Fault(NamedTuple):
    """Where a queue's text is not supplied as it must be."""

    kind: str
    """A key of HAZARDS: `queue-dry` or `queue-full`."""
    slot: int
    """The place in the text at which it happens, in instructions."""


def room(fetch: int, chip: ChipSpec) -> range:
    """The places in the text at which the ifetch with number `fetch` of a queue may stand."""
    return range((fetch + 1) * chip.fetch_slots - 1, chip.queue_slots + fetch * chip.fetch_slots)


def chunk_count(text: bytes, chip: ChipSpec) -> int:
    """Chunks of a queue's text that lie in SRAM."""
    rest = len(text) // INSTRUCTION_BYTES - chip.queue_slots
    return -(-rest // chip.fetch_slots) if rest > 0 and chip.fetch_slots else 0


def chunk_text(text: bytes, fetch: int, chip: ChipSpec) -> bytes:
    """What the ifetch with number `fetch` brings to a queue of this text, filled up with zeros."""
    size = chip.fetch_slots * INSTRUCTION_BYTES
    start = chip.queue_slots * INSTRUCTION_BYTES + fetch * size
    return text[start : start + size].ljust(size, b"\0")


def text_words(
    packed: Mapping[str, bytes], places: Mapping[str, Sequence[Chunk]], chip: ChipSpec
) -> Iterator[tuple[Word, bytes]]:
    """The words of SRAM that hold text, each with its `lanes` bytes."""
    for queue, chunks in places.items():
        for i, chunk in enumerate(chunks):
            text = chunk_text(packed[queue], i, chip).ljust(2 * chip.lanes, b"\0")
            yield chunk[0], text[: chip.lanes]
            yield chunk[1], text[chip.lanes :]


def check_chunks(text: bytes, chunks: Sequence[Chunk], chip: ChipSpec) -> str | None:
    """Why a queue's chunks cannot lie at these places, or None."""
    wanted = chunk_count(text, chip)
    if len(chunks) != wanted:
        return f"its text lies in {len(chunks)} chunks, but what does not fit into the queue makes {wanted}"
    for first, second in chunks:
        for word in (first, second):
            if not (0 <= word.slice < chip.slices and 0 <= word.address < chip.words):
                return f"its text lies in {word}, a word that the chip does not have"
        if first[:2] == second[:2]:
            return f"a chunk of its text lies in {first} and {second}, but its words are read side by side"
    return None


def first_fault(text: bytes, fetches: Sequence[int], chip: ChipSpec) -> Fault | None:
    """The first place of a queue's text at which it runs dry or an ifetch finds no room; `fetches` are the places of
    its ifetches, ascending."""
    for i, slot in enumerate(fetches):
        places = room(i, chip)
        if slot >= places.stop:
            return Fault("queue-dry", places.stop)
        if slot < places.start:
            return Fault("queue-full", slot)
    loaded = chip.queue_slots + len(fetches) * chip.fetch_slots
    return Fault("queue-dry", loaded) if loaded < len(text) // INSTRUCTION_BYTES else None
