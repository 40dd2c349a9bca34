"""How many settings of a strategy a seed tries."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated

from pydantic import Field

from .record import Count, Positive, section


@section
class Tuning:
    """A budget of settings that is the same for all strategies that descend a gradient; off with
    one trial, which is the strategy as it stands.
    """

    trials: Count  # settings that each seed tries: the strategy's own, and others drawn by it
    lr: Annotated[tuple[Positive, ...], Field(min_length=1)]  # times the strategy's
    epochs: Annotated[tuple[Positive, ...], Field(min_length=1)]  # times the strategy's

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        most = len({*product(self.lr, self.epochs), (1, 1)})
        if self.trials > most:
            yield (
                f"trials: expected at most {most}, so many settings do lr and epochs of this "
                f"section give, got {self.trials}. Add factors there, or lower it."
            )
