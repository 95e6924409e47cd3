"""c2c-route-and-schedule: gives each transfer between chips its links and the rate of their slots.

Direct links only: a transfer takes the first cable that joins its two chips. Its vectors leave one per slot; in which
cycles, stream-schedule decides for all chips together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, TensorType, i64
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ...dialects import c2c
from ...dialects import tsp_stream as ts
from ...dialects.errors import LinkError, UnsupportedModel
from ...dialects.locations import describe, located
from ...dialects.machine.layout import AccessPattern
from ...dialects.target_attr import target_of


@dataclass(frozen=True)
class C2cRouteAndSchedulePass(ModulePass):
    """Replaces transfers of streams by sends and receives on links."""

    name = "c2c-route-and-schedule"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for transfer in [t for t in op.walk() if isinstance(t, c2c.TransferOp)]:
            route(transfer)


def route(transfer: c2c.TransferOp) -> None:
    """Replaces one transfer. Raises LinkError where no cable joins the chips."""
    if isinstance(transfer.input.type, TensorType):
        raise UnsupportedModel(f"{describe(transfer)}: moves a tensor; run convert-tensor-to-stream first")
    source, target = transfer.source.value.data, transfer.target.value.data
    try:
        leaves, arrives = c2c.topology_of(transfer).direct(source, target)
    except LinkError as e:
        raise LinkError(f"{describe(transfer)}: {e}") from e
    stream = cast(ts.StreamType, transfer.input.type)
    read = transfer.input.owner
    if not isinstance(read, ts.ReadOp):
        raise UnsupportedModel(
            f"{describe(transfer)}: a transfer goes from SRAM to SRAM; write the stream to a buffer first"
        )
    cycles = AccessPattern.run(0, stream.vectors, target_of(transfer).link_slot)
    read.cycles = ts.PatternAttr(cycles)
    send = ts.SendOp.build(
        operands=[transfer.input],
        result_types=[ts.FlightType.of(stream.shape, stream.element_type)],
        properties={"link": IntegerAttr(leaves.link, i64), "chip": IntegerAttr(source, i64)},
    )
    receive = ts.ReceiveOp.build(
        operands=[send.flight],
        result_types=[stream],
        properties={"link": IntegerAttr(arrives.link, i64), "chip": IntegerAttr(target, i64)},
    )
    Rewriter.insert_op([located(send, transfer), located(receive, transfer)], InsertPoint.before(transfer))
    transfer.result.replace_all_uses_with(receive.stream)
    transfer.detach()
    transfer.erase()
