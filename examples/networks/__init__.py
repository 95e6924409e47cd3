"""Convolutional networks in their true shapes, with random weights; see build.py."""
