"""`params.yaml` as frozen records: every value checked, every problem of the whole file reported at once.

Needs no torch, so that composition and every stage can afford it. Values live in `conf/`, never as defaults here.
"""

import difflib
import fnmatch
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

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
Pattern = Literal[
    "stripes",
    "grid",
    "dots",
    "noise",
    "blobs",
    "bricks",
    "checks",
    "crosses",
    "gradient",
    "rays",
    "rings",
    "spirals",
    "triangles",
    "waves",
    "zigzag",
]
"""What `textures` can draw."""
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
    """A frozen, keyword-only dataclass; parsing refuses unknown keys, NaN, silent conversions and its `problems`."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    if hasattr(cls, "problems"):
        cls.refuse_problems = model_validator(mode="after")(_refuse_problems)  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


def _refuse_problems(record: Any) -> Any:
    """Pydantic's hook for what no single value shows; it runs where the values themselves are sound."""
    if problems := list(record.problems()):
        raise ValueError("\n".join(problems))
    return record


@section
class Textures:
    """Procedurally drawn images, for work without a network (recipe: 4 classes, 100 images each, 64 px, 80/20)."""

    classes: Annotated[tuple[Pattern, ...], Field(min_length=2)]
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
    imagenet: dict[str, Annotated[tuple[Annotated[int, Field(ge=0, lt=1000)], ...], Field(min_length=1)]] | None
    """Class -> classes of ImageNet-1k that mean the same; null: not known."""
    store_px: Pixels  # shorter side of the decoded images
    on_bad_image: Literal["skip", "error"]
    on_duplicate: Literal["error", "allow"]  # the same bytes in train and test
    max_total_mb: Count  # limits for what an archive may unpack to
    max_file_mb: Count
    max_files: Count
    max_ratio: Count
    max_megapixels: Count  # of one image

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        given = [name for name in ("url", "path", "textures") if getattr(self, name) is not None]
        if len(given) != 1:
            yield f"url: expected exactly one of url, path and textures, got {', '.join(given) or 'none'}."
        if self.path is not None and self.path_sha256 is None:
            yield "path_sha256: expected the digest of what is at path, got null. Use dataset=folder, which writes it."
        if (self.train_folder is None) != (self.test_folder is None):
            yield (
                f"test_folder: expected both train_folder and test_folder, or neither, "
                f"got {self.train_folder!r} and {self.test_folder!r}."
            )
        if (self.test_folder is None) != (self.test_fraction is not None):
            yield (
                f"test_fraction: expected a fraction where there is no test_folder and null where there is one, "
                f"got {self.test_fraction!r} with test_folder {self.test_folder!r}."
            )
        if self.imagenet is not None and set(self.imagenet) != set(self.classes or ()):
            yield f"imagenet: expected the names of classes, {list(self.classes or ())}, got {list(self.imagenet)}."
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            yield f"classes: expected different names, got {list(self.classes)}."


@section
class Preprocessing:
    """The weights' own preprocessing; tested equal to torchvision's `weights.transforms()`."""

    resize_px: Pixels  # shorter side before the centre crop
    crop_px: Pixels  # side of what the network sees
    interpolation: Literal["bilinear", "bicubic"]
    mean: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    std: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)]

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.resize_px < self.crop_px:
            yield f"crop_px: expected at most resize_px ({self.resize_px}), got {self.crop_px}."


@section
class Augment:
    """Random views of training images; drawn from (seed, image, view) alone, so every strategy sees the same."""

    crop_scale: Annotated[tuple[PositiveShare, ...], Field(min_length=2, max_length=2)]  # share of the area, ends
    crop_ratio: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=2)]  # width / height
    flip: Share  # probability of a horizontal flip
    rotation: Annotated[float, Field(ge=0, le=180)]  # degrees to either side
    brightness: NotNegative  # of torchvision's ColorJitter: the factor lies within 1 -+ this
    contrast: NotNegative
    saturation: NotNegative
    hue: Annotated[float, Field(ge=0, le=0.5)]  # share of the colour circle, to either side

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        for name, (low, high) in (("crop_scale", self.crop_scale), ("crop_ratio", self.crop_ratio)):
            if low > high:
                yield f"{name}: expected [low, high], got {[low, high]}."


@section
class Train:
    """What all gradient strategies share."""

    validation_fraction: Fraction  # of the training images, stratified, drawn per seed
    batch_size: Count
    max_epochs: Count | None  # cap on every strategy's epochs
    select_by: Literal["accuracy", "loss"]  # of the strategies that do not choose for themselves
    augment: Augment


@section
class Engine:
    """Where and how the arithmetic runs."""

    device: Literal["auto", "cpu", "cuda"]
    threads: Annotated[int, Field(ge=0)]  # 0: all cores; byte equality holds for one number of threads
    precision: Literal["fp32", "bf16", "auto"]  # auto: the fastest that agrees with fp32, measured once on real images
    memory_format: Literal["contiguous", "channels_last", "auto"]
    checkpoint_seconds: NotNegative  # how often a running training saves itself for resumption
    memory_mb: Count  # what the features of frozen layers may occupy; above it they are computed anew every epoch


