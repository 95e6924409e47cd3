"""tsp-opt: xDSL's driver with our dialects, passes and short diagnostics, what mlir-opt has and it lacks, and
`--check-by-running`."""

from __future__ import annotations

import argparse
import io
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline
from xdsl.utils.exceptions import DiagnosticException, ParseError
from xdsl.xdsl_opt_main import xDSLOptMain

from ..dialects.machine.target import nearest
from .command_line import check_pipeline, pass_list, plain_pipeline, with_common_options
from .diagnostics import UsageError, message_of, report_errors, source_text
from .progress import progress

_SPLIT = re.compile(rb"^// -----[ \t]*\r?$", re.MULTILINE)
"""Where `--split-input-file` cuts: a line with nothing else on it."""


class TspOptMain(xDSLOptMain):
    """The driver. Ops carry the place where they were written, and errors name it."""

    def __init__(self, args: Sequence[str] | None = None):
        super().__init__("tspc modular optimizer driver", args)
        if self.args.input_file == "-":
            self.args.input_file = None
        if self.args.output_file == "-":
            self.args.output_file = None

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(arg_parser)
        add = with_common_options(arg_parser).add_argument
        add("--pass-pipeline", metavar="PIPELINE", help="as -p, and as mlir-opt has it: 'builtin.module(a,b{x=1})'")
        add("--list-passes", action="store_true", help="print the passes, and for those of tspc what they do")
        add("--print-irdl", metavar="DIALECTS", help="print dialects as IRDL for mlir-opt: `tsp_tensor,c2c`, or `all`")
        add("--check-by-running", metavar="INPUTS.npz", help="run before and after every pass; the bits must agree")
        add("--weights", help="weights file, in place of the one that the module names")
        add("--allow-outside-weights", action="store_true", help="let the module name weights outside its folder")

    def register_all_frontends(self) -> None:
        super().register_all_frontends()

        def parse_mlir(file: IO[bytes]) -> ModuleOp:
            from ..dialects.locations import LocatedParser

            name = self.get_input_name()
            text = source_text(file.read(), name, 1 + self.lines_before)
            parser = LocatedParser(self.ctx, text, name, self.lines_before)
            return parser.parse_module(not self.args.no_implicit_module)

        self.available_frontends["mlir"] = parse_mlir

    def parse_chunk(self, chunk: IO[bytes], file_extension: str, start_offset: int = 0) -> ModuleOp | None:
        self.lines_before = start_offset
        return super().parse_chunk(chunk, file_extension, start_offset)

    def setup_pipeline(self) -> None:
        if self.args.pass_pipeline is not None and self.args.passes:
            raise UsageError("-p and --pass-pipeline say the same; give one of them")
        self.args.passes = plain_pipeline(self.args.passes or self.args.pass_pipeline or "")
        check_pipeline(self.args.passes, self.available_passes)
        self.started = time.perf_counter()
        self.passed: Callable[[str], None] = lambda name: None
        self.pipeline = PassPipeline.parse_spec(self.available_passes, self.args.passes, self._between)

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        """Reads all of the input and closes it, in parts if they are asked for, each with the lines before it."""
        file, extension = self.get_input_stream()
        with file:
            data = file.read()
        cuts = [m.span() for m in _SPLIT.finditer(data)] if self.args.split_input_file else []
        starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(data)]
        parts: list[tuple[IO[bytes], int]] = []
        lines = last = 0
        for start, end in zip(starts, ends, strict=True):
            lines += data.count(b"\n", last, start)
            last = start
            parts.append((io.BytesIO(data[start:end]), lines))
        return parts, self.args.frontend or extension

    def run(self) -> None:
        if self.args.verify_diagnostics:
            self._verify_diagnostics()
        else:
            super().run()
        if self.args.output_file:
            self.late.save()

    def _verify_diagnostics(self) -> None:
        """Runs, and raises DiagnosticException unless all errors come that comments of the text expect, and no other.

        If they do, the modules of the parts without an error are printed as ever.
        """
        from .expected import differences, expected_in, said_in

        name = self.get_input_name()
        problems: list[str] = []
        results: list[str] = []
        parts, extension = self.prepare_input()
        for part, before in parts:
            data = part.read()
            message = ""
            try:
                if (module := self.parse_chunk(io.BytesIO(data), extension, before)) is not None:
                    self.apply_passes(module)
                    results.append(self.output_resulting_program(module))
            except ParseError as e:
                e.span = replace(e.span, line_offset=before)
                message = message_of(e)
            except DiagnosticException as e:
                message = message_of(e)
            expected, wrong = expected_in(data.decode("utf-8", "replace"), 1 + before)
            said = said_in(message, name) if message else []
            problems += [f"{name}:{problem}" for problem in (*wrong, *differences(expected, said))]
        if problems:
            raise DiagnosticException("\n".join(problems))
        with nullcontext(sys.stdout) if self.args.output_file is None else self.prepare_output() as output:
            output.write("// -----\n".join(results))

    def prepare_output(self) -> IO[str]:
        if not self.args.output_file:
            return sys.stdout
        self.late = _LateFile(self.args.output_file)
        return self.late

    def apply_passes(self, prog: ModuleOp) -> None:
        """Applies the passes, and shows on a terminal which, unless something else is printed between them."""
        if self.args.print_between_passes or self.args.time_passes:
            super().apply_passes(prog)
            return
        with progress("compiling", len(self.pipeline.passes)) as self.passed:
            super().apply_passes(prog)

    def output_resulting_program(self, prog: ModuleOp) -> str:
        if self.args.print_op_generic:
            from ..dialects.literals import lossy_in_generic_form
            from ..dialects.locations import describe

            if (op := lossy_in_generic_form(prog)) is not None:
                raise UsageError(
                    f"{describe(op)}: the generic form loses the payload of a NaN; leave out --print-op-generic"
                )
        try:
            return super().output_resulting_program(prog)
        except DiagnosticException:
            raise
        except Exception as e:  # the other targets are not ours
            reason = str(e).partition("\n")[0]
            raise UsageError(f"target `{self.args.target}` cannot print this module: {reason}") from e

    def _between(self, previous: ModulePass | None, module: ModuleOp, following: ModulePass | None) -> None:
        """What happens before the first pass and after each."""
        from ..dialects.verify import verify_module

        if previous is not None:
            self.passed(previous.name)
        if self.args.time_passes and previous is not None:
            print(f"Pass {previous.name} took {time.perf_counter() - self.started:.6f} seconds", file=sys.stderr)
        if not self.args.disable_verify:
            verify_module(module)
        if self.args.check_by_running:
            self._check(previous, module)
        if previous and following and self.args.print_between_passes:
            print(f"// -----// IR Dump After {previous.name} //----- //\n{module!s}\n", file=sys.stderr)
        self.started = time.perf_counter()

    def _check(self, previous: ModulePass | None, module: ModuleOp) -> None:
        from .checking import RunningCheck

        if previous is None:
            folder = Path(self.args.input_file).parent if self.args.input_file else Path()
            self.check = RunningCheck.of(
                module, Path(self.args.check_by_running), folder, self.args.weights, self.args.allow_outside_weights
            )
        else:
            self.check.after(previous.name, module)


