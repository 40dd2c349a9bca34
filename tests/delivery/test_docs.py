"""The lines of docs/how-to/predict.md do what it says."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT

from transferlab.delivery.export import PACKAGES, export
from transferlab.delivery.make import model_of, write_folder
from transferlab.delivery.model import Model
from transferlab.delivery.pictures import seen
from transferlab.delivery.predictor import Predictor
from transferlab.network import backbones, models
from transferlab.params.whole import Params

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/how-to/predict.md").read_text()


def lines_below(heading: str) -> str:
    """The Python of a section."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


def torchvisions(finished: Path) -> Model:
    """A model of one of torchvision's networks."""
    torch.manual_seed(0)
    model = model_of(finished, "probe", 0.01, 50)
    tensors = backbones.build("mobilenet_v3_small", 3, seed=3).state_dict()
    facts = replace(
        model.facts, backbone="mobilenet_v3_small", tensors_sha256=models.tensors_sha256(tensors)
    )
    return Model(facts=facts, tensors=tensors)


@pytest.fixture
def here(finished: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, label in (("a.jpg", "stripes"), ("b.jpg", "dots")):
        shutil.copyfile(next((folder / "test" / label).iterdir()), tmp_path / "photos" / name)
    return tmp_path


def test_the_lines_of_the_page_print_what_the_predictor_answers(
    here: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = torchvisions(finished)
    write_folder(model, here / "champion")
    answers = Predictor(model)(["photos/a.jpg", "photos/b.jpg"])
    exec(lines_below("In Python"), {})
    assert capsys.readouterr().out.splitlines() == [
        f"{one.name} {one.label} {one.probability} {one.unsure}" for one in answers
    ]
    exec(lines_below("Without transferlab"), {})
    label, probability = capsys.readouterr().out.split()
    assert label == answers[0].label
    assert float(probability) == pytest.approx(answers[0].probability, abs=1e-4)


def test_the_page_names_the_strategies_without_torchvisions_file(params: Params) -> None:
    hidden = [
        name
        for name, strategy in params.strategies.items()
        if getattr(strategy, "head_hidden", None) is not None
    ]
    assert hidden == ["mlp_head"]
    assert "heads with a hidden layer (`mlp_head`, `two_phase`)" in PAGE


@pytest.mark.slow
def test_the_lines_for_onnx_print_what_the_predictor_answers(
    here: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in PACKAGES["onnx"]:
        pytest.importorskip(package)
    model = model_of(finished, "probe", 0.01, 50)
    paths = ["photos/a.jpg", "photos/b.jpg"]
    pictures = np.stack(seen(paths, model.facts.pictures))
    export(model, "onnx", pictures, Path("hymenoptera-probe.onnx"))
    exec(lines_below("For other programs"), {})
    label, probability = capsys.readouterr().out.split()
    answer = Predictor(model)(paths)[0]
    assert label == answer.label
    assert float(probability) == pytest.approx(answer.probability, abs=1e-4)
