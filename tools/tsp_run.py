"""tsp-run: compiles whatever level it is given, runs it on the simulated chips, and says what happened."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import command_line
from .diagnostics import UsageError, check_writable, report_errors, source_text
from .progress import progress

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from ..dialects.programs.records import Program
    from ..runtime.engine import Engine
    from ..runtime.executable import Executable
    from ..runtime.interface import Array, Interface

LEVELS = ("tensor", "stream", "isa")


def make_parser() -> argparse.ArgumentParser:
    description = "compile a model and run it on simulated tensor streaming processors"
    parser = command_line.make_parser("tsp-run", description)
    add = parser.add_argument
    add("file", type=Path, nargs="?", help="an .mlir module of any level, or a .tspx program; - for text from stdin")
    given = parser.add_mutually_exclusive_group().add_argument
    given("--inputs", type=Path, metavar="X.npz", help="the inputs by name")
    given("--random-inputs", type=_seed, nargs="?", const=0, metavar="SEED", help="make inputs, the same for a seed")
    add("--output", type=Path, metavar="Y.npz", help="where to put the outputs by name")
    add("--engine", choices=("reference", "jit"), default="jit", help="what executes the chips' instructions")
    add(
        "--mode",
        choices=("cycle", "bulk"),
        help="how the jit engine runs a program: cycle by cycle, as it does without this, or matched first and in bulk",
    )
    add("--level", choices=LEVELS, default="isa", help="the level to run: above isa values only, without time")
    add("--target", type=Path, metavar="SPEC.toml", help="numbers of the machine that replace the module's")
    add("--weights", type=Path, help="weights file, in place of the one that the module names")
    add("--allow-outside-weights", action="store_true", help="let the module name weights outside its folder")
    add("--json", action="store_true", help="print the result as JSON")
    add("-o", dest="program", type=Path, metavar="PROG.tspx", help="where to put the compiled program")
    look = parser.add_argument_group("looking into a program").add_argument
    look("--print-target", action="store_true", help="print the whole machine as TOML, for --target; nothing is run")
    look("--trace", type=Path, metavar="T.json", help="where to put its timeline, which Perfetto opens")
    look("--profile", action="store_true", help="print the use of every unit and what bounds the program's length")
    look("--account", action="store_true", help="compile a model up to its schedule, print where each op's cycles go")
    look("--stop-at", type=int, metavar="CYCLE", help="stop at the end of this cycle; on the reference engine")
    look(
        "--watch",
        action="append",
        default=[],
        metavar="PLACE",
        help="with --stop-at: what to show, as stream:E4@3, sram:E12:0x10, accumulator:0:5 or alu:3; repeatable",
    )
    look("--watch-chip", type=int, metavar="N", help="with --stop-at: the chip to look at; chip 0 without it")
    flips = parser.add_argument_group("flipping bits").add_argument
    flips(
        "--secded", action="store_true", help="give memory and streams check bits: correct one flipped bit, report two"
    )
    flips(
        "--flip",
        action="append",
        default=[],
        metavar="BIT",
        help="with --secded: what flips, as stream:E4@3:lane17.3:cycle119 or sram:E12:0x10:check4.8:cycle0; repeatable",
    )
    return parser


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(
        f"`{text}` is no seed, a number of 0 and more; write --random-inputs behind the file"
    )


def main(args: Sequence[str] | None = None) -> None:
    sys.exit(report_errors(lambda: run(make_parser().parse_args(args))))


def run(args: argparse.Namespace) -> None:
    """Does what the command line says. Raises TspError, ParseError, VerifyException or UsageError."""
    if args.print_target:
        print_target(args)
        return
    if args.file is None:
        raise UsageError("the following arguments are required: file")
    check_options(args)
    if args.account:
        show_account(args)
    elif args.level != "isa":
        run_values(args)
    elif args.stop_at is not None:
        show_stopped(args)
    else:
        compile_and_run(args)


def check_options(args: argparse.Namespace) -> None:
    """Raises UsageError for options that do not go together, and for files that could not be written at the end."""
    if args.stop_at is None and (args.watch or args.watch_chip is not None):
        raise UsageError("--watch and --watch-chip show the state in a cycle: say which, with --stop-at CYCLE")
    if args.flip and not args.secded:
        raise UsageError("--flip needs --secded: without check bits nothing would notice what has flipped")
    if args.json and (args.profile or args.account or args.stop_at is not None):
        raise UsageError("--json prints the result of a run; leave it out for --profile, --account and --stop-at")
    if args.level != "isa" and not args.account:
        if args.program or args.file.suffix == ".tspx":
            raise UsageError(f"--level {args.level} runs values without a program; leave it out for .tspx and -o")
        if args.trace or args.profile or args.stop_at is not None:
            raise UsageError(f"--level {args.level} has no time; leave it out for --trace, --profile and --stop-at")
        if args.secded:
            raise UsageError(f"--level {args.level} has no memory whose bits could flip; leave it out for --secded")
    if args.stop_at is not None and args.program:
        raise UsageError("-o writes a whole program, --stop-at runs a part of one; give one of them")
    if args.stop_at is not None and args.mode == "bulk":
        raise UsageError("--stop-at runs cycle by cycle, in the reference engine; leave out --mode bulk")
    for path, suffix in ((args.output, ".npz"), (args.program, ".tspx"), (args.trace, "")):
        if path:
            check_writable(path, suffix)


def compile_and_run(args: argparse.Namespace) -> None:
    """Compiles what is no program yet, and runs it unless only its files or its profile are wanted."""
    started = time.perf_counter()
    executable, inputs = load(args)
    look_into(executable.program, args)
    if args.file.suffix != ".tspx":
        from ..passes.isa.verify.isa_verify import prove

        with progress("proving"):
            prove(executable.program)
    compiled = time.perf_counter() - started
    if args.program:
        from ..runtime.container import save_executable

        save_executable(executable, args.program)
    if inputs is not None:
        run_program(executable, inputs, args, compiled)
    elif args.json:
        from .report import json_report

        print_json(json_report(executable.program, executable.interface.outputs, compiled))
    else:
        print(
            f"{args.program or args.file}: {executable.program.cycles} cycles, compiled in {compiled:.3f} s; "
            "not run, for want of --inputs"
        )


def print_target(args: argparse.Namespace) -> None:
    """Prints the machine of a module or program, or the default one, with what --target changes."""
    from ..dialects.machine.target import DEFAULT_SYSTEM, dump_toml, load_file

    others = args.output, args.program, args.trace, args.profile, args.account, args.json, args.stop_at is not None
    if any(others):
        raise UsageError("--print-target runs nothing; give it with no more than a file and --target")
    if args.file is None:
        system = load_file(args.target) if args.target else DEFAULT_SYSTEM
    elif args.file.suffix == ".tspx":
        system = load_program(args).program.system
    else:
        from ..dialects.target_attr import target_of

        system = target_of(read_module(args))
    print(dump_toml(system), end="")


def show_stopped(args: argparse.Namespace) -> None:
    """Runs up to the end of a cycle and prints what is asked for."""
    from .watch import stop_at

    executable, inputs = load(args)
    look_into(executable.program, args)
    engine = make_engine("reference", args, executable.program)
    for line in stop_at(executable, inputs or {}, engine, args.stop_at, args.watch, args.watch_chip or 0):
        print(line)


def look_into(program: Program, args: argparse.Namespace) -> None:
    """What the records of a program say, without running it. Comes before the proof: it is the program with a hazard
    that one wants to look into."""
    if args.trace:
        from .trace import write_trace

        write_trace(program, args.trace)
    if args.profile:
        from .profile import profile
        from .report import print_profile

        print_profile(profile(program))


def show_account(args: argparse.Namespace) -> None:
    """Prints the account of a model of the tensor or stream level, which is neither packed nor run."""
    from ..dialects.target_attr import target_of
    from ..passes.pipelines import compile
    from ..passes.stream.schedule.account import account
    from ..runtime.interface import level_of
    from .account import print_account

    if args.program or args.trace or args.profile or args.output or args.stop_at is not None or args.level != "isa":
        raise UsageError("--account looks at the schedule before there is a program; give it without other options")
    if args.file.suffix == ".tspx" or level_of(module := read_module(args)) == "isa":
        raise UsageError(f"{args.file} is a program, which knows no tensor ops; use --profile for it")
    print_account(account(compile(module, until="stream-schedule")), target_of(module).chip.planes)


def parse_file(path: Path) -> ModuleOp:
    """The module of an .mlir file; of the standard input for `-`."""
    from ..passes.pipelines import parse

    data, name = (sys.stdin.buffer.read(), "stdin") if str(path) == "-" else (path.read_bytes(), str(path))
    return parse(source_text(data, name), name)


def read_module(args: argparse.Namespace) -> ModuleOp:
    """The module of an .mlir file, on the machine that is asked for."""
    from ..dialects.target_attr import overlay_target
    from ..dialects.verify import verify_module

    module = parse_file(args.file)
    if args.target:
        overlay_target(module, args.target)
        verify_module(module)
    return module


def read_weights(module: ModuleOp, args: argparse.Namespace) -> dict[str, Array]:
    from ..runtime.interface import interface_of, load_weights, weights_path

    path = args.weights or weights_path(module, args.file.parent, args.allow_outside_weights)
    return load_weights(path, interface_of(module).parameters)


def load_program(args: argparse.Namespace) -> Executable:
    """The executable of a .tspx file."""
    from ..runtime.container import load_executable

    if args.target or args.weights:
        raise UsageError("a .tspx program has its machine and weights inside; compile the .mlir file for others")
    return load_executable(args.file)


def load(args: argparse.Namespace) -> tuple[Executable, dict[str, Array] | None]:
    """The executable of an .mlir module of any level, which is yet to be proven, or of a .tspx file; and its inputs, or
    None for a program that is not to run. They are checked before a model is compiled."""
    if args.file.suffix == ".tspx":
        executable = load_program(args)
        return executable, inputs_of(executable.interface, args)
    from ..dialects.errors import UnsupportedModel
    from ..passes.pipelines import STAGES, compile
    from ..runtime.executable import executable_from_module
    from ..runtime.interface import interface_of

    module = read_module(args)
    inputs = None
    with suppress(
        UnsupportedModel
    ):  # which compiling, or at last making the executable, says with all else of its kind
        inputs = inputs_of(interface_of(module), args)
    until = "isa-assemble"
    with progress("compiling", [*STAGES].index(until) + 1) as done:
        compile(module, until, lambda name, seconds: done(name))
    return executable_from_module(module, read_weights(module, args)), inputs


def inputs_of(interface: Interface, args: argparse.Namespace) -> dict[str, Array] | None:
    """The inputs of a run; None for one that has none and for which files or a profile are made."""
    from .inputs import inputs_for

    given = args.inputs is not None or args.random_inputs is not None
    if not given and interface.inputs and (args.program or args.trace or args.profile):
        return None
    return inputs_for(interface.inputs, args.inputs, args.random_inputs)


def run_values(args: argparse.Namespace) -> None:
    """Runs the tensor or stream level, and prints and writes its outputs."""
    from ..dialects.names import printable
    from ..passes.pipelines import compile
    from ..runtime.interface import interface_of, level_of
    from ..runtime.levels import run_module

    module = read_module(args)
    inputs = inputs_of(interface_of(module), args) or {}
    weights = read_weights(module, args)
    have = level_of(module)
    if LEVELS.index(have) > LEVELS.index(args.level):
        raise UsageError(f"{args.file} is at the {have} level already; it cannot be run at the {args.level} level")
    if args.level == "stream" and have == "tensor":
        compile(module, until="stream-schedule")
    with progress(f"running the {args.level} level"):
        outputs = run_module(module, inputs, weights).outputs
    if args.json:
        from .report import json_tensors

        print_json({"level": args.level, "outputs": json_tensors(outputs)})
    else:
        for name, value in outputs.items():
            print(f"{printable(name)}: {value.dtype}{list(value.shape)}")
    save_outputs(outputs, args.output)


def run_program(executable: Executable, inputs: dict[str, Array], args: argparse.Namespace, compiled: float) -> None:
    from ..runtime.executable import Loaded
    from .report import json_report, print_report

    program = executable.program
    loaded = Loaded(executable, make_engine(args.engine, args, program))
    started = time.perf_counter()
    with progress(f"running {program.cycles} cycles"):
        outputs, stats = loaded.run(inputs)
    simulated = time.perf_counter() - started
    mode = loaded.session.mode
    if args.json:
        print_json(json_report(program, executable.interface.outputs, compiled, stats, args.engine, mode, simulated))
    else:
        print_report(program, stats, f"{args.engine}, {mode} mode", compiled, simulated)
    save_outputs(outputs, args.output)


def print_json(result: dict[str, Any]) -> None:
    import json

    print(json.dumps(result, indent=2))


def make_engine(name: str, args: argparse.Namespace, program: Program) -> Engine:
    """The engine of a name, `reference` or `jit`, in the mode and with the flips that are asked for.

    Raises UsageError.
    """
    from .flips import parse_flip

    flips = [parse_flip(text, program.system.chip) for text in args.flip]
    if name == "jit":
        from ..runtime.jit import JitEngine

        return JitEngine(mode=args.mode or "cycle", secded=args.secded, flips=flips)
    if args.mode == "bulk":
        raise UsageError("--mode bulk is for the jit engine; leave --engine away, or --mode")
    from ..runtime.reference import ReferenceEngine

    return ReferenceEngine(args.secded, flips)


def save_outputs(outputs: dict[str, Array], path: Path | None) -> None:
    if path:
        from ..runtime.interface import save_tensors

        save_tensors(outputs, path)
