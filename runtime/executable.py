"""A program with its data: what a chip's SRAM holds before the first run, and how the host fills inputs and reads
outputs. The `.tspx` file of it is in container.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..dialects.errors import CapacityError, MismatchError
from ..dialects.instruction import ElementType
from ..dialects.layout import Bytes, Layout
from ..dialects.placement import Place
from ..dialects.program import Binding, Program, program_from_module
from ..dialects.target import ChipSpec
from .engine import Engine, RunStats, Session
from .interface import Array, Interface, Signature, Tensors, check_tensors, interface_of


@dataclass(frozen=True)
class Image:
    """Words that lie in a chip's SRAM before the first run."""

    chip: int
    """The index of the chip program."""
    place: Place
    block: Bytes
    """[slices, depth, lanes]"""

    def as_tensor(self) -> tuple[Array, ElementType]:
        """The tensor that fills every byte of the block in the layout of its place: [depth, lanes] in rows, of an
        integer with a byte for each slice, and [depth * slices, lanes] of int8 as weights. What lay there before it
        was laid out is not known any more, but this lies there in the same way."""
        slices, depth, lanes = self.block.shape
        if self.place.layout is Layout.WEIGHTS:
            rows = np.ascontiguousarray(self.block.transpose(1, 0, 2)).reshape(depth * slices, lanes)
            return rows.view(np.int8), ElementType.I8
        element = {1: ElementType.I8, 2: ElementType.I16, 4: ElementType.I32}[slices]
        elements = np.ascontiguousarray(self.block.transpose(1, 2, 0)).view(f"<i{slices}")
        return elements.reshape(depth, lanes), element


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
        images.append(Image(chip, b.place, b.place.layout.pack(value.reshape(b.shape), program.system.chip)))
    return Executable(program, tuple(images))


class Loaded:
    """An executable in the memory of an engine, ready to run any number of times."""

    def __init__(self, executable: Executable, engine: Engine):
        self.executable = executable
        self.interface = executable.interface
        try:
            self.session: Session = engine.load(executable.program)
        except MemoryError as e:
            chip = executable.program.system.chip
            raise CapacityError(f"the host has no room for {chip.sram_bytes} bytes of SRAM per chip: {e}") from e
        for image in executable.images:
            self._write(image.chip, image.place, image.block)
        load_text(executable.program, self.session)

    @property
    def _chip(self) -> ChipSpec:
        return self.executable.program.system.chip

    def run(self, inputs: Tensors) -> tuple[dict[str, Array], RunStats]:
        """The outputs by name, and what the run did.

        Raises InputError for inputs that misfit, HazardError for the earliest hazard, FlipError for flipped bits that
        come before it or are in the outputs, MismatchError when the run took other cycles than the schedule says.
        """
        self.fill(inputs)
        stats = self.session.run()
        scheduled = tuple(c.cycles for c in self.executable.program.chips)
        if stats.cycles != scheduled:
            raise MismatchError(f"the run took {stats.cycles} cycles per chip, the schedule says {scheduled}")
        outputs: dict[str, Array] = {}
        corrected = 0
        for chip, b in self._bindings("output"):
            block, flipped = self._read(chip, b)
            corrected += flipped
            outputs[b.name] = b.place.layout.unpack(block, b.shape, b.dtype, self._chip).reshape(b.host_shape)
        return outputs, replace(stats, corrected_by_host=corrected)

    def fill(self, inputs: Tensors) -> None:
        """Writes the inputs to SRAM. Raises InputError for those that misfit."""
        check_tensors("input", self.interface.inputs, inputs)
        for chip, b in self._bindings("input"):
            self._write(chip, b.place, b.place.layout.pack(inputs[b.name].reshape(b.shape), self._chip))

    def _write(self, chip: int, place: Place, block: Bytes) -> None:
        """Puts a block [slices, depth, lanes] where `place` says."""
        for unit, words in zip(_units(place, self._chip), block, strict=True):
            self.session.write(chip, unit, place.address or 0, words)

    def _read(self, chip: int, binding: Binding) -> tuple[Bytes, int]:
        """The block [slices, depth, lanes] of a binding, and how many code words of it were corrected."""
        address, depth = binding.place.address or 0, binding.place.layout.depth(binding.shape, self._chip)
        read = [self.session.read(chip, unit, address, depth) for unit in _units(binding.place, self._chip)]
        return np.stack([vectors for vectors, _ in read]), sum(corrected for _, corrected in read)

    def _bindings(self, kind: str) -> Iterator[tuple[int, Binding]]:
        return self.executable.program.bindings(kind)


def load_text(program: Program, session: Session) -> None:
    """Puts the text of long queues where it lies in SRAM."""
    spec = program.system.chip
    for i, chip in enumerate(program.chips):
        for word, text in chip.text_image(spec).items():
            session.write(i, word.unit(spec), word.address, np.frombuffer(text, np.uint8)[None])


def _units(place: Place, chip: ChipSpec) -> list[int]:
    """The slices of a place as they are numbered on the chip: the east's first."""
    return [s + (chip.slices if place.hemisphere == "W" else 0) for s in place.slices]
