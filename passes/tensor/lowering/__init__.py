"""convert-tensor-to-stream: the values of a program while it is lowered, and which function lowers which op."""
