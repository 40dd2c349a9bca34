"""What every stage stands on: places, files, and what is done around its work."""
