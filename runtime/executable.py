"""A program with its data: what a chip's SRAM holds before the first run, and how the host fills inputs and reads
outputs. The `.tspx` file of it is in container.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..dialects.errors import CapacityError, MismatchError
from ..dialects.machine.layout import Axis, Bytes, Layout
from ..dialects.machine.target import ChipSpec
from ..dialects.placement import Slice
from ..dialects.programs.records import Binding, Program, program_from_module
from .engine import Engine, RunStats, Session
from .interface import Array, Interface, Signature, Tensors, check_tensors, interface_of


@dataclass(frozen=True)
class Image:
    """Words that lie in a chip's SRAM before the first run."""

    chip: int
    """The index of the chip program."""
    slices: tuple[Slice, ...]
    addresses: tuple[int, ...]
    """The first word in each slice."""
    words: Bytes
    """[slices, depth, lanes]"""

    @property
    def layout(self) -> Layout:
        """The layout of its words as a tensor of int8."""
        slices, depth, lanes = self.words.shape
        return Layout((Axis.of(depth, 1),), (Axis.of(slices, 0),), (Axis.of(lanes, 2),))


@dataclass(frozen=True)
class Executable:
    """A program, its initial SRAM, and what the host needs to know."""

    program: Program
    images: tuple[Image, ...]

    @property
    def interface(self) -> Interface:
        """The inputs and outputs; parameters are part of the images."""
        interface = Interface()
        for chip in self.program.chips:
            for b in chip.bindings:
                table = {"input": interface.inputs, "output": interface.outputs}.get(b.kind)
                if table is not None:
                    table[b.name] = Signature(b.host_shape, b.dtype)
        return interface


def executable_from_module(module: ModuleOp, weights: Tensors) -> Executable:
    """The executable of a module of the isa level, with the parameters' values by name.

    Raises InputError for weights that are missing or misfit, and what program_from_module raises.
    """
    program = program_from_module(module)
    check_tensors("parameter", interface_of(module).parameters, weights)
    images: list[Image] = []
    for chip, b in (pair for kind in ("parameter", "constant") for pair in program.bindings(kind)):
        value = weights[b.name] if b.kind == "parameter" else b.value
        assert value is not None  # verified by the op
        words = b.place.spread(b.layout.pack(value.reshape(b.shape), program.system.chip.lanes))
        images.append(Image(chip, b.place.slices, b.place.addresses, words))
    return Executable(program, tuple(images))


class Loaded:
    """An executable in the memory of an engine, ready to run any number of times.

    Threads may share it: a run, from its inputs to its outputs, waits for those before it. To run at the same time,
    load the executable once for each thread. Pickling keeps the executable and the engine, and unpickling loads anew.
    """

    def __init__(self, executable: Executable, engine: Engine):
        self.executable, self.engine = executable, engine
        self.interface = executable.interface
        try:
            self.session: Session = engine.load(executable.program)
        except MemoryError as e:
            chip = executable.program.system.chip
            raise CapacityError(f"the host has no room for {chip.sram_bytes} bytes of SRAM per chip: {e}") from e
        for image in executable.images:
            self._write(image.chip, image.slices, image.addresses, image.words)
        load_text(executable.program, self.session)

    @property
    def _chip(self) -> ChipSpec:
        return self.executable.program.system.chip

    def run(self, inputs: Tensors) -> tuple[dict[str, Array], RunStats]:
        """The outputs by name, and what the run did.

        Raises InputError for inputs that misfit, HazardError for the earliest hazard, FlipError for flipped bits that
        come before it or are in the outputs, MismatchError when the run took other cycles than the schedule says.
        """
        with self.session.lock:
            self.fill(inputs)
            stats = self.session.run()
            return self._outputs(stats)

    def __reduce__(self) -> tuple[Callable[[bytes, Engine], Loaded], tuple[bytes, Engine]]:
        """Raises MalformedProgram for a program in timed form, which a `.tspx` file does not hold."""
        from .container import to_bytes

        return _loaded, (to_bytes(self.executable), self.engine)

    def _outputs(self, stats: RunStats) -> tuple[dict[str, Array], RunStats]:
        """What a run has left, and what it did."""
        scheduled = tuple(c.cycles for c in self.executable.program.chips)
        if stats.cycles != scheduled:
            raise MismatchError(f"the run took {stats.cycles} cycles per chip, the schedule says {scheduled}")
        outputs: dict[str, Array] = {}
        corrected = 0
        for chip, b in self._bindings("output"):
            words, flipped = self._read(chip, b)
            corrected += flipped
            block = b.place.gather(words, b.layout.depth)
            outputs[b.name] = b.layout.unpack(block, b.shape, b.dtype).reshape(b.host_shape)
        return outputs, replace(stats, corrected_by_host=corrected)

    def fill(self, inputs: Tensors) -> None:
        """Writes the inputs to SRAM. Raises InputError for those that misfit."""
        check_tensors("input", self.interface.inputs, inputs)
        with self.session.lock:
            for chip, b in self._bindings("input"):
                words = b.place.spread(b.layout.pack(inputs[b.name].reshape(b.shape), self._chip.lanes))
                self._write(chip, b.place.slices, b.place.addresses, words)

    def _write(self, chip: int, slices: Sequence[Slice], addresses: Sequence[int], words: Bytes) -> None:
        """Puts words [slices, depth, lanes] into slices, in each from an address on."""
        for s, address, column in zip(slices, addresses, words, strict=True):
            self.session.write(chip, s.unit(self._chip), address, column)

    def _read(self, chip: int, binding: Binding) -> tuple[Bytes, int]:
        """The words [slices, depth, lanes] of a binding, and how many code words of them were corrected."""
        read = [self.session.read(chip, s.unit(self._chip), words.start, len(words)) for s, words in binding.words]
        return np.stack([vectors for vectors, _ in read]), sum(corrected for _, corrected in read)

    def _bindings(self, kind: str) -> Iterator[tuple[int, Binding]]:
        return self.executable.program.bindings(kind)


def _loaded(data: bytes, engine: Engine) -> Loaded:
    """What was pickled, loaded anew."""
    from .container import from_bytes

    return Loaded(from_bytes(data), engine)


def load_text(program: Program, session: Session) -> None:
    """Puts the text of long queues where it lies in SRAM."""
    spec = program.system.chip
    for i, chip in enumerate(program.chips):
        for word, text in chip.text_image(spec).items():
            session.write(i, word.unit(spec), word.address, np.frombuffer(text, np.uint8)[None])
