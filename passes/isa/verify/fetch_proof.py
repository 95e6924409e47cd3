"""The proof that every ifetch takes its queue's next text: which word each vector that it samples was read from, and
that no write touches a word that holds text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ....dialects.errors import Hazard
from ....dialects.instructions import TABLE
from ....dialects.machine.effects import STORES, Effect
from ....dialects.machine.instruction_fetch import Word, word_of
from ....dialects.programs.records import actor
from .issues import ChipIssues, Issues
from .stream_registers import Matched


def fetch_hazards(
    chip: ChipIssues, stream: Matched, texts: Mapping[tuple[int, int], bytes], image: Mapping[Word, bytes]
) -> Iterator[Hazard]:
    """The fetches from a stream of which a vector is not what it must be: by queue and cycle `texts` is what they must
    bring, `image` the words of SRAM with text. One that takes nothing at all is another hazard."""
    if stream.drives is None or stream.samples is None:
        return
    issues, lanes = stream.samples.issues, chip.spec.lanes
    fetched = _has(issues, Effect.FETCH)
    if not fetched.any():
        return
    for sample in np.flatnonzero(fetched & (stream.drivers >= 0)).tolist():
        record = issues.record(sample)
        begin = (stream.code - record.values[0]) * lanes
        text = texts[record.queue, record.at][begin : begin + lanes]
        if not _text_driven(stream.drives.issues, int(stream.drivers[sample]), image).startswith(text):
            queue = chip.spec.queues[record.queue].name
            party = actor(record, record.at, queue)
            yield Hazard("text-wrong", chip.number, f"queue {queue}", record.at, (record.queue,), party)


def _text_driven(drives: Issues, issue: int, image: Mapping[Word, bytes]) -> bytes:
    """The text that an issue drives: that of the word which it reads, zero in superlanes that are off."""
    record, spec = drives.record(issue), drives.chip.spec
    if record.instruction.effect is not Effect.READ:
        return b""
    word = image.get(word_of(spec.queues[record.queue].unit, record.instruction.moved(drives.values(issue)), spec), b"")
    return word[: (record.tiles or spec.tiles) * spec.lanes_per_tile].ljust(len(word), b"\0")


def _has(issues: Issues, effect: Effect) -> npt.NDArray[np.bool_]:
    """Which issues have an effect: [issues]."""
    numbers: list[int] = issues.records.tolist()
    records = [issues.chip.records[i].instruction.effect is effect for i in numbers]
    return np.repeat(np.array(records, np.bool_), issues.sizes)


def overwritten(chip: ChipIssues, image: Mapping[Word, bytes]) -> Iterator[Hazard]:
    """For each slice with text its first write to a word of it. Where a scatter writes is known only when it runs, so
    it must not be in such a slice."""
    slices: dict[int, list[int]] = defaultdict(list)
    for word in image:
        slices[word.unit(chip.spec)].append(word.address)
    for unit, addresses in slices.items():
        writes = chip.dispatches("MEM", unit, *(i.name for i in TABLE.with_effect(*STORES)))
        moved, cycles = writes.moved("address"), writes.cycles()
        scatters = _has(writes, Effect.SCATTER)
        bad = np.flatnonzero(scatters | np.isin(moved, addresses))
        if not bad.size:
            continue
        first = int(bad[np.argmin(cycles[bad])])
        address = min(addresses) if scatters[first] else int(moved[first])
        resource, cycle = f"word {word_of(unit, address, chip.spec)}", int(cycles[first]) + chip.spec.latency_write
        yield Hazard("text-overwritten", chip.number, resource, cycle, (unit, address), writes.actor(first))
