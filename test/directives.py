"""What an `.mlir` test must have. `filecheck` does not ask: it ignores every directive that it does not know, so that a
misspelt CHECK line checks nothing."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_KINDS = r"(-(NEXT|SAME|NOT|DAG|LABEL|EMPTY|COUNT-\d+))?(\{LITERAL\})?"
_COMMENT = re.compile(r"//\s*([A-Za-z][\w-]*)(\{\w*\})?[ \t]*(:?)(.*)")
_SIMILAR = 0.75


def problems(text: str) -> list[str]:
    """Why the text of an `.mlir` test tests less than it seems to; empty when all is well."""
    runs = re.findall(r"//\s*RUN:(.*)", text)
    prefixes = _prefixes(runs)
    found: list[str] = []
    if not runs:
        found.append("has no RUN line")
    elif not any(re.search(r"\|\s*filecheck\b", run) for run in runs):
        found.append("has no RUN line that ends in `| filecheck %s`")
    directive = re.compile(f"({'|'.join(map(re.escape, prefixes))}){_KINDS}:")
    for prefix in prefixes:
        if not re.search(rf"//\s*{re.escape(prefix)}{_KINDS}:[ \t]*\S", text):
            found.append(f"has no {prefix} line")
    for number, line in enumerate(text.splitlines(), 1):
        if comment := _COMMENT.search(line):
            word = comment[1] + (comment[2] or "")
            written = comment[0][2:].strip()
            if not directive.match(written) and _looks_like_directive(comment, prefixes):
                known = ", ".join([*prefixes, *(f"{p}-NEXT" for p in prefixes)])
                found.append(
                    f"line {number}: `{word}{comment[3]}` is no directive; there are RUN, {known}, -SAME, -NOT ..."
                )
    return found


def _prefixes(runs: list[str]) -> list[str]:
    """The check prefixes of all RUN lines."""
    named = [p for run in runs for p in re.findall(r"--?check-prefix(?:es)?[= ](\S+)", run)]
    plain = any(re.search(r"\bfilecheck\b", run) and "check-prefix" not in run for run in runs) or not named
    return [*(["CHECK"] if plain else []), *dict.fromkeys(p for names in named for p in names.split(","))]


def _looks_like_directive(comment: re.Match[str], prefixes: list[str]) -> bool:
    """Whether a comment begins as a directive does: with a word in capitals and a colon, or with nearly one of ours."""
    word, colon = comment[1], bool(comment[3])
    if word == "RUN":
        return not colon
    head = word.split("-")[0]
    similar = any(SequenceMatcher(None, head.upper(), known).ratio() >= _SIMILAR for known in ("RUN", *prefixes))
    return (colon and ((head.isupper() and len(head) > 1) or similar)) or (head.isupper() and similar)
