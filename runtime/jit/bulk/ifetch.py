"""Program text in bulk mode: that every ifetch takes it and no write meets it is proven when a program is loaded;
whether it lies in SRAM is looked at before every run."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from ....dialects.machine.effects import STORES, Effect
from ....dialects.machine.instruction_fetch import Word, word_of
from ....dialects.machine.intervals import Ints
from ....dialects.machine.target import ChipSpec
from ....dialects.programs.def_use import Edges
from ....dialects.programs.issues import Issues
from ....dialects.programs.records import ChipProgram
from .irregular import Irregular


class TextImage:
    """The words of SRAM that hold the text of a chip's program."""

    def __init__(self, program: ChipProgram, chip: ChipSpec):
        image = program.text_image(chip)
        self._units = np.array([word.unit(chip) for word in image], np.int64)
        self._addresses = np.array([word.address for word in image], np.int64)
        self._bytes = np.frombuffer(b"".join(image.values()), np.uint8).reshape(-1, chip.lanes)

    def lies_in(self, sram: npt.NDArray[np.uint8]) -> bool:
        """Whether SRAM [2 * slices, words, stride] holds it."""
        found = sram[self._units, self._addresses, : self._bytes.shape[1]]
        return np.array_equal(found, self._bytes)


def check_text(issues: Issues, edges: Edges) -> None:
    """Raises Irregular unless the edges bring every ifetch the words of its text, and no write meets a word of text."""
    program, spec = issues.program, issues.spec
    images = [chip.text_image(spec) for chip in program.chips]
    if not any(images):
        return
    texts = [{(fetch.record.queue, fetch.record.at): fetch.text for fetch in chip.fetches} for chip in program.chips]
    for edge in np.flatnonzero(issues.kind_of(edges.c) == Effect.FETCH).tolist():
        taker, giver = (int(issues.record_of(side[[edge]])[0]) for side in (edges.c, edges.p))
        chip, record, slot = issues.shape_of(taker).chip, issues.records[taker], int(edges.slot[edge])
        text = texts[chip][record.queue, record.at][slot * spec.lanes :][: spec.lanes]
        word = _word_read(issues, giver, edges.p[[edge]], chip)
        driven = b"" if word is None else images[chip].get(word, b"")
        on = int(edges.tiles[edge]) * spec.lanes_per_tile
        if not driven[:on].ljust(len(driven), b"\0").startswith(text):
            raise Irregular("text-wrong")
    for chip, image in enumerate(images):
        _check_writes(issues, chip, image)


def _word_read(issues: Issues, giver: int, issue: Ints, chip: int) -> Word | None:
    """The word that an issue, of the record `giver`, reads on a chip; None if it does something else."""
    shape = issues.shape_of(giver)
    if (shape.kind, shape.chip) != (Effect.READ, chip):
        return None
    return word_of(shape.queue.unit, int(issues.value_of(issue)[0][0]), issues.spec)


def _check_writes(issues: Issues, chip: int, image: dict[Word, bytes]) -> None:
    """Raises Irregular where a run of writes on a chip meets a word of text. Where a scatter writes depends on data: it
    may."""
    slices: dict[int, list[int]] = defaultdict(list)
    for word in image:
        slices[word.unit(issues.spec)].append(word.address)
    runs = issues.runs
    for run in np.flatnonzero(np.isin(issues.kind[runs.record], STORES)).tolist():
        shape = issues.shape_of(int(runs.record[run]))
        if shape.chip != chip or shape.queue.unit not in slices:
            continue
        first, count, step = int(runs.value[run]), int(runs.count[run]), int(runs.step[run])
        written = range(first, first + count * step, step) if step else (first,)
        if shape.kind == Effect.SCATTER or any(address in written for address in slices[shape.queue.unit]):
            raise Irregular("text-overwritten")
