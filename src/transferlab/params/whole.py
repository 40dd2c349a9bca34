"""The whole of `params.yaml` as one record."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .backbone import Backbone
from .champion import Champion
from .compare import Compare
from .dataset import Dataset
from .learning.engine import Engine
from .learning.strategies import Strategy
from .learning.training import Train
from .protocols import CrossValidation, Evaluate, LearningCurve
from .record import Name, Seed, section
from .tuning import Tuning

RESERVED = (
    *("controls", "cross_validation", "learning_curve", "pictures", "tta", "validation"),
    *("comparison", "headline", "numbers", "summary", "use"),
    *("imagenet_head", "majority"),
)
"""Names that stand where those of strategies do: beside their predictions, among the files of
metrics, and of controls.
"""


@section
class Params:
    """The whole of `params.yaml`."""

    checked: Literal[True]  # composition has run the check
    dataset: Dataset
    backbone: Backbone
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    train: Train
    engine: Engine
    strategies: dict[Name, Strategy]
    evaluate: Evaluate
    cross_validation: CrossValidation
    learning_curve: LearningCurve
    compare: Compare
    watched: dict[Name, Name]  # `own` where a path of one's own is set: DVC has a stage for each
    champion: Champion
    tuning: Tuning

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        resize_px, name = self.backbone.preprocessing.resize_px, self.backbone.name
        if self.dataset.store_px < resize_px and not self.dataset.enlarge:
            yield (
                f"dataset.store_px: expected at least {resize_px}, the size that backbone {name} "
                "resizes to, "
                f"got {self.dataset.store_px}. Add: -S dataset.store_px={resize_px}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            yield f"seeds: expected different numbers, got {list(self.seeds)}."
        for key in (key for key in self.strategies if key in RESERVED):
            yield f"strategies.{key}: expected another name, since {key!r} is taken. Rename it."
        for protocol in ("cross_validation", "learning_curve"):
            for key in (
                key for key in getattr(self, protocol).strategies if key not in self.strategies
            ):
                yield (
                    f"{protocol}.strategies: expected some of {', '.join(self.strategies)}, got "
                    f"{key!r}."
                )
            if self.tuning.trials > 1 and getattr(self, protocol).strategies:
                yield (
                    f"tuning.trials: expected 1 with {protocol}.strategies, whose trainings have "
                    f"no choice of settings, got {self.tuning.trials}. Leave one of them out."
                )
        if self.champion.strategy not in (None, *self.strategies):
            yield (
                f"champion.strategy: expected null or one of {', '.join(self.strategies)}, got "
                f"{self.champion.strategy!r}."
            )
        if not self.strategies:
            yield (
                "strategies: expected at least one, got none. Choose with -S strategy=frozen or "
                "-S strategy=all."
            )
