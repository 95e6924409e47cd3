"""Programs as records: what engines, verifier and tools read of finished modules."""
