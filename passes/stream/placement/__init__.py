"""Where things are: planes, slices, ALUs, addresses."""
