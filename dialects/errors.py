"""The error taxonomy. Every error that a user can cause is one of these classes.

They are xDSL diagnostics: `tsp-opt` prints them as an op, a location and a reason, without a traceback, and `xdsl-opt`
takes them for what a failed verifier says. Engines and verifier raise the same `HazardError` for the same hazard.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.utils.exceptions import DiagnosticException


class TspError(DiagnosticException):
    """Base of all our errors. Its text is one paragraph that names the op, the place and the remedy."""


class MalformedProgram(TspError):
    """Bytes or text that are no program: wrong encoding, a field out of range, a broken file."""


class UnsupportedModel(TspError):
    """A valid model that has no lowering. Lists every problem of the module at once."""


class CapacityError(TspError):
    """A resource is too small for the program; says by how much and what takes the space."""


class LinkError(TspError):
    """A chip, link or route that the system does not have."""


class TargetError(TspError):
    """A target description that cannot be read, or a field of it that is unknown or out of range."""


class InputError(TspError):
    """Inputs or weights that do not fit the program: a missing name, another shape, another element type. Also a cycle
    or place to look at that the program does not have, and a stage to compile until that there is not."""


class ScheduleError(TspError):
    """No schedule exists for the ops as placed: streams or units that can never be free together."""


class MismatchError(TspError):
    """Two levels or engines that must give the same bits did not."""


@dataclass(frozen=True)
class Actor:
    """One instruction issue that takes part in a hazard: `text` as disassembled, on `queue`, in `cycle`."""

    text: str
    queue: str
    cycle: int

    def __str__(self) -> str:
        return f"`{self.text}` ({self.queue}, cycle {self.cycle})"


class HazardError(TspError):
    """Two instructions that cannot both be right, or one whose operand is not there.

    The verifier and every engine report the earliest hazard of a program, by (cycle, class, resource), so they
    agree on all five fields.
    """

    def __init__(self, kind: str, chip: int, resource: str, cycle: int, first: Actor, second: Actor | None = None):
        self.kind = kind
        """The hazard class, a key of `HAZARDS`."""
        self.chip = chip
        """The chip on which it happens."""
        self.resource = resource
        """What is oversubscribed or empty, such as `stream E4 at position 3`."""
        self.cycle = cycle
        """The cycle, in tile 0's time, in which it happens."""
        self.first = first
        """The instruction issue that is in the wrong, or the earlier of two."""
        self.second = second
        """The later of two, where there are two."""
        actors = f"{first} and {second}" if second else f"{first}"
        super().__init__(f"hazard [{kind}] chip {chip}, cycle {cycle}, {resource}: {HAZARDS[kind]}: {actors}")

    @property
    def key(self) -> tuple[str, int, str, int]:
        """(class, chip, resource, cycle): what the verifier and the engines must agree on."""
        return (self.kind, self.chip, self.resource, self.cycle)


class DataflowError(TspError):
    """A program without hazards does something else than it was compiled to do.

    Only `isa-verify` finds this, and only in a program that says what it is meant to do (dataflow.py): for an engine
    any program without hazards is right.
    """

    def __init__(self, chip: int, queue: str, cycle: int, first: Actor | None, what: str):
        self.chip = chip
        self.queue = queue
        """The queue whose issues are not what they should be."""
        self.cycle = cycle
        """The cycle of the first of them that is known to be wrong, or of a few issues of which one is."""
        self.first = first
        """That issue, or the first of those; None where there should be one and there is none."""
        super().__init__(
            f"chip {chip}, {f'{first}' if first else f'{queue}, cycle {cycle}'}: {what}; "
            "undo the edit, or, if it is intended, omit the program's tsp_isa.dataflow ops"
        )


class FlipError(TspError):
    """A unit or the host takes a code word in which more bits have flipped than SECDED corrects."""

    def __init__(self, chip: int, resource: str, cycle: int, first: Actor, second: Actor | None = None):
        self.chip = chip
        """The chip on which it happens."""
        self.resource = resource
        """Where the word is, and which lanes it has, such as `stream E4 at position +3, lanes 16 to 31`."""
        self.cycle = cycle
        """The cycle, in tile 0's time, in which it is taken; for the host, which comes last, the program's length."""
        self.first = first
        """What drove the vector onto the stream; the host, where that reads."""
        self.second = second
        """What takes it; None for the host."""
        actors = f"driven by {first}, taken by {second}" if second else f"taken by {first}"
        super().__init__(
            f"bits flipped on chip {chip}, cycle {cycle}, {resource}: more in one code word than can be corrected: "
            f"{actors}; load the memory again and rerun"
        )

    @property
    def key(self) -> tuple[int, str, int]:
        """(chip, resource, cycle): what the engines must agree on."""
        return (self.chip, self.resource, self.cycle)


HAZARDS: dict[str, str] = {
    "queue": "two instructions are dispatched by one queue at once",
    "queue-dry": "a queue reaches an instruction that has not been fetched",
    "queue-full": "an ifetch brings more instructions than the queue has room for",
    "stream-collision": "two instructions drive one stream register in one cycle",
    "stream-empty": "an instruction reads a stream register that nothing drives",
    "fetch-wrong": "an ifetch takes vectors that are not the next instructions of its queue",
    "instructions-overwritten": "a word of SRAM that holds instructions is written",
    "chain-empty": "an ALU reads the chain of an ALU that has no result in this cycle",
    "weights-empty": "activations enter a plane in which no weights are installed",
    "result-missing": "an accumulator takes a result in a cycle in which the array gives none",
    "result-lost": "a result leaves the array and no accumulator takes it",
    "accumulator-empty": "a sum is added to an accumulator entry that was never set",
    "link-busy": "a vector is sent before the slot of the previous one has passed",
    "link-empty": "a receive finds no vector on the link",
    "link-lost": "a vector arrives on a link and nothing receives it",
}
"""Each hazard class with its meaning. The order is the order of precedence within a cycle."""

FLIPPED = "bits-flipped"
"""The kind of a `Hazard` that is none of the program but of the machine: the error for it is a FlipError."""

_ORDER = {kind: i for i, kind in enumerate([FLIPPED, *HAZARDS])}


@dataclass(frozen=True)
class Hazard:
    """A hazard that an engine or the verifier found, or a flip, with what orders it among others."""

    kind: str
    chip: int
    resource: str
    cycle: int
    order: tuple[int, ...]
    """Numbers of the resource, then of the queues: the order among hazards of one class, chip and cycle."""
    first: Actor
    second: Actor | None = None


def earliest(hazards: Iterable[Hazard]) -> HazardError:
    """The error for the first hazard of a program, by cycle, class, chip, resource."""
    h = _first(hazards)
    return HazardError(h.kind, h.chip, h.resource, h.cycle, h.first, h.second)


def earliest_in_run(hazards: Iterable[Hazard]) -> HazardError | FlipError:
    """The error for what an engine found first. Flips come before the hazards of their cycle, which they may cause."""
    h = _first(hazards)
    return FlipError(h.chip, h.resource, h.cycle, h.first, h.second) if h.kind == FLIPPED else earliest([h])


def _first(hazards: Iterable[Hazard]) -> Hazard:
    return min(hazards, key=lambda h: (h.cycle, _ORDER[h.kind], h.chip, h.order))
