"""What the compiled kernel and Python both know: the words of every table that they share.

Every table is an array of 64-bit words, so that neither side needs a packing rule. An enum names the words of a
row, and `*_WORDS` is the size of the row. No machine number stands here: those are values of `Chip` words.
"""

from __future__ import annotations

from enum import IntEnum

from ...dialects.machine.instruction import MOST_OPERANDS

BLOCK = 64
"""Lanes that a handler treats at once. Vectors are padded to a multiple, and every buffer is aligned to it."""

GROUP = 4
"""Weight rows that a dot product sums."""

LIST = 64
"""Offset, in an installed array, of the list of its groups, after their count; 32 bits each."""

NEVER = (1 << 63) - 1
"""The time of an event that does not come."""

NO_DIAGONAL = -(1 << 63)
"""The tag of a stream or chain slot that holds nothing."""

LONG_AGO = -(1 << 62)
"""The cycle of the last send on a link that has sent nothing."""

LEVELS = 4
"""Loop levels of a record: the vectors of one `abc`, and three of `repeat`."""

SOURCES = MOST_OPERANDS
"""Operands of an instruction that are streams, chains or immediates."""

RUNS = (3, 4)
"""Lengths of the runs of lanes that the rotator rotates."""


class Chip(IntEnum):
    """One chip: sizes, addresses of its tables, and the few scalars that change in a run.

    Sizes that say MASK are those of a ring, less one; the ring's size is a power of two.
    """

    STRIDE = 0
    """Bytes from one vector to the next."""
    BLOCKS = 1
    """Blocks of a vector."""
    SRAM = 2
    SLICE_BYTES = 3
    ZERO = 4
    """A vector of zeros."""
    SLOTS = 5
    """Stream registers, by stream and then by diagonal: rows of `Slot`."""
    DIAGONAL_MASK = 6
    POOL = 7
    """Vectors in flight; slots and calendar hold their numbers."""
    POOL_LAST = 8
    """The greatest number of a vector in the pool."""
    POOL_NEXT = 9
    """The least number never handed out."""
    FREE = 10
    """Stack of numbers handed back."""
    FREE_COUNT = 11
    CALENDAR = 12
    """Drives that are due, by cycle: rows of `Due`."""
    CALENDAR_COUNT = 13
    CALENDAR_MASK = 14
    CALENDAR_WIDTH = 15
    """Most drives of a cycle."""
    CALENDAR_PENDING = 16
    """Drives in the whole calendar."""
    TIMES = 17
    """The next cycle of every activity: installs by plane, cursors, sums by plane, arrivals by link."""
    TIMES_BLOCKS = 18
    """Eighths of the times."""
    SUM_TIMES = 19
    LINK_TIMES = 20
    ACTIVITIES = 21
    """Rows of `Activity`, in the order of the times."""
    RECORDS = 22
    CHAINS = 23
    """Chain results, by ALU and then by cycle of dispatch."""
    CHAIN_TAGS = 24
    CHAIN_MASK = 25
    ALU_LATENCY = 26
    SCRATCH = 27
    """Four vectors of 32-bit lanes."""
    PLANES = 28
    ARRAY_LATENCY = 29
    INSTALL_LATENCY = 30
    WEIGHT_STREAMS = 31
    ROW_GROUPS = 32
    """Groups of four weight rows in a plane."""
    WEIGHTS_BYTES = 33
    """Size of an installed array."""
    BIAS = 34
    """Offset of the column constants in an installed array."""
    WEIGHTS = 35
    """Offset of the weights in an installed array."""
    SUM_MASK = 36
    INPUT_BYTES = 37
    """Bytes from one activation vector to the next, as the plane keeps them."""
    LINKS = 38
    LINK_COUNT = 39
    LINK_MASK = 40
    FLIGHT = 41
    """Cycles from a send to its arrival."""
    LINK_SLOT = 42
    HAZARDS = 43
    HAZARD_COUNT = 44
    HAZARD_LAST = 45
    """The last row for hazards."""
    STOPPED = 46
    """The cycle of the hazards."""
    LANES = 47
    TILES = 48
    TILE_LANES = 49
    STREAMS = 50
    """Streams of a direction."""
    SRAM_WORDS = 51
    """Words of a slice."""
    MASKED = 52
    """Samples of superlanes that are off: as many vectors for each operand as there are streams."""
    STAGE = 53
    """A vector with as many zeros before it and after it."""
    NUMBERS = 54
    """The numbers of lanes to take, 16 bits each."""
    TILE_STARTS = 55
    """For every lane the first one of its tile, likewise."""
    ROTATIONS = 56
    """By length of run and amount: masks of the lanes that come from above, and of those that wrap round."""
    VECTORS = 57
    """Addresses of the vectors whose lanes are moved, then of the results."""
    HALF_BYTES = 58
    """The bytes of two planes' weights in their places, low before high, to be made one plane of fp16."""
    FETCHED = 59
    """By ifetch, the two vectors that it must take."""
    FETCH_FIRST = 60
    """Bytes of text in the first of them."""
    FETCH_SECOND = 61
    TEXT = 62
    """By word of SRAM, a byte that is not 0 where it holds program text."""
    CODE_WORDS = 63
    """Code words of a vector."""
    CODE_BYTES = 64
    """Data bytes of a code word."""
    CODE_TILE = 65
    """Bytes of the check bits of a superlane; those of a vector lie behind its blocks, 16 bits for each code word."""
    CODE_TABLE = 66
    """By byte of a code word and its value: what it adds to the check bits, 16 bits each."""
    VERDICTS = 67
    """By syndrome: the number of the flipped bit, check bits after data bits, or -1; 16 bits each."""
    CORRECTED = 68
    """Code words that were corrected."""