@section
class Phase:
    """A stretch of training with one table of rates."""

    share: Positive  # of the strategy's epochs, relative to the other phases
    rates: Annotated[dict[str, Positive | None], Field(min_length=1)]
    """Ordered table: part (or pattern) -> multiplier of `lr`, null = frozen; the first match wins."""

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
    """L2 logistic regression on the frozen features; C is chosen by cross-validation inside the fit rows."""

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
class GradientStrategy:
    """A strategy trained by gradient descent."""

    title: str
    learner: Literal["gradient"]
    start: Literal["weights", "random"]
    head_hidden: Count | None  # width of a hidden layer with ReLU; null: the head is linear
    head_dropout: Annotated[float, Field(ge=0, lt=1)] | None  # before the last layer; null: as the backbone has it
    head_start: Literal["zero", "random", "probe"]  # of the last layer; probe: a logistic regression's solution
    probe: Regression | None
    lr: Annotated[float, Field(gt=0)]
    epochs: Count
    views: Count | None  # random views per image, used in turn; null: a fresh one every epoch
    resolution: PositiveShare  # side of the training crops as a share of the backbone's own, rounded to 8 px
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: NotNegative  # not on norm layers and biases
    schedule: Literal["constant", "cosine", "step", "plateau"]
    step_epochs: Count | None  # of `step`: the rate is multiplied by 0.1 every so many epochs
    patience: Annotated[int, Field(ge=0)] | None  # of `plateau`: by 0.1 after more epochs than this without progress
    warmup: Annotated[float, Field(ge=0, lt=1)]  # share of a phase's steps
    clip_norm: Positive | None  # of the gradient over all that trains, per step (Pascanu et al. 2013)
    loss: Literal["cross_entropy", "nll"]  # nll: LogSoftmax and NLLLoss, the same function in two steps
    select_by: Literal["accuracy", "loss"]  # the best epoch on the validation images; ties go to the other one
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    norm_statistics: Literal["frozen", "batch"]  # of norm layers that train; those of frozen parts never move
    interpolate: Annotated[tuple[Share, ...], Field(min_length=1)] | None
    """WiSE-FT: shares of the trained weights, the rest from the start; the best on the validation images is kept."""
    phases: Annotated[dict[Name, Phase], Field(min_length=1)]

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if (self.schedule == "step") != (self.step_epochs is not None):
            yield f"step_epochs: expected a number with schedule 'step' and null without, got {self.step_epochs!r}."
        if (self.schedule == "plateau") != (self.patience is not None):
            yield f"patience: expected a number with schedule 'plateau' and null without, got {self.patience!r}."
        if len(self.phases) > self.epochs:
            yield f"epochs: expected at least one per phase ({len(self.phases)}), got {self.epochs}."
        if (self.head_start == "probe") != (self.probe is not None):
            yield f"probe: expected a section with head_start 'probe' and null without, got {self.probe!r}."
        if self.head_start == "probe" and (self.head_hidden is not None or self.start == "random"):
            yield "head_start: expected zero or random, since a probe needs weights and a linear head, got 'probe'."
        if self.loss == "nll" and self.label_smoothing:
            yield f"label_smoothing: expected 0 with loss 'nll', which knows none, got {self.label_smoothing}."
        if self.interpolate is not None and self.norm_statistics == "batch":
            yield "interpolate: expected null with norm_statistics 'batch', since statistics do not interpolate."


Strategy = Annotated[GradientStrategy | LogisticStrategy, Field(discriminator="learner")]


@section
class SourceTask:
    """The task that `weights: source` trains the backbone on inside the pipeline."""

    dataset: Dataset
    strategy: GradientStrategy

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.strategy.start != "random":
            yield f"strategy.start: expected 'random', since it makes the weights, got {self.strategy.start!r}."


@section
class Backbone:
    """The network and the weights it starts from."""

    name: BackboneName
    weights: Annotated[str, Field(min_length=1)]  # official | none | source | a path | a file name in the mirror
    weights_sha256: Sha256 | None  # written by composition for a file of your own
    official_url: Url | None
    precision: Literal["fp32", "bf16", "auto"]  # what `engine.precision` is unless set
    preprocessing: Preprocessing
    source: SourceTask | None

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        if self.weights == "official" and self.official_url is None:
            yield f"weights: expected none, source or a file, got 'official': {self.name} has no official weights."
        if self.weights == "source" and self.source is None:
            yield "source: expected a source task because weights is 'source', got null."


@section
class Evaluate:
    """What is asked of a trained model."""

    tta_views: Annotated[int, Field(ge=0, le=1000)]  # random views of test-time augmentation; 0: none


@section
class CrossValidation:
    """Ranking on all images, in stratified folds that keep near-duplicates together; off without strategies."""

    strategies: tuple[Name, ...]
    each: dict[Name, Name]  # the same by name, written by composition: DVC has a stage for each
    repeats: Count
    folds: Annotated[int, Field(ge=2, le=100)]


