"""How large what we are given may be. No numbers of the machine: what a program says is held against these before
anything is expanded or allocated for it, so that a few bytes of text cannot keep an engine, the verifier or a pass for
ever."""

from __future__ import annotations

MOST_CYCLES = 1 << 30
"""Cycles of a program: 1.2 s of the default clock. Waiting costs text, 16 bytes in 65535 cycles of a queue."""

MOST_ISSUES = 1 << 26
"""Instruction issues of a chip, each vector of an `abc` being one: all 144 queues of the default chip without a pause
for 466,000 cycles."""

MOST_ELEMENTS = 1 << 24
"""Elements of a `dense` literal, which the parser writes out, also where all are one value; weights are files."""

MOST_NAME_BYTES = (1 << 16) - 1 - len(".npy")
"""Bytes of the name of an input, output or parameter: what an entry of an .npz file has room for."""