CHIP_WORDS = 72


class Slot(IntEnum):
    """What a stream register's diagonal holds: the newest drive on it."""

    DIAGONAL = 0
    CYCLE = 1
    """When it was driven."""
    RECORD = 2
    VECTOR = 3
    """Its number in the pool, or -1."""


SLOT_WORDS = 4


class Due(IntEnum):
    """A drive that falls due."""

    SLOTS = 0
    """First slot of the stream."""
    SHIFT = 1
    """What makes the cycle a diagonal."""
    RECORD = 2
    VECTOR = 3


DUE_WORDS = 4


class Activity(IntEnum):
    """Something that has a next cycle: a queue's cursor, or what the machine does by itself."""

    RECORD = 0
    END = 1
    """One past its last record."""
    ROUND = 2
    """Rounds done at each of the loop levels, innermost first."""
    VALUE = 6
    """The stepping field's value."""
    ISSUES = 7
    LAST = 8
    """Cycle of its latest issue."""


ACTIVITY_WORDS = 16


class Source(IntEnum):
    """Kinds of operand; to those of streams and chains a `Form` is added."""

    STREAM = 0
    CHAIN = 8
    IMMEDIATE = 16
    NONE = 17


class Form(IntEnum):
    """How an ALU makes 32-bit lanes of an operand. Halves become f32; the others are integers or bits."""

    WORD = 0
    SIGNED_8 = 1
    UNSIGNED_8 = 2
    SIGNED_16 = 3
    UNSIGNED_16 = 4
    HALF = 5

    @property
    def bytes(self) -> int:
        """Streams of its group."""
        return (4, 1, 1, 2, 2, 2)[self]


class Finish(IntEnum):
    """What becomes of the 32-bit lanes of a result: the low bits sign-extended, or f32 rounded to fp16."""

    NONE = 0
    SIGN_8 = 1
    SIGN_16 = 2
    HALF = 3


class Row(IntEnum):
    """A dispatch record. An operand's or result's streams are given by the number of the first one's first slot."""

    AT = 0
    """First cycle, moved by `d_skew`: all that the issue does happens then or later."""
    OP = 1
    UNIT = 2
    TILES = 3
    """Superlanes that are on, where not all are; else 0."""
    COUNT = 4
    """Rounds of each loop level."""
    TIME = 8
    """Cycles to the next round of each level, from the last issue of the levels inside it."""
    STEP = 12
    """Movement of the value, likewise."""
    VALUE = 16
    KIND = 17
    """`Source` of the operands."""
    SOURCE = 20
    """First slot, ALU, or bits of the operands."""
    SHIFT = 23
    """What makes the cycle a diagonal, for the operands."""
    TARGET = 26
    """First slot of the result."""
    TARGET_SHIFT = 27
    TARGET_WIDTH = 28
    """Streams of the result; 0 for a chain."""
    DELAY = 29
    """Cycles to the drive."""
    MODE = 30
    """What the operation is in detail: the `Alu` operation; whether sums are added; how many lanes further up a shifted
    lane comes from; the length of rotated runs; the number of an ifetch on its chip."""
    FINISH = 31
    """`Finish` of an ALU's result."""


ROW_WORDS = 32


