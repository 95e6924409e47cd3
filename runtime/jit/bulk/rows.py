"""What the bulk kernel and Python both know: the words of the tables that they share, as `layout.py` for cycle mode.

A group is a loop over vectors in blocks; its steps run in order on one block after the other. An operand of a step is
an address that moves by `outer` bytes from one vector of the group to the next, and within the block by `inner`: in
memory both are the distance of the vectors, in a block's own buffers `outer` is 0.
"""

from __future__ import annotations

from enum import IntEnum

from ..layout import CHIP_WORDS, Finish, Form

BLOCK_VECTORS = 56
"""Most vectors of a block."""


class Env(IntEnum):
    """What all steps share: the words of `Chip` that say what a machine is, and then these."""

    INPUTS = CHIP_WORDS
    """Room for the activations of a block as dot products take them."""
    GROUPS = CHIP_WORDS + 1
    STEPS = CHIP_WORDS + 2


ENV_WORDS = CHIP_WORDS + 8


class Group(IntEnum):
    """A loop over vectors."""

    FIRST = 0
    """Its first step."""
    END = 1
    """One past its last step."""
    COUNT = 2
    """Vectors."""
    BLOCK = 3
    """Vectors of a block, at most BLOCK_VECTORS."""


GROUP_WORDS = 4


class Step(IntEnum):
    """What is done for a block of vectors. Operands follow `MODE`, the result first."""

    OP = 0
    MODE = 1
    """COPY: blocks of 64 bytes of a vector; ALU: the operation; MULTIPLY: whether sums are added; CUT, BLEND and
    scatters: superlanes that are on; what moves lanes: its fields, as pack_fields packs them."""
    OPERANDS = 2


class Operand(IntEnum):
    BASE = 0
    OUTER = 1
    INNER = 2


LISTED = -1
"""In place of `INNER`: the base is that of a list with the address of every vector, and `OUTER` that of its words."""

OPERAND_WORDS = 3
OPERANDS = 5
STEP_WORDS = Step.OPERANDS + OPERAND_WORDS * OPERANDS + 1


class Op(IntEnum):
    """What the kernel's switch knows."""

    COPY = 0
    """Vectors as they are."""
    CUT = 1
    """The same, but zero in superlanes that are off."""
    BLEND = 2
    """The same, but superlanes that are off stay as they were."""
    ALU = 3
    MULTIPLY = 4
    """Activations by an array of weights, into 32-bit lanes in wide order."""
    MULTIPLY_HALF = 5
    """The same of fp16, activations as two planes."""
    PACK = 6
    """Rows of weights into an array."""
    PACK_BYTES = 7
    """Rows of the bytes of fp16 weights to where PAIR takes them."""
    PAIR = 8
    """The bytes of two planes to an array of fp16 weights."""
    CALL = 9
    """A chain that was compiled for this program (chains.py); `MODE` is its address."""
    MORE = 10
    """In place of the operation: a row that holds further operands of the step before it."""
    NARROW_1 = 19
    """Lanes in wide order to byte planes; the number is that of the planes."""
    NARROW_2 = 20
    NARROW_4 = 21
    WIDEN = 32
    """Byte planes to 32-bit lanes in wide order, of the `Form` whose number is added."""
    PREPARE = 40
    """The low bits of 32-bit lanes to such lanes, likewise."""
    HALVE = 48
    """f32 lanes rounded to fp16 in their lower halves."""
    INSTRUCTION = 1 << 8
    """From here on: an instruction that moves lanes or maps words, by its opcode. Operands of the former: all sources,
    then all results; of gathers: result, map, slice, and the number that is added to the map's; of scatters: map,
    source, slice, number."""


WIDENS = {Op.WIDEN + form: form for form in Form}
PREPARES = {Op.PREPARE + form: form for form in Form if form != Form.WORD}
NARROWS = {Op.NARROW_1: 1, Op.NARROW_2: 2, Op.NARROW_4: 4}
FINISHES = {
    Finish.SIGN_8: Op.PREPARE + Form.SIGNED_8,
    Finish.SIGN_16: Op.PREPARE + Form.SIGNED_16,
    Finish.HALF: int(Op.HALVE),
}
"""The operations that finish the lanes of a result."""


class Rows(IntEnum):
    """The weight rows of an array: these words, then the addresses of the rows, four of each group."""

    GROUPS = 0
    """Groups of four rows, a multiple of what the kernel takes at a time."""
    FIRST = 1
    """The number of the first group: that of the activations which its rows meet."""


ROWS_WORDS = 2
