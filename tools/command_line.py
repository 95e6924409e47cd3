"""What the command lines of all tools have in common: the nearest option to a wrong one, `--version`, and passes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from ..dialects.machine.target import nearest
from .diagnostics import UsageError


def make_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with errors of one line that name the nearest option, and with `--version`."""
    return with_common_options(argparse.ArgumentParser(prog=prog, description=description))


def with_common_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser, with errors of one line that name the nearest option, and with `--version` in place of its own."""

    def error(message: str) -> NoReturn:
        known = [option for action in parser._actions for option in action.option_strings]  # pyright: ignore[reportPrivateUsage]
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0].split("=")[0]
            message += nearest(word, known)
        raise SystemExit(f"error: {message}")

    parser.error = error
    about = parser.add_argument_group("about", conflict_handler="resolve")
    about.add_argument("-v", "--version", action=_Version, nargs=0, help="print the versions of tspc and of xDSL")
    return parser


def versions() -> str:
    """The installed versions, as `tspc 0.1.0 (xDSL 0.74.0)`."""
    from importlib.metadata import version

    return f"tspc {version('tspc')} (xDSL {version('xdsl')})"


class _Version(argparse.Action):
    """Prints the versions and ends; they are looked up only then."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(versions())
        parser.exit()


# -- passes --------------------------------------------------------------------------------------------------------

Passes = Mapping[str, Callable[[], type]]
"""Passes by name; each is imported when it is needed."""

_KEPT = re.compile(r'("(?:\\.|[^"\\])*+"|\{(?:[^{}"]|"(?:\\.|[^"\\])*+")*+\}|\[[^\]]*+\])')
"""The parts of a pipeline whose inside is not ours: strings, options, and pipelines of mlir-opt."""

_ANCHOR = re.compile(r"\s*builtin\.module\s*\((.*)\)\s*", re.DOTALL)


def plain_pipeline(text: str) -> str:
    """A pipeline as xDSL reads it, of one as mlir-opt does: `builtin.module(a, b{ x=1 })` becomes `a,b{x=1}`.

    Raises UsageError for a pipeline that is nested in an op other than the module.
    """
    if anchored := _ANCHOR.fullmatch(text):
        text = anchored[1]
    parts = _KEPT.split(text)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            if nested := re.search(r"(\w+\.\w+)\s*\(", part):
                raise UsageError(
                    f"pipeline `{nested[1]}(...)`: every pass works on the whole module; "
                    "write builtin.module(pass,pass), without another op inside, and on-programs{pipeline=...} for the "
                    "programs of host code"
                )
            parts[i] = re.sub(r"\s*,\s*", ",", part)
        elif part.startswith("{"):
            parts[i - 1 : i + 1] = parts[i - 1].rstrip(), "{" + part[1:-1].strip() + "}"
    return "".join(parts).strip()


def check_pipeline(spec: str, available: Passes) -> None:
    """Raises UsageError for an unknown pass or pass option, naming the nearest. A malformed pipeline is an
    ArgSpecParseError."""
    from xdsl.utils.arg_spec import parse_pipeline

    for entry in parse_pipeline(spec):
        if entry.name not in available:
            raise UsageError(f"unknown pass `{entry.name}`{nearest(entry.name, list(available))}")
        options = _options_of(available[entry.name]())
        for option in entry.normalize_parameter_names().parameters:
            if option not in options:
                known = f"; it takes {', '.join(options)}" if options else "; it takes none"
                raise UsageError(f"pass `{entry.name}` has no option `{option}`{nearest(option, options) or known}")
        try:
            available[entry.name]().from_pass_spec(entry)  # type: ignore[attr-defined]
        except ValueError as e:
            raise UsageError(f"pass `{entry.name}`: {e}") from None


def _options_of(factory: type) -> list[str]:
    return [name for name in getattr(factory, "__dataclass_fields__", {}) if name != "name"]


_LONG_NAME = 48
"""Characters of a pass with its options beyond which it is not one of a column."""


def pass_list(ours: Passes, available: Passes) -> Iterator[str]:
    """A line for each pass: ours in the order of the pipeline, with their options and what they do, then the others of
    the environment, which are not imported for it."""
    names: dict[str, str] = {}
    for name, factory in ours.items():
        found = factory()
        options = " ".join(f"{option}=..." for option in _options_of(found))
        text = " ".join((found.__doc__ or "").split())
        names[f"{name}{{{options}}}" if options else name] = re.split(r"[.;] ", text)[0].removesuffix(".")
    width = max((len(name) for name in names if len(name) <= _LONG_NAME), default=0)
    for name, text in names.items():
        yield f"{name:<{width}}  {text}"
    yield from sorted(set(available) - set(ours))