class Plane(IntEnum):
    """An MXM plane. Vectors are numbered in their order; a ring holds number n in its row n & mask."""

    BUFFER = 0
    """Weight rows as loaded, [rows, stride] bytes."""
    LOADED = 1
    """By row, 255 where it was loaded since the last install."""
    ARRAYS = 2
    """Ring of installed and pending arrays."""
    ARRAY_MASK = 3
    EFFECTIVE = 4
    """Ring of the cycles in which installs take effect."""
    INSTALLED = 5
    """Installs that have taken effect."""
    ISSUED = 6
    """Installs that were dispatched."""
    ACTIVE = 7
    """The array in effect."""
    INPUTS = 8
    """Ring of activation vectors."""
    SUMS = 9
    """Ring of their sums, in the order of `wide`."""
    ENTERED = 10
    """Ring of the cycles in which they entered."""
    ENTERED_BY = 11
    """Ring of the records that took them."""
    TAKEN = 12
    """Vectors whose sums have left the array."""
    SUMMED = 13
    """Vectors whose sums have been computed."""
    FED = 14
    """Vectors that entered."""
    ACCUMULATORS = 15
    IS_SET = 16
    """A byte per entry."""
    IS_HALF = 17
    """Whether the vectors whose sums have not been computed are fp16."""
    HALF_INPUTS = 18
    """Ring of fp16 activation vectors, as f64."""
    HALF_WEIGHTS = 19
    """The fp16 weights of this plane and the next, as f32."""
    LOW_MADE_OF = 20
    """Installs that had taken effect when they were made; 0 if they never were."""
    HIGH_MADE_OF = 21
    HIGH = 22
    """The plane with the high bytes of this one's fp16 weights, or 0."""
    LOW = 23
    """The plane with the low bytes, or 0."""


PLANE_WORDS = 24


class Link(IntEnum):
    """A C2C link."""

    INBOX = 0
    """Where its vectors arrive."""
    OUTBOX = 1
    """The inbox of the port at the other end."""
    LAST_SEND = 2
    LAST_SENDER = 3


LINK_WORDS = 4


class Inbox(IntEnum):
    """Vectors on their way to a port: these words, then rows of `Arrival`, then the vectors."""

    TAKEN = 0
    SENT = 1


INBOX_WORDS = 8


class Arrival(IntEnum):
    CYCLE = 0
    RECORD = 1


ARRIVAL_WORDS = 2


class Fault(IntEnum):
    """A hazard. What it means is for Python to say."""

    KIND = 0
    RESOURCE = 1
    FIRST = 2
    """The first issue's record, and the cycle in which it acts."""
    FIRST_CYCLE = 3
    SECOND = 4
    """The second's record, or -1."""
    SECOND_CYCLE = 5


FAULT_WORDS = 8


class Hazard(IntEnum):
    """Hazards that the kernel finds."""

    STREAM_COLLISION = 0
    STREAM_EMPTY = 1
    CHAIN_EMPTY = 2
    WEIGHTS_EMPTY = 3
    RESULT_MISSING = 4
    RESULT_LOST = 5
    ACCUMULATOR_EMPTY = 6
    LINK_BUSY = 7
    LINK_EMPTY = 8
    LINK_LOST = 9
    TEXT_WRONG = 10
    TEXT_OVERWRITTEN = 11
    BITS_FLIPPED = 12
    """Its resource is the slot, as of a stream, times the code words of a vector, plus the code word. The first issue
    is the driver, in the cycle of its drive."""


class Op(IntEnum):
    """What the switch of the kernel knows beside the opcodes of instructions."""

    BESIDE_TEXT = 1 << 8
    """Added to the opcode of what writes to a slice that holds program text."""
    INSTALL = 2 << 8
    """A pending install takes effect. From here on it is what the machine does by itself."""
    LOSE_SUMS = INSTALL + 1
    """Sums that arrived in this cycle were not taken."""
    LOSE_VECTOR = INSTALL + 2
    """A vector that arrived in this cycle was not received."""


class Alu(IntEnum):
    """Operations on 32-bit lanes, to which every ALU instruction comes down: I on integers, F on f32, H on fp16.

    FLOAT and FIX convert. A number is the width in bits to which the result saturates.
    """

    ADD_I = 0
    ADD_F = 1
    SUB_I = 2
    SUB_F = 3
    MUL_I = 4
    MUL_F = 5
    MAX_I = 6
    MAX_F = 7
    MIN_I = 8
    MIN_F = 9
    ADD_SAT_8 = 10
    ADD_SAT_16 = 11
    ADD_SAT_32 = 12
    SUB_SAT_8 = 13
    SUB_SAT_16 = 14
    SUB_SAT_32 = 15
    MUL_SAT_8 = 16
    MUL_SAT_16 = 17
    MUL_SAT_32 = 18
    AND = 19
    OR = 20
    XOR = 21
    SHL = 22
    SHR = 23
    SHR_U = 24
    EQ_I = 25
    EQ_F = 26
    NE_I = 27
    NE_F = 28
    LT_I = 29
    LT_F = 30
    LE_I = 31
    LE_F = 32
    GT_I = 33
    GT_F = 34
    GE_I = 35
    GE_F = 36
    SELECT = 37
    COPY = 38
    ROUND = 39
    TRUNC = 40
    RELU_I = 41
    RELU_F = 42
    CANONICAL = 43
    CLAMP_8 = 44
    CLAMP_16 = 45
    FLOAT = 46
    FIX_8 = 47
    FIX_16 = 48
    FIX_32 = 49
    EXP_F = 50
    EXP_H = 51
    LOG_F = 52
    LOG_H = 53
    TANH_F = 54
    TANH_H = 55
    RSQRT_F = 56
    RSQRT_H = 57
