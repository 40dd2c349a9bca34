"""The whole of `params.yaml` as one record."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .backbone import Backbone
from .champion import Champion
from .compare import Compare
from .dataset import Dataset
from .learning.engine import Engine
from .learning.strategies import GradientStrategy, Strategy
from .learning.training import Train
from .protocols import CrossValidation, Evaluate, LearningCurve
from .record import Count, Name, Seed, section
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
    images_per_class: Count | None  # of the training images, drawn by each seed; null: all
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
        yield from self._problems_of_training()
        yield from self._problems_of_protocols()
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

    def _problems_of_protocols(self) -> Iterator[str]:
        """Of other divisions of the images."""
        for protocol in ("cross_validation", "learning_curve"):
            if self.images_per_class is not None and getattr(self, protocol).strategies:
                yield (
                    f"{protocol}.strategies: expected none with images_per_class, which it knows "
                    f"nothing of, got {', '.join(getattr(self, protocol).strategies)}."
                )
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

    def _problems_of_training(self) -> Iterator[str]:
        """Of what strategies take from `train`, and of what needs validation images; what stands in
        `train` is named there.
        """
        descending = {
            f"strategies.{key}": strategy
            for key, strategy in self.strategies.items()
            if isinstance(strategy, GradientStrategy)
        }
        if self.backbone.weights == "source" and self.backbone.source is not None:
            descending["backbone.source.strategy"] = self.backbone.source.strategy
        for key, own in descending.items():
            strategy = own.filled(self.train)
            needs = () if self.train.validation_fraction else strategy.chosen_by_validation()
            for problem in (*strategy.problems(), *needs):
                shared = getattr(own, problem.partition(":")[0]) is None
                yield f"{'train' if shared else key}.{problem}"
        if self.tuning.trials > 1 and not self.train.validation_fraction:
            yield (
                "tuning.trials: expected 1 with train.validation_fraction=0, since nothing is set "
                f"aside to choose among settings on, got {self.tuning.trials}."
            )
