"""The `.tspx` file: an executable as one safetensors file of tensors and JSON; nothing is unpickled or evaluated.

Tensors: `chip<c>.queue.<name>` uint8 [instructions, 16], the packed queue; `chip<c>.image.<i>` uint8 [slices, depth,
lanes], words of the initial SRAM; `chip<c>.dataflow` uint8 [numbers, 8], what the instructions of each queue are meant
to take (dialects/programs/dataflow.py), if the program says it. The metadata entry `tspc` is JSON: format version, target,
cables, and per chip its length in cycles, its bindings, the places of its images, and by queue the words in which the
text lies that does not fit into the queue. The entry `digest` is the SHA-256 of all the rest, so that a damaged file is
refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save
from xdsl.dialects.builtin import TensorType
from xdsl.utils.exceptions import VerifyException

from ..dialects.elements import builtin_of
from ..dialects.errors import MalformedProgram, TspError
from ..dialects.machine.instruction import INSTRUCTION_BYTES, ElementType
from ..dialects.machine.instruction_fetch import Chunk, Word
from ..dialects.machine.layout import Axis, Layout
from ..dialects.machine.target import ChipSpec, SystemSpec, system_from_overrides, system_overrides
from ..dialects.machine.topology import Port, Topology
from ..dialects.names import fault_of, named_twice, of_two_types, quoted
from ..dialects.placement import Place, Slice, check_place
from ..dialects.programs.dataflow import QueueDataflow, Reach
from ..dialects.programs.packed import decode_queues
from ..dialects.programs.records import Binding, ChipProgram, Program, check_program, chip_program
from .executable import Executable, Image
from .interface import Signature

VERSION = 5
"""The version of the format; a file of another version is refused."""

Tensors = dict[str, npt.NDArray[np.uint8]]
_deserialize: Any = vars(import_module("safetensors"))["deserialize"]  # untyped


def save_executable(executable: Executable, path: Path) -> None:
    """Writes an executable whose queues are packed. Equal executables give equal bytes."""
    path.write_bytes(to_bytes(executable))


def to_bytes(executable: Executable) -> bytes:
    """The file's bytes. Raises MalformedProgram for a program in timed form."""
    tensors: Tensors = {}
    chips: list[dict[str, Any]] = []
    for c, chip in enumerate(executable.program.chips):
        if chip.records and not chip.packed:
            raise MalformedProgram("the program is in timed form; run isa-assemble first")
        for name, data in chip.packed.items():
            tensors[f"chip{c}.queue.{name}"] = np.frombuffer(data, np.uint8).reshape(-1, INSTRUCTION_BYTES)
        images = [i for i in executable.images if i.chip == c]
        for i, image in enumerate(images):
            tensors[f"chip{c}.image.{i}"] = image.words
        bindings = [_binding_to_json(b) for b in chip.bindings if b.kind in ("input", "output")]
        places = [{"slices": _slices_to_json(i.slices), "addresses": list(i.addresses)} for i in images]
        text = {name: [[*first, *second] for first, second in chunks] for name, chunks in chip.text.items()}
        entry = {"chip": chip.chip, "cycles": chip.cycles, "bindings": bindings, "images": places, "text": text}
        chips.append(entry)
        if chip.dataflow:
            tensors[f"chip{c}.dataflow"] = _dataflow_to_words(chip.dataflow, executable.program.system.chip)
    cables = [[a.chip, a.link, b.chip, b.link] for a, b in executable.program.topology.cables]
    target = system_overrides(executable.program.system)
    header = json.dumps({"version": VERSION, "target": target, "cables": cables, "chips": chips}, sort_keys=True)
    return _in_order(save(tensors, {"tspc": header, "digest": _digest(header, tensors)}))


