"""What is wrong with a checkout, and the one command that mends each of it."""
