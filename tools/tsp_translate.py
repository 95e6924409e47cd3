"""tsp-translate: a finished program from one form to another, and its disassembly with cycles.

The forms are timed text, packed text and the `.tspx` file. A `.tspx` file holds words of SRAM, and text names tensors
of a weights file: what lies in SRAM before the first run is written as tensors that fill exactly those words, so that
the text becomes the same file again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import command_line
from .diagnostics import UsageError, check_writable, report_errors

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Attribute, Operation

    from ..dialects.programs.records import Binding, Program
    from ..runtime.executable import Executable
    from ..runtime.interface import Array

FORMS = ("timed", "packed", "tspx")


def make_parser() -> argparse.ArgumentParser:
    description = "convert a program between timed text, packed text and .tspx, or disassemble it"
    parser = command_line.make_parser("tsp-translate", description)
    add = parser.add_argument
    add(
        "file",
        type=Path,
        metavar="IN",
        help="an .mlir module of the isa level, or a .tspx program; - for text from stdin",
    )
    add("output", type=Path, nargs="?", metavar="OUT", help="where to put it: .mlir or .tspx")
    add("--to", choices=FORMS, help="the form of OUT; without it timed for .mlir, tspx for .tspx")
    add("--disassemble", action="store_true", help="print every instruction with its queue and cycle")
    add("--by", choices=("queue", "cycle"), help="the order of the disassembly; queue without it")
    add("--weights", type=Path, help="weights file, in place of the one that the module names")
    add("--allow-outside-weights", action="store_true", help="let the module name weights outside its folder")
    return parser


def main(args: Sequence[str] | None = None) -> None:
    sys.exit(report_errors(lambda: run(make_parser().parse_args(args))))


def run(args: argparse.Namespace) -> None:
    """Does what the command line says. Raises TspError, ParseError, VerifyException or UsageError."""
    if args.by and not args.disassemble:
        raise UsageError("--by orders a disassembly; add --disassemble")
    if args.to and not args.output:
        raise UsageError(f"--to {args.to} needs a file to write: tsp-translate IN OUT")
    if not args.output and not args.disassemble:
        raise UsageError("nothing to do; give a file to write, or --disassemble")
    form = form_of(args.output, args.to) if args.output else ""
    if args.output:
        check_writable(args.output, "")
    source = read(args)
    if args.output:
        write(source, form, args)
    if args.disassemble:
        for line in disassembly(source.program, args.by or "queue"):
            print(line)


def form_of(path: Path, wanted: str | None) -> str:
    """The form in which to write a file. Raises UsageError for an extension that does not tell, or tells otherwise."""
    forms = {".mlir": ("timed", "packed"), ".tspx": ("tspx",)}.get(path.suffix)
    if forms is None:
        raise UsageError(f"{path}: unknown extension; text ends in .mlir, programs in .tspx")
    if wanted is not None and wanted not in forms:
        raise UsageError(f"{path}: the form {wanted} is not written to a {path.suffix} file")
    return wanted or forms[0]


class Source(NamedTuple):
    """A program as it was read: a module, or the executable of a .tspx file."""

    program: Program
    module: ModuleOp | None
    executable: Executable | None


def read(args: argparse.Namespace) -> Source:
    """The program of a file. Raises MalformedProgram for a module of an upper level."""
    if args.file.suffix == ".tspx":
        from ..runtime.container import load_executable

        if args.weights:
            raise UsageError("a .tspx program has its weights inside; --weights is for text")
        executable = load_executable(args.file)
        return Source(executable.program, None, executable)
    from ..dialects.programs.records import program_from_module
    from .tsp_run import parse_file

    module = parse_file(args.file)
    return Source(program_from_module(module), module, None)


def write(source: Source, form: str, args: argparse.Namespace) -> None:
    """Writes a program in a form, text with its weights file where it needs a new one."""
    if form == "tspx":
        from ..runtime.container import save_executable

        save_executable(source.executable or assembled(source.module, args), args.output)
        return
    from xdsl.dialects.builtin import StringAttr

    from ..dialects.tsp_tensor import WEIGHTS

    beside = args.output.with_suffix(".sram.safetensors")  # not the name of a model's own weights
    tensors: dict[str, Array] = {}
    if source.executable:
        module, tensors = module_of(source.executable)
    else:
        assert source.module is not None
        module = source.module
        if args.output.parent.resolve() != args.file.parent.resolve() or args.weights:
            from .tsp_run import read_weights

            tensors = read_weights(module, args)
    if tensors:
        from safetensors.numpy import save

        module.attributes[WEIGHTS] = StringAttr(beside.name)
        beside.write_bytes(save(tensors))
    args.output.write_text(str(in_form(module, form)) + "\n", encoding="utf-8")


def in_form(module: ModuleOp, form: str) -> ModuleOp:
    """The module with all queues in timed or packed form; it is changed."""
    from ..dialects.verify import verify_module
    from ..passes.isa.assemble.isa_assemble import IsaAssemblePass
    from ..passes.isa.assemble.isa_disassemble import IsaDisassemblePass
    from ..passes.pipelines import make_context

    passes = {"timed": IsaDisassemblePass, "packed": IsaAssemblePass}
    passes[form]().apply(make_context(), module)
    verify_module(module)
    return module


def assembled(module: ModuleOp | None, args: argparse.Namespace) -> Executable:
    """The executable of a module in either form, with its weights."""
    from ..runtime.executable import executable_from_module
    from .tsp_run import read_weights

    assert module is not None
    return executable_from_module(in_form(module, "packed"), read_weights(module, args))


# -- from .tspx to text --------------------------------------------------------------------------------------------


def module_of(executable: Executable) -> tuple[ModuleOp, dict[str, Array]]:
    """The packed module of an executable, and the parameters that it names: one for each block of its initial SRAM."""
    from xdsl.dialects.builtin import ModuleOp
    from xdsl.ir import Block, Region

    from ..dialects.c2c import TOPOLOGY, TopologyAttr
    from ..dialects.machine.instruction import ElementType
    from ..dialects.machine.target import DEFAULT_SYSTEM
    from ..dialects.placement import Place
    from ..dialects.programs.records import Binding
    from ..dialects.target_attr import TARGET, TargetAttr
    from ..dialects.tsp_isa import DataflowOp, PackedOp, ProgramOp

    program = executable.program
    numbers = program.system.chip.queue_numbers
    attributes: dict[str, Attribute] = {}
    if program.system != DEFAULT_SYSTEM:
        attributes[TARGET] = TargetAttr(program.system)
    if program.system.chips > 1:
        attributes[TOPOLOGY] = TopologyAttr(program.topology)
    tensors: dict[str, Array] = {}
    programs: list[Operation] = []
    for c, chip in enumerate(program.chips):
        body: list[Operation] = []
        for b in chip.bindings:
            body.append(_bind(b))
        for i, image in enumerate(image for image in executable.images if image.chip == c):
            tensors[name := f"chip{c}.image.{i}"] = words = image.words.view("int8")
            place = Place(image.slices, addresses=image.addresses)
            binding = Binding("parameter", name, image.layout, place, words.shape, words.shape, ElementType.I8)
            body.append(_bind(binding))
        packed = sorted(chip.packed, key=numbers.__getitem__)
        body += [PackedOp(name, chip.packed[name], chip.text.get(name, ())) for name in packed]
        body += [DataflowOp(name, chip.dataflow[name]) for name in sorted(chip.dataflow, key=numbers.__getitem__)]
        name = "main" if len(program.chips) == 1 else f"main_chip{chip.chip}"
        programs.append(ProgramOp(name, chip.chip, chip.cycles, Region([Block(body)])))
    return ModuleOp(programs, attributes), tensors


def _bind(b: Binding) -> Operation:
    from xdsl.dialects.builtin import StringAttr, TensorType

    from ..dialects.elements import builtin_of
    from ..dialects.placement import LayoutAttr, PlaceAttr
    from ..dialects.tsp_isa import BindOp

    properties: dict[str, Attribute | None] = {
        "kind": StringAttr(b.kind),
        "tensor_name": StringAttr(b.name),
        "tensor": TensorType(builtin_of(b.element), b.shape),
        "external": TensorType(builtin_of(b.element), b.host_shape) if b.host_shape != b.shape else None,
        "layout": LayoutAttr(b.layout),
        "place": PlaceAttr(b.place),
    }
    return BindOp.build(properties=properties)


# -- disassembly ---------------------------------------------------------------------------------------------------


def disassembly(program: Program, order: str) -> Iterator[str]:
    """The lines of a disassembly: `order` is `queue`, a queue after the other, or `cycle`, all chips together."""
    queues = program.system.chip.queues
    if order == "cycle":
        records = sorted(((c.chip, r) for c in program.chips for r in c.records), key=lambda r: (r[1].at, r[0]))
        shows_chip = len(program.chips) > 1
        yield from _columns(
            (str(r.at), *((f"chip {chip}",) if shows_chip else ()), queues[r.queue].name, r.text) for chip, r in records
        )
        return
    for chip in program.chips:
        yield f"chip {chip.chip}: {chip.cycles} cycles"
        width = len(str(chip.cycles))
        queue = -1
        for record in chip.records:
            if record.queue != queue:
                queue = record.queue
                yield f"  {queues[queue].name}"
            yield f"    {record.at:>{width}}  {record.text}"


def _columns(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Rows of text in columns: the first, a cycle, to the right, the last as long as it is."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        padded = (f"{cell:<{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([f"{first:>{widths[0]}}", *padded]).rstrip()
