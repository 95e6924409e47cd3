"""What is known of finished records."""
