"""Models on disk: the same tensors give the same bytes, and nothing damaged or foreign is read."""

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from transferlab.network import backbones, models
from transferlab.params.learning.network import PARTS
from transferlab.pipeline.files import file_hash

TENSORS = {"b.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(3)}


def test_tensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    sha256 = models.save({**TENSORS, "image": image}, tmp_path / "new" / "model.safetensors")
    found = models.read(tmp_path / "new" / "model.safetensors", sha256)
    assert found.keys() == {*TENSORS, "image"}
    assert all(
        torch.equal(found[name], value) for name, value in {**TENSORS, "image": image}.items()
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.safetensors"]


def test_file_depends_on_the_tensors_and_not_on_their_order_or_layout(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 4)
    one = models.save({"a": image, **TENSORS}, tmp_path / "one")
    laid_out = image.contiguous(memory_format=torch.channels_last)
    two = models.save({**TENSORS, "a": laid_out}, tmp_path / "two")
    assert one == two == file_hash(tmp_path / "one")
    assert one != models.save({"a": image + 1, **TENSORS}, tmp_path / "three")


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "empty"])
def test_damaged_file_is_refused_with_what_to_do(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "seed-0.safetensors"
    sha256 = models.save(TENSORS, path)
    content = path.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"flipped bit": flipped, "truncated": content[:-4], "empty": b""}[damage])
    with pytest.raises(
        ValueError, match=rf"seed-0\.safetensors: expected sha256 {sha256[:12]}.*damaged.*dvc repro"
    ):
        models.read(path, sha256)


def test_failed_write_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models" / "model.safetensors"
    sha256 = models.save(TENSORS, path)

    def full(tensors: object, part: Path, facts: object) -> None:
        (part.parent / ".tmp0a1b2c").write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(models, "save_file", full)
    message = (
        r"/models: expected room for model\.safetensors, got .* free \(No space left on device\)"
    )
    with pytest.raises(OSError, match=message):
        models.save({"a": torch.zeros(1)}, path)
    assert models.read(path, sha256).keys() == TENSORS.keys()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_everybody_may_read_a_model_where_the_umask_lets_them(tmp_path: Path) -> None:
    modes = {}
    for umask in (0o022, 0o077):
        before = os.umask(umask)
        models.save(TENSORS, tmp_path / f"{umask:o}.safetensors")
        os.umask(before)
        modes[umask] = stat.S_IMODE((tmp_path / f"{umask:o}.safetensors").stat().st_mode)
    assert modes == {0o022: 0o644, 0o077: 0o600}


def test_digest_sees_names_types_shapes_and_values() -> None:
    same = models.tensors_sha256(
        {"a.count": torch.tensor(3), "b.weight": torch.arange(6.0).view(2, 3)}
    )
    assert models.tensors_sha256(TENSORS) == same
    others = [
        {**TENSORS, "b.weight": torch.arange(6.0).view(3, 2)},
        {**TENSORS, "b.weight": torch.arange(6.0).view(2, 3).double()},
        {**TENSORS, "b.weight": torch.arange(6.0).view(2, 3) + 1e-7},
        {"b.weight": TENSORS["b.weight"], "c.count": TENSORS["a.count"]},
        {**TENSORS, "a.count": torch.tensor(4)},
    ]
    assert len({same, *map(models.tensors_sha256, others)}) == 6


def test_tensors_of_parts_are_copies_with_their_buffers() -> None:
    model = backbones.build("tiny", 3)
    found = models.tensors_of(model, ["stage4", "head"])
    assert {name.split(".")[0] for name in found} == {"stage4", "head"}
    assert "stage4.1.running_mean" in found
    with torch.no_grad():
        model.get_parameter("head.0.bias").add_(1)
    assert not torch.equal(found["head.0.bias"], model.get_parameter("head.0.bias"))
    assert models.tensors_of(model, PARTS).keys() == model.state_dict().keys()


def test_overlay_changes_the_given_tensors_and_no_others() -> None:
    model, other = backbones.build("tiny", 3), backbones.build("tiny", 3, seed=1)
    before = models.tensors_of(model, PARTS)
    models.overlay(model, models.tensors_of(other, ["head"]))
    after = model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"head.0.weight", "head.0.bias"}
    assert torch.equal(after["head.0.weight"], other.state_dict()["head.0.weight"])


@pytest.mark.parametrize("name, outputs", [("resnet18", 3), ("tiny", 4)])
def test_tensors_of_another_network_or_other_classes_are_refused(name: str, outputs: int) -> None:
    model = backbones.build("tiny", 3)
    before = models.tensors_of(model, PARTS)
    with pytest.raises(
        ValueError, match="expected tensors of this backbone and these classes, got '"
    ):
        models.overlay(model, models.tensors_of(backbones.build(name, outputs), PARTS))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
