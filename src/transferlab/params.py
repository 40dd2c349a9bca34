"""`params.yaml` as frozen records: every value checked, every problem of the whole file reported at once.

Needs no torch, so that composition and every stage can afford it. Values live in `conf/`, never as defaults here.
"""

import difflib
import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args, get_type_hints

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

BackboneName = Literal[
    "tiny",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_b4",
    "convnext_tiny",
    "densenet121",
    "vgg16_bn",
    "vit_b_16",
]
PARTS = ("stem", "stage1", "stage2", "stage3", "stage4", "head")
"""What every backbone is divided into, from the image to the logits."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=60)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Pixels = Annotated[int, Field(ge=8, le=4096)]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass that refuses unknown keys, NaN and silent type conversions."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@section
class Textures:
    """Procedurally drawn images, for work without a network (recipe: 4 classes, 100 images each, 64 px, 80/20)."""

    classes: Annotated[tuple[Name, ...], Field(min_length=2)]  # of `textures.PATTERNS`
    train_per_class: Count
    test_per_class: Count
    px: Pixels  # side of the square images
    noise: Share  # standard deviation of the pixel noise, as a share of the full range
    seed: Seed


@section
class Dataset:
    """Where the images come from: exactly one of `url`, `path` and `textures` is set."""

    name: Name
    url: Url | None  # address of a zip
    sha1: Sha1 | None  # published digest of that zip
    sha256: Sha256 | None
    contents_sha256: Sha256 | None  # digest of the listing of what is inside, whatever the packaging
    path: str | None  # a folder or zip of your own; relative paths count from the repository
    path_sha256: Sha256 | None  # written by composition, so that a changed folder is noticed
    textures: Textures | None
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None  # null: the folders of the training split
    train_folder: str | None  # null: class folders stand at the top and `test_fraction` of them is held out
    test_folder: str | None
    test_fraction: Fraction | None
    split_seed: Seed  # draws that held-out part
    store_px: Pixels  # shorter side of the decoded images
    on_bad_image: Literal["skip", "error"]
    on_duplicate: Literal["error", "allow"]  # the same bytes in train and test
    max_total_mb: Count  # limits for what an archive may unpack to
    max_file_mb: Count
    max_files: Count
    max_ratio: Count
    max_megapixels: Count  # of one image


@section
class Preprocessing:
    """The weights' own preprocessing; tested equal to torchvision's `weights.transforms()`."""

    resize_px: Pixels  # shorter side before the centre crop
    crop_px: Pixels  # side of what the network sees
    interpolation: Literal["bilinear", "bicubic"]
    mean: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    std: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]


@section
class Augment:
    """Random views of training images; drawn from (seed, image, view) alone, so every strategy sees the same."""

    crop_scale: Annotated[tuple[PositiveShare, ...], Field(min_length=2, max_length=2)]  # share of the area, ends
    crop_ratio: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=2)]  # width / height
    flip: Share  # probability of a horizontal flip


@section
class Train:
    """What all gradient strategies share."""

    validation_fraction: Fraction  # of the training images, stratified, drawn per seed
    batch_size: Count
    max_epochs: Count | None  # cap on every strategy's epochs
    select_by: Literal["accuracy", "loss"]  # the best epoch on the validation images; ties go to the other one
    augment: Augment


@section
class Engine:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=0)]  # 0: all cores; byte equality holds for one number of threads
    checkpoint_seconds: NotNegative  # how often a running training saves itself for resumption
    memory_mb: Count  # what the features of frozen layers may occupy; above it they are computed anew every epoch


@section
class Phase:
    """A stretch of training with one table of rates."""

    share: Positive  # of the strategy's epochs, relative to the other phases
    rates: Annotated[dict[str, Positive | None], Field(min_length=1)]
    """Ordered table: part (or pattern) -> multiplier of `lr`, null = frozen; the first match wins."""


@section
class GradientStrategy:
    """A strategy trained by gradient descent."""

    title: str
    learner: Literal["gradient"]
    start: Literal["weights", "random"]
    head_start: Literal["zero", "random"]
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    views: Count | None  # random views per image, used in turn; null: a fresh one every epoch
    resolution: PositiveShare  # side of the training crops as a share of the backbone's own, rounded to 8 px
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NotNegative  # not on norm layers and biases
    schedule: Literal["constant", "cosine", "step"]
    step_epochs: Count | None  # of `step`: the rate is multiplied by 0.1 every so many epochs
    warmup: Annotated[float, Field(ge=0, lt=1)]  # share of a phase's steps
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    norm_statistics: Literal["frozen", "batch"]  # of norm layers that train; those of frozen parts never move
    phases: Annotated[dict[Name, Phase], Field(min_length=1)]


@section
class LogisticStrategy:
    """A linear probe: L2 logistic regression on the frozen features, C chosen by cross-validation inside the fit rows."""

    title: str
    learner: Literal["logistic_regression"]
    log10_c: Annotated[tuple[float, ...], Field(min_length=2, max_length=2)]  # ends of the grid
    c_values: Annotated[int, Field(ge=1, le=200)]
    folds: Annotated[int, Field(ge=2, le=20)]


Strategy = Annotated[GradientStrategy | LogisticStrategy, Field(discriminator="learner")]


@section
class SourceTask:
    """The task that `weights: source` trains the backbone on inside the pipeline: other classes of textures."""

    textures: Textures
    strategy: GradientStrategy


@section
class Backbone:
    """The network and the weights it starts from."""

    name: BackboneName
    weights: Annotated[str, Field(min_length=1)]  # official | none | source | a path | a file name in the mirror
    weights_sha256: Sha256 | None  # written by composition for a file of your own
    official_url: Url | None
    preprocessing: Preprocessing
    source: SourceTask | None


@section
class Compare:
    """Statistics."""

    confidence: Fraction


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
    compare: Compare


def load(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ValueError: one message with every problem of the file, each with its dotted key.
    """
    if not path.is_file():
        raise ValueError(f"{path.name}: expected a file, found none. Run: make repro (it composes conf/ into it).")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name}: not readable as YAML: {error}. Compose it anew: make repro.") from error
    return parse(data, path.name)


