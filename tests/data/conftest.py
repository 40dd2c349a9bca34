"""What the tests of the data share."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives import Place, picture, tree


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def files_up_to_ten_kilobytes() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def train(place: Place) -> Path:
    place.run(
        {
            **tree(),
            "train/bees/tall.png": picture(60, (9, 33)),
            "train/bees/x.jpg": picture(61, (30, 40), "JPEG"),
        }
    )
    return place.out / "train"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for name, content in tree().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
