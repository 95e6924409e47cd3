"""The machine: its numbers, instructions in general, streams, layouts. Plain mathematics that knows no IR."""
