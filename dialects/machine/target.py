"""The machine description: every number of the chip and of the system, with its provenance.

`ChipSpec` and `SystemSpec` are the only places that hold a machine constant. A pass or an engine that needs one
asks the spec in the IR (`#tsp_isa.target`). Tags: `P` is published (ISCA'20 "Think Fast: A Tensor Streaming
Processor", ISCA'22 "A Software-defined Tensor Streaming Multiprocessor", press, patents); `A` is assumed by us,
because nothing is published.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import digits
from typing import Any, TypeVar, cast

from ..errors import TargetError

T = TypeVar("T", int, float)


def _number(tag: str, default: T, unit: str, reason: str, low: float, high: float) -> T:
    metadata = {"tag": tag, "unit": unit, "reason": reason, "low": low, "high": high}
    return field(default=default, metadata=metadata)


def published(default: T, unit: str, reason: str, low: float = 1, high: float = 1 << 20) -> T:
    """A published number, with its unit, its source and the range that the model accepts."""
    return _number("P", default, unit, reason, low, high)


def assumed(default: T, unit: str, reason: str, low: float = 1, high: float = 1 << 20) -> T:
    """A number that we assume because nothing is published, with its unit and why this value."""
    return _number("A", default, unit, reason, low, high)


@dataclass(frozen=True)
class _Spec:
    """Range checks shared by the two descriptions."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if not f.metadata:
                continue
            expected: type = float if isinstance(f.default, float) else int
            if isinstance(value, bool) or not isinstance(value, int if expected is int else (int, float)):
                raise TargetError(
                    f"target field `{f.name}`: expected {expected.__name__}, got {value!r}; give a plain number"
                )
            low, high = f.metadata["low"], f.metadata["high"]
            if not low <= value <= high:
                raise TargetError(
                    f"target field `{f.name}`: {value} is outside {low:g}..{high:g} ({f.metadata['unit']})"
                )


