"""What bulk mode leaves to cycle mode, and how much it takes on."""

from __future__ import annotations

import numpy as np

from ....dialects.machine.effects import ENTERING, STORES, Effect
from ....dialects.machine.intervals import Ints
from ....dialects.programs.issues import Issues
from ....dialects.programs.records import Program

MOST = 1 << 22
"""Runs, installs or rows of a program, beyond which planning would take more time and memory than bulk mode saves."""

RESULTS = (Effect.ACCUMULATE, Effect.COMPUTE, Effect.GATHER, Effect.MOVE)
"""What makes vectors of others."""

_DONE = (
    *(*RESULTS, *STORES, *ENTERING, Effect.READ, Effect.LOAD, Effect.INSTALL),
    *(Effect.SEND, Effect.RECEIVE, Effect.FETCH, Effect.CONFIGURE),
)
"""What bulk mode does."""


class Irregular(Exception):
    """The program has a hazard, or something that bulk mode does not do: cycle mode runs it, and names the hazard."""


def limit_number(numbers: Ints, most: int = MOST) -> None:
    """Raises Irregular where the sum of some numbers is greater than `most`."""
    if numbers.sum(dtype=np.float64) > most:
        raise Irregular("too many runs, installs or rows")


def issues_of(program: Program) -> Issues:
    """The issues of a program. Raises Irregular for too many runs, and for an effect that bulk mode does not have."""
    issues = Issues(program, limit=limit_number)
    for shape in issues.shapes:
        if shape.kind not in _DONE:
            raise Irregular(f"bulk mode does not do `{shape.instruction.name}`")
    return issues
