"""What the doctor finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is wrong, and what mends it."""

    what: str
    command: str  # for a shell in the checkout

    def __str__(self) -> str:
        """One line that says both."""
        return f"{self.what} Run: {self.command}"
