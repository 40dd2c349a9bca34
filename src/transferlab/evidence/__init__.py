"""Predictions -> numbers, pairs, a recommendation. No torch."""
