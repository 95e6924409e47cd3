"""The `.tspx` file: what is written is what is read, and no bytes whatever do more than raise MalformedProgram."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fuzzing.hostile import MODEL, header_size
from fuzzing.hostile import model_file as file
from fuzzing.hostile import signed as signed_text
from harness import on_every_engine
from safetensors.numpy import load, save
from tspc.dialects.errors import MalformedProgram, TspError
from tspc.dialects.instructions import TABLE
from tspc.dialects.machine.target import ChipSpec, SystemSpec, spec_fields
from tspc.passes.pipelines import compile, parse
from tspc.runtime.container import from_bytes, load_executable, save_executable, to_bytes
from tspc.runtime.engine import Engine
from tspc.runtime.executable import Executable, Loaded, executable_from_module

Tensors = dict[str, npt.NDArray[np.uint8]]

WEIGHTS = np.arange(64, dtype=np.int8).reshape(8, 8)


def executable() -> Executable:
    return executable_from_module(compile(parse(MODEL)), {"w": WEIGHTS})


# -- right files ---------------------------------------------------------------------------------------------------


@on_every_engine
def test_a_file_gives_back_its_executable(engine: type[Engine], tmp_path: Path) -> None:
    path = tmp_path / "program.tspx"
    save_executable(executable(), path)
    again = load_executable(path)
    assert again.program.chips[0].records == executable().program.chips[0].records
    x = np.arange(24, dtype=np.int8).reshape(3, 8)
    outputs, stats = Loaded(again, engine()).run({"arg0": x})
    assert np.array_equal(outputs["result0"], (x.astype(np.int32) @ WEIGHTS).astype(np.int8))
    assert stats.cycles == tuple(c.cycles for c in executable().program.chips)


def test_equal_executables_give_equal_bytes() -> None:
    assert to_bytes(executable()) == file()
    assert to_bytes(from_bytes(file())) == file()


def test_a_program_in_timed_form_has_no_file() -> None:
    timed = executable_from_module(compile(parse(MODEL), until="convert-stream-to-isa"), {"w": WEIGHTS})
    with pytest.raises(MalformedProgram, match="the program is in timed form; run isa-assemble first"):
        to_bytes(timed)


# -- damaged files -------------------------------------------------------------------------------------------------


def reason(data: bytes) -> str | None:
    """Why bytes are refused, or None. Any other exception ends the test."""
    try:
        from_bytes(data)
    except MalformedProgram as e:
        return str(e)
    return None


def test_every_truncation_is_refused() -> None:
    assert [n for n in range(len(file())) if reason(file()[:n]) is None] == []
    assert reason(file() + b"\0") is not None


def flipped(bit: int) -> bytes:
    data = bytearray(file())
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def test_every_flipped_bit_of_the_header_is_refused() -> None:
    assert [bit for bit in range(8 * header_size(file())) if reason(flipped(bit)) is None] == []


def test_flipped_bits_of_queues_and_images_are_refused() -> None:
    bits = range(8 * header_size(file()), 8 * len(file()), 7)
    assert {reason(flipped(bit)) for bit in bits} == {"the file is damaged: its digest does not match; write it again"}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tspx"
    path.write_bytes(file()[:100])
    with pytest.raises(MalformedProgram, match=r"damaged\.tspx: the file is damaged or no \.tspx file"):
        load_executable(path)
    with pytest.raises(MalformedProgram, match=r"none\.tspx cannot be read: No such file or directory"):
        load_executable(tmp_path / "none.tspx")


# -- hostile files: the digest is right, the content is not --------------------------------------------------------


def content() -> tuple[Any, Tensors]:
    """A fresh copy of the description and the tensors of the file."""
    header = json.loads(file()[8 : header_size(file())])
    return json.loads(header["__metadata__"]["tspc"]), load(file())


def signed(description: Any, tensors: Tensors) -> bytes:
    """A file with this description, and the digest that belongs to it."""
    return signed_text(json.dumps(description), tensors)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(description: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A description with another value at a place."""
    if not path:
        return value
    result = copy.deepcopy(description)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return result


