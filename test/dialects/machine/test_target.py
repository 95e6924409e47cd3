"""The machine description: ranges, files, and the published numbers that follow from the fields."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tspc.dialects.errors import TargetError
from tspc.dialects.machine.target import (
    DEFAULT_SYSTEM,
    ChipSpec,
    SystemSpec,
    dump_toml,
    load_file,
    load_toml,
    spec_fields,
    system_from_overrides,
    system_overrides,
)
from tspc.dialects.target_attr import TARGET, TargetAttr
from tspc.passes.pipelines import parse
from xdsl.dialects.builtin import ModuleOp

CHIP = ChipSpec()

FIELDS = [(section, f) for section, cls in (("chip", ChipSpec), ("system", SystemSpec)) for f in spec_fields(cls)]
each_field = pytest.mark.parametrize(("section", "field"), FIELDS, ids=[f"{section}.{f.name}" for section, f in FIELDS])


# -- fields --------------------------------------------------------------------------------------------------------


@each_field
def test_every_number_says_where_it_comes_from(section: str, field: dataclasses.Field[Any]) -> None:
    assert field.metadata["tag"] in ("P", "A")
    assert field.metadata["unit"] and field.metadata["reason"]
    assert field.metadata["low"] <= field.default <= field.metadata["high"]


@each_field
def test_a_number_outside_its_range_names_the_field(section: str, field: dataclasses.Field[Any]) -> None:
    low, high = field.metadata["low"], field.metadata["high"]
    for value in (low - 1, high + 1):
        with pytest.raises(
            TargetError, match=rf"^target field `{field.name}`: {value} is outside .*{field.metadata['unit']}"
        ):
            system_from_overrides({f"{section}.{field.name}": value})


@each_field
def test_the_ends_of_a_range_belong_to_it(section: str, field: dataclasses.Field[Any]) -> None:
    """They may still not go with the other fields, such as an odd number of planes."""
    for value in (field.metadata["low"], field.metadata["high"]):
        try:
            system_from_overrides({f"{section}.{field.name}": value})
        except TargetError as e:
            assert "is outside" not in str(e)


@each_field
def test_what_is_no_number_is_refused(section: str, field: dataclasses.Field[Any]) -> None:
    for value in ("12", True, None, [1], float("nan")):
        with pytest.raises(TargetError, match=f"`{field.name}`"):
            system_from_overrides({f"{section}.{field.name}": value})


def test_a_fraction_stands_only_where_fractions_do() -> None:
    assert system_from_overrides({"system.lane_gbps": 12.5}).lane_gbps == 12.5
    assert system_from_overrides({"system.lane_gbps": 30}).lane_gbps == 30
    with pytest.raises(TargetError, match=r"`tiles`: expected int, got 2\.0; give a plain number"):
        system_from_overrides({"chip.tiles": 2.0})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"chip.planes": 3}, "`planes`: 3 is odd; the hemispheres need an equal share"),
        ({"chip.links": 15}, "`links`: 15 is odd"),
        ({"chip.banks": 3}, "`banks`: 3 does not divide the 8192 words"),
        ({"chip.streams": 16, "chip.weight_streams": 32}, "`weight_streams`: 32 streams, but only 16 exist"),
        ({"chip.weight_streams": 12}, "`weight_streams`: 12 does not divide the 320 lanes"),
        ({"system.local_links": 3}, "`local_links`: 3 cannot join 8 chips pairwise; give at least 7"),
        ({"system.global_links": 10}, "`global_links`: 7 [+] 10 links used, but a chip has 16"),
        ({"chip.steams": 16}, "`chip.steams` is unknown; did you mean `chip.streams`[?]"),
        ({"chip.system": 16}, "`chip.system` is unknown"),
        ({"latency_read": 1}, "`latency_read` is unknown; did you mean `chip.latency_read`[?]"),
    ],
)
def test_fields_that_contradict_each_other(overrides: dict[str, int], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        system_from_overrides(overrides)


# -- files and attributes ------------------------------------------------------------------------------------------


@st.composite
def systems(draw: st.DrawFn) -> SystemSpec:
    """Machines that differ from the default in a few fields."""
    overrides: dict[str, object] = {}
    for section, f in draw(st.lists(st.sampled_from(FIELDS), max_size=4)):
        low, high = f.metadata["low"], f.metadata["high"]
        exact = isinstance(f.default, int)
        overrides[f"{section}.{f.name}"] = draw(st.integers(low, high) if exact else st.floats(low, high))
    try:
        return system_from_overrides(overrides)
    except TargetError:
        assume(False)
        raise


@given(systems())
def test_toml_round_trip(system: SystemSpec) -> None:
    assert load_toml(dump_toml(system)) == system


@given(systems())
def test_overrides_round_trip(system: SystemSpec) -> None:
    assert system_from_overrides(system_overrides(system)) == system


@given(systems())
@example(SystemSpec(link_latency_sigma=1e-05))
def test_attribute_round_trip(system: SystemSpec) -> None:
    """The machine survives being printed in a module and parsed again."""
    module = ModuleOp([], attributes={TARGET: TargetAttr(system)})
    attr = parse(str(module)).attributes[TARGET]
    assert isinstance(attr, TargetAttr)
    assert attr.data == system


def test_the_dump_explains_every_field() -> None:
    text = dump_toml(DEFAULT_SYSTEM)
    assert "\n[system]\n" in text
    assert "words = 8192  # words, P: words of one vector each in a MEM slice (ISCA'20)\n" in text
    for _, f in FIELDS:
        assert f"\n{f.name} = {f.default}  # {f.metadata['unit']}, {f.metadata['tag']}: " in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[chip]\ntils = 10", "^target field `chip.tils` is unknown; did you mean `chip.tiles`[?]$"),
        ("[chip]\ntiles = 0", r"^target field `tiles`: 0 is outside 1\.\.64 \(tiles\)$"),
        ("[chip]\ntiles = '10'", "^target field `tiles`: expected int, got '10'"),
        ("[chip.tiles]\nx = 10", "^target field `tiles`: expected int, got {'x': 10}"),
        ("[chips]", r"^target table `\[chips\]` is unknown; the tables are \[chip\] and \[system\]$"),
        ("chip = 3", r"^target entry `chip` must be a table: write `\[chip\]`$"),
        ("[chip\n", "^target is not valid TOML: .*line 1"),
    ],
)
def test_a_file_that_is_no_target(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=message):
        load_toml(text)
    (path := tmp_path / "chip.toml").write_text(text)
    with pytest.raises(TargetError, match=f"^{path}: target "):
        load_file(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"missing\.toml cannot be read: "):
        load_file(tmp_path / "missing.toml")
    (path := tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError, match=r"binary\.toml cannot be read: "):
        load_file(path)


# -- what follows from the fields ----------------------------------------------------------------------------------


def test_the_published_shape() -> None:
    assert CHIP.lanes == 320
    assert CHIP.sram_bytes == 220 * 1024 * 1024
    assert CHIP.peak_int8 == 409_600
    assert CHIP.peak_fp16 == 102_400
    assert CHIP.load_cycles == 20


def test_the_144_queues() -> None:
    """88 MEM + 16 VXM + 2 x 14 SXM and C2C + 2 x 6 MXM."""
    assert len(CHIP.queues) == len(CHIP.queue_numbers) == 144
    kinds = Counter(q.kind.partition(".")[0] for q in CHIP.queues)
    assert kinds == {"MEM": 88, "VXM": 16, "SXM": 12, "C2C": 16, "MXM": 12}
    sides = Counter(q.position > 0 for q in CHIP.queues if q.kind.startswith(("SXM", "C2C")))
    assert sides == {True: 14, False: 14}
    for number, queue in enumerate(CHIP.queues):
        assert CHIP.queue_numbers[queue.name] == number


def position(chip: ChipSpec, queue: str) -> int:
    return chip.queues[chip.queue_numbers[queue]].position


def test_the_positions_of_the_units() -> None:
    """West to east: MXM SXM MEM43..MEM0 VXM MEM0..MEM43 SXM MXM, four slices to a stream register."""
    east = [
        "VXM.0",
        "MEM.E0",
        "MEM.E3",
        "MEM.E4",
        "MEM.E43",
        "SXM.E.permute",
        "C2C.7",
        "MXM.0.weights",
        "MXM.1.activations",
    ]
    assert [position(CHIP, q) for q in east] == [0, 1, 1, 2, 11, 12, 12, 13, 13]
    west = ["VXM.15", "MEM.W0", "MEM.W43", "SXM.W.shift", "C2C.8", "MXM.2.weights", "MXM.3.accumulators"]
    assert [position(CHIP, q) for q in west] == [0, -1, -11, -12, -12, -13, -13]


def test_one_slice_to_a_stream_register() -> None:
    chip = ChipSpec(slices_per_hop=1)
    assert [position(chip, q) for q in ("MEM.E0", "MEM.E43", "MEM.W43")] == [1, 44, -44]
    assert (chip.sxm_distance, chip.mxm_distance) == (45, 46)


def test_the_bank_is_the_high_part_of_the_address() -> None:
    assert [CHIP.bank(a) for a in (0, 4095, 4096, 8191)] == [0, 0, 1, 1]
    assert [ChipSpec(banks=4).bank(a) for a in (2047, 2048, 8191)] == [0, 1, 3]


def test_a_link_carries_a_vector_every_24_cycles() -> None:
    assert DEFAULT_SYSTEM.link_slot == 24
    assert SystemSpec(lane_gbps=30.0).link_slot == 20
    assert SystemSpec(chip=ChipSpec(clock_mhz=1000)).link_slot == 27
    assert SystemSpec(wire_bytes=1).link_slot == 1


def test_the_nearest_memory_of_two_chips_is_650_cycles_apart() -> None:
    """From the dispatch of a read in the slice beside the link to that of the write on the other chip: the read, a hop
    to the C2C unit, send, link and receive, a hop to the slice. A write samples in the cycle of its dispatch."""
    last = f"MEM.E{CHIP.slices - 1}"
    hop = position(CHIP, "C2C.0") - position(CHIP, last)
    link = CHIP.latency_send + DEFAULT_SYSTEM.link_latency + CHIP.latency_receive
    assert DEFAULT_SYSTEM.hop == link
    assert CHIP.latency_read + hop + link + hop - CHIP.latency_write == 650


def test_programs_of_several_chips_begin_after_the_common_epoch() -> None:
    assert DEFAULT_SYSTEM.release == 35
    assert SystemSpec(chips=2).release == 256 + 35
