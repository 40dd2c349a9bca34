"""Commits and experiments: their files beside a workspace that stays as it is."""
