"""A strategy as a value."""

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from ..record import Count, Name, NotNegative, Positive, PositiveShare, Share, section
from .network import PARTS
from .training import Augment, SelectBy, Train


@section
class Phase:
    """A stretch of training with one table of rates."""

    share: Positive  # of the strategy's epochs, relative to the other phases
    rates: Annotated[dict[str, Positive | None], Field(min_length=1)]
    """Ordered table: part (or pattern) -> multiplier of `lr`, null = frozen; the first match wins.
    """

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        matches = {part: first_match(self.rates, part) for part in PARTS}
        for part in (part for part, pattern in matches.items() if pattern is None):
            yield f"rates: part '{part}' is not covered. Add it, or the pattern '*'."
        for pattern in (pattern for pattern in self.rates if pattern not in matches.values()):
            yield f"rates: '{pattern}' matches no part that is left. Parts: {', '.join(PARTS)}."
        if not any(self.rates.values()):
            yield f"rates: expected a part that trains, got {self.rates}."


@section
class Regression:
    """L2 logistic regression on the frozen features; C is chosen by cross-validation inside the fit
    rows.
    """

    log10_c: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)]  # ends of the grid
    c_values: Annotated[int, Field(ge=1, le=200)]
    folds: Annotated[int, Field(ge=2, le=20)]  # of the cross-validation

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.log10_c[0] > self.log10_c[1]:
            yield f"log10_c: expected [low, high], got {list(self.log10_c)}."


@section
class LogisticStrategy(Regression):
    """A linear probe: the solution of the regression is the head."""

    title: str
    learner: Literal["logistic_regression"]


@section
class NearestMean:
    """The class whose training images have the nearest mean of the frozen features."""

    title: str
    learner: Literal["nearest_mean"]


@section
class NearestNeighbours:
    """The classes of the training images with the most similar frozen features."""

    title: str
    learner: Literal["nearest_neighbours"]
    neighbours: Count  # that vote, each by its similarity


