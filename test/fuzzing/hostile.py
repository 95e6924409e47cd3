"""Damaged files and texts: what is not refused with an error of ours must be a program, and run."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save
from tspc.dialects.errors import MalformedProgram, TspError
from tspc.passes.isa.verify.proof import first_hazard
from tspc.passes.pipelines import compile, parse
from tspc.runtime.container import from_bytes, to_bytes
from tspc.runtime.executable import Executable, Loaded, executable_from_module
from tspc.runtime.interface import Signature, interface_of
from tspc.runtime.jit import JitEngine
from xdsl.utils.exceptions import DiagnosticException, ParseError

from .checks import MOST_STEPS, Disagreement
from .mutations import mutated_queue
from .supplied import supplied_program

ROOT = Path(__file__).resolve().parents[2]

MOST_BYTES = 1 << 28
"""SRAM of all chips of a program that is run here."""

MODEL = """
builtin.module attributes {tsp_isa.target = #tsp_isa.target<
    chip.tiles = 2, chip.lanes_per_tile = 4, chip.weight_streams = 4, chip.streams = 16, chip.slices = 8,
    chip.words = 16, chip.links = 4, system.chips = 2, system.chips_per_node = 2, system.local_links = 1,
    system.global_links = 1>} {
  func.func @main(%x: tensor<3x8xi8>) -> tensor<3x8xi8> {
    %w = tsp_tensor.parameter "w" : tensor<8x8xi8>
    %a = tsp_tensor.matmul %x, %w : tensor<3x8xi8>, tensor<8x8xi8> -> tensor<3x8xi32>
    %b = tsp_tensor.map %a : (tensor<3x8xi32>) -> tensor<3x8xi8> {
    ^bb0(%sum: i32):
      %0 = arith.trunci %sum : i32 to i8
      tsp_tensor.yield %0 : i8
    }
    %c = tsp_tensor.map %b : (tensor<3x8xi8>) -> tensor<3x8xi8> {
    ^bb0(%v: i8):
      tsp_tensor.yield %v : i8
    } {c2c.chip = 1 : i64}
    func.return %c : tensor<3x8xi8>
  }
}
"""
"""Two small chips with a link, an input, a parameter and an output: all that a file can hold, in 3.4 kB."""


def zeros(signatures: dict[str, Signature]) -> dict[str, np.ndarray]:
    return {name: np.zeros(s.shape, s.dtype) for name, s in signatures.items()}


# -- files ---------------------------------------------------------------------------------------------------------


@cache
def model_file() -> bytes:
    """The file of MODEL."""
    module = compile(parse(MODEL))
    weights = {"w": np.arange(64, dtype=np.int8).reshape(8, 8)}
    return to_bytes(executable_from_module(module, weights))


def header_size(data: bytes) -> int:
    """Bytes before those of the tensors."""
    return 8 + struct.unpack("<Q", data[:8])[0]


def signed(description: str, tensors: dict[str, np.ndarray]) -> bytes:
    """A file with this description, and the digest that belongs to it."""
    digest = hashlib.sha256(description.encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tensors[name].shape}".encode() + tensors[name].tobytes())
    return save(tensors, {"tspc": description, "digest": digest.hexdigest()})


def check_file(seed: int) -> str:
    """Raises Disagreement unless a damaged file is refused as malformed, or runs and does what the verifier says."""
    rng = random.Random(seed)
    program = supplied_program(rng.randrange(1 << 32)) if rng.random() < 0.5 else None
    data = model_file() if program is None else to_bytes(Executable(program, ()))
    data = rng.choice([_signed_changes, _signed_changes, _raw_changes])(rng, data)
    try:
        executable = from_bytes(data)
    except MalformedProgram:
        return "refused"
    return run(executable)


def run(executable: Executable) -> str:
    """Runs what is small enough. Raises Disagreement where engine and verifier do not agree on a hazard."""
    program = executable.program
    issues = sum(r.vectors for c in program.chips for r in c.dispatches)
    if issues > MOST_STEPS or program.system.chip.sram_bytes * len(program.chips) > MOST_BYTES:
        return "too large to be run"
    proven = first_hazard(program)
    try:
        with np.errstate(all="ignore"):
            loaded = Loaded(executable, JitEngine())
            loaded.run(zeros(dict(loaded.interface.inputs)))
    except TspError as e:
        if str(proven or e) != str(e):
            raise Disagreement(f"isa-verify: {proven}; the engine: {e}") from e
        return type(e).__name__
    if proven is not None and proven.kind not in ("text-overwritten", "text-wrong"):  # those depend on data
        raise Disagreement(f"isa-verify: {proven}; the engine: none")
    return "run"


def _raw_changes(rng: random.Random, data: bytes) -> bytes:
    """Other bytes anywhere."""
    match rng.randrange(6):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return rng.randbytes(rng.choice([0, 1, 8, 9, 100, 5000]))
        case 2:
            return struct.pack("<Q", rng.choice([0, 1, 2**31, 2**63, 2**64 - 1, rng.randrange(9000)])) + data[8:]
        case 3:
            size = header_size(data)
            at = rng.randrange(8, size)
            return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + rng.randint(0, 4) :]
        case _:
            damaged = bytearray(data)
            for _ in range(rng.choice([1, 1, 2, 8])):
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            return bytes(damaged)


ODD = (
    *(None, True, False, "", "a", "i8", "i32", "f64", "E", "W", "weights", "rows", "\ud800", "9" * 5000),
    *(-1, 0, 1, 2, 3, 7, 64, 4096, -(2**63), 2**31, 2**63, 2**64, 2**200, 0.5, 1e308, float("inf"), float("nan")),
    *([], [0], [0] * 100, [[[]]], {}, {"a": 1}),
)
"""Values of every JSON type, and numbers beyond every limit."""


def _signed_changes(rng: random.Random, data: bytes) -> bytes:
    """Another description or another queue, under a digest that is right."""
    metadata = json.loads(data[8 : header_size(data)])["__metadata__"]
    description, tensors = json.loads(metadata["tspc"]), load(data)
    for _ in range(rng.choice([1, 1, 2])):
        queues = [name for name in tensors if ".queue." in name]
        if rng.random() < 0.5:
            system = from_bytes(data).program.system
            name = rng.choice(queues)
            tensors[name] = np.frombuffer(mutated_queue(rng, tensors[name].tobytes(), system), np.uint8)
        elif rng.random() < 0.1:
            tensors[rng.choice([*tensors])] = np.zeros(rng.choice([(0,), (0, 16), (1, 15), (3, 1, 16)]), np.uint8)
        else:
            _change(rng, description)
    return signed(json.dumps(description), tensors)


def _change(rng: random.Random, value: Any) -> None:
    """Changes one entry somewhere in a JSON object or list."""
    while True:
        keys: Sequence[Any] = [*value] if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(value[key], dict | list) or rng.random() < 0.1:
            break
        value = value[key]
    old = value[key]
    if type(old) is int and rng.random() < 0.5:
        value[key] = old + rng.choice([-1, 1])
    elif rng.random() < 0.1:
        del value[key]
    else:
        value[key] = rng.choice(ODD)


# -- texts ---------------------------------------------------------------------------------------------------------


@cache
def texts() -> tuple[str, ...]:
    """MLIR of every level: the tests' files, and those of MODEL on its way down."""
    files = sorted((ROOT / "test" / "filecheck").rglob("*.mlir"))
    levels = ("c2c-partition", "convert-tensor-to-stream", "stream-place", "stream-schedule", "convert-stream-to-isa")
    lowered = [str(compile(parse(MODEL), until=level)) for level in (*levels, "isa-verify")]
    return (*(path.read_text(encoding="utf-8") for path in files), MODEL, *(lowered * 5))


