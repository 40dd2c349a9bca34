"""The checkout that the tests stand in."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
