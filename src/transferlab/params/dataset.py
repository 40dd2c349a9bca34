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
    seed: Seed


@section
class Dataset:
    """Where the images come from: exactly one of `url`, `path` and `textures` is set."""

    name: Name
    url: Url | None  # address of a zip
    sha1: Sha1 | None  # published digest of that zip
    sha256: Sha256 | None
    # digest of the listing of what is inside, whatever the packaging
    contents_sha256: Sha256 | None
    path: str | None  # a folder or zip of your own; relative paths count from the repository
    path_sha256: Sha256 | None  # written by composition, so that a changed folder is noticed
    textures: Textures | None
    # null: the folders of the training split
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None
    # null: class folders stand at the top and `test_fraction` of them is held out
    train_folder: str | None
    test_folder: str | None
    test_fraction: Fraction | None
    split_seed: Seed  # draws that held-out part
    imagenet: (
        dict[str, Annotated[tuple[Annotated[int, Field(ge=0, lt=1000)], ...], Field(min_length=1)]]
        | None
    )
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
            yield (
                "url: expected exactly one of url, path and textures, got "
                f"{', '.join(given) or 'none'}."
            )
        if self.path is not None and self.path_sha256 is None:
            yield (
                "path_sha256: expected the digest of what is at path, got null. Use "
                "dataset=folder, which writes it."
            )
        if (self.train_folder is None) != (self.test_folder is None):
            yield (
                f"test_folder: expected both train_folder and test_folder, or neither, "
                f"got {self.train_folder!r} and {self.test_folder!r}."
            )
        if (self.test_folder is None) != (self.test_fraction is not None):
            yield (
                "test_fraction: expected a fraction where there is no test_folder and null where "
                "there is one, "
                f"got {self.test_fraction!r} with test_folder {self.test_folder!r}."
            )
        if self.imagenet is not None and set(self.imagenet) != set(self.classes or ()):
            yield (
                f"imagenet: expected the names of classes, {list(self.classes or ())}, got "
                f"{list(self.imagenet)}."
            )
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            yield f"classes: expected different names, got {list(self.classes)}."