NUMBERS = (
    "0",
    "-1",
    "1",
    "3",
    "255",
    "65536",
    "2147483648",
    "9223372036854775808",
    "1" + "0" * 30,
    "9" * 5000,
    "1e999",
)
WORDS = (
    "E",
    "W",
    "E4",
    "W0",
    "alu3",
    "chain",
    "read",
    "repeat",
    "tensor<4x4xi8>",
    "i8",
    "f32",
    "%x",
    "@main",
    "<",
    ">",
    "{",
)


def check_text(seed: int) -> str:
    """Raises anything but an error of the taxonomy, or of the parser or verifier, that a damaged text causes."""
    rng = random.Random(seed)
    text = rng.choice(texts())
    for _ in range(rng.choice([1, 1, 2, 5])):
        text = rng.choice(_TEXT_CHANGES)(rng, text)
    try:
        module = compile(parse(text))
        weights = zeros(dict(interface_of(module).parameters))
        executable = executable_from_module(module, weights)
    except (DiagnosticException, ParseError):
        return "refused"
    return run(executable)


def _characters(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + "".join(chr(rng.randrange(1, 1 << rng.choice([7, 7, 16]))) for _ in range(3)) + text[at + 2 :]


def _cut(rng: random.Random, text: str) -> str:
    a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    return text[:a] + text[b:] if b - a < 200 or rng.random() < 0.1 else text[: a + rng.randrange(20)] + text[a + 20 :]


def _line_twice(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines.insert(i, lines[j])
    return "".join(lines)


def _line_gone(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines) or text


def _spans(text: str, is_part: Callable[[str], bool]) -> list[tuple[int, int]]:
    """The longest runs of characters of a kind."""
    spans: list[tuple[int, int]] = []
    start = None
    for i, c in enumerate(text + "\0"):
        if is_part(c) and start is None:
            start = i
        elif not is_part(c) and start is not None:
            spans.append((start, i))
            start = None
    return spans


def _replaced(rng: random.Random, text: str, spans: list[tuple[int, int]], words: Sequence[str]) -> str:
    if not spans:
        return text
    a, b = rng.choice(spans)
    return text[:a] + rng.choice(words) + text[b:]


def _number(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, _spans(text, str.isdecimal), NUMBERS)


def _small_number(rng: random.Random, text: str) -> str:
    return _replaced(rng, text, _spans(text, str.isdecimal), [str(rng.randrange(100)), str(rng.randrange(5))])


def _word(rng: random.Random, text: str) -> str:
    spans = _spans(text, lambda c: c.isalnum() or c in "_.")
    others = [text[a:b] for a, b in rng.sample(spans, min(3, len(spans)))]
    return _replaced(rng, text, spans, [*others, *WORDS])


def _nested(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    opening = rng.choice(["(", "[", "{", "<", "tensor<", "[[", "tuple<", "{a = ", "dense<", '"x"() ({'])
    return text[:at] + opening * rng.choice([3, 50, 2000, 20_000]) + text[at:]


_TEXT_CHANGES = (_characters, _cut, _line_twice, _line_gone, _number, _number, _small_number, _word, _word, _nested)
