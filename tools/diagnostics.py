"""Errors as a person reads them: one paragraph on stderr and a non-zero exit, no traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from xdsl.utils.arg_spec import parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError

from ..dialects.target import nearest


def say_nearest(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser, with errors of one line that name the nearest option."""

    def error(message: str) -> NoReturn:
        known = [option for action in parser._actions for option in action.option_strings]  # pyright: ignore[reportPrivateUsage]
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0].split("=")[0]
            message += nearest(word, known)
        raise SystemExit(f"error: {message}")

    parser.error = error
    return parser


def report_errors(main: Callable[[], None]) -> int:
    """Runs a tool. Prints what a user can mend as one paragraph and gives 1 for it, else 0."""
    try:
        main()
    except ParseError as e:
        place = str(e).splitlines()[0]
        what = f"unexpected text{e.msg}" if e.msg.startswith(" ") else e.msg  # " in block definition"
        print(f"error: {place}: {what}", file=sys.stderr)
    except DiagnosticException as e:
        print(f"error: {e}", file=sys.stderr)
    except BrokenPipeError:
        return 1
    except OSError as e:
        print(f"error: {e.filename}: {e.strerror}" if e.filename else f"error: {e}", file=sys.stderr)
    except UsageError as e:
        print(f"error: {e}", file=sys.stderr)
    except ArgSpecParseError as e:
        print(f"error: {' '.join(str(e).split())}", file=sys.stderr)
    except MemoryError as e:
        print(f"error: the host has no room for what is given: {e}", file=sys.stderr)
    except RecursionError:
        print("error: what is given is nested too deeply to be read", file=sys.stderr)
    else:
        return 0
    return 1


class UsageError(Exception):
    """A command line that asks for what there is not."""


def check_pipeline(spec: str, available: dict[str, Callable[[], type]]) -> None:
    """Raises UsageError for an unknown pass or pass option, naming the nearest. A malformed pipeline is an
    ArgSpecParseError."""
    for entry in parse_pipeline(spec):
        if entry.name not in available:
            raise UsageError(f"unknown pass `{entry.name}`{nearest(entry.name, list(available))}")
        options = [name for name in getattr(available[entry.name](), "__dataclass_fields__", {}) if name != "name"]
        for option in entry.normalize_parameter_names().parameters:
            if option not in options:
                known = f"; it takes {', '.join(options)}" if options else "; it takes none"
                raise UsageError(f"pass `{entry.name}` has no option `{option}`{nearest(option, options) or known}")
        try:
            available[entry.name]().from_pass_spec(entry)  # type: ignore[attr-defined]
        except ValueError as e:
            raise UsageError(f"pass `{entry.name}`: {e}") from None
