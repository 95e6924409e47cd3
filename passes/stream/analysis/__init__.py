"""What follows from stream ops: clusters, timing, levels of ALUs, footprints."""