def _in_order(data: bytes) -> bytes:
    """The file with its metadata in one order; safetensors writes them in another one every time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    padded = text.ljust(-(-len(text) // 8) * 8)
    return len(padded).to_bytes(8, "little") + padded + data[8 + size :]


def _digest(header: str, tensors: Mapping[str, npt.NDArray[np.uint8]]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype}{tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _slices_to_json(slices: Sequence[Slice]) -> list[str]:
    return [str(s) for s in slices]


def _place_to_json(place: Place) -> dict[str, Any]:
    return {
        "slices": _slices_to_json(place.slices),
        "starts": list(place.starts),
        "owners": list(place.owners),
        "copies": place.copies,
        "addresses": list(place.addresses),
    }


def _layout_to_json(layout: Layout) -> dict[str, Any]:
    def axes(of: tuple[Axis, ...]) -> list[list[Any]]:
        return [[axis.extent, *axis.steps] for axis in of]

    return {
        "words": axes(layout.words),
        "side": axes(layout.side),
        "lanes": axes(layout.lanes),
        "start": list(layout.start),
        "within": list(map(list, layout.within)),
    }


def _binding_to_json(b: Binding) -> dict[str, Any]:
    return {
        "kind": b.kind,
        "name": b.name,
        "layout": _layout_to_json(b.layout),
        "place": _place_to_json(b.place),
        "shape": list(b.shape),
        "host_shape": list(b.host_shape),
        "element": b.element.text,
    }


def _dataflow_to_words(flows: Mapping[str, QueueDataflow], chip: ChipSpec) -> npt.NDArray[np.uint8]:
    """Queue after queue: its number, `issues`, `block`, `final`, how many reaches and digests follow, and those."""
    words: list[int] = []
    for name in sorted(flows, key=chip.queue_numbers.__getitem__):
        flow = flows[name]
        words += [chip.queue_numbers[name], flow.issues, flow.block, flow.final, len(flow.reaches), len(flow.digests)]
        words += [number for reach in flow.reaches for number in reach]
        words += flow.digests
    return np.array(words, "<u8").view(np.uint8).reshape(-1, 8)


# -- reading -------------------------------------------------------------------------------------------------------


def load_executable(path: Path) -> Executable:
    """The executable of a file. Raises MalformedProgram, naming the file, when anything is wrong with it."""
    try:
        return from_bytes(path.read_bytes())
    except OSError as e:
        raise MalformedProgram(f"{path} cannot be read: {e.strerror}") from e
    except MalformedProgram as e:
        raise MalformedProgram(f"{path}: {e}") from e


def from_bytes(data: bytes) -> Executable:
    """The executable of a file's bytes. Raises MalformedProgram for whatever is wrong with them."""
    metadata, tensors = _parse(data)
    header = metadata.get("tspc", "")
    if _digest(header, tensors) != metadata.get("digest"):
        raise MalformedProgram("the file is damaged: its digest does not match; write it again")
    try:
        return _executable(json.loads(header), tensors)
    except TspError as e:
        raise MalformedProgram(str(e)) from e
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, VerifyException) as e:
        reason = f"{e} is missing" if isinstance(e, KeyError) else e
        raise MalformedProgram(f"the file's description is malformed: {reason}") from e
    except RecursionError as e:
        raise MalformedProgram("the file's description is nested too deeply") from e


def _parse(data: bytes) -> tuple[dict[str, str], Tensors]:
    """The metadata and the tensors of a safetensors file."""
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size])["__metadata__"]
        if not isinstance(metadata, dict):
            raise MalformedProgram("the file has no description")
        tensors: Tensors = {}
        for name, tensor in _deserialize(data):
            if tensor["dtype"] != "U8":
                raise MalformedProgram(f"tensor `{name}` is {tensor['dtype']}, not uint8")
            tensors[name] = np.frombuffer(tensor["data"], np.uint8).reshape(tensor["shape"])
    except MalformedProgram:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as e:
        raise MalformedProgram(f"the file is damaged or no .tspx file: {e}") from e
    return cast("dict[str, str]", metadata), tensors


