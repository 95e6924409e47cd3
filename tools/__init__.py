"""The command-line tools, the package `tspc`, and the registration with plain xDSL tools."""
