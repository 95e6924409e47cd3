"""`python -m tspc`: an overview."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from .tools.about import main

main()
