"""A model file is read whole, or refused in a line that says what it is."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from transferlab.delivery.make import model_of
from transferlab.delivery.model import HEADER, header, read, write
from transferlab.params.record import plain
from transferlab.params.whole import Params

DAMAGED = r"got others\. The file is damaged, or one by torchvision's names: take a whole model"


@pytest.fixture
def path(finished: Path, params: Params, tmp_path: Path) -> Path:
    write(model_of(finished, "probe", 0.01, 50), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.mark.slow
def test_a_model_is_read_as_it_was_written(finished: Path, params: Params, path: Path) -> None:
    model = model_of(finished, "probe", 0.01, 50)
    found = read(path)
    assert found.facts == model.facts
    assert found.tensors.keys() == model.tensors.keys()
    assert all(torch.equal(value, model.tensors[key]) for key, value in found.tensors.items())


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_model_whose_headers_length_looks_like_a_pickle_is_read(
    path: Path, start: bytes, tmp_path: Path
) -> None:
    found, wide = read(path), tmp_path / "wide.safetensors"
    known = int.from_bytes(path.read_bytes()[:2], "little")
    wanted = int.from_bytes(start, "little")
    more = (wanted - known) % 256 ** len(start)
    text = json.dumps(plain(found.facts), ensure_ascii=False)
    save_file(load_file(path), wide, {HEADER: text + " " * more})
    assert wide.read_bytes().startswith(start)
    assert read(wide).facts == found.facts


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_is_refused_unopened_whatever_its_name(
    tmp_path: Path, name: str, how: str
) -> None:
    path, effect = tmp_path / name, tmp_path / "it ran"
    if how == "torch":
        torch.save(Evil(effect), path)
    else:
        path.write_bytes(pickle.dumps(Evil(effect)))
    with pytest.raises(ValueError, match=r"got a pickle, .* so it was not opened"):
        read(path)
    assert not effect.exists()


def test_what_is_no_model_is_refused_by_what_it_is(path: Path, tmp_path: Path) -> None:
    expected = r"expected a model.safetensors that the stage champion wrote, got "
    with pytest.raises(ValueError, match=f"{expected}no file"):
        read(tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match=f"{expected}no file"):
        read(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 a photograph")
    with pytest.raises(ValueError, match=f"{expected}another kind of file"):
        read(tmp_path / "a.jpg")
    save_file(load_file(path), tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match=f"{expected}tensors without its header"):
        read(tmp_path / "plain.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "transferlab model 2"}, "got format: Input should be 'transferlab model 1'"),
        ({"classes": ["one"]}, "got classes: Tuple should have at least 2 items"),
        ({"new": 1}, "got new: Unexpected keyword argument"),
        ({"temperature": 0}, "got temperature: Input should be greater than 0"),
        ({"backbone": "resnet19"}, "expected one of the backbones tiny, .*, got 'resnet19'"),
    ],
)
def test_foreign_facts_are_refused(path: Path, change: dict[str, object], message: str) -> None:
    facts = {**plain(read(path).facts), **change}
    save_file(load_file(path), path, {HEADER: json.dumps(facts)})
    with pytest.raises(ValueError, match=message):
        read(path)


def test_a_damaged_file_is_refused(path: Path) -> None:
    facts, tensors = read(path).facts, load_file(path)
    *content, last = path.read_bytes()
    path.write_bytes(bytes([*content, last ^ 1]))
    with pytest.raises(ValueError, match=DAMAGED):
        read(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="got another kind of file"):
        read(path)
    del tensors["head.0.weight"]
    save_file(tensors, path, header(facts))
    with pytest.raises(ValueError, match=DAMAGED):
        read(path)
