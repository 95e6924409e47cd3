"""What the bulk kernel and Python both know: the words of the tables that they share, as `layout.py` for cycle mode.

A group is a loop over vectors in blocks; its steps run in order on one block after the other. An operand of a step is
an address that moves by `outer` bytes from one vector of the group to the next, and within the block by `inner`: in
memory both are the distance of the vectors, in a block's own buffers `outer` is 0.
"""

from __future__ import annotations

from enum import IntEnum

BLOCK_VECTORS = 48
"""Most vectors of a block."""


class Env(IntEnum):
    """What all steps share."""

    STRIDE = 0
    """Bytes from one vector to the next."""
    BLOCKS = 1
    """Blocks of 64 lanes of a vector."""
    INPUTS = 2
    """Room for the activations of a block as dot products take them."""
    GROUPS = 3
    STEPS = 4


ENV_WORDS = 8


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
    """COPY: blocks of 64 bytes of a vector; ALU: the operation; MULTIPLY: whether sums are added; PACK: nothing."""
    OPERANDS = 2


class Operand(IntEnum):
    BASE = 0
    OUTER = 1
    INNER = 2


OPERAND_WORDS = 3
OPERANDS = 5
STEP_WORDS = Step.OPERANDS + OPERAND_WORDS * OPERANDS + 1


class Op(IntEnum):
    """What the kernel's switch knows."""

    COPY = 0
    """Vectors as they are."""
    WIDEN_1 = 1
    """Byte planes to sign-extended 32-bit lanes in wide order (lanes.py); the number is that of the planes."""
    WIDEN_2 = 2
    WIDEN_4 = 3
    NARROW_1 = 4
    """Lanes in wide order to byte planes."""
    NARROW_2 = 5
    NARROW_4 = 6
    ALU = 7
    MULTIPLY = 8
    """Activations by an array of weights, into 32-bit lanes in wide order."""
    PACK = 9
    """Rows of weights into an array."""
    CALL = 10
    """A chain that was compiled for this program (chains.py); `MODE` is its address. Further operands are in the rows
    that follow, whose operation is MORE."""
    MORE = 11
    SIGN_8 = 12
    """The low bits of 32-bit lanes, sign-extended."""
    SIGN_16 = 13


class Rows(IntEnum):
    """The weight rows of an array: these words, then the addresses of the rows, four of each group."""

    GROUPS = 0
    """Groups of four rows, a multiple of what the kernel takes at a time."""
    FIRST = 1
    """The number of the first group: that of the activations which its rows meet."""


ROWS_WORDS = 2