def _one_error(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Of several kinds of value pydantic says one error each, under keys that nobody wrote."""
    try:
        return check(value)
    except ValidationError:
        said = "Input should be 1 or more, auto or null"
        raise PydanticCustomError("views", said) from None


@section
class GradientStrategy:
    """A strategy trained by gradient descent."""

    title: str
    learner: Literal["gradient"]
    start: Literal["weights", "random"]
    head_hidden: Count | None  # width of a hidden layer with ReLU; null: the head is linear
    # before the last layer; null: as the backbone has it
    head_dropout: Annotated[float, Field(ge=0, lt=1)] | None
    # of the last layer; probe: a logistic regression's solution
    head_start: Literal["zero", "random", "probe"]
    probe: Regression | None
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    # random views per image, used in turn; null: a fresh one every epoch; auto: see `views_of`
    views: Annotated[Count | Literal["auto"] | None, WrapValidator(_one_error)]
    # side of the training crops as a share of the backbone's own, rounded to 8 px
    resolution: PositiveShare
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NotNegative  # not on norm layers and biases
    # start: the backbone decays towards its starting weights (L2-SP), the head towards zero
    decay_to: Literal["zero", "start"]
    trains: Literal["all", "norms"]  # norms: below the head only norm layers and biases do
    batch_size: Count | None  # null: as train.batch_size
    augment: Augment | None  # null: as train.augment
    schedule: Literal["constant", "cosine", "step", "plateau"]
    step_epochs: Count | None  # of `step`: the rate is multiplied by 0.1 every so many epochs
    # of `plateau`: by 0.1 after more epochs than this without progress
    patience: Annotated[int, Field(ge=0)] | None
    warmup: Annotated[float, Field(ge=0, lt=1)]  # share of a phase's steps
    # of the gradient over all that trains, per step (Pascanu et al. 2013)
    clip_norm: Positive | None
    # nll: LogSoftmax and NLLLoss, the same function in two steps
    loss: Literal["cross_entropy", "nll"]
    select_by: SelectBy | None  # null: as train.select_by
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    # of norm layers that train; those of frozen parts never move, unless `everywhere`: the mistake
    # of leaving a frozen network in training mode
    norm_statistics: Literal["frozen", "batch", "everywhere"]
    interpolate: Annotated[tuple[Share, ...], Field(min_length=1)] | None
    """WiSE-FT: shares of the trained weights, the rest from the start; the best on the validation
    images is kept.
    """
    phases: Annotated[dict[Name, Phase], Field(min_length=1)]

    def filled(self, train: Train) -> "GradientStrategy":
        """The same with what all share where it says nothing itself."""
        return replace(
            self,
            batch_size=self.batch_size or train.batch_size,
            augment=self.augment or train.augment,
            select_by=self.select_by or train.select_by,
        )

    @property
    def counted_views(self) -> int | None:
        """`views` of a strategy that is settled, see `Recipe.settled`."""
        assert not isinstance(self.views, str)
        return self.views

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if (self.schedule == "step") != (self.step_epochs is not None):
            yield (
                "step_epochs: expected a number with schedule 'step' and null without, got "
                f"{self.step_epochs!r}."
            )
        if (self.schedule == "plateau") != (self.patience is not None):
            yield (
                "patience: expected a number with schedule 'plateau' and null without, got "
                f"{self.patience!r}."
            )
        if len(self.phases) > self.epochs:
            yield (
                f"epochs: expected at least one per phase ({len(self.phases)}), got {self.epochs}."
            )
        if (self.head_start == "probe") != (self.probe is not None):
            yield (
                "probe: expected a section with head_start 'probe' and null without, got "
                f"{self.probe!r}."
            )
        if self.head_start == "probe" and (self.head_hidden is not None or self.start == "random"):
            yield (
                "head_start: expected zero or random, since a probe needs weights and a linear "
                "head, got 'probe'."
            )
        if self.loss == "nll" and self.label_smoothing:
            yield (
                "label_smoothing: expected 0 with loss 'nll', which knows none, got "
                f"{self.label_smoothing}."
            )
        if self.norm_statistics != "frozen" and self.batch_size == 1:
            yield "batch_size: expected 2 or more where norm layers see the batch, got 1."
        if self.trains == "norms" and self.start == "random":
            yield "trains: expected all with start 'random', got 'norms'."
        if self.decay_to == "start" and self.start == "random":
            yield "decay_to: expected zero with start 'random', got 'start'."
        if self.interpolate is not None and self.select_by == "last":
            yield "select_by: expected accuracy or loss with interpolate, got 'last'."
        if self.interpolate is not None and self.norm_statistics != "frozen":
            yield (
                f"interpolate: expected null with norm_statistics {self.norm_statistics!r}, since "
                "statistics do not interpolate."
            )

    def chosen_by_validation(self) -> Iterator[str]:
        """What cannot be chosen without validation images, each with its key."""
        none = "with train.validation_fraction=0, since nothing is set aside"
        if self.select_by != "last":
            yield f"select_by: expected last {none}, got {self.select_by!r}."
        if self.schedule == "plateau":
            yield f"schedule: expected another one {none} to watch, got 'plateau'."
        if self.interpolate is not None:
            yield (
                f"interpolate: expected null {none} to choose the share on, got "
                f"{list(self.interpolate)}. Leave this strategy out."
            )


MOST_VIEWS = 8

VIEW_PASSES = 10_000
"""Of `views: auto`: what all views of all training images together may take a seed. Forward passes
alone, two minutes of mobilenet_v2 on two cores.
"""


def views_of(strategy: GradientStrategy, images: int) -> int | None:
    """Random views of each image: with `auto`, as many as `VIEW_PASSES` allow, 1 to `MOST_VIEWS`.

    Args:
        strategy: Whose views.
        images: Of the whole training split, so that parts of it, as in a learning curve, are seen
            as often as all of it is.
    """
    if strategy.views == "auto":
        return max(1, min(MOST_VIEWS, VIEW_PASSES // images))
    return strategy.counted_views


Solved = LogisticStrategy | NearestMean | NearestNeighbours
"""Strategies without a training loop: what the frozen features give."""

Strategy = Annotated[GradientStrategy | Solved, Field(discriminator="learner")]

LEARNERS: Mapping[str, type] = {
    "gradient": GradientStrategy,
    "logistic_regression": LogisticStrategy,
    "nearest_mean": NearestMean,
    "nearest_neighbours": NearestNeighbours,
}


def first_match(table: Mapping[str, Any], part: str) -> str | None:
    """The first pattern of an ordered table that matches a part (shell wildcards), or None."""
    return next((pattern for pattern in table if fnmatch.fnmatchcase(part, pattern)), None)


def head_shape(strategy: Strategy) -> dict[str, Any]:
    """What the head of a strategy's models consists of, for `backbones.new_head`."""
    if isinstance(strategy, GradientStrategy):
        return {"hidden": strategy.head_hidden, "dropout": strategy.head_dropout}
    neighbours = strategy.neighbours if isinstance(strategy, NearestNeighbours) else None
    return {"hidden": None, "dropout": None, "neighbours": neighbours}


def starts_random(strategy: Strategy) -> bool:
    """Whether the backbone starts from random weights instead of those of data/weights."""
    return isinstance(strategy, GradientStrategy) and strategy.start == "random"
