"""MEM: words of a slice to and from streams."""

from __future__ import annotations

from ..machine.effects import Effect
from .table import InstructionOp, drives, instruction, number, reads


@instruction(0x10, "MEM", func=("latency_read",), effect=Effect.READ)
class ReadOp(InstructionOp):
    """Reads the word at `address` onto a stream."""

    name = "tsp_isa.read"
    address = number(16, "word of the slice", steps=True)
    stream = drives("the stream that it drives")


@instruction(0x11, "MEM", skew=("latency_write",), effect=Effect.WRITE)
class WriteOp(InstructionOp):
    """Writes the vector on a stream to the word at `address`."""

    name = "tsp_isa.write"
    address = number(16, "word of the slice", steps=True)
    stream = reads("the stream that it samples")


@instruction(0x12, "MEM", func=("latency_gather",), effect=Effect.GATHER)
class GatherOp(InstructionOp):
    """Reads, for every tile, from a word of its own onto a stream: `address` plus the number in the first two lanes of
    the tile on the map stream, low byte first, modulo the words of a slice."""

    name = "tsp_isa.gather"
    address = number(16, "word to which the map's numbers are added", steps=True)
    map = reads("the stream with the number of each tile")
    stream = drives("the stream that it drives")


@instruction(0x13, "MEM", skew=("latency_write",), effect=Effect.SCATTER)
class ScatterOp(InstructionOp):
    """Writes, for every tile, to a word of its own: `address` plus the number in the first two lanes of the tile on the
    map stream, low byte first, modulo the words of a slice."""

    name = "tsp_isa.scatter"
    address = number(16, "word to which the map's numbers are added", steps=True)
    map = reads("the stream with the number of each tile")
    stream = reads("the stream that it samples")
