"""Passes from tensor ops to tensor ops."""
