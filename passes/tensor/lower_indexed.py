"""Lowers what reads and writes rows by numbers: see indexed.py."""

from __future__ import annotations

from ...dialects import tsp_tensor
from .indexed import emit_gather, emit_scatter, own_table
from .lowering import lowers
from .values import Values, chip_of


@lowers(tsp_tensor.GatherOp)
def lower_gather(op: tsp_tensor.GatherOp, values: Values) -> None:
    (table, numbers), chip = values.operands(op), chip_of(op)
    place = values.destination(op.result, chip)
    values.define(op.result, emit_gather(table, numbers, values.to, place, chip))


@lowers(tsp_tensor.ScatterOp)
def lower_scatter(op: tsp_tensor.ScatterOp, values: Values) -> None:
    """Writes to the table itself where nothing else uses it, and else to a copy."""
    (table, numbers, updates), chip = values.operands(op), chip_of(op)
    known, own = values[op.result], None
    output = known.output
    if output is None or (not output.built and output.type == op.result.type):
        own = own_table(op, table, output, known.demand, values.to, chip)
    if own is None:
        place = values.destination(op.result, chip)
        values.define(op.result, emit_scatter(table, numbers, updates, values.to, place, chip))
        return
    known.demand_met = True
    if output is not None:
        output.built = True
    values.define(op.result, emit_scatter(own, numbers, updates, values.to, None, chip))
