"""How one level becomes the next. Imports the dialects only."""
