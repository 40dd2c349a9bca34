"""Which images, and how they are kept."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from .record import Count, Fraction, Name, Pixels, Seed, Sha1, Sha256, Share, Url, section

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


@section
class Textures:
    """Procedurally drawn images, for work without a network (recipe: 4 classes, 100 images each, 64
    px, 80/20).
    """

    classes: Annotated[tuple[Pattern, ...], Field(min_length=2)]
    train_per_class: Count
    test_per_class: Count
    px: Pixels  # side of the square images
    noise: Share  # standard deviation of the pixel noise, as a share of the full range
    plain: bool  # upright, black on white, in even light
    seed: Seed


@section
class Columns:
    """What the columns of a table are called; `auto`: by the usual names."""

    path: str
    label: str
    split: str | None  # null: there is none, even where a column is called so
    group: str | None  # of images that belong together: a patient, a burst, a camera


@section
class Dataset:
    """Where the images come from: exactly one of `url`, `path` and `textures` is set."""

    name: Name
    url: Url | None  # address of a zip, tar or tar.gz
    sha1: Sha1 | None  # published digest of that archive
    sha256: Sha256 | None
    # digest of the listing of what is inside, whatever the packaging
    contents_sha256: Sha256 | None
    # a folder, archive or table of your own; relative paths count from the repository
    path: str | None
    path_sha256: Sha256 | None  # written by composition, so that a changed folder is noticed
    textures: Textures | None
    columns: Columns | None  # of a table
    images_folder: str | None  # that a table's paths count from; null: its own
    zip_encoding: str | None  # of names in a zip that does not say it
    labels: Literal["folders", "names"]  # what tells the class of an image
    # null: the folders of the training split
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None
    # auto: told by the usual names; null: there is none. Without any, class folders stand at the
    # top; without a test folder, `test_fraction` of the training images is held out
    train_folder: str | None
    validation_folder: str | None
    test_folder: str | None
    validation: Literal["use", "join", "ignore"]  # what becomes of a validation folder
    test_fraction: Fraction | None
    split_seed: Seed  # draws that held-out part
    imagenet: (
        dict[str, Annotated[tuple[Annotated[int, Field(ge=0, lt=1000)], ...], Field(min_length=1)]]
        | None
    )
    """Class -> classes of ImageNet-1k that mean the same; null: not known."""
    store_px: Pixels  # shorter side of the decoded images
    enlarge: bool  # whether that may be less than what the backbone resizes to
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
            yield (
                "url: expected exactly one of url, path and textures, got "
                f"{', '.join(given) or 'none'}."
            )
        if self.path is not None and self.path_sha256 is None:
            yield (
                "path_sha256: expected the digest of what is at path, got null. Use "
                "dataset=folder, which writes it."
            )
        yield from self._problems_of_parts()
        if self.imagenet is not None and set(self.imagenet) != set(self.classes or ()):
            yield (
                f"imagenet: expected the names of classes, {list(self.classes or ())}, got "
                f"{list(self.imagenet)}."
            )
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            yield f"classes: expected different names, got {list(self.classes)}."

    def _problems_of_parts(self) -> Iterator[str]:
        if self.train_folder is None and self.test_folder not in (None, "auto"):
            yield (
                f"train_folder: expected a folder beside test_folder {self.test_folder!r}, got "
                "null."
            )
        if self.test_folder in (None, "auto") and self.test_fraction is None:
            yield (
                "test_fraction: expected a fraction, because there may be no test folder, got null."
            )
        named = [self.train_folder, self.validation_folder, self.test_folder]
        named = [name for name in named if name not in (None, "auto")]
        if len(set(named)) < len(named):
            yield f"test_folder: expected different folders, got {', '.join(map(str, named))}."
