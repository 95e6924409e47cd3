"""Passes of the c2c level."""
