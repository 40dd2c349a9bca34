"""Starting weights come from where `params.yaml` says, whole and of the right network, and are the
same bytes twice.
"""

import http.server
import json
import logging
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from checkout import ROOT
from safetensors import safe_open
from safetensors.torch import load_file

from transferlab.data.archive import fetch
from transferlab.data.archive.request import Verified
from transferlab.network import backbones, models
from transferlab.params.backbone import SourceTask
from transferlab.params.learning.strategies import GradientStrategy
from transferlab.params.reading import parse
from transferlab.params.record import plain
from transferlab.params.whole import Params
from transferlab.pipeline.files import file_hash, read_json
from transferlab.pipeline.places import cache_folder, from_home
from transferlab.settings import compose
from transferlab.weights import head, published
from transferlab.weights.source_task import source_images
from transferlab.weights.start import OFFICIAL_SHA256, official, write_start

pytestmark = pytest.mark.slow

SMALL = [
    "preset=demo",
    "engine.device=cpu",
    "engine.threads=1",
    "engine.checkpoint_seconds=0.0",
    "train.batch_size=4",
    "backbone.preprocessing.resize_px=32",
    "backbone.preprocessing.crop_px=32",
]

SOURCE = [
    "backbone=tiny_source",
    "backbone.source.dataset.textures.classes=[rings,checks]",
    "backbone.source.dataset.textures.train_per_class=5",
    "backbone.source.strategy.epochs=2",
]


def composed(*overrides: str) -> Params:
    return parse(yaml.safe_load(compose.compose([*SMALL, *overrides])))


@cache
def from_source() -> Params:
    return composed(*SOURCE)


def nothing(row: Mapping[str, Any]) -> None:
    """Hears of epochs and says nothing."""


def written(root: Path, params: Params, log: Any) -> None:
    write_start(
        root, params.backbone, train=params.train, engine=params.engine, code="code", log=log
    )


def prepare(
    root: Path, params: Params, log: Any = nothing
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    written(root, params, log)
    facts = read_json(root / "data/weights/start.json")
    assert sorted(path.name for path in (root / "data/weights").iterdir()) == [
        "file.json",
        "start.json",
        "start.safetensors",
    ]
    assert facts.keys() == {"backbone", "weights", "origin", "source_file_sha256", "sha256"}
    assert facts["sha256"] == file_hash(root / "data/weights/start.safetensors")
    return facts, models.read(root / "data/weights/start.safetensors", facts["sha256"])


def file_facts(root: Path) -> Any:
    """What was done to a file: apart from the facts that training depends on."""
    return read_json(root / "data/weights/file.json")


def publish(path: Path, classes: int = 7) -> dict[str, torch.Tensor]:
    """Save a state dict as others publish it, and give it under the names of the parts."""
    torch.manual_seed(5)
    net = backbones.tiny(classes)
    torch.save(net.state_dict(), path)
    return dict(backbones.build("tiny", classes, weights=net.state_dict()).state_dict())


def same(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_none_is_random_weights_the_same_every_time(tmp_path: Path) -> None:
    params = composed("backbone.weights=none")
    facts, tensors = prepare(tmp_path / "first", params)
    assert (facts["backbone"], facts["weights"], facts["origin"]) == ("tiny", "none", "random")
    assert facts["source_file_sha256"] is None
    torch.rand(3)
    again, _ = prepare(tmp_path / "second", params)
    assert again == facts
    assert tensors.keys() == backbones.build("tiny", 2).state_dict().keys()


@pytest.mark.parametrize("name", ["own.pth", "own.safetensors"])
def test_own_file_is_taken_whole_with_its_hash(name: str, tmp_path: Path, own_home: Path) -> None:
    expected = publish(own_home / "own.pth")
    if name.endswith("safetensors"):
        models.save(torch.load(own_home / "own.pth"), own_home / name)
    facts, tensors = prepare(tmp_path, composed(f"backbone.weights={name}"))
    assert same(tensors, expected)
    assert facts["source_file_sha256"] == file_hash(from_home(name))
    assert facts["origin"] == name
    assert tensors["head.0.bias"].shape == (7,)


def test_what_was_done_to_an_own_file_is_a_fact_and_one_line(
    tmp_path: Path, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = backbones.tiny(7).half()
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in net.state_dict().items()}},
        own_home / "o.pt",
    )
    with caplog.at_level(logging.INFO):
        prepare(tmp_path, composed("backbone.weights=o.pt"))
    undone = ["opened 'state_dict'", "removed 'module.' from names", "cast from float16"]
    assert file_facts(tmp_path) == {
        "name": "o.pt",
        "tensors_used": 32,
        "tensors_held": 32,
        "head_outputs": 7,
        "undone": undone,
    }
    assert caplog.messages == ["o.pt: used 32 of 32 tensors; " + "; ".join(undone)]


