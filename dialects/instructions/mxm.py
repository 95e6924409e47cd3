"""MXM: weights, activations and accumulators of a plane."""

from __future__ import annotations

from ..machine.effects import Effect
from .table import InstructionOp, drives, flag, instruction, number, reads


@instruction(0x20, "MXM.weights", effect=Effect.LOAD)
class LoadWeightsOp(InstructionOp):
    """Loads one group of rows into the plane's weight buffer, a row of `lanes` weights from each stream of the group.
    Rows that are not loaded between two installs are zero."""

    name = "tsp_isa.lw"
    row = number(16, "group of `weight_streams` rows", steps=True)
    stream = reads("first of the streams", group="weight_streams")


@instruction(0x21, "MXM.weights", func=("latency_install",), effect=Effect.INSTALL)
class InstallWeightsOp(InstructionOp):
    """Installs the weight buffer in the array, for activations from `latency_install` cycles later on, and empties the
    buffer."""

    name = "tsp_isa.iw"


@instruction(0x22, "MXM.activations", func=("latency_array",), duration="count", effect=Effect.ENTER)
class ActivationsOp(InstructionOp):
    """Takes one int8 activation vector a cycle for `count` cycles: lane k meets weight row k. The sums reach the
    accumulators `latency_array` cycles after each vector."""

    name = "tsp_isa.abc"
    count = number(16, "vectors, and cycles that it takes", low=1)
    stream = reads("the stream of the activations")


@instruction(0x23, "MXM.accumulators", effect=Effect.ACCUMULATE)
class AccumulateOp(InstructionOp):
    """Sets an accumulator entry to the vector of sums that leaves the array in this cycle, or adds it."""

    name = "tsp_isa.acc"
    entry = number(16, "accumulator entry", steps=True)
    mode = flag(("set", "add"), "whether the sums replace the entry or are added to it")


@instruction(0x24, "MXM.accumulators", func=("latency_egress",), effect=Effect.ACCUMULATE)
class AccumulateEmitOp(InstructionOp):
    """As acc, and drives the entry's new value as int32 onto a group of four streams."""

    name = "tsp_isa.acc_emit"
    entry = number(16, "accumulator entry", steps=True)
    mode = flag(("set", "add"), "whether the sums replace the entry or are added to it")
    stream = drives("first of the four streams", group=4)


@instruction(0x25, "MXM.activations", func=("latency_array",), duration="count", pace=2, effect=Effect.ENTER_PAIR)
class HalfActivationsOp(InstructionOp):
    """Takes one fp16 activation vector every second cycle, `count` in all, on the first of a pair of planes: weights
    are fp16, their low bytes in this plane's array and their high bytes in the next one's. The products of a vector
    are summed in float64 in ascending k and rounded once to fp32; the sums reach this plane's accumulators."""

    name = "tsp_isa.abc_f16"
    count = number(16, "vectors; it takes twice as many cycles", low=1)
    stream = reads("first of the two streams of the activations", group=2)