def parse(data: Any, where: str = "params.yaml") -> Params:
    """Check a composed configuration.

    Raises:
        ValueError: one message with every problem, each with its dotted key.
    """
    try:
        # JSON mode: lists become tuples, yet text never becomes a number.
        params = TypeAdapter(Params).validate_json(json.dumps(data))
    except ValidationError as error:
        problems = [_sentence(item, data) for item in error.errors()]
    else:
        problems = list(_contradictions(params))
        if not problems:
            return params
    raise ValueError("\n".join(f"{where}: {problem}" for problem in sorted(set(problems))))


def plain(value: Any) -> Any:
    """A record as JSON-able data, the inverse of `parse`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _sentence(error: Any, data: Any) -> str:
    """One pydantic error as `key: expected ..., got .... What to do.`"""
    location = error["loc"]
    # Under `strategies.<name>` pydantic inserts the name of the record it tried; a person never wrote that.
    key = ".".join(str(item) for i, item in enumerate(location) if not (location[0] == "strategies" and i == 2))
    if error["type"] == "unexpected_keyword_argument":
        known = sorted(_fields_at(location[:-1]))
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        return f"{key}: unknown key.{f' Did you mean {close[0]!r}?' if close else ''} Choices: {', '.join(known)}."
    if error["type"] in ("missing_argument", "missing_keyword_only_argument", "missing"):
        return f"{key}: expected a value, found none. Compose params.yaml anew: make repro."
    if error["type"].startswith("union_tag"):
        return f"{key}.learner: expected 'gradient' or 'logistic_regression', got {(error['input'] or {}).get('learner')!r}."
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    if error["type"] == "string_pattern_mismatch":
        expected = f"text of the form {error['ctx']['pattern']}"
    return f"{key}: expected {expected}, got {error['input']!r}."


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that the section at a pydantic location knows."""
    kind: Any = Params
    for item in location:
        if item in ("gradient", "logistic_regression"):
            kind = GradientStrategy if item == "gradient" else LogisticStrategy
            continue
        if is_dataclass(kind):
            kind = get_type_hints(kind)[item]
        elif isinstance(item, str):  # a key of dict[Name, Record]
            kind = get_args(kind)[1]
        kind = next((choice for choice in get_args(kind) if is_dataclass(choice)), kind)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _contradictions(params: Params) -> Iterator[str]:
    """What no single value shows."""
    yield from _dataset_contradictions(params.dataset)
    preprocessing, backbone = params.backbone.preprocessing, params.backbone
    if params.dataset.store_px < preprocessing.resize_px:
        yield (
            f"dataset.store_px: expected at least {preprocessing.resize_px}, the size that backbone {backbone.name} "
            f"resizes to, got {params.dataset.store_px}. Add: -S dataset.store_px={preprocessing.resize_px}"
        )
    if preprocessing.resize_px < preprocessing.crop_px:
        yield f"backbone.preprocessing.crop_px: expected at most resize_px, got {preprocessing.crop_px}."
    if backbone.weights == "official" and backbone.official_url is None:
        yield f"backbone.weights: expected none, source or a file, got 'official': {backbone.name} has no official weights."
    if backbone.weights == "source" and backbone.source is None:
        yield "backbone.source: expected a source task because backbone.weights is 'source', got null."
    if len(set(params.seeds)) < len(params.seeds):
        yield f"seeds: expected different numbers, got {list(params.seeds)}."
    low, high = params.train.augment.crop_scale
    if low > high:
        yield f"train.augment.crop_scale: expected [low, high], got {[low, high]}."
    low, high = params.train.augment.crop_ratio
    if low > high:
        yield f"train.augment.crop_ratio: expected [low, high], got {[low, high]}."
    if not params.strategies:
        yield "strategies: expected at least one, got none. Choose with -S strategy=frozen or -S strategy=all."
    for name, strategy in params.strategies.items():
        yield from _strategy_contradictions(f"strategies.{name}", strategy)


