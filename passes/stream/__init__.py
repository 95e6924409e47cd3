"""Passes of the stream level."""
