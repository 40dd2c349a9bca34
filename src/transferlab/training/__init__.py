"""One strategy, one seed."""
