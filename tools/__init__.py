"""What a person types: `tsp-opt` and `tsp-run`, and the registration with plain xDSL tools."""
