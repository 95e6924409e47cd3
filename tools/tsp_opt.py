"""tsp-opt: xDSL's driver with our dialects, passes and short diagnostics, and `--check-by-running`."""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline
from xdsl.utils.exceptions import DiagnosticException
from xdsl.xdsl_opt_main import xDSLOptMain

from .diagnostics import UsageError, check_pipeline, report_errors, say_nearest


class TspOptMain(xDSLOptMain):
    """The driver. Ops carry the place where they were written, and errors name it."""

    def __init__(self, args: Sequence[str] | None = None):
        super().__init__("tspc modular optimizer driver", args)

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(say_nearest(arg_parser))
        add = arg_parser.add_argument
        add("--check-by-running", metavar="INPUTS.npz", help="run before and after every pass; the bits must agree")
        add("--weights", help="weights file, in place of the one that the module names")
        add("--allow-outside-weights", action="store_true", help="let the module name weights outside its folder")

    def register_all_frontends(self) -> None:
        super().register_all_frontends()

        def parse_mlir(file: IO[bytes]) -> ModuleOp:
            from ..dialects.locations import LocatedParser, decoded

            name = self.get_input_name()
            parser = LocatedParser(self.ctx, decoded(file.read(), name), name)
            return parser.parse_module(not self.args.no_implicit_module)

        self.available_frontends["mlir"] = parse_mlir

    def setup_pipeline(self) -> None:
        check_pipeline(self.args.passes, self.available_passes)
        self.started = time.perf_counter()
        self.pipeline = PassPipeline.parse_spec(self.available_passes, self.args.passes, self._between)

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        """Reads all of the input and closes it."""
        chunks, extension = super().prepare_input()
        read: list[tuple[IO[bytes], int]] = []
        for chunk, offset in chunks:
            with chunk:
                read.append((io.BytesIO(chunk.read()), offset))
        return read, extension

    def prepare_output(self) -> IO[str]:
        return _LateFile(self.args.output_file) if self.args.output_file else sys.stdout

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

        if self.args.time_passes and previous is not None:
            print(f"Pass {previous.name} took {time.perf_counter() - self.started:.6f} seconds", file=sys.stderr)
        if not self.args.disable_verify:
            verify_module(module)
        if self.args.check_by_running:
            self._check(previous, module)
        if previous and following and self.args.print_between_passes:
            print(f"IR after {previous.name}:\n{module!s}\n")
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
        if text := self.getvalue():
            Path(self.path).write_text(text, encoding="utf-8")
        super().close()


def main(args: Sequence[str] | None = None) -> None:
    def run() -> None:
        driver = TspOptMain(args)
        extension = Path(driver.args.input_file or "stdin.mlir").suffix.removeprefix(".")
        if driver.args.frontend is None and extension not in driver.available_frontends:
            raise UsageError(f"{driver.args.input_file}: unknown extension; give an .mlir file")
        driver.run()

    sys.exit(report_errors(run))
