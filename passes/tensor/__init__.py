"""Passes of the tensor level."""
