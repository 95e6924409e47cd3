"""What is known of tensor ops before any is lowered."""
