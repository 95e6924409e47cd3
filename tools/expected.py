"""--verify-diagnostics: the errors that a text expects, as mlir-opt reads them (19 has no `@unknown`).

// expected-error {{of this line}}      // expected-error@+1 {{of the next}}      // expected-error@-2 {{two above}}
// expected-error@above {{of the next line above or below without such a comment}}     // expected-error@below {{...}}
// expected-error@unknown {{without a place}}     // expected-error-re {{with parts that are {{[a-z]+}} patterns}}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

_DESIGNATOR = re.compile(
    r"expected-(error|note|remark|warning)(-re)? *(?:@([+-]\d+|above|below|unknown))? *\{\{(.*)\}\}\s*$"
)
_BEGINS = re.compile(r"//.*?expected-(?:error|note|remark|warning)\b")


@dataclass(frozen=True)
class Expected:
    """A diagnostic that is expected."""

    kind: str
    """`error`; the others of MLIR are read, and never come."""
    pattern: re.Pattern[str]
    """What the message must contain."""
    line: int | None
    """The line that it is about, or None for one without a place."""
    at: str
    """Where the comment stands: `line:column`."""
    text: str
    """As written in the comment."""


@dataclass(frozen=True)
class Said:
    """A diagnostic that came."""

    line: int | None
    """The line that it is about, or None for one without a place."""
    at: str
    """Its place as `line:column`."""
    text: str


def expected_in(text: str, first_line: int = 1) -> tuple[list[Expected], list[str]]:
    """The diagnostics that a text expects, and what is wrong with the comments that say so, each with its line.

    `first_line` is the number of the text's first line.
    """
    lines = text.split("\n")
    marked = [_DESIGNATOR.search(line) for line in lines]
    found: list[Expected] = []
    problems: list[str] = []
    for i, (line, match) in enumerate(zip(lines, marked, strict=True)):
        if match is None:
            if begin := _BEGINS.search(line):
                at = f"{first_line + i}:{begin.start() + 1}"
                problems.append(
                    f"{at}: this is not an expectation; write expected-error {{{{text}}}}, with @+N, @-N, @above, "
                    "@below or @unknown after the word, at the end of a line"
                )
            continue
        kind, is_regex, place, content = match.groups()
        at = f"{first_line + i}:{match.start() + 1}"
        try:
            pattern = re.compile(_pattern(content) if is_regex else re.escape(content))
        except re.error as e:
            problems.append(f"{at}: the pattern {{{{{content}}}}} is not a regular expression: {e}")
            continue
        about = _about(place, i, marked)
        found.append(Expected(kind, pattern, None if about is None else first_line + about, at, content))
    return found, problems


def _about(place: str | None, i: int, marked: Sequence[object]) -> int | None:
    """The index of the line that a comment on line `i` is about."""
    if place == "unknown":
        return None
    if place in ("above", "below"):
        step = 1 if place == "below" else -1
        i += step
        while 0 <= i < len(marked) and marked[i]:
            i += step
        return i
    return i + int(place or 0)


def _pattern(content: str) -> str:
    """A regular expression of a text with `{{...}}` around those parts that are one."""
    parts = re.split(r"\{\{(.*?)\}\}", content)
    return "".join(f"(?:{part})" if i % 2 else re.escape(part) for i, part in enumerate(parts))


def said_in(message: str, name: str) -> list[Said]:
    """The diagnostics of a message: a line with a place begins one, and others belong to it."""
    place = re.compile(rf"(?<![\w./-]){re.escape(name)}:((\d+):\d+): ")
    said: list[Said] = []
    for line in message.split("\n"):
        if found := place.search(line):
            said.append(Said(int(found[2]), found[1], line[: found.start()] + line[found.end() :]))
        elif said:
            said[-1] = replace(said[-1], text=f"{said[-1].text}\n{line}")
        else:
            said.append(Said(None, "unknown", line))
    return said


def differences(expected: Sequence[Expected], said: Sequence[Said]) -> Iterator[str]:
    """What came and was not expected, and what was expected and did not come, each with its line."""
    waiting = list(expected)
    for one in said:
        match = next(
            (e for e in waiting if e.line == one.line and e.kind == "error" and e.pattern.search(one.text)), None
        )
        if match is None:
            yield f"{one.at}: unexpected error: {one.text}"
        else:
            waiting.remove(match)
    for e in waiting:
        yield f"{e.at}: expected {e.kind} {{{{{e.text}}}}} {_where(e)}was not produced"


def _where(e: Expected) -> str:
    if e.at.startswith(f"{e.line}:"):
        return ""
    return "without a place " if e.line is None else f"in line {e.line} "