def test_weights_that_no_file_gave_have_none_among_their_facts(tmp_path: Path) -> None:
    prepare(tmp_path, composed("backbone.weights=none"))
    assert file_facts(tmp_path) is None


def test_headless_file_gives_a_head_that_is_none_of_imagenet_s(
    tmp_path: Path, own_home: Path
) -> None:
    net = backbones.tiny(1000)
    torch.save(
        {name: value for name, value in net.state_dict().items() if name[0] != "5"},
        own_home / "own.pth",
    )
    _, tensors = prepare(tmp_path, composed("backbone.weights=own.pth"))
    assert file_facts(tmp_path)["head_outputs"] is None
    assert tensors["head.0.bias"].shape == (head.DRAWN,)
    assert head.DRAWN != backbones.IMAGENET_CLASSES, "by which `controls` knows ImageNet's head"


def test_numbers_that_are_none_stop_the_stage_before_anything_is_trained(
    tmp_path: Path, own_home: Path
) -> None:
    tensors = backbones.tiny(7).state_dict()
    tensors["1.0.weight"][0] = torch.nan
    torch.save(tensors, own_home / "own.pth")
    with pytest.raises(
        ValueError,
        match=r"own\.pth: expected finite numbers, got NaN or infinity in '1\.0\.weight'",
    ):
        written(tmp_path, composed("backbone.weights=own.pth"), nothing)
    assert not (tmp_path / "data/weights").exists()


def test_own_file_that_changed_since_composition_is_refused(tmp_path: Path, own_home: Path) -> None:
    publish(own_home / "own.pth")
    params = composed("backbone.weights=own.pth")
    prepare(tmp_path, params)
    before = file_hash(tmp_path / "data/weights/start.safetensors")
    publish(own_home / "own.pth", classes=8)
    with pytest.raises(
        ValueError, match=r"backbone\.weights: .*own\.pth changed since params\.yaml was composed"
    ):
        written(tmp_path, params, nothing)
    assert file_hash(tmp_path / "data/weights/start.safetensors") == before


def test_file_of_another_architecture_is_refused_with_counts(
    tmp_path: Path, own_home: Path
) -> None:
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), own_home / "own.pth")
    with pytest.raises(
        ValueError,
        match=r"expected the state dict of tiny, got one with \d+ tensors missing, 2 unknown",
    ):
        written(tmp_path, composed("backbone.weights=own.pth"), nothing)
    assert not (tmp_path / "data/weights").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {}])
