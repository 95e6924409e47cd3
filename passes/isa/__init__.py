"""Passes of the isa level."""