def test_a_file_signed_here_is_taken() -> None:
    assert reason(signed(*content())) is None


ODD = (
    *(None, True, False, "", "a", "i8", "E", "weights", "\ud800", "9" * 5000),
    *(-1, -(2**63), 2**31, 2**63, 2**64, 2**200, 0.5, 1e308, float("inf"), float("nan")),
    *([], [0], [0] * 100, [[[]]], {}, {"a": 1}),
)
"""Values of every JSON type, and numbers beyond every limit."""

HARMLESS: dict[str, tuple[Any, ...]] = {
    "name": ("", "a", "i8", "E", "weights", "9" * 5000),
    "element": ("i8",),
    "bindings": ("", [], {}),
    "images": ("", [], {}),
    "text": ({},),
}
"""Those of them that may stand in some places, by the last key on the way there."""


def test_odd_values_anywhere_in_the_description_are_refused() -> None:
    description, tensors = content()
    for path in places(description):
        for odd in ODD:
            if reason(signed(changed(description, path, odd), tensors)) is None:
                elsewhere = "layout" in path or "place" in path  # then the tensor lies in another way that is one
                fine = type(odd) is int or odd in ([], [0]) if elsewhere else odd in HARMLESS.get(str(path[-1]), ())
                assert fine, (path, odd)


def test_missing_entries_are_refused() -> None:
    description, tensors = content()
    for path in places(description):
        if path and isinstance(path[-1], str) and path[0] != "target":
            without = copy.deepcopy(description)
            inner = without
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            assert reason(signed(without, tensors)) is not None, path


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "version": ({"version": 1}, "the file has format version 1, this is 5; write it again"),
    "negative cycles": ({"chips/0/cycles": -1}, "-1 is no natural number"),
    "other cycles": ({"chips/0/cycles": 3}, "the program declares 3 cycles, but its last dispatch ends in cycle"),
    "huge shape": ({"chips/0/bindings/0/shape": [2**40, 8]}, "the binding `arg0` has a wrong kind or shape"),
    "huge shapes": (
        {"chips/0/bindings/0/shape": [2**62, 8], "chips/0/bindings/0/host_shape": [2**65]},
        "its axes and those of the tensor reach over",
    ),
    "shapes whose products wrap alike": (
        {"chips/0/bindings/0/shape": [2**32, 2**32], "chips/0/bindings/0/host_shape": [2**33, 2**33]},
        "the binding `arg0` has a wrong kind or shape",
    ),
    "empty shape": ({"chips/0/bindings/0/shape": [0, 8]}, "the binding `arg0` has a wrong kind or shape"),
    "slice out of range": ({"chips/0/images/0/slices": ["E1", "E2", "E3", "E8"]}, "words [4, 2, 8] do not fit at"),
    "slice twice": ({"chips/0/images/0/slices": ["E1", "E2", "E3", "E3"]}, "words [4, 2, 8] do not fit at"),
    "too few slices": ({"chips/0/images/0/slices": ["E1", "E2", "E3"]}, "words [4, 2, 8] do not fit at"),
    "address out of range": (
        {"chips/0/images/0/addresses": [0, 0, 0, 15]},
        "words [4, 2, 8] do not fit at [0, 0, 0, 15]",
    ),
    "no axes": ({"chips/0/bindings/0/layout/words": "columns"}, "'columns' is no array"),
    "an axis of no dimension": ({"chips/0/bindings/0/layout/lanes": [[8, [2, 1]]]}, "axis `8 of d2` walks along d2"),
    "a walk without an end": (
        {"chips/0/bindings/0/layout/lanes": [[8, [1, 2**40]]]},
        "its axes and those of the tensor reach over",
    ),
    "parts in no order": ({"chips/0/bindings/0/place/starts": [1]}, "parts start at 0 and ascend"),
    "unknown hemisphere": ({"chips/0/bindings/0/place/slices": ["N1"]}, "['N1'] are no slices"),
    "unknown element": ({"chips/0/bindings/0/element": "f64"}, "`f64` is none of i8, i16, i32, f16, f32"),
    "wider element": ({"chips/0/bindings/0/element": "i32"}, "its axes visit 1 bytes of an element of 4"),
    "unknown kind": ({"chips/0/bindings/0/kind": "parameter"}, "the binding `arg0` has a wrong kind or shape"),
    "two outputs of one name": (
        {"chips/0/bindings/0/kind": "output", "chips/0/bindings/0/name": "result0"},
        "two outputs are named `result0`; give each its own tsp_tensor.name",
    ),
    "an input of two types": (
        {
            "chips/1/bindings/0/kind": "input",
            "chips/1/bindings/0/name": "arg0",
            "chips/1/bindings/0/host_shape": [24],
        },
        "input `arg0` is used as 3x8 of int8 and as 24 of int8; give both one type",
    ),
    "a chip twice": ({"chips/1/chip": 0}, "the programs are for chips [0, 0]; the system has 2"),
    "a chip that is not there": ({"chips/1/chip": 2}, "the programs are for chips [0, 2]; the system has 2"),
    "no cable": ({"cables": []}, "no cable is in this link"),
    "a cable to nowhere": ({"cables": [[0, 0, 2, 0]]}, "the wiring is wrong: port 2.0: the system has 2 chips"),
    "two cables in a port": ({"cables": [[0, 0, 1, 0], [0, 0, 1, 1]]}, "the wiring is wrong: port 0.0 has two cables"),
    "half a cable": ({"cables": [[0, 0, 1]]}, "not enough values to unpack"),
    "no chips": ({"chips": []}, "the file holds no program"),
    "an image without a tensor": ({"chips/1/images": [{}]}, "'chip1.image.0' is missing"),
    "a tensor without an image": ({"chips/0/images": []}, "1 tensors that are neither queues nor images"),
    "unknown field": ({"target/chip.sreams": 16}, "`chip.sreams` is unknown; did you mean `chip.streams`?"),
    "odd number": ({"target/chip.planes": 3}, "target field `planes`: 3 is odd"),
    "another machine": ({"target/chip.slices": 1}, "is none of the hemispheres' E0..0 and W0..0"),
}
"""What is changed in the description, and what the error says."""


