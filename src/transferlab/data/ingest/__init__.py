"""A zip -> a manifest and decoded pixels."""
