"""Bulk mode of the JIT engine: a program's streams are matched before it runs, and it runs as loops over vectors."""
