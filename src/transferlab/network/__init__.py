"""A network in parts, how it sees images, and what its frozen layers compute."""
