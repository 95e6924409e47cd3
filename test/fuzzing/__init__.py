"""Random programs, right and broken ones, and what must hold of them: for the tests and for bench/fuzz.py."""
