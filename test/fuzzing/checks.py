"""What must hold of random programs: engines and verifier agree, and no bytes do more than raise an error of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tspc.dialects.errors import HazardError
from tspc.dialects.programs.records import Program
from tspc.passes.isa.verify.proof import first_hazard
from tspc.runtime.engine import Engine, RunStats, Session
from tspc.runtime.executable import load_text
from tspc.runtime.jit import JitEngine
from tspc.runtime.reference import ReferenceEngine

MOST_STEPS = 20_000
"""Issues of a program that the reference engine runs here, some tens of microseconds each."""


@dataclass(frozen=True)
class Outcome:
    """What two runs did: a hazard, or statistics and all SRAM."""

    hazard: HazardError | None
    stats: RunStats | None
    sram: tuple[np.ndarray, ...]

    @property
    def text(self) -> str:
        return str(self.hazard or "")

    @property
    def kind(self) -> str:
        """The class of the hazard, or `right`."""
        return self.hazard.kind if self.hazard else "right"


def fill(session: Session, program: Program, seed: int) -> None:
    """Random bytes in all of SRAM, but for program text."""
    for i in range(len(program.chips)):
        sram = session.sram(i)
        sram[:] = np.random.default_rng(seed + i).integers(0, 256, sram.shape, np.uint8)
        sram[::3] &= 7  # for maps
    load_text(program, session)


def outcome(engine: Engine, program: Program, seed: int) -> Outcome:
    """What two runs of a program on an engine do."""
    session = engine.load(program)
    fill(session, program, seed)
    try:
        with np.errstate(all="ignore"):
            session.run()
            stats = session.run()
    except HazardError as e:
        return Outcome(e, None, ())
    return Outcome(None, stats, tuple(session.sram(i).copy() for i in range(len(program.chips))))


def difference(found: Outcome, expected: Outcome) -> str | None:
    """What two engines do not agree on, or None."""
    if found.text != expected.text:
        return f"hazard: {found.text or 'none'}; expected: {expected.text or 'none'}"
    if found.stats is None or expected.stats is None:
        return None
    if found.stats.cycles != expected.stats.cycles:
        return f"cycles: {found.stats.cycles}; expected: {expected.stats.cycles}"
    if not (found.stats.issues == expected.stats.issues).all():
        return "issues"
    for chip, (a, b) in enumerate(zip(found.sram, expected.sram, strict=True)):
        if not np.array_equal(a, b):
            return f"SRAM of chip {chip}: first at {np.argwhere(a != b)[0].tolist()} of [slice, word, lane]"
    return None


class Disagreement(AssertionError):
    """Two that must agree do not."""


def agree(program: Program, seed: int, paths: Sequence[str] = ("auto",)) -> tuple[str, str]:
    """Raises Disagreement unless reference engine (for programs that are not too long), cycle and bulk mode on some
    paths, and verifier agree on a program; gives the mode in which bulk mode ran it, and the hazard's class or
    `right`."""
    short = sum(r.vectors for c in program.chips for r in c.dispatches) <= MOST_STEPS
    expected = outcome(ReferenceEngine() if short else JitEngine(paths[0]), program, seed)
    mode = JitEngine(paths[0], mode="bulk").load(program).mode
    if mode == "bulk" and expected.hazard:
        raise Disagreement(f"bulk mode runs a program with a hazard: {expected.text}")
    for path in paths:
        _same(f"cycle mode, {path}", outcome(JitEngine(path), program, seed), expected)
        _same(f"bulk mode, {path}", outcome(JitEngine(path, mode="bulk"), program, seed), expected)
    proven = first_hazard(program)
    if str(proven or "") != expected.text and not _is_stricter(proven, expected):
        raise Disagreement(f"isa-verify: {proven or 'none'}; the engines: {expected.text or 'none'}")
    return mode, expected.kind


def _same(who: str, found: Outcome, expected: Outcome) -> None:
    if what := difference(found, expected):
        raise Disagreement(f"{who}: {what}")


def _is_stricter(proven: HazardError | None, found: Outcome) -> bool:
    """Whether a program is refused for a scatter in a slice that holds text: where it writes depends on data. The
    engines must find nothing before it."""
    if proven is None or proven.kind != "text-overwritten" or "`scatter " not in str(proven.first):
        return False
    return found.hazard is None or found.hazard.cycle >= proven.cycle
