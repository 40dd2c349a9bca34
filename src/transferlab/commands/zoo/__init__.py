"""Backbones side by side, measured on this machine, and what the parts of one are."""