class _LateFile(io.StringIO):
    """A file that is written when all is done: it may be the input, and a run that fails leaves it as it was."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def close(self) -> None:
        self.text = self.getvalue()
        super().close()

    def save(self) -> None:
        """Writes what was there when it was closed."""
        Path(self.path).write_text(self.text, encoding="utf-8")


def print_irdl(names: str) -> None:
    """Prints dialects of ours, by their names with commas between. Raises UsageError for a name of none."""
    from .irdl_export import irdl_text
    from .universe import TSPC_UNIVERSE

    ours = TSPC_UNIVERSE.all_dialects
    wanted = [*ours] if names == "all" else [name.strip() for name in names.split(",")]
    known = f"; there are {', '.join(ours)}"
    for name in wanted:
        if name not in ours:
            raise UsageError(f"there is no dialect `{name}` of tspc{nearest(name, ours) or known}")
    print(irdl_text([ours[name]() for name in dict.fromkeys(wanted)]))


def main(args: Sequence[str] | None = None) -> None:
    def run() -> None:
        driver = TspOptMain(args)
        if driver.args.list_passes:
            from ..passes.pipelines import PASSES

            print("\n".join(pass_list(PASSES, driver.available_passes)))
            return
        if driver.args.print_irdl is not None:
            print_irdl(driver.args.print_irdl)
            return
        extension = Path(driver.args.input_file or "stdin.mlir").suffix.removeprefix(".")
        if driver.args.frontend is None and extension not in driver.available_frontends:
            raise UsageError(f"{driver.args.input_file}: unknown extension; give an .mlir file")
        driver.run()

    sys.exit(report_errors(run))
