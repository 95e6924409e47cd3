"""How a packed program runs. Imports the target and the dialects, never the passes."""