@section
class LearningCurve:
    """Training on parts of the training images; off without strategies."""

    strategies: tuple[Name, ...]
    each: dict[Name, Name]  # the same by name, written by composition: DVC has a stage for each
    fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)]  # of every class; 1 is the run itself


@section
class Compare:
    """Statistics."""

    confidence: Fraction  # of all intervals; the tests' level is 1 minus this
    resamples: Annotated[int, Field(ge=100)]  # of the bootstrap
    margin: Fraction  # "as good as": the accuracy that may be lost at most, by non-inferiority
    calibration_bins: Annotated[int, Field(ge=2, le=100)]  # of equal width, by the probability of the predicted class


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

    def problems(self) -> Iterator[str]:
        """Contradictions, each with its key."""
        resize_px, name = self.backbone.preprocessing.resize_px, self.backbone.name
        if self.dataset.store_px < resize_px:
            yield (
                f"dataset.store_px: expected at least {resize_px}, the size that backbone {name} resizes to, "
                f"got {self.dataset.store_px}. Add: -S dataset.store_px={resize_px}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            yield f"seeds: expected different numbers, got {list(self.seeds)}."
        for key, strategy in self.strategies.items():
            by_batch = isinstance(strategy, GradientStrategy) and strategy.norm_statistics == "batch"
            if by_batch and self.train.batch_size == 1:
                yield f"train.batch_size: expected 2 or more, since {key} normalises by batch, got 1."
        for section in ("cross_validation", "learning_curve"):
            for key in (key for key in getattr(self, section).strategies if key not in self.strategies):
                yield f"{section}.strategies: expected some of {', '.join(self.strategies)}, got {key!r}."
        if not self.strategies:
            yield "strategies: expected at least one, got none. Choose with -S strategy=frozen or -S strategy=all."


def load(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ValueError: one message with every problem of the file, each with its dotted key.
    """
    return parse(read(path), path.name)


def read(path: Path) -> Any:
    """A params file as plain data.

    Raises:
        ValueError: It is not there or is no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path.name}: expected a file, found none. Compose it from conf/: make repro.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ValueError(f"{path.name}: expected YAML, got: {found}. Compose it anew: make repro.") from error


def parse(data: Any, where: str = "params.yaml") -> Params:
    """Check a composed configuration.

    Raises:
        ValueError: one message with every problem, each with its dotted key.
    """
    try:
        # JSON mode: lists become tuples, yet text never becomes a number.
        return TypeAdapter(Params).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        problems = {sentence for item in error.errors() for sentence in _sentences(item, data)}
        raise ValueError("\n".join(f"{where}: {problem}" for problem in sorted(problems))) from None


def plain(value: Any) -> Any:
    """A record as JSON-able data, the inverse of `parse`."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _sentences(error: Any, data: Any) -> Iterator[str]:
    """One pydantic error in this project's form: the dotted key, what was expected, what it got, what to do."""
    kind, location, value = error["type"], error["loc"], error["input"]
    # Under `strategies.<name>` pydantic inserts the name of the record it tried; a person never wrote that.
    steps = [str(item) for i, item in enumerate(location) if not (location[0] == "strategies" and i == 2)]
    key = ".".join(step for step in steps if step != "[key]") or "the whole file"
    if kind == "value_error":
        yield from (".".join([*steps, problem]) for problem in str(error["ctx"]["error"]).split("\n"))
    elif kind == "unexpected_keyword_argument":
        known = sorted(_fields_at(location[:-1]))
        yield f"{key}: unknown key.{_nearest(str(location[-1]), known)} Choices: {', '.join(known)}."
    elif kind.startswith("missing"):
        yield f"{key}: expected a value, found none. Compose params.yaml anew: make repro."
    elif kind.startswith("union_tag"):
        others = [name for name in data["strategies"] if name != steps[-1]]
        got = f"{value.get('learner')!r}.{_nearest(steps[-1], others)}"
        yield f"{key}.learner: expected 'gradient' or 'logistic_regression', got {got}"
    elif kind == "string_pattern_mismatch":
        yield f"{key}: expected text of the form {error['ctx']['pattern']}, got {value!r}."
    else:
        expected = re.sub(r"^\w+ should (be|have) (a valid )?", "", error["msg"])
        yield f"{key}: expected {expected}, got {value!r}."


def _nearest(name: str, known: Sequence[str]) -> str:
    """The question whether a person meant a similar name, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that the section at a pydantic location knows."""
    learners = {"gradient": GradientStrategy, "logistic_regression": LogisticStrategy}
    kind: Any = Params
    for item in location:
        entry = get_origin(kind) is dict
        kind = get_args(kind)[1] if entry else learners.get(item) or get_type_hints(kind)[item]
        if get_origin(kind) is not dict:  # of a union, the record
            kind = next((choice for choice in get_args(kind) if is_dataclass(choice)), kind)
    return [field.name for field in fields(kind)]


def first_match(table: Mapping[str, Any], part: str) -> str | None:
    """The first pattern of an ordered table that matches a part (shell wildcards), or None."""
    return next((pattern for pattern in table if fnmatch.fnmatchcase(part, pattern)), None)