def _executable(header: dict[str, Any], tensors: Tensors) -> Executable:
    if header["version"] != VERSION:
        raise MalformedProgram(f"the file has format version {header['version']}, this is {VERSION}; write it again")
    system = system_from_overrides(header["target"])
    cables = [tuple(map(_natural, cable)) for cable in header["cables"]]
    topology = Topology(tuple((Port(a, x), Port(b, y)) for a, x, b, y in cables))
    if reason := topology.check(system):
        raise MalformedProgram(f"the wiring is wrong: {reason}")
    chips: list[ChipProgram] = []
    images: list[Image] = []
    for c, entry in enumerate(header["chips"]):
        prefix = f"chip{c}.queue."
        packed = {n.removeprefix(prefix): t.tobytes() for n, t in tensors.items() if n.startswith(prefix)}
        bindings = tuple(_binding_from_json(b, system) for b in entry["bindings"])
        records = decode_queues(packed, system)
        text = {str(name): tuple(map(_chunk_from_json, chunks)) for name, chunks in entry["text"].items()}
        number, cycles = _natural(entry["chip"]), _natural(entry["cycles"])
        dataflow = _dataflow_from_words(tensors.get(f"chip{c}.dataflow"), system.chip)
        chips.append(chip_program(number, cycles, records, bindings, packed, text, system.chip, dataflow))
        for i, place in enumerate(entry["images"]):
            words = tensors[f"chip{c}.image.{i}"]
            slices, addresses = _slices_from_json(place["slices"]), _naturals(place["addresses"])
            images.append(_check_image(Image(c, slices, addresses, words), system.chip))
    _check_chips(chips, system)
    used = len(images) + sum(len(c.packed) + bool(c.dataflow) for c in chips)
    if unused := len(tensors) - used:
        raise MalformedProgram(f"the file holds {unused} tensors that are neither queues nor images of its chips")
    return Executable(check_program(Program(system, topology, tuple(chips))), tuple(images))


def _check_chips(chips: list[ChipProgram], system: SystemSpec) -> None:
    """What concerns several chips or bindings: numbers of chips, and names that mean one thing to the host."""
    if not chips:
        raise MalformedProgram("the file holds no program")
    numbers = [c.chip for c in chips]
    if len({*numbers}) != len(numbers) or max(numbers) >= system.chips:
        raise MalformedProgram(f"the programs are for chips {numbers}; the system has {system.chips}")
    known: dict[tuple[str, str], Binding] = {}
    for b in (b for c in chips for b in c.bindings):
        first = known.setdefault((b.kind, b.name), b)
        if b.kind == "output" and first is not b:
            raise MalformedProgram(named_twice("output", b.name))
        if (first.host_shape, first.element) != (b.host_shape, b.element):
            raise MalformedProgram(of_two_types(b.kind, b.name, _signature(first), _signature(b)))


def _signature(b: Binding) -> Signature:
    return Signature(b.host_shape, b.dtype)


def _natural(value: Any) -> int:
    """A JSON value that must be an integer of at least 0."""
    if type(value) is not int or value < 0:
        raise MalformedProgram(f"the file's description is malformed: {value!r} is no natural number")
    return value


def _naturals(value: Any) -> tuple[int, ...]:
    """A JSON value that must be an array of integers of at least 0."""
    return tuple(map(_natural, _list(value)))


def _list(value: Any) -> list[Any]:
    """A JSON value that must be an array."""
    if not isinstance(value, list):
        raise MalformedProgram(f"the file's description is malformed: {value!r} is no array")
    return cast("list[Any]", value)


def _text(value: Any) -> str:
    """A JSON value that must be a string."""
    if not isinstance(value, str):
        raise MalformedProgram(f"the file's description is malformed: {value!r} is no string")
    value.encode()  # raises ValueError for half a surrogate pair, which no terminal and no file could show
    return value


def _slices_from_json(entry: Any) -> tuple[Slice, ...]:
    names = [_text(name) for name in _list(entry)]
    if not all(name[:1] in ("E", "W") and name[1:].isdecimal() and len(name) < 7 for name in names):
        raise MalformedProgram(f"{names} are no slices")
    return tuple(Slice(name[0], int(name[1:])) for name in names)


