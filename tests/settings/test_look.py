"""What is there is told before anything is decoded or written."""

import tarfile
from pathlib import Path

import pytest
from archives import dataset, grain, tree, zipped

from transferlab.params.dataset import Dataset
from transferlab.settings.look import look_at

AUTO: Dataset = dataset(
    train_folder="auto", validation_folder="auto", test_folder="auto", test_fraction=0.3
)


def laid_out(root: Path, kind: str) -> Path:
    """The same six images of each part, as folder, archive or table."""
    for name, content in tree().items():
        (root / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mine" / name).write_bytes(content)
    if kind == "folder":
        return root / "mine"
    if kind == "zip":
        return zipped(root / "mine.zip", tree())
    if kind == "tar":
        with tarfile.open(root / "mine.tar.gz", "w:gz") as archive:
            archive.add(root / "mine", "birds")
        return root / "mine.tar.gz"
    lines = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in tree()]
    (root / "mine/all.csv").write_text("\n".join(["path,label,split", *lines, ""]))
    return root / "mine/all.csv"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "table"])
def test_every_kind_is_told_with_parts_and_counts(tmp_path: Path, kind: str) -> None:
    path = laid_out(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    found = look_at(path, AUTO)
    assert (found.kind, found.problem, found.drawn) == (kind, None, False)
    assert found.counts == {name: {"train": 3, "test": 3} for name in ("ants", "bees")}
    assert set(found.parts) == {"train", "test"}
    assert sorted(tmp_path.rglob("*")) == before


def test_what_stops_it_is_the_one_message_of_preprocessing(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for number in range(6):
        (tmp_path / f"flat/{'cat' if number % 2 else 'dog'}.{number}.png").write_bytes(
            grain(number)
        )
    found = look_at(tmp_path / "flat", AUTO)
    assert found.problem is not None and "add: -S dataset.labels=names" in found.problem
    assert "found nothing at" in str(look_at(tmp_path / "missing", AUTO).problem)
