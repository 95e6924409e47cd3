"""`tsp-run --stop-at CYCLE --watch PLACE`: what stands at some places of a chip at the end of a cycle, and who put it
there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..dialects.elements import dtype_of
from ..dialects.errors import InputError
from ..dialects.machine.stream_code import MOST_STREAMS, register_text, stream_code, stream_text
from ..dialects.machine.target import nearest
from ..runtime.engine import Engine
from ..runtime.executable import Executable, Loaded
from ..runtime.interface import Tensors
from ..runtime.reference import ReferenceSession
from ..runtime.snapshot import Seen, Snapshot

LANES = 16
"""The lanes that are shown, from lane 0 on."""

Show = Callable[[Snapshot, int], Iterator[str]]
"""The lines for what a snapshot has of a chip."""


class _Kind(NamedTuple):
    """A kind of place that can be watched."""

    form: str
    """How it is written, for messages."""
    pattern: str
    make: Callable[[re.Match[str]], Show]


def stop_at(
    executable: Executable, inputs: Tensors, engine: Engine, cycle: int, watches: Sequence[str], chip: int
) -> Iterator[str]:
    """Runs an executable to the end of a cycle on a reference engine, and gives the lines for what is watched.

    Raises InputError for inputs, cycles and places that the program or its machine does not have, LinkError for such a
    chip, HazardError for the earliest hazard up to there, FlipError for flipped bits.
    """
    shows = [parse_watch(watch) for watch in watches]
    loaded = Loaded(executable, engine)
    loaded.fill(inputs)
    assert isinstance(loaded.session, ReferenceSession)
    snapshot = loaded.session.run_to(cycle)
    snapshot.chip(chip)
    yield f"end of cycle {cycle} of 0..{executable.program.cycles - 1}, chip {chip}"
    for show in shows:
        yield from show(snapshot, chip)


def parse_watch(text: str) -> Show:
    """What shows the place that `text` names, such as `stream:E4@3`. Raises InputError for one that cannot be read."""
    name = text.partition(":")[0]
    if name not in _KINDS:
        raise InputError(f"--watch {text}: {name!r} is none of {', '.join(_KINDS)}{nearest(name, list(_KINDS))}")
    kind = _KINDS[name]
    match = re.fullmatch(f"{name}:{kind.pattern}", text)
    if match is None:
        raise InputError(f"--watch {text}: write it as {kind.form}")
    return kind.make(match)


# -- the kinds of place --------------------------------------------------------------------------------------------


def _stream(match: re.Match[str]) -> Show:
    if int(match[2]) >= MOST_STREAMS:
        raise InputError(f"--watch {match[0]}: no chip has a stream {match[1]}{match[2]}")
    code, position = stream_code(match[1], int(match[2])), int(match[3])

    def show(snapshot: Snapshot, chip: int) -> Iterator[str]:
        yield register_text(code, position)
        seen = snapshot.stream(chip, code, position)
        if seen is None:
            yield "  nothing: no value is there"
            return
        yield f"  driven by {seen.actor} in cycle {seen.cycle}"
        yield from _values(seen.data)
        use = seen.group(code, snapshot.system.chip)
        if use is not None and use.width in (2, 4):
            codes = [*use.codes]
            members = [snapshot.stream(chip, code, position) for code in codes]
            planes = [m.data for m in members if m is not None and m.actor == seen.actor]
            if len(planes) == use.width:
                yield f"  with all of {stream_text(codes[0])} to {stream_text(codes[-1])}"
                patterns = _joined(planes)
                yield from _values(patterns if seen.element is None else patterns.view(dtype_of(seen.element)))

    return show


def _sram(match: re.Match[str]) -> Show:
    side, first_slice, end_side, last_slice, first, last = match.groups()
    words = range(_number(first), _number(last or first) + 1)
    slices = range(int(first_slice), int(last_slice or first_slice) + 1)
    if not words or not slices or (end_side or side) != side:
        raise InputError(f"--watch {match[0]}: a range goes up, within one hemisphere")

    def show(snapshot: Snapshot, chip: int) -> Iterator[str]:
        spec = snapshot.system.chip
        if slices[-1] >= spec.slices:
            raise InputError(f"slice {side}{slices[-1]}: the chip has 0..{spec.slices - 1} in each hemisphere")
        units = [s + (spec.slices if side == "W" else 0) for s in slices]
        snapshot.word(chip, units[0], words[-1])  # an address that is none is said before anything is shown
        for address in words:
            planes: list[npt.NDArray[np.uint8]] = []
            for number, unit in zip(slices, units, strict=True):
                yield f"SRAM slice {side}{number}, word {address:#x}"
                data, seen = snapshot.word(chip, unit, address)
                yield f"  {_origin('written', seen, 'not written by the program so far')}"
                yield from _values(data)
                planes.append(data)
            if len(planes) in (2, 4):
                yield f"  all of {side}{slices[0]} to {side}{slices[-1]}, word {address:#x}"
                yield from _values(_joined(planes))

    return show


def _accumulator(match: re.Match[str]) -> Show:
    plane, entry = int(match[1]), _number(match[2])

    def show(snapshot: Snapshot, chip: int) -> Iterator[str]:
        yield f"accumulator {entry} of plane {plane}"
        seen = snapshot.accumulator(chip, plane, entry)
        yield f"  {_origin('taken', seen, 'nothing: never set')}"
        if seen is not None:
            yield from _values(seen.data)

    return show


def _alu(match: re.Match[str]) -> Show:
    alu = int(match[1])

    def show(snapshot: Snapshot, chip: int) -> Iterator[str]:
        yield f"result of ALU {alu}"
        seen = snapshot.alu(chip, alu)
        yield f"  {_origin('computed', seen, 'nothing: no result leaves it in this cycle')}"
        if seen is not None:
            yield from _values(seen.data)

    return show


_NUMBER = r"(0x[0-9a-fA-F]{1,8}|\d{1,9})"
_KINDS: dict[str, _Kind] = {
    "stream": _Kind("stream:E4@-3, a stream and a position", r"([EW])(\d{1,9})@([+-]?\d{1,9})", _stream),
    "sram": _Kind(
        "sram:E12:0x10, a slice and a word, or sram:E12..E15:0x10..0x13, runs of both",
        rf"([EW])(\d{{1,9}})(?:\.\.([EW])(\d{{1,9}}))?:{_NUMBER}(?:\.\.{_NUMBER})?",
        _sram,
    ),
    "accumulator": _Kind("accumulator:0:5, a plane and an entry", rf"(\d{{1,9}}):{_NUMBER}", _accumulator),
    "alu": _Kind("alu:3, the number of an ALU", r"(\d{1,9})", _alu),
}


def _number(text: str) -> int:
    """A decimal or hexadecimal number."""
    return int(text, 16 if text.startswith("0x") else 10)


# -- values --------------------------------------------------------------------------------------------------------


def _origin(verb: str, seen: Seen | None, nothing: str) -> str:
    return nothing if seen is None else f"{verb} by {seen.actor} in cycle {seen.cycle}"


def _joined(planes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[Any]:
    """Byte planes, the lowest first, as patterns of 16 or 32 bits: [lanes]."""
    return np.ascontiguousarray(np.stack(planes, axis=-1)).view(f"<u{len(planes)}")[:, 0]


_READINGS: dict[int, tuple[type[np.generic], ...]] = {
    1: (np.int8,),
    2: (np.int16, np.float16),
    4: (np.int32, np.float32),
}
"""The types that a pattern of so many bytes can be."""


def _values(data: npt.NDArray[Any]) -> Iterator[str]:
    """The first lanes of some data [lanes]: their hexadecimal digits, and their values in columns below. Patterns of no
    known type, which are unsigned, have a row for each type that they can be."""
    shown = np.ascontiguousarray(data[:LANES])
    size = shown.dtype.itemsize
    types = _READINGS[size] if shown.dtype.kind == "u" else (shown.dtype.type,)
    rows = [("hex", [f"{int(v):0{2 * size}x}" for v in shown.view(f"u{size}")])]
    for type_ in types:
        values = shown.view(type_)
        form = "{:.6g}" if values.dtype.kind == "f" else "{}"
        rows.append((f"{values.dtype.kind}{8 * size}", [form.format(v) for v in values.tolist()]))
    width = max(len(text) for _, texts in rows for text in texts)
    for name, texts in rows:
        yield f"  {name:<4}" + "".join(f" {text:>{width}}" for text in texts)
