"""`python -m tspc`: what there is."""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from .tools.about import main

main()
