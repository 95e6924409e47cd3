"""Chips that differ in what the compiler has to divide: planes, streams, tiles, words, latencies."""

from __future__ import annotations

from tspc.dialects.machine.target import ChipSpec

MACHINES = {
    "default": ChipSpec(),
    "a slice per hop": ChipSpec(slices_per_hop=1),
    "half the streams": ChipSpec(streams=16, weight_streams=8),
    "two planes": ChipSpec(planes=2),
    "ten tiles": ChipSpec(tiles=10),
    "more words": ChipSpec(words=16384),
    "slow": ChipSpec(
        latency_read=2, latency_alu=6, latency_array=26, latency_egress=40, latency_vxm_entry=2, latency_install=2
    ),
    "few accumulators": ChipSpec(accumulators=16),
}
