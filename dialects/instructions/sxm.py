"""SXM: what moves bytes between lanes. Each works on a byte per lane; wider elements take one issue per byte plane.

What is published are the kinds of unit; how maps are given is our choice: they come on streams, like any operand, so
that no unit has a state.
"""

from __future__ import annotations

from ..machine.effects import Effect
from .table import InstructionOp, drives, flag, instruction, number, reads


@instruction(0x70, "SXM.shift", func=("latency_sxm_io", "latency_shift"), effect=Effect.MOVE)
class ShiftOp(InstructionOp):
    """Moves a vector by `count` lanes; zeros enter. `up` moves lane i to lane i + count, `down` to lane i - count."""

    name = "tsp_isa.shift"
    count = number(12, "lanes")
    way = flag(("up", "down"), "toward greater or smaller lane numbers")
    stream = reads("the vector")
    to = drives("the stream that it drives")


@instruction(0x71, "SXM.shift", func=("latency_sxm_io", "latency_select"), effect=Effect.MOVE)
class LaneSelectOp(InstructionOp):
    """Lane by lane one of two vectors: a where the mask's byte is not 0, else b."""

    name = "tsp_isa.lane_select"
    mask = reads("the mask")
    a = reads("the vector where the mask is set")
    b = reads("the vector where it is not")
    to = drives("the stream that it drives")


@instruction(0x72, "SXM.permute", func=("latency_sxm_io", "latency_permute"), effect=Effect.MOVE)
class PermuteOp(InstructionOp):
    """Rearranges all lanes: lane i takes lane map[i], a 16-bit number; zero from the number of lanes on."""

    name = "tsp_isa.permute"
    map = reads("first of the two streams of the map", group=2)
    stream = reads("the vector")
    to = drives("the stream that it drives")


@instruction(0x73, "SXM.distribute", func=("latency_sxm_io", "latency_distribute"), effect=Effect.MOVE)
class DistributeOp(InstructionOp):
    """Rearranges the lanes of every tile: lane i of a tile takes lane map[i] of the same tile; zero from the lanes of a
    tile on."""

    name = "tsp_isa.distribute"
    map = reads("the map, a byte per lane")
    stream = reads("the vector")
    to = drives("the stream that it drives")


@instruction(0x74, "SXM.rotate", func=("latency_sxm_io", "latency_rotate"), effect=Effect.MOVE)
class RotateThreeOp(InstructionOp):
    """Takes the lanes of every tile in runs of 3 and gives all rotations of 3 vectors: stream 3 r + c of the result is
    vector r, each run rotated by c lanes downward. Lanes that fill no run are zero."""

    name = "tsp_isa.rotate3"
    stream = reads("first of the three vectors", group=3)
    to = drives("first of the nine streams that it drives", group=9)


@instruction(0x75, "SXM.rotate", func=("latency_sxm_io", "latency_rotate"), effect=Effect.MOVE)
class RotateFourOp(InstructionOp):
    """As rotate3, with 4 vectors, runs of 4 and 16 results."""

    name = "tsp_isa.rotate4"
    stream = reads("first of the four vectors", group=4)
    to = drives("first of the sixteen streams that it drives", group=16)


@instruction(0x76, "SXM.transpose", func=("latency_sxm_io", "latency_transpose"), effect=Effect.MOVE)
class TransposeOp(InstructionOp):
    """Transposes the bytes of every tile: lane i of stream s goes to lane s of stream i."""

    name = "tsp_isa.transpose"
    stream = reads("first of as many vectors as a tile has lanes", group="lanes_per_tile")
    to = drives("first of as many streams", group="lanes_per_tile")
