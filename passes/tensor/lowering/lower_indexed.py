"""Lowers what reads and writes rows by numbers: see indexed.py."""

from __future__ import annotations

from ....dialects import tsp_tensor
from ..emit.indexed import emit_gather, emit_scatter, in_place, own_table
from .registry import lowers
from .values import Values, chip_of


@lowers(tsp_tensor.GatherOp)
def lower_gather(op: tsp_tensor.GatherOp, values: Values) -> None:
    """Reads rows of a table by numbers."""
    (table, numbers), chip = values.operands(op), chip_of(op)
    place = values.destination(op.result, chip)
    values.define(op.result, emit_gather(table, numbers, values.to, place, chip))


@lowers(tsp_tensor.ScatterOp)
def lower_scatter(op: tsp_tensor.ScatterOp, values: Values) -> None:
    """Writes to the table itself where nothing else uses it, and else to a copy."""
    (table, numbers, updates), chip = values.operands(op), chip_of(op)
    known = values[op.result]
    output = known.output
    if in_place(op, table, output, chip):
        table, place = own_table(table, output, known.required, values.to, chip), None
        values.changed_in_place(op.result)
    else:
        place = values.destination(op.result, chip)
    values.define(op.result, emit_scatter(table, numbers, updates, values.to, place, chip))