@pytest.mark.parametrize("case", WRONG)
def test_wrong_descriptions_are_refused_with_the_reason(case: str) -> None:
    changes, message = WRONG[case]
    description, tensors = content()
    for place, value in changes.items():
        path = tuple(int(key) if key.isdecimal() else key for key in place.split("/"))
        description = changed(description, path, value)
    data = signed(description, tensors)
    tracemalloc.start()
    assert message in str(reason(data))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000, "a file of 3 kB makes nothing large"
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, '{"a":' * 100_000, "1e999999", "9" * 5000])
def test_descriptions_that_are_none_are_refused(text: str) -> None:
    assert reason(signed_text(text, content()[1])) is not None


def test_files_that_are_none_are_refused() -> None:
    tensors = content()[1]
    assert "no .tspx file" in str(reason(b""))
    assert "no .tspx file" in str(reason(save(tensors)))
    assert reason(save(tensors, {"tspc": "{}"})) == "the file is damaged: its digest does not match; write it again"
    assert "is I8, not uint8" in str(reason(save({"a": np.zeros(1, np.int8)}, {"tspc": "{}", "digest": ""})))
    header = json.dumps({"__metadata__": None}).encode()
    assert reason(struct.pack("<Q", len(header)) + header) == "the file has no description"
    deep = b"[" * 100_000
    assert "no .tspx file" in str(reason(struct.pack("<Q", len(deep)) + deep))
    assert "no .tspx file" in str(reason(struct.pack("<Q", 2**63) + file()[8:]))


