"""What the ops mean, on numpy arrays: the bits that every level and engine gives. In words: docs/numerics.md."""