def test_file_without_tensors_is_refused_by_name(
    content: Any, tmp_path: Path, own_home: Path
) -> None:
    torch.save(content, own_home / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth: expected the state dict of tiny"):
        written(tmp_path, composed("backbone.weights=own.pth"), nothing)


def test_official_weights_come_from_the_mirror_and_keep_their_name_s_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    expected = publish(mirror / "tiny.pth")
    name = f"tiny-{file_hash(mirror / 'tiny.pth')[:8]}.pth"
    (mirror / "tiny.pth").rename(mirror / name)
    monkeypatch.setenv("TRANSFERLAB_MIRROR", str(mirror))
    params = composed(
        "backbone.weights=official", f"backbone.official_url=http://127.0.0.1:9/{name}"
    )
    facts, tensors = prepare(tmp_path, params)
    assert same(tensors, expected)
    assert (facts["origin"], facts["source_file_sha256"]) == ("mirror", file_hash(mirror / name))
    assert file_facts(tmp_path)["name"] == name, "and not what the cache calls it"
    (mirror / name).unlink()
    again, _ = prepare(tmp_path / "second", params)
    assert again["sha256"] == facts["sha256"], "from the cache"


def test_source_trains_the_whole_backbone_and_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    logged: list[int] = []
    facts, tensors = prepare(
        tmp_path / "first", from_source(), lambda row: logged.append(row["epoch"])
    )
    assert logged == [1, 2]
    assert facts["origin"].startswith(
        "trained on source_textures (rings, checks), validation accuracy "
    )
    assert facts["weights"] == "source"
    start = backbones.build("tiny", 2).state_dict()
    assert tensors.keys() == start.keys()
    assert tensors["head.0.bias"].shape == (2,)
    (waiting,) = cache_folder("resume").glob("*.result")
    start_file = tmp_path / "first/data/weights/start.safetensors"
    assert waiting.read_text() == file_hash(start_file, "md5")
    shutil.rmtree(cache_folder("resume"))
    again, _ = prepare(tmp_path / "second", from_source())
    assert again == facts
    assert not list(cache_folder("source").iterdir())


def test_source_does_not_depend_on_the_target_s_seeds_and_data(tmp_path: Path) -> None:
    facts, _ = prepare(tmp_path / "first", from_source())
    other = replace(from_source(), seeds=(7,), dataset=replace(from_source().dataset, split_seed=9))
    assert prepare(tmp_path / "second", other)[0] == facts


def test_killed_source_goes_on_to_the_undisturbed_result(tmp_path: Path) -> None:
    facts, _ = prepare(tmp_path / "undisturbed", from_source())
    shutil.rmtree(cache_folder("resume"))

    def kill(row: Mapping[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, from_source(), kill)
    assert not (tmp_path / "data/weights").exists()
    logged: list[int] = []
    assert prepare(tmp_path, from_source(), lambda row: logged.append(row["epoch"]))[0] == facts
    assert logged == [2]


def header(path: Path) -> dict[str, str] | None:
    with safe_open(path, "pt") as file:
        found: dict[str, str] | None = file.metadata()
        return found


def test_file_of_a_source_task_says_what_it_learned(tmp_path: Path) -> None:
    prepare(tmp_path, from_source())
    found = header(tmp_path / "data/weights/start.safetensors")
    source = from_source().backbone.source
    assert found is not None
    assert source is not None
    assert json.loads(found["source_dataset"]) == plain(source.dataset)


def official_task() -> SourceTask:
    """What `tiny`'s official weights learned."""
    overrides = ["preset=demo", "backbone=tiny_source"]
    task = parse(yaml.safe_load(compose.compose(overrides))).backbone.source
    assert task is not None
    return task


def test_official_weights_of_tiny_come_with_the_package(tmp_path: Path) -> None:
    params = parse(yaml.safe_load(compose.compose(["preset=demo"])))
    facts, tensors = prepare(tmp_path, params)
    (path,) = (ROOT / "src/transferlab/weights").glob("tiny-*.safetensors")
    assert (facts["weights"], facts["origin"]) == ("official", path.name)
    assert path.stem == f"tiny-{facts['source_file_sha256'][:8]}"
    assert same(tensors, load_file(path))
    assert header(tmp_path / "data/weights/start.safetensors") is None
    assert file_facts(tmp_path)["source_dataset"] == plain(official_task().dataset)


def test_official_weights_of_tiny_tell_the_classes_of_their_source_task_apart(
    tmp_path: Path,
) -> None:
    """Of images that they did not learn: 80 % of 240 when they were made."""
    dataset = official_task().dataset
    assert dataset.textures is not None
    others = replace(dataset.textures, train_per_class=30, seed=2)
    images = source_images(replace(dataset, textures=others), tmp_path)
    (path,) = (ROOT / "src/transferlab/weights").glob("tiny-*.safetensors")
    net = backbones.build("tiny", len(images.classes)).eval()
    net.load_state_dict(load_file(path))
    pixels = torch.tensor(np.stack(list(images))).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        chosen = net((pixels - 0.5) / 0.25).argmax(1)
    assert (chosen == torch.from_numpy(images.labels)).float().mean() > 0.75


def test_source_that_diverges_is_an_error_and_no_start(tmp_path: Path) -> None:
    backbone = from_source().backbone
    assert backbone.source is not None
    assert isinstance(backbone.source.strategy, GradientStrategy)
    steep = replace(
        backbone.source, strategy=replace(backbone.source.strategy, lr=1e30, optimizer="sgd")
    )
    params = replace(from_source(), backbone=replace(backbone, source=steep))
    with pytest.raises(
        ValueError,
        match=r"backbone\.source\.strategy: .* epoch 1 .*Lower backbone\.source\.strategy\.lr",
    ):
        written(tmp_path, params, nothing)
    assert not (tmp_path / "data/weights").exists()


def test_official_files_are_known_by_their_whole_digest_or_by_the_digits_of_their_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def fetched(url: str, *, sha256: str | None, sha256_prefix: str, **_: Any) -> Verified:
        asked.append((url, sha256, sha256_prefix))
        proof = "sha256" if sha256 else "hash suffix"
        return Verified(path=Path(url), origin=url, sha256="", verified_by=proof)

    caplog.set_level(logging.INFO)
    backbone = composed().backbone
    monkeypatch.setattr(fetch, "fetch", fetched)
    for path in sorted((ROOT / "conf/backbone").glob("*.yaml")):
        for url in re.findall(r"https://[^\s\"]+", path.read_text()):
            official(replace(backbone, official_url=url))
    assert "vgg16_bn-6c64b313.pth: recognised by its hash suffix" in caplog.messages
    for url, sha256, prefix in asked:
        assert Path(url).stem.endswith(f"-{prefix}")
        assert re.fullmatch("[0-9a-f]{8}", prefix)
        assert sha256 is None or re.fullmatch(f"{prefix}[0-9a-f]{{56}}", sha256)
    assert {sha256 for _, sha256, _ in asked if sha256} == set(OFFICIAL_SHA256)


def test_file_at_an_address_is_taken_by_the_digest_that_was_given(
    tmp_path: Path, own_home: Path
) -> None:
    publish(tmp_path / "served.pth")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/served.pth"
        sha256 = file_hash(tmp_path / "served.pth")
        named = [f"backbone.weights='{url}'", f"backbone.weights_sha256={sha256}"]
        facts, tensors = prepare(own_home, composed(*named))
        other = composed(named[0], f"backbone.weights_sha256={'0' * 64}")
        with pytest.raises(ValueError, match="expected 0000"):
            written(own_home / "other", other, nothing)
        server.shutdown()
    assert facts["origin"] == url
    assert facts["source_file_sha256"] == sha256
    assert len(tensors) > 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("'https://example.org/mine.pth'", "weights_sha256: expected the sha256 of the file at"),
        ("'models:/birds@champion'", "Fetch it: mlflow artifacts download -u models:/birds@champ"),
        ("imagenet_v2", "expected none, source or a file, got 'imagenet_v2'"),
    ],
)
def test_weights_that_cannot_be_had_are_refused_by_composition(weights: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        composed(f"backbone.weights={weights}")


def test_model_to_take_home_is_what_another_run_starts_from(tmp_path: Path) -> None:
    net = backbones.build("mobilenet_v3_small", 5, seed=3)
    backbones.new_head(net, 5, start="random", seed=0, hidden=8, dropout=0.1)
    models.save(net.state_dict(), tmp_path / "model.safetensors", {"transferlab": "{}"})
    path = tmp_path / "model.safetensors"
    found = published.read(path, "mobilenet_v3_small", path.name)
    assert "renamed from the names of parts" in found.undone
    assert not found.own_head
    again = backbones.build("mobilenet_v3_small", found.outputs, weights=found.tensors)
    body = {key: value for key, value in net.state_dict().items() if not key.startswith("head.")}
    assert same(body, {key: again.state_dict()[key] for key in body})
