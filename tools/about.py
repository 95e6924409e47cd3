"""`python -m tspc`: the version, the tools, and what to read."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import distribution

from .diagnostics import report_errors

_PAGES = {
    "README.md": "what it is, and how to start",
    "docs/for/": "a page for each: new users, compiler engineers, embedders, architects",
    "docs/architecture.md": "levels, passes, engines",
    "docs/embedding.md": "tspc in Python: compile, run, save, threads",
    "docs/debugging.md": "inspecting a program",
    "docs/errors.md": "what is refused, and why",
}
"""Where to read on, in the repository."""


def main() -> None:
    sys.exit(report_errors(print_about))


def print_about() -> None:
    """Prints what there is to stdout. The tools are those that are installed, each as its module says it."""
    found = distribution("tspc")
    print(f"tspc {found.version}: {found.metadata['Summary']}\n\nTools, each with --help:")
    for tool in found.entry_points.select(group="console_scripts"):
        about = (import_module(tool.module).__doc__ or "").partition("\n")[0]
        print(f"  {about}")
    print('\nIn Python:\n  program = tspc.compile("model.mlir"); outputs = program.run(inputs)\n\nIn the repository:')
    width = max(map(len, _PAGES))
    for page, about in _PAGES.items():
        print(f"  {page:<{width}}  {about}")
