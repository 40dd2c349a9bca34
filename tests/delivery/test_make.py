"""What stages left of the recommended strategy becomes one file that holds all of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import stage

from transferlab.delivery.make import in_words, model_of
from transferlab.delivery.model import calibrated, read
from transferlab.evidence.temperature import rescaled
from transferlab.network import backbones, models
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, read_json, write_json

pytestmark = pytest.mark.slow


def made(root: Path, params: Params, strategy: str | None) -> Path:
    asked = replace(params.champion, strategy=strategy)
    stage("champion")(root, replace(params, champion=asked), "")
    return root / "champion"


def recommend(root: Path, name: str | None) -> None:
    path = root / "metrics/comparison.json"
    found = read_json(path)
    recommended = name and found["recommended"] | {"strategy": name}
    write_json(path, found | {"recommended": recommended})


@pytest.mark.parametrize(("wanted", "taken"), [(None, "finetune"), ("probe", "probe")])
def test_the_stage_writes_the_recommended_model_or_the_named_one(
    root: Path, params: Params, wanted: str | None, taken: str
) -> None:
    recommend(root, "finetune")
    folder = made(root, params, wanted)
    assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "model.safetensors"]
    assert read(folder / "model.safetensors").facts.strategy == taken
    assert read_json(folder / "facts.json")["strategy"] == taken


def test_what_it_says_of_the_model_is_true_of_that_very_model(
    root: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = read(made(root, params, "finetune") / "model.safetensors").facts
    trained = read_json(root / "runs/finetune/facts.json")["seeds"][str(facts.seed)]
    others = read_json(root / "runs/finetune/facts.json")["seeds"].values()
    rows = read_csv(root / "predictions/finetune.csv")
    own = [row for row in rows if row["seed"] == str(facts.seed)]
    right = sum(row["label"] == row["predicted"] for row in own)
    assert trained["validation_accuracy"] == max(one["validation_accuracy"] for one in others)
    assert (facts.key, facts.known.test_right) == (trained["key"], right)
    assert (facts.known.test_images, facts.known.validation_images) == (len(own), 3)
    assert facts.temperature == read_json(root / "metrics/numbers.json")["finetune"]["temperature"]
    assert facts.unsure.predictions == 6  # of both seeds
    assert capsys.readouterr().out == f"{in_words(facts)}\n"
    assert f"finetune, seed {facts.seed}: " in in_words(facts)
    assert f"{right} of 9 test images right; " in in_words(facts)


@pytest.mark.parametrize("name", ["probe", "finetune", "mlp_head"])
def test_the_file_holds_the_whole_network(root: Path, params: Params, name: str) -> None:
    model = model_of(root, name, 0.01, 50)
    facts = model.facts
    net = backbones.build("tiny", 3)
    hidden, dropout = facts.head_hidden, facts.head_dropout
    backbones.new_head(net, 3, start="zero", seed=0, hidden=hidden, dropout=dropout)
    net.load_state_dict(dict(model.tensors))
    own = load_file(root / f"models/{name}/seed-{facts.seed}.safetensors")
    start = load_file(root / "data/weights/start.safetensors")
    assert own
    for key, value in net.state_dict().items():
        assert torch.equal(value, own[key] if key in own else start[key])
    assert facts.tensors_sha256 == models.tensors_sha256(net.state_dict())


def test_the_same_files_give_the_same_bytes(root: Path, params: Params) -> None:
    first = (made(root, params, None) / "model.safetensors").read_bytes()
    assert (made(root, params, None) / "model.safetensors").read_bytes() == first


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (None, "no strategy finished with every seed"),
        ("probe", "probe did not finish with every seed"),
    ],
)
def test_without_a_finished_strategy_the_run_goes_on_and_the_reason_stands_in_the_facts(
    root: Path,
    params: Params,
    wanted: str | None,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recommend(root, None)
    write_json(root / "metrics/numbers.json", {})
    folder = made(root, params, wanted)
    assert [path.name for path in folder.iterdir()] == ["facts.json"]
    assert read_json(folder / "facts.json") == {"model": None, "why": why}
    assert capsys.readouterr().out == f"no model to take home: {why}\n"


def test_a_damaged_model_is_not_taken_home(root: Path, params: Params) -> None:
    for path in root.glob("models/probe/*"):
        *content, last = path.read_bytes()
        path.write_bytes(bytes([*content, last ^ 1]))
    with pytest.raises(ValueError, match=r"expected sha256 .* The file is damaged"):
        made(root, params, "probe")
    assert not (root / "champion").exists()


def test_models_of_other_classes_are_refused(root: Path, params: Params) -> None:
    path = root / "data/processed/classes.json"
    write_json(path, read_json(path) | {"classes": ["stripes", "noise", "dots"]})
    with pytest.raises(ValueError, match="runs/probe: expected the classes and weights of data/"):
        made(root, params, "probe")


def test_calibration_is_that_of_the_report() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    found = calibrated(probabilities, 1.7)
    np.testing.assert_allclose(found, rescaled(probabilities, 1.7), rtol=1e-12)
