"""What else is asked: of trained models, and of other divisions of the images."""

from typing import Annotated

from pydantic import Field

from .record import Count, Fraction, Name, section


@section
class Evaluate:
    """What is asked of a trained model."""

    # random views of test-time augmentation; 0: none
    tta_views: Annotated[int, Field(ge=0, le=1000)]


@section
class CrossValidation:
    """Ranking on all images, in stratified folds that keep near-duplicates together; off without
    strategies.
    """

    strategies: tuple[Name, ...]
    each: dict[Name, Name]  # the same by name, written by composition: DVC has a stage for each
    repeats: Count
    folds: Annotated[int, Field(ge=2, le=100)]


@section
class LearningCurve:
    """Training on parts of the training images; off without strategies."""

    strategies: tuple[Name, ...]
    each: dict[Name, Name]  # the same by name, written by composition: DVC has a stage for each
    # of every class; 1 is the run itself
    fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)]
