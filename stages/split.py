"""Images -> which are alike, and which each training fits, validates on and is asked about."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.data.images import SPLITS, load_images, read_classes
from transferlab.data.splits import draw, near_duplicates
from transferlab.params.whole import Params
from transferlab.pipeline import stage


def work(root: Path, params: Params, _: str) -> None:
    """Write data/splits."""
    processed, splits = root / "data/processed", root / "data/splits"
    classes = read_classes(root)
    images = [load_images(processed / split, classes) for split in SPLITS]
    alike, train = splits / "near_duplicates.csv", images[0]
    seeds, fraction = params.seeds, params.train.validation_fraction
    near_duplicates.write_alike(images, alike)
    bonds = draw.read_bonds(images, alike, processed / "given.csv")
    each, per_class = splits / "validation.csv", params.images_per_class
    draw.write_validation(each, train, bonds, seeds, fraction, per_class=per_class)
    draw.write_folds(splits / "folds.csv", images, bonds, params.cross_validation, fraction)
    parts = params.learning_curve
    draw.write_parts(splits / "parts.csv", train, bonds, parts, seeds=seeds, fraction=fraction)


if __name__ == "__main__":
    stage.main("split", work)