@dataclass(frozen=True)
class ChipSpec(_Spec):
    """One chip. Times are in cycles of its clock, all times are tile 0's."""

    tiles: int = published(20, "tiles", "superlanes north to south (ISCA'20)", 1, 64)
    lanes_per_tile: int = published(16, "lanes", "lanes of a superlane (ISCA'20)", 4, 64)
    streams: int = published(32, "streams", "stream registers per direction, 1 byte per lane each (ISCA'20)", 16, 128)
    slices: int = published(44, "slices", "MEM slices per hemisphere (ISCA'20)", 1, 256)
    words: int = published(8192, "words", "words of one vector each in a MEM slice (ISCA'20)", 2, 65536)
    banks: int = published(2, "banks", "pseudo-dual-port banks of a MEM slice (ISCA'20)", 1, 16)
    planes: int = published(4, "planes", "MXM planes, half of them in each hemisphere (ISCA'20)", 2, 32)
    alus: int = published(16, "ALUs", "VXM ALUs per lane, a 4x4 mesh, 32 bits wide (ISCA'20)", 1, 64)
    distributors: int = assumed(4, "units", "SXM distributors per hemisphere; only the kinds are published", 1, 16)
    transposers: int = assumed(2, "units", "SXM transposers per hemisphere; only the kinds are published", 1, 16)
    links: int = published(16, "links", "C2C links of a chip, half in each hemisphere (ISCA'20)", 2, 64)
    clock_mhz: int = published(900, "MHz", "nominal clock (ISCA'20); peak figures quote 1000", 1, 100_000)
    slices_per_hop: int = assumed(4, "slices", "MEM slices between two stream registers; 1 must work too", 1, 256)
    accumulators: int = assumed(256, "entries", "accumulator entries of a plane, a vector of 32 bits each", 1, 65536)
    weight_streams: int = published(16, "streams", "weight rows that enter a plane in a cycle (ISCA'20)", 1, 64)
    queue_bytes: int = assumed(1280, "bytes", "instruction queue; two fetches of 640 bytes", 32, 1 << 20)
    instruction_bytes: int = assumed(16, "bytes", "one instruction; the encoding of the table is 128 bits", 16, 16)
    fetch_bytes: int = published(640, "bytes", "instruction text that one `ifetch` brings (ISCA'20)", 16, 1 << 20)
    loop_levels: int = assumed(3, "levels", "nested levels of `repeat`; one is published", 1, 3)
    secded_data_bits: int = published(128, "bits", "memory word that one error code protects (ISCA'20)", 8, 1024)
    secded_check_bits: int = published(9, "bits", "check bits of the error code (ISCA'20)", 1, 16)

    latency_read: int = assumed(1, "cycles", "MEM read: dispatch to the slice's stream register", 1, 4096)
    latency_gather: int = assumed(1, "cycles", "MEM gather: as read", 1, 4096)
    latency_write: int = assumed(0, "cycles", "MEM write: dispatch to the sampling of the operand", 0, 4096)
    latency_vxm_entry: int = assumed(1, "cycles", "stream register into the VXM mesh", 1, 4096)
    latency_alu: int = assumed(3, "cycles", "one ALU of the VXM", 1, 4096)
    latency_sxm_io: int = assumed(2, "cycles", "stream register into and out of the SXM", 1, 4096)
    latency_shift: int = assumed(4, "cycles", "SXM lane shift", 1, 4096)
    latency_select: int = assumed(4, "cycles", "SXM north/south select", 1, 4096)
    latency_distribute: int = assumed(2, "cycles", "SXM distributor", 1, 4096)
    latency_rotate: int = assumed(4, "cycles", "SXM n x n rotation", 1, 4096)
    latency_transpose: int = assumed(20, "cycles", "SXM 16x16 transpose", 1, 4096)
    latency_permute: int = assumed(24, "cycles", "SXM permutation of all lanes", 1, 4096)
    latency_array: int = assumed(13, "cycles", "MXM: activation in to sum at the accumulator", 1, 4096)
    latency_egress: int = assumed(20, "cycles", "MXM: accumulator to the stream register", 1, 4096)
    latency_install: int = assumed(1, "cycles", "MXM: weight buffer into the array", 1, 4096)
    latency_send: int = assumed(
        215, "cycles", "C2C: stream register to the wire; with receive it makes a 650 cycle hop", 0, 4096
    )
    latency_receive: int = assumed(215, "cycles", "C2C: wire to the stream register; see send", 1, 4096)
    barrier: int = published(35, "cycles", "notify to the release of every parked queue (ISCA'20)", 1, 4096)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("planes", "links"):
            if getattr(self, name) % 2:
                raise TargetError(
                    f"target field `{name}`: {getattr(self, name)} is odd; the hemispheres need an equal share"
                )
        if self.words % self.banks:
            raise TargetError(f"target field `banks`: {self.banks} does not divide the {self.words} words of a slice")
        if self.weight_streams > self.streams:
            raise TargetError(
                f"target field `weight_streams`: {self.weight_streams} streams, but only {self.streams} exist"
            )
        if self.lanes % self.weight_streams:
            raise TargetError(
                f"target field `weight_streams`: {self.weight_streams} does not divide the {self.lanes} lanes"
            )

    # -- shape -------------------------------------------------------------------------------------------------

    @cached_property
    def lanes(self) -> int:
        """Lanes of a vector, which is also its size in bytes and the side of an MXM plane."""
        return self.tiles * self.lanes_per_tile

    @property
    def sram_bytes(self) -> int:
        """Bytes of SRAM on the chip."""
        return 2 * self.slices * self.words * self.lanes

    @cached_property
    def fetch_slots(self) -> int:
        """Instructions that one `ifetch` brings: as many as `fetch_bytes` and the two vectors hold."""
        return min(self.fetch_bytes, 2 * self.lanes) // self.instruction_bytes

    @cached_property
    def queue_slots(self) -> int:
        """Instructions that a queue holds."""
        return self.queue_bytes // self.instruction_bytes

    @property
    def peak_int8(self) -> int:
        """int8 multiply-accumulates per cycle."""
        return self.planes * self.lanes * self.lanes

    @property
    def peak_fp16(self) -> int:
        """fp16 multiply-accumulates per cycle: two planes hold one tile and take a vector every second cycle."""
        return self.peak_int8 // 4

    @cached_property
    def load_cycles(self) -> int:
        """Cycles in which a plane's weight buffer is filled."""
        return self.lanes // self.weight_streams

    # -- place -------------------------------------------------------------------------------------------------

    @cached_property
    def sxm_distance(self) -> int:
        """Hops from the VXM to an SXM, and to the C2C units beside it."""
        return 1 + (self.slices - 1) // self.slices_per_hop + 1

    @cached_property
    def mxm_distance(self) -> int:
        """Hops from the VXM to an MXM: the last stream register of the chip."""
        return self.sxm_distance + 1

    def paired_plane(self, plane: int) -> int | None:
        """The plane that holds the high bytes of fp16 weights whose low bytes are in `plane`; None if it is not the
        first of a pair of its hemisphere."""
        in_hemisphere = plane % (self.planes // 2)
        return plane + 1 if in_hemisphere % 2 == 0 and in_hemisphere + 1 < self.planes // 2 else None

    def bank(self, address: int) -> int:
        """The bank of a word address: its high bits."""
        return address // (self.words // self.banks)

    @cached_property
    def queues(self) -> tuple[Queue, ...]:
        """All instruction queues in their fixed order; a queue's index in it is its number."""
        return tuple(_queues(self))

    @cached_property
    def queue_numbers(self) -> dict[str, int]:
        """The number of each queue by its name."""
        return {q.name: i for i, q in enumerate(self.queues)}


@dataclass(frozen=True)
class Queue:
    """One instruction queue and the unit that it drives."""

    name: str
    """As written in assembly, such as `MEM.E12`, `VXM.3`, `MXM.0.weights`, `C2C.7`."""
    kind: str
    """The kind of unit: `MEM`, `VXM`, `SXM.<kind>`, `C2C`, `MXM.weights`, `MXM.activations` or `MXM.accumulators`."""
    unit: int
    """The number of the unit within its kind: MEM slices count the east first; planes and links likewise."""
    position: int
    """Its stream register, in hops from the VXM, east positive."""


def _queues(chip: ChipSpec) -> Iterator[Queue]:
    for h, (side, sign) in enumerate((("E", 1), ("W", -1))):
        for s in range(chip.slices):
            yield Queue(f"MEM.{side}{s}", "MEM", h * chip.slices + s, sign * (1 + s // chip.slices_per_hop))
    for a in range(chip.alus):
        yield Queue(f"VXM.{a}", "VXM", a, 0)
    sxm_units = ("distribute", *(f"transpose{i}" for i in range(chip.transposers)), "permute", "shift", "rotate")
    for h, (side, sign) in enumerate((("E", 1), ("W", -1))):
        for i, unit in enumerate(sxm_units):
            yield Queue(
                f"SXM.{side}.{unit}", f"SXM.{unit.rstrip(digits)}", h * len(sxm_units) + i, sign * chip.sxm_distance
            )
    for link in range(chip.links):
        yield Queue(f"C2C.{link}", "C2C", link, chip.sxm_distance * (1 if link < chip.links // 2 else -1))
    for plane in range(chip.planes):
        for part in ("weights", "activations", "accumulators"):
            sign = 1 if plane < chip.planes // 2 else -1
            yield Queue(f"MXM.{plane}.{part}", f"MXM.{part}", plane, sign * chip.mxm_distance)


@dataclass(frozen=True)
class SystemSpec(_Spec):
    """Chips and the network that joins them. Times are in cycles of the chip's clock."""

    chip: ChipSpec = ChipSpec()
    """The chip, the same at every place."""
    chips: int = assumed(1, "chips", "chips in use; the model's choice", 1, 10_440)
    chips_per_node: int = published(8, "chips", "chips of a node, fully connected (ISCA'22)", 1, 64)
    local_links: int = published(7, "links", "links of a chip inside its node (ISCA'22)", 0, 64)
    global_links: int = published(4, "links", "links of a chip that leave its node (ISCA'22)", 0, 64)
    max_direct_nodes: int = published(33, "nodes", "nodes that one link per pair can join (ISCA'22)", 1, 1024)
    nodes_per_rack: int = published(9, "nodes", "nodes of a rack (ISCA'22)", 1, 64)
    max_racks: int = published(145, "racks", "racks of the largest system: 10,440 chips (ISCA'22)", 1, 1024)
    spare_nodes: int = published(1, "nodes", "hot spare of a rack, or of 33 nodes (ISCA'22)", 0, 64)
    wire_bytes: int = published(328, "bytes", "one 320-byte vector on the wire (ISCA'22)", 1, 65536)
    link_lanes: int = published(4, "lanes", "lanes of a link, each way (ISCA'20)", 1, 64)
    lane_gbps: float = published(
        25.0, "Gb/s", "rate of a lane; the system's choice of up to 30 (ISCA'22)", 0.001, 10_000
    )
    link_latency: int = published(217, "cycles", "mean of 7 measured links (ISCA'22)", 1, 100_000)
    link_latency_low: int = published(209, "cycles", "least latency measured (ISCA'22)", 1, 100_000)
    link_latency_high: int = published(228, "cycles", "greatest latency measured (ISCA'22)", 1, 100_000)
    link_latency_sigma: float = published(
        2.8, "cycles", "standard deviation of the measured latencies (ISCA'22)", 0, 10_000
    )
    hac_period: int = published(
        256, "cycles", "period of the hardware aligned counter; 252 is quoted too (ISCA'22)", 2, 65536
    )
    clock_ppm: float = assumed(50.0, "ppm", "tolerance of a chip's clock; a common crystal", 0, 10_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_links < self.chips_per_node - 1:
            raise TargetError(
                f"target field `local_links`: {self.local_links} cannot join {self.chips_per_node} chips pairwise; "
                f"give at least {self.chips_per_node - 1} or fewer `chips_per_node`"
            )
        if self.local_links + self.global_links > self.chip.links:
            raise TargetError(
                f"target field `global_links`: {self.local_links} + {self.global_links} links used, "
                f"but a chip has {self.chip.links}"
            )

    @property
    def link_slot(self) -> int:
        """Cycles between two vectors on a link: the wire bytes at the link's rate, rounded up."""
        bits_per_cycle = self.link_lanes * self.lane_gbps * 1000 / self.chip.clock_mhz
        return max(1, math.ceil(self.wire_bytes * 8 / bits_per_cycle))

    @property
    def hop(self) -> int:
        """Cycles from the dispatch of a send to the vector's presence on the receiver's stream register."""
        return self.chip.latency_send + self.link_latency + self.chip.latency_receive

    @property
    def release(self) -> int:
        """The first cycle of a program's own instructions: after the barrier, and after the alignment of several chips.

        One chip notifies in cycle 0. Several chips first `deskew`: dispatched in cycle 0, it ends at the next epoch.
        """
        return self.chip.barrier + (self.hac_period if self.chips > 1 else 0)


DEFAULT_SYSTEM = SystemSpec()
"""The published chip, alone."""

_SECTIONS: dict[str, type[_Spec]] = {"chip": ChipSpec, "system": SystemSpec}


def spec_fields(cls: type[_Spec]) -> tuple[dataclasses.Field[Any], ...]:
    """The numeric fields of a description, in their order of declaration."""
    return tuple(f for f in dataclasses.fields(cls) if f.metadata)


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """`; did you mean `x`?` for the known name nearest to `name`, or nothing when none is near."""
    match = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"; did you mean `{match[0]}`?" if match else ""


def system_from_overrides(overrides: Mapping[str, object], base: SystemSpec = DEFAULT_SYSTEM) -> SystemSpec:
    """A system with fields replaced, keyed `chip.<field>` or `system.<field>`.

    Raises TargetError for an unknown key, a wrong type or a value out of range; the text names the field.
    """
    values: dict[str, dict[str, object]] = {"chip": {}, "system": {}}
    known = [f"{s}.{f.name}" for s, cls in _SECTIONS.items() for f in spec_fields(cls)]
    for key, value in overrides.items():
        if key not in known:
            raise TargetError(f"target field `{key}` is unknown{nearest(key, known)}")
        section, name = key.split(".")
        values[section][name] = value
    system: dict[str, Any] = values["system"]
    chip: dict[str, Any] = values["chip"]
    return dataclasses.replace(base, chip=dataclasses.replace(base.chip, **chip), **system)


def system_overrides(system: SystemSpec) -> dict[str, int | float]:
    """The fields in which `system` differs from the default; the inverse of `system_from_overrides`."""
    result: dict[str, int | float] = {}
    for section, spec in (("chip", system.chip), ("system", system)):
        for f in spec_fields(type(spec)):
            if (value := getattr(spec, f.name)) != f.default:
                result[f"{section}.{f.name}"] = value
    return result


def load_toml(text: str, base: SystemSpec = DEFAULT_SYSTEM) -> SystemSpec:
    """A system from TOML text with the tables `[chip]` and `[system]`; fields left out are those of `base`.

    Raises TargetError naming the field, or the line for text that is not TOML.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise TargetError(f"target is not valid TOML: {e}") from e
    overrides: dict[str, object] = {}
    for section, table in document.items():
        if section not in _SECTIONS:
            raise TargetError(f"target table `[{section}]` is unknown; the tables are [chip] and [system]")
        if not isinstance(table, dict):
            raise TargetError(f"target entry `{section}` must be a table: write `[{section}]`")
        overrides |= {f"{section}.{k}": v for k, v in cast(dict[str, object], table).items()}
    return system_from_overrides(overrides, base)


def load_file(path: str | Path, base: SystemSpec = DEFAULT_SYSTEM) -> SystemSpec:
    """A system from a TOML file, as `load_toml`. Raises TargetError, with the path, when it cannot be read."""
    try:
        return load_toml(Path(path).read_text(encoding="utf-8"), base)
    except (OSError, UnicodeDecodeError) as e:
        raise TargetError(f"target file {path} cannot be read: {e}") from e
    except TargetError as e:
        raise TargetError(f"{path}: {e}") from e


def dump_toml(system: SystemSpec) -> str:
    """All fields as TOML, each with its unit, tag and reason as a comment; `load_toml` gives the same system."""
    lines: list[str] = []
    for section, spec in (("chip", system.chip), ("system", system)):
        lines.append(f"[{section}]")
        for f in spec_fields(type(spec)):
            m = f.metadata
            lines.append(f"{f.name} = {getattr(spec, f.name)}  # {m['unit']}, {m['tag']}: {m['reason']}")
        lines.append("")
    return "\n".join(lines)
