"""Which images are alike, and how they are divided."""
