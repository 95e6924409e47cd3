"""The proof of finished programs. It shares no code with what makes them."""
