"""When things happen, and what the cycles are spent on."""
