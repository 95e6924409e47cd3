"""C2C: vectors over links, and the alignment of chips."""

from __future__ import annotations

from typing import ClassVar

from ..machine.effects import Effect
from .table import InstructionOp, drives, instruction, number, reads


@instruction(0x05, "C2C", effect=Effect.EPOCH)
class DeskewOp(InstructionOp):
    """Waits for the next epoch: the next multiple of the aligned counter's period."""

    name = "tsp_isa.deskew"
    PACKED_ONLY: ClassVar[bool] = True


@instruction(0x06, "C2C", effect=Effect.WAIT)
class RuntimeDeskewOp(InstructionOp):
    """Stalls `count` cycles, corrected by the drift of the chip's clock, so that it meets the system's again."""

    name = "tsp_isa.runtime_deskew"
    PACKED_ONLY: ClassVar[bool] = True
    count = number(16, "cycles to stall when there is no drift", low=1)


@instruction(0x60, "C2C", effect=Effect.SEND)
class SendOp(InstructionOp):
    """Sends the vector on a stream over the queue's link; it arrives `latency_send` and the link's latency later."""

    name = "tsp_isa.send"
    stream = reads("the stream that it samples")


@instruction(0x61, "C2C", func=("latency_receive",), effect=Effect.RECEIVE)
class ReceiveOp(InstructionOp):
    """Takes the vector that arrives on the queue's link in this cycle and drives it onto a stream."""

    name = "tsp_isa.receive"
    stream = drives("the stream that it drives")


@instruction(0x62, "C2C", effect=Effect.SIGNAL)
class TransmitOp(InstructionOp):
    """Tells the chip at the other end of the link that the program starts at the next epoch."""

    name = "tsp_isa.transmit"
    PACKED_ONLY: ClassVar[bool] = True
