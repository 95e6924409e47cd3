"""From other people's formats to modules of tsp_tensor. Each front end is a package of its own, an extra."""

PRECISIONS = ("f16x3", "f16")
"""How products of f32 are done, the default first; docs/onnx.md says what each costs and gives."""
