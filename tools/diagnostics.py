"""Errors for people: one paragraph on stderr with the lines of the text that it is about, a non-zero exit, no
traceback."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError

_lines: dict[str, list[str]] = {}
"""The lines of the texts that the tool has read, by the name that locations give them."""

_WIDTH = 120
"""Characters of a source line that are shown; packed queues have lines of megabytes."""


class UsageError(Exception):
    """A command line that asks for what there is not."""


def check_writable(path: Path, suffix: str) -> None:
    """Raises UsageError, before there is anything to write, for a path that cannot be written or has another ending."""
    if path.is_dir():
        raise UsageError(f"{path}: Is a directory; name a file in it")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path}: Permission denied; name a file that may be written")
    if not path.name.endswith(suffix) and (path.is_file() or not path.exists()):  # /dev/null is none
        raise UsageError(f"{path}: what is written there is a {suffix} file; call it {path.name}{suffix}")


def source_text(data: bytes, name: str, first_line: int = 1) -> str:
    """The text of a file's bytes, whose lines are shown below what is said of them. Raises MalformedProgram.

    `first_line` is the number of its first line, for a part of a file.
    """
    from ..dialects.locations import decoded

    text = decoded(data, name)
    lines = _lines.setdefault(name, [])
    lines += [""] * (first_line - 1 - len(lines))
    lines[first_line - 1 :] = text.removeprefix("\ufeff").split("\n")
    return text


def report_errors(main: Callable[[], None]) -> int:
    """Runs a tool. Prints what a user can mend as one paragraph and gives 1 for it, else 0."""
    _lines.clear()
    try:
        main()
    except (ParseError, DiagnosticException) as e:
        print(f"error: {with_excerpts(message_of(e))}", file=sys.stderr)
    except BrokenPipeError:
        return 1
    except OSError as e:
        print(f"error: {e.filename}: {e.strerror}" if e.filename else f"error: {e}", file=sys.stderr)
    except UsageError as e:
        print(f"error: {e}", file=sys.stderr)
    except ArgSpecParseError as e:
        print(f"error: {' '.join(str(e).split())}", file=sys.stderr)
    except MemoryError as e:
        print(f"error: the host has too little memory for this input: {e}", file=sys.stderr)
    except RecursionError:
        print("error: the input is nested too deeply to be read", file=sys.stderr)
    else:
        return 0
    return 1


def message_of(e: ParseError | DiagnosticException) -> str:
    """What an error says, in lines that begin with a place where there is one: `file:line:column: reason`."""
    if not isinstance(e, ParseError):
        return str(e)
    what = f"unexpected text{e.msg}" if e.msg.startswith(" ") else e.msg  # " in block definition"
    return f"{e.span.get_location()}: {what}"


# -- excerpts ------------------------------------------------------------------------------------------------------


def with_excerpts(message: str) -> str:
    """A message, and below each of its lines that names a place in a text of ours that line, with a caret."""
    if not _lines:
        return message
    names = "|".join(re.escape(name) for name in sorted(_lines, key=len, reverse=True))
    place = re.compile(rf"(?<![\w./-])({names}):(\d+):(\d+)(?!\d)")
    result: list[str] = []
    for line in message.split("\n"):
        result.append(line)
        if found := place.search(line):
            result += _excerpt(_lines[found[1]], int(found[2]), int(found[3]))
    return "\n".join(result)


def _excerpt(source: list[str], line: int, column: int) -> Iterator[str]:
    """A line of a text, as much of it as is wide, and a caret below the column; nothing where there is no such line.
    Lines and columns count from 1."""
    if not 1 <= line <= len(source):
        return
    shown = source[line - 1].rstrip("\r")
    if not shown.strip() or not 1 <= column <= len(shown) + 1:
        return
    first = max(0, column - 1 - _WIDTH // 2) if len(shown) > _WIDTH else 0
    window = shown[first : first + _WIDTH]
    before, after = "..." if first else "", "..." if first + _WIDTH < len(shown) else ""
    clean = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in window)
    indent = "".join("\t" if c == "\t" else " " for c in before + clean[: column - 1 - first])
    yield f"{line:>5} | {before}{clean}{after}"
    yield f"      | {indent}^"
