"""What the pages of the docs show as printed: their commands are run, and what they print is put there.

A ```console block holds commands, each behind `$ `. Where lines follow a command, they are all that it prints, errors
included. The ```python blocks of a page are run one after the other, as one text. A block behind a comment, which a
rendered page does not show,

    <!-- printed: "bounds of" to "VXM, chip 0" -->

shows lines that the last command or Python block before it printed: from the first that contains the one text to the
next that contains the other. Several such parts, or single lines, are separated by semicolons; what is printed before a
part is omitted. `<!-- printed -->` shows all lines. A block behind `<!-- file: chip.toml -->` is a file that what
follows finds. A page with `<!-- outside a clone -->` is run in a folder that has nothing else.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from . import tsp_opt, tsp_run, tsp_system, tsp_translate


def _xdsl_opt(args: Sequence[str]) -> None:
    from xdsl.xdsl_opt_main import xDSLOptMain

    xDSLOptMain(args=args).run()


_TOOLS: dict[str, Callable[[Sequence[str]], None]] = {
    "tsp-opt": tsp_opt.main,
    "tsp-run": tsp_run.main,
    "tsp-translate": tsp_translate.main,
    "tsp-system": tsp_system.main,
    "xdsl-opt": _xdsl_opt,
}
_CONSOLE, _PYTHON, _FENCE = "```console", "```python", "```"
_MARK = re.compile(r"<!-- printed(?:: (.*))? -->")
_FILE = re.compile(r"<!-- file: ([\w./-]+) -->")
_OUTSIDE = "<!-- outside a clone -->"
_PART = re.compile(r'"([^"]*)"(?: to "([^"]*)")?')


def has_output(page: str) -> bool:
    """Whether a page shows what a command prints."""
    return _MARK.search(page) is not None or any(output for _, output in _commands(_blocks(page, _CONSOLE)))


def is_run(page: str) -> bool:
    """Whether a page has something to run."""
    return any(line in (_CONSOLE, _PYTHON) for line in page.split("\n"))


def renewed(page: str, root: Path) -> str:
    """A page as it is when its commands have been run, in a folder that has what lies in `root`, the top of a clone.

    Raises ValueError where a command fails and the page shows no error, or does not print what a comment asks for.
    """
    with tempfile.TemporaryDirectory(prefix="tspc-printed-") as folder, chdir(folder):
        for entry in root.iterdir() if _OUTSIDE not in page else ():
            if not entry.name.startswith("."):
                (Path(folder) / entry.name).symlink_to(entry)
        return "\n".join(_renewed(page.split("\n")))


def _renewed(lines: Sequence[str]) -> Iterator[str]:
    printed: list[str] = []
    shown: str | None = None
    file: str | None = None
    names: dict[str, Any] = {"__name__": "__main__"}
    rest = iter(lines)
    for line in rest:
        yield line
        if found := _MARK.fullmatch(line):
            shown = found[1] or ""
        elif found := _FILE.fullmatch(line):
            file = found[1]
        elif line == _CONSOLE:
            for command, output in _commands(_inside(rest)):
                printed, code = run("\n".join(command))
                if code and not output:
                    raise ValueError("\n".join([*command, *printed]))
                yield from (*command, *(printed if output else ()))
            yield _FENCE
        elif line.startswith(_FENCE):
            inside = _inside(rest)
            if file is not None:
                _write(file, inside)
            elif line == _PYTHON:
                printed = _run_python("\n".join(inside), names)
            elif shown is not None:
                inside = _shown(shown, printed) if shown else printed
            yield from (*inside, _FENCE)
            shown = file = None


def _write(name: str, lines: Sequence[str]) -> None:
    """Writes a file of the page. What the clone has by this name stays as it is."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.resolve().parent != Path.cwd().resolve() / path.parent or path.is_symlink():
        raise ValueError(f"{name} lies in the clone; name a file beside it")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _run_python(code: str, names: dict[str, Any]) -> list[str]:
    """The lines that Python code prints, which sees and changes `names`. Raises ValueError where it fails."""
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(out):
            exec(compile(code, "<page>", "exec"), names)
    except Exception as e:
        raise ValueError(f"{code}\n{out.getvalue()}{type(e).__name__}: {e}") from e
    return _lines(out.getvalue())


def _inside(rest: Iterator[str]) -> list[str]:
    """The lines up to the end of a block."""
    inside: list[str] = []
    for line in rest:
        if line == _FENCE:
            return inside
        inside.append(line)
    raise ValueError("a block without an end")


def _blocks(page: str, kind: str) -> list[str]:
    """The lines of all blocks of a kind."""
    rest = iter(page.split("\n"))
    return [line for start in rest if start.startswith(_FENCE) for line in _inside(rest) if start == kind]


def _commands(lines: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """The lines of each command of a console block, and those that it is said to print."""
    commands: list[tuple[list[str], list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(([line], []))
        elif commands and not commands[-1][1] and commands[-1][0][-1].endswith("\\"):
            commands[-1][0].append(line)
        elif commands:
            commands[-1][1].append(line)
        else:
            raise ValueError(f"a console block begins with a command behind `$ `, not with {line!r}")
    return commands


def _shown(marks: str, printed: Sequence[str]) -> list[str]:
    """The lines that a mark asks for."""
    shown: list[str] = []
    at = 0

    def find(text: str) -> int:
        for i in range(at, len(printed)):
            if text in printed[i]:
                return i
        raise ValueError(f'no line with "{text}" is printed, or none after those before it')

    for first, last in _PART.findall(marks):
        at = find(first)
        end = find(last) if last else at
        shown += printed[at : end + 1]
        at = end + 1
    return shown


_JOINS = {"|", ">", "<", "&&", ";", "2>"}


def run(command: str) -> tuple[list[str], int]:
    """The lines that a command prints, blanks at their ends apart, and its exit code. Our tools run in this process,
    but for those that a shell joins or whose output goes to a file."""
    text = command.removeprefix("$ ").replace("\\\n", " ")
    words = shlex.split(text, comments=True)
    if words[0] not in _TOOLS or not _JOINS.isdisjoint(words):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        variables = {**os.environ, "PATH": path}
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, env=variables)
        return _lines(done.stdout + done.stderr), done.returncode
    out, code = io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(out):
        try:
            _TOOLS[words[0]](words[1:])
        except SystemExit as end:
            code = 1 if end.code else 0
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
    return _lines(out.getvalue()), code


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip("\n").split("\n")] if text.strip() else []