def _dataset_contradictions(dataset: Dataset) -> Iterator[str]:
    given = [key for key in ("url", "path", "textures") if getattr(dataset, key) is not None]
    if len(given) != 1:
        yield f"dataset: expected exactly one of url, path and textures, got {', '.join(given) or 'none'}."
    if (dataset.train_folder is None) != (dataset.test_folder is None):
        yield "dataset.test_folder: expected both train_folder and test_folder, or neither."
    if (dataset.test_folder is None) != (dataset.test_fraction is not None):
        yield (
            f"dataset.test_fraction: expected a fraction where there is no test_folder and null where there is one, "
            f"got {dataset.test_fraction!r} with test_folder {dataset.test_folder!r}."
        )
    if dataset.classes is not None and len(set(dataset.classes)) < len(dataset.classes):
        yield f"dataset.classes: expected different names, got {list(dataset.classes)}."


def _strategy_contradictions(key: str, strategy: GradientStrategy | LogisticStrategy) -> Iterator[str]:
    if isinstance(strategy, LogisticStrategy):
        if strategy.log10_c[0] > strategy.log10_c[1]:
            yield f"{key}.log10_c: expected [low, high], got {list(strategy.log10_c)}."
        return
    if (strategy.schedule == "step") != (strategy.step_epochs is not None):
        yield f"{key}.step_epochs: expected a number with schedule 'step' and null without, got {strategy.step_epochs!r}."
    if len(strategy.phases) > strategy.epochs:
        yield f"{key}.epochs: expected at least one per phase ({len(strategy.phases)}), got {strategy.epochs}."
    for name, phase in strategy.phases.items():
        covered = {part: first_match(phase.rates, part) for part in PARTS}
        unused = [pattern for pattern in phase.rates if pattern not in covered.values()]
        for part in (part for part, pattern in covered.items() if pattern is None):
            yield f"{key}.phases.{name}.rates: part '{part}' is not covered. Add it, or the pattern '*'."
        for pattern in unused:
            yield f"{key}.phases.{name}.rates: '{pattern}' matches no part that is left. Parts: {', '.join(PARTS)}."
        if not any(phase.rates.values()):
            yield f"{key}.phases.{name}.rates: expected a part that trains, got {phase.rates}."


def first_match(table: Mapping[str, Any], part: str) -> str | None:
    """The first pattern of an ordered table that matches a part (shell wildcards), or None."""
    return next((pattern for pattern in table if fnmatch.fnmatchcase(part, pattern)), None)
