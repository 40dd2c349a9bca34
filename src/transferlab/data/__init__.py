"""From an address to images in memory, and every way to divide them."""