NUMBERS = [(s, f) for s, cls in (("chip", ChipSpec), ("system", SystemSpec)) for f in spec_fields(cls)]


@on_every_engine
def test_extreme_machines_are_refused_or_run(engine: type[Engine]) -> None:
    """Whatever machine a file asks for: if it loads, its run ends, with outputs or with an error of ours."""
    description, tensors = content()
    for section, number in NUMBERS:
        low, high = number.metadata["low"], number.metadata["high"]
        for value in (low, high, low - 1, high + 1, -(2**70), 2**70):
            data = signed(changed(description, ("target", f"{section}.{number.name}"), value), tensors)
            if reason(data) is None:
                assert low <= value <= high, number.name
                with contextlib.suppress(TspError):
                    Loaded(from_bytes(data), engine()).run({"arg0": np.zeros((3, 8), np.int8)})


# -- hostile queues ------------------------------------------------------------------------------------------------


def word(name: str, *values: int) -> bytes:
    return TABLE.by_name[name].encode(values)


NOTIFY, SYNC, READ = word("notify"), word("sync"), word("read", 0, 4)

QUEUES: dict[str, tuple[bytes, str]] = {
    "half an instruction": (NOTIFY[:8], "8 bytes are no multiple of 16"),
    "unknown opcode": (b"\xff" * 16, "queue MEM.E0, byte 0: unknown opcode 0xff"),
    "stray bits": (NOTIFY[:15] + b"\1", "queue MEM.E0, byte 0: `notify` has bits set outside its fields"),
    "address out of range": (word("read", 16, 4), "queue MEM.E0, byte 0, `read`: address 16 is outside 0..15"),
    "another unit's": (word("iw"), "a MEM queue does not execute it"),
    "repeat of nothing": (word("repeat", 1, 1, 0), "repeat follows no instruction that can repeat"),
    "repeat of a sync": (SYNC + word("repeat", 1, 1, 0), "repeat follows no instruction that can repeat"),
    "repeats without end": (
        READ + word("repeat", 65535, 65535, 0) * 20_000,
        "the chip nests 3 levels of repeat, no more",
    ),
    "repeats on top of each other": (READ + word("repeat", 9, 1, 0) * 2, "every 1 is outside 10..65535"),
    "a step too far": (READ + word("repeat", 16, 1, 1), "address 16 is outside 0..15"),
    "a sync that nothing releases": (SYNC * 2, "queue MEM.E0, byte 16: no notify releases this sync"),
    "notifies and syncs by turns": ((NOTIFY + SYNC) * 20_000, "declares 397 cycles"),
    "a sync after its release": (NOTIFY + word("nop", 65535) + SYNC, "parks in cycle 65536, after its release in"),
    "nops without end": (word("nop", 65535) * 20_000, "hazard [queue-dry] chip 0"),
}


@pytest.mark.parametrize("case", QUEUES)
def test_hostile_queues_are_refused_in_time(case: str) -> None:
    payload, message = QUEUES[case]
    description, tensors = content()
    tensors["chip0.queue.MEM.E0"] = np.frombuffer(payload, np.uint8)
    if case == "notifies and syncs by turns":  # with the queue that notifies once, the first sync were too late
        del tensors["chip0.queue.C2C.0"]
    began = time.process_time()
    found = reason(signed(description, tensors))
    assert time.process_time() - began < 5
    assert message in str(found)


def test_random_words_are_refused_or_decoded() -> None:
    """Instructions with random bits in their fields never do more than raise MalformedProgram."""
    rng = random.Random(0)
    description, tensors = content()
    queues = [name for name in tensors if ".queue." in name]
    for _ in range(1000):
        words = [
            rng.choice([*TABLE.by_opcode]) | rng.getrandbits(rng.choice((0, 8, 40, 80, 120))) << 8 for _ in range(4)
        ]
        payload = b"".join(w.to_bytes(16, "little") for w in words)
        reason(signed(description, tensors | {rng.choice(queues): np.frombuffer(payload, np.uint8)}))
