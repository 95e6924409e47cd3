"""From instructions at absolute cycles to packed queues, and back."""
