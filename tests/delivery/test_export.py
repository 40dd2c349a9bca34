"""What other programs get answers as torch does, or is not written."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from transferlab.delivery import export as exporting
from transferlab.delivery.export import export, require_packages
from transferlab.delivery.make import model_of
from transferlab.delivery.model import Model
from transferlab.delivery.pictures import seen
from transferlab.delivery.predictor import Predictor
from transferlab.params.record import plain


@pytest.fixture(scope="module")
def model(finished: Path) -> Model:
    return model_of(finished, "mlp_head", 0.02, 50)


@pytest.fixture(scope="module")
def paths(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("test/*/*.png")))


@pytest.fixture(scope="module")
def pictures(model: Model, paths: list[str]) -> np.ndarray:
    return np.stack(seen(paths, model.facts.pictures))


@pytest.mark.slow
def test_a_torch_program_answers_as_the_predictor_for_any_number_of_pictures(
    model: Model, paths: list[str], pictures: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt2"
    checked = export(model, "pt2", pictures, path)
    files = {"transferlab.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    assert json.loads(files["transferlab.json"]) == plain(model.facts)
    expected = [
        [one.probabilities[it] for it in model.facts.classes] for one in Predictor(model)(paths)
    ]
    for count in (1, 2, 9):
        found = program(torch.from_numpy(pictures[:count])).detach().numpy()
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)
    assert checked.difference < 1e-6
    assert checked.pictures == 9
    assert checked.megabytes == path.stat().st_size / 1e6
    assert [one.name for one in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.slow
def test_onnx_answers_as_the_predictor_for_any_number_of_pictures(
    model: Model, paths: list[str], pictures: np.ndarray, tmp_path: Path
) -> None:
    for package in exporting.PACKAGES["onnx"]:
        pytest.importorskip(package)
    import onnxruntime

    path = tmp_path / "model.onnx"
    assert export(model, "onnx", pictures, path).difference < 1e-5
    session = onnxruntime.InferenceSession(path)
    about = session.get_modelmeta().custom_metadata_map["transferlab"]
    assert json.loads(about) == plain(model.facts)
    expected = [
        [one.probabilities[it] for it in model.facts.classes] for one in Predictor(model)(paths)
    ]
    for count in (1, 2, 9):
        (found,) = session.run(None, {"pictures": pictures[:count]})
        np.testing.assert_allclose(found, expected[:count], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("error", [1e-3, float("nan")])
def test_a_file_that_answers_otherwise_is_not_kept(
    model: Model,
    pictures: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: float,
) -> None:
    def write(whole: exporting.Whole, facts: object, example: object, path: Path) -> None:
        path.write_text("a file")

    def load(path: Path) -> exporting.Run:
        right = exporting._torch(exporting._whole(model))
        return lambda some: right(some) + np.float32(error)

    path = tmp_path / "model.pt2"
    path.write_text("mine")
    monkeypatch.setitem(exporting.KINDS, "pt2", (write, load))
    with pytest.raises(ValueError, match=r"expected probabilities within 0\.0001 of torch's"):
        export(model, "pt2", pictures, path)
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.slow
def test_one_picture_is_enough_to_check_with(
    model: Model, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples: list[np.ndarray] = []

    def write(whole: exporting.Whole, facts: object, example: np.ndarray, path: Path) -> None:
        examples.append(example)
        path.touch()

    def load(path: Path) -> exporting.Run:
        return exporting._torch(exporting._whole(model))

    monkeypatch.setitem(exporting.KINDS, "pt2", (write, load))
    assert export(model, "pt2", pictures[:1], tmp_path / "model.pt2").pictures == 1
    (example,) = examples  # of one alone torch would make a program for one alone
    np.testing.assert_array_equal(example, pictures[[0, 0]])


def test_a_missing_package_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(ValueError, match=r"found no onnx\. Run: pip install onnx$"):
        require_packages("onnx")
