"""The `transferlab` command."""
