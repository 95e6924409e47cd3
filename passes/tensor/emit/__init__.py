"""How tensors lie in SRAM, and the stream ops that move and compute them."""
