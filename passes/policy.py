"""What the compiler goes by where it has to choose: every number of a heuristic, and the costs that choices compare.

Nothing here is needed for a program to be right; another number makes it longer or shorter. Each has a unit and a
reason. They were chosen by measuring on the published chip; what depends on latencies and distances follows those of
the chip that is compiled for. A pass asks `Policy.of(chip)`, the lowering the policy of its `Buffers`.

A new rule of choice is a field, or a method that gives a cost in cycles, and the pass that decides compares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TypeVar

from ..dialects.machine.target import DEFAULT_SYSTEM, ChipSpec

T = TypeVar("T")


def chosen(default: T, unit: str, reason: str) -> T:
    """A number that a choice goes by, with its unit and why this value."""
    return field(default=default, metadata={"unit": unit, "reason": reason})


@dataclass(frozen=True)
class Policy:
    """The numbers for one chip."""

    chip: ChipSpec

    most_parts: int = chosen(8, "parts", "of a machine that are planned for; a try costs as much as compiling does")

    # -- copies, and rows side by side ---------------------------------------------------------------------------

    tight: int = chosen(
        0,
        "level",
        "of scarcity of words: at 1 no tensor lies in SRAM twice as a whole for several readers, at 2 no part of one",
    )
    window_copies: int = chosen(
        4, "copies", "for the taps of a window, or for the slices of weights; more would take too many slices"
    )
    enough_rows: int = chosen(64, "rows", "below which a block is not worth a chain of ALUs of its own")
    most_blocks: int = chosen(4, "blocks", "into which the rows of a map are cut; each wants slices of its own")
    few_rows: int = chosen(16, "rows", "below which planes may well wait for each other's visits")
    between: int = chosen(2, "cycles", "by which vectors of a slice come to the planes of one hemisphere first")

    # -- products -----------------------------------------------------------------------------------------------

    blocks_per_plane: int = chosen(8, "blocks", "tried at most; more would only load weights more often")
    worth_sharing: float = chosen(
        17 / 16,
        "of the cycles",
        "that sharing its passes may cost a product: planes then take more slices",
    )
    most_passes: int = chosen(16, "passes", "of a window summed on the MXM; ALUs take few steps for many taps")
    named_share: float = chosen(
        1 / 32, "of the words", "that copies take of what the host places, for planes that begin together"
    )

    # -- maps ---------------------------------------------------------------------------------------------------

    cover_rounds: int = chosen(4, "rounds", "in which a long map is covered with cones; later ones change little")
    most_halvings: int = chosen(3, "halvings", "of the columns in one step; with more, lanes stay empty")

    # -- buffers ------------------------------------------------------------------------------------------------

    constant_uses: int = chosen(64, "uses", "of a constant after which it is placed once more, apart from all of them")
    near_clusters: int = chosen(8, "clusters", "that near in the program may well run at the same time")
    small_words: int = chosen(
        64, "words", "of a read-only buffer that is no matrix but a vector for every row, or of a result of few rows"
    )
    finer_pieces: tuple[int, ...] = chosen(
        (2, 3, 4, 6, 8, 12, 16), "pieces", "into which a group of words is cut, in turn, until slices have room"
    )
    weights_fill: tuple[int, int] = chosen(
        (15, 16), "of the words", "of slices that weights fill where these have most of all words"
    )
    long_weights: float = chosen(1 / 16, "of the words", "of a slice; longer weights are cut where words are scarce")
    told_visits: int = chosen(512, "visits", "with pauses that are told apart; a schedule does so for few more")

    search_changes: tuple[int, ...] = chosen((1, 2, 4, 8), "buffers", "whose choice a try of stream-search changes")

    # -- time ---------------------------------------------------------------------------------------------------

    pause: int = chosen(8, "cycles", "without a visit that are worth to be left to others")
    fetch_gap: int = chosen(1, "cycles", "that a run without pauses leaves behind it in its queues, for an `ifetch`")
    fetch_stretch: int = chosen(
        256,
        "cycles",
        "without a pause that are long for an op with several runs in a slice",
    )

    fetch_tries: int = chosen(512, "cycles", "inside a gap of a queue that are offered for a fetch; few are taken")
    fetch_feeds: int = chosen(32, "cycles", "of which the cheapest feeds a fetch of an eager queue")

    @staticmethod
    @cache
    def of(chip: ChipSpec) -> Policy:
        """The policy for a chip."""
        return Policy(chip)

    def for_words(self, tight: int) -> Policy:
        """The same where words are scarce. Constants are placed once more after half as many uses then, so that fewer
        tensors must lie in other slices than one."""
        return replace(self, tight=tight, constant_uses=self.constant_uses // 2) if tight else self

    @property
    def copies(self) -> int:
        """Copies of a computed tensor at most."""
        return 1 if self.tight else 1 << 30

    # -- what trips take ----------------------------------------------------------------------------------------

    @property
    def map_cycles(self) -> int:
        """Cycles, about, from the read of a word through the ALUs to its write: measured on the published chip."""
        return 60 + self._longer(_through_alus)

    @property
    def permute_cycles(self) -> int:
        """Cycles, about, from SRAM through a permuter to SRAM, through an ALU and back."""
        return 70 + self._longer(_through_permuter)

    @property
    def turn_cycles(self) -> int:
        """Cycles, about, of the two trips more that a matrix takes which is transposed by tiles."""
        return 200 + 2 * self._longer(_through_permuter)

    def _longer(self, path: Callable[[ChipSpec], int]) -> int:
        """By how many cycles a way is longer than on the published chip."""
        return path(self.chip) - path(DEFAULT_SYSTEM.chip)

    # -- what choices compare -------------------------------------------------------------------------------------

    def cycles_of_map(self, words: int, alus: int) -> int:
        """Of a map of so many words and ALUs: as many chains as there are ALUs for work side by side."""
        return self.map_cycles + words // max(1, self.chip.alus // max(1, alus))

    def side_by_side(self, rows: int) -> int:
        """The blocks of so many rows on which a map works at the same time, if there are ALUs for them."""
        return max(1, min(self.most_blocks, rows // self.enough_rows))

    def cycles_of_step(self, words: int) -> int:
        """Of one step of a window that makes so many words."""
        return self.map_cycles + words // self.side_by_side(words)

    def joined_at_once(self, bytes_: int) -> int:
        """The operands of so many bytes an element that a map joins: with those of two to four as take up half of the
        streams of a direction, and as there are ALUs to widen them and to join them in pairs."""
        return max(2, min(3 if bytes_ == 4 else 4, (self.chip.alus + 1) // 2))

    @property
    def sharing(self) -> int:
        """Planes of a hemisphere that share weights at most, each with rows and so copies of its own."""
        return max(1, min(self.chip.planes // 2, self.window_copies))

    @property
    def rows_until(self) -> int:
        """The slice of a hemisphere behind which rows lie only where there is no other: behind it are weights, next to
        the planes, and then what meets every row."""
        return self.chip.slices - 3 * self.chip.weight_streams // 2

    @property
    def weights_from(self) -> int:
        """The first of the slices next to the planes, from which weights come."""
        return self.chip.slices - self.chip.weight_streams

    @property
    def named_words(self) -> int:
        """Words of the chip that copies of one tensor may take which the host places."""
        return int(2 * self.chip.slices * self.chip.words * self.named_share)

    @property
    def long_words(self) -> int:
        """Words of a slice from which on weights are long."""
        return int(self.chip.words * self.long_weights)

    @property
    def instruction_words(self) -> int:
        """Words of a slice that are left to instructions as long as there are others."""
        return self.chip.words // 32


def _through_alus(chip: ChipSpec) -> int:
    """Cycles from the farthest slice through four ALU operations and back."""
    way = 2 * chip.mxm_distance
    return chip.latency_read + chip.latency_vxm_entry + chip.latency_write + way + 4 * chip.latency_alu


def _through_permuter(chip: ChipSpec) -> int:
    """Cycles from SRAM through a permuter to SRAM, through an ALU and back."""
    return chip.latency_read + 2 * chip.latency_sxm_io + chip.latency_permute + _through_alus(chip)
