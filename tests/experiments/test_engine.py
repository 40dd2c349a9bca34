"""The verdict on precision and memory format: pinned without a look, else the fastest that agrees,
and kept.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CPU, evaluated, params_of, prepare, train

from transferlab.experiments import precision
from transferlab.network import backbones
from transferlab.params.learning.engine import REFERENCE
from transferlab.params.whole import Params
from transferlab.pipeline.files import read_csv, read_json, write_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("restored")]
FEW = ["seeds=[0]", "train.max_epochs=2", "dataset.textures.train_per_class=8"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared"), params_of(*FEW))


def verdict(root: Path, params: Params) -> dict[str, str]:
    backbone = params.backbone
    precision.decide(root, backbone.name, backbone.preprocessing, params.engine)
    found: dict[str, str] = read_json(root / "data/precision.json")
    return found


def measured(root: Path, params: Params) -> list[dict[str, Any]]:
    backbone = params.backbone
    return precision.measure(root, backbone.name, backbone.preprocessing, params.engine)


def trial(
    precision: str, memory_format: str, seconds: float, agrees: bool = True
) -> dict[str, Any]:
    return {
        "precision": precision,
        "memory_format": memory_format,
        "seconds": seconds,
        "agrees": agrees,
    }


def test_what_is_pinned_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measure", lambda *given: pytest.fail("measured"))
    params = params_of("engine.precision=bf16", "engine.memory_format=contiguous")
    assert verdict(tmp_path, params) == {"precision": "bf16", "memory_format": "contiguous"}
    assert read_json(tmp_path / "data/precision_times.json")["candidates"] == []


def test_by_default_nothing_is_measured_and_the_reference_holds(tmp_path: Path) -> None:
    assert verdict(tmp_path, params_of()) == REFERENCE


@pytest.mark.parametrize(
    "trials, chosen",
    [
        ([trial("fp32", "channels_last", 1.0), trial("bf16", "channels_last", 0.5)], "bf16"),
        ([trial("fp32", "channels_last", 1.0), trial("bf16", "channels_last", 0.95)], "fp32"),
        (
            [
                trial("fp32", "channels_last", 1.0),
                trial("bf16", "channels_last", 0.1, agrees=False),
            ],
            "fp32",
        ),
    ],
    ids=["faster and agrees", "hardly faster", "faster and disagrees"],
)
def test_fastest_that_agrees_wins_if_it_is_worth_it(
    trials: list[dict[str, Any]], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "measure", lambda *given: trials)
    assert verdict(tmp_path, params_of("engine.precision=auto"))["precision"] == chosen


def test_every_open_choice_is_tried_on_real_images_against_fp32(prepared: Path) -> None:
    params = params_of("engine.precision=auto", "engine.memory_format=auto", *FEW)
    trials = measured(prepared, params)
    assert [(item["precision"], item["memory_format"]) for item in trials] == [
        ("fp32", "channels_last"),
        ("fp32", "contiguous"),
        ("bf16", "channels_last"),
        ("bf16", "contiguous"),
    ]
    assert trials[0]["cosine"] == pytest.approx(1)
    assert trials[0]["agrees"]
    assert trials[1]["agrees"]
    assert all(item["cosine"] > 0.99 and item["seconds"] > 0 for item in trials)


def test_only_the_open_choice_is_tried(prepared: Path) -> None:
    trials = measured(prepared, params_of("engine.memory_format=auto", *FEW))
    assert [(item["precision"], item["memory_format"]) for item in trials] == [
        ("fp32", "channels_last"),
        ("fp32", "contiguous"),
    ]


@pytest.mark.parametrize("name", ["frozen", "scratch", "probe"])
def test_bf16_agrees_with_fp32_and_repeats_itself(
    name: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(prepared))
    tables, params = [], params_of(*FEW)
    for kind in ("fp32", "bf16", "bf16"):
        write_json(prepared / "data/precision.json", {**REFERENCE, "precision": kind})
        train(prepared, name, params, kind + str(len(tables)))
        evaluated(prepared, name, params)
        assert read_json(prepared / f"runs/{name}/facts.json")["precision"] == kind
        tables.append(read_csv(prepared / f"predictions/{name}.csv"))
    exact, low, again = (np.array([float(row["p_stripes"]) for row in table]) for table in tables)
    assert (low == again).all()
    assert not (low == exact).all(), "bf16 must have been used"
    np.testing.assert_allclose(low, exact, atol=0.05)


def test_contiguous_format_reaches_the_network(prepared: Path) -> None:
    place = replace(CPU, memory_format="contiguous")
    weight = backbones.move(backbones.build("tiny", 2), place).get_parameter("stage1.0.weight")
    assert weight.is_contiguous()
    assert not weight.is_contiguous(memory_format=torch.channels_last)