def _check_image(image: Image, chip: ChipSpec) -> Image:
    shape = image.words.shape
    fits = (
        len(shape) == 3
        and shape[0] == len(image.slices) == len({*image.slices})
        and shape[2] == chip.lanes
        and all(s.number < chip.slices for s in image.slices)
        and len(image.addresses) == shape[0]
        and max(image.addresses) <= chip.words - shape[1]
    )
    if not fits:
        raise MalformedProgram(
            f"words {list(shape)} do not fit at {list(image.addresses)} of {len(image.slices)} slices"
        )
    return image


def _place_from_json(entry: dict[str, Any]) -> Place:
    slices, copies = _slices_from_json(entry["slices"]), _natural(entry["copies"])
    return Place(slices, _naturals(entry["starts"]), _naturals(entry["owners"]), copies, _naturals(entry["addresses"]))


def _layout_from_json(entry: dict[str, Any]) -> Layout:
    def axes(of: Any) -> tuple[Axis, ...]:
        return tuple(
            Axis(_natural(extent), tuple((_integer(dim), _integer(step)) for dim, step in steps))
            for extent, *steps in map(_list, _list(of))
        )

    start = tuple(map(_integer, _list(entry["start"])))
    within = tuple((_natural(first), _natural(end)) for first, end in map(_list, _list(entry["within"])))
    return Layout(axes(entry["words"]), axes(entry["side"]), axes(entry["lanes"]), start, within)


def _integer(value: Any) -> int:
    """A JSON value that must be an integer."""
    return -_natural(-value) if type(value) is int and value < 0 else _natural(value)


def _chunk_from_json(entry: list[Any]) -> Chunk:
    sides, slices, addresses = entry[::3], entry[1::3], entry[2::3]
    if len(entry) != 6 or not {*sides} <= {"E", "W"}:
        raise MalformedProgram(f"{entry} are no two words of program text")
    first, second = (Word(h, _natural(s), _natural(a)) for h, s, a in zip(sides, slices, addresses, strict=True))
    return first, second


def _dataflow_from_words(tensor: npt.NDArray[np.uint8] | None, chip: ChipSpec) -> dict[str, QueueDataflow]:
    """By queue, what its instructions are meant to take; nothing in a file that does not say it."""
    flows: dict[str, QueueDataflow] = {}
    words: list[int] = [] if tensor is None else np.ascontiguousarray(tensor).reshape(-1).view("<u8").tolist()
    end = 0
    while end < len(words):
        queue, issues, block, final, reaches, digests = words[end : end + 6]
        said = end + 6
        sums = said + 3 * reaches
        end = sums + digests
        if end > len(words):
            raise MalformedProgram(f"the dataflow ends after {len(words)} numbers, but {end} are announced")
        triples = tuple(Reach(*words[i : i + 3]) for i in range(said, sums, 3))
        flow = QueueDataflow(issues, block, tuple(words[sums:end]), final, triples)
        name = chip.queues[queue].name if queue < len(chip.queues) else f"number {queue}"
        reason = "the chip has no such queue" if queue >= len(chip.queues) else flow.fault()
        if reason or name in flows:
            raise MalformedProgram(f"the dataflow of queue {name} is malformed: {reason or 'it stands there twice'}")
        flows[name] = flow
    return flows


def _element(text: str) -> ElementType:
    known = {element.text: element for element in ElementType}
    if text not in known:
        raise MalformedProgram(f"the element type `{text}` is none of {', '.join(known)}")
    return known[text]


def _binding_from_json(entry: dict[str, Any], system: SystemSpec) -> Binding:
    kind, name = _text(entry["kind"]), _text(entry["name"])
    element = _element(_text(entry["element"]))
    shape, host_shape = _naturals(entry["shape"]), _naturals(entry["host_shape"])
    layout, place = _layout_from_json(entry["layout"]), _place_from_json(entry["place"])
    if fault := fault_of(kind or "tensor", name):
        raise MalformedProgram(fault)
    if kind not in ("input", "output") or not 0 < math.prod(shape) == math.prod(host_shape):
        raise MalformedProgram(f"the binding {quoted(name)} has a wrong kind or shape")
    check_place(TensorType(builtin_of(element), shape), layout, place, system.chip)
    return Binding(kind, name, layout, place, shape, host_shape, element)
