"""Images of one's own, through DVC: a change is noticed, an absent folder is as it was recorded."""

from pathlib import Path

import pytest
from archives import picture
from repository import Repository, ran

OWN = ("preset=demo", "backbone.weights=none", "seeds=[0]", "strategy=frozen", "dataset=folder")
OWN += ("dataset.path=photos", "dataset.store_px=64")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("ants", "bees")):
        for count in range(5):
            path = tmp_path / f"photos/{name}/{count}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(10 * number + count, (64, 64)))
    return tmp_path / "photos"


@pytest.mark.slow
@pytest.mark.drill
def test_a_plain_repro_notices_a_changed_image_and_misses_no_absent_folder(
    tmp_path: Path, photos: Path
) -> None:
    repository = Repository(tmp_path)
    repository.compose(*OWN)
    assert ran(repository("dvc", "repro", "preprocess")) == ["download", "preprocess"]
    image = photos / "ants/0.png"
    before = image.read_bytes()
    image.write_bytes(picture(77, (64, 64)))
    output = repository("dvc", "repro", fails=True)
    assert ran(output) == ["watch@own"]  # ahead of everything that takes long
    assert (
        "photos as it was when params.yaml was composed, got other content. Compose again" in output
    )
    image.write_bytes(before)
    photos.rename(tmp_path / "away")
    repository.compose(*OWN)
    output = repository("dvc", "repro", "watch@own", "preprocess")
    assert ran(output) == ["watch@own"]
    assert "dataset.path: photos is not here, so what was recorded of it stands." in output


@pytest.mark.drill
def test_a_temporary_experiment_sees_an_untracked_folder_given_by_a_relative_path(
    tmp_path: Path, photos: Path
) -> None:
    repository = Repository(tmp_path)
    (tmp_path / ".git/info/exclude").write_text("photos\n")
    repository.commit()
    output = repository.experiment(*OWN, flags=("--temp", "preprocess"))
    assert ran(output) == ["download", "preprocess"]
    assert "6 training and 4 test images of 2 classes." in output
