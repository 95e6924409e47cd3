"""From scheduled stream ops to instructions at absolute cycles."""
