"""What stages left of a strategy -> its model to take home."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from ..data.images import WHOLE_RANGE, Classes
from ..evidence.records import Comparison, Numbers
from ..network import backbones, models
from ..params.champion import Champion
from ..params.learning.network import Preprocessing
from ..params.record import plain
from ..pipeline.files import read_csv, read_json, write_json
from ..prediction.table import columns
from ..training import records as trainings
from .choice import best_seed, strategy_of, unsure_below
from .model import FORMAT, Facts, Known, Model, Pictures, Unsure, calibrated, header, write
from .torchvision_names import state_dict_of

MODEL, PLAIN, FACTS = "model.safetensors", "torchvision.safetensors", "facts.json"


class Start(TypedDict):
    """Of `data/weights/start.json`, what names the weights."""

    sha256: str


def champion(root: Path, asked: Champion, max_megapixels: int) -> str:
    """Write `champion/`: the model to take home, and its facts as a file to open.

    Where no strategy finished, `facts.json` says why there is no model.

    Args:
        root: Checkout that holds models/, predictions/ and metrics/.
        asked: Which strategy, and what unsure means.
        max_megapixels: Larger pictures will be refused.

    Returns:
        What was made, in a line.
    """
    folder = root / "champion"
    shutil.rmtree(folder, ignore_errors=True)
    recommended = read_json(root / "metrics/comparison.json", Comparison)["recommended"]
    name, why = strategy_of(
        asked.strategy,
        recommended and recommended["strategy"],
        read_json(root / "metrics/numbers.json", dict[str, Numbers]),
    )
    if name is None:
        write_json(folder / FACTS, {"model": None, "why": why})
        return f"no model to take home: {why}"
    made = model_of(root, name, asked.error, max_megapixels)
    write_folder(made, folder)
    return in_words(made.facts)


def model_of(root: Path, name: str, error: float, max_megapixels: int) -> Model:
    """The best seed's model of a strategy that finished.

    Args:
        root: Checkout that holds data/, models/, runs/, predictions/ and metrics/.
        name: The strategy.
        error: Share of the answers that may be wrong.
        max_megapixels: Larger pictures will be refused.

    Raises:
        ValueError: It did not finish, a file was damaged, or belongs to other classes or weights.
    """
    temperature = _temperature(root / "metrics/numbers.json", name)
    trained = read_json(root / f"runs/{name}/facts.json", trainings.Facts)
    data = read_json(root / "data/processed/classes.json", Classes)
    start = read_json(root / "data/weights/start.json", Start)
    if trained["classes"] != data["classes"] or trained["start_sha256"] != start["sha256"]:
        raise ValueError(
            f"runs/{name}: expected the classes and weights of data/, got others. Run: dvc repro"
        )
    seed = best_seed(trained["seeds"])
    tensors = _tensors(root, trained, seed, start["sha256"])
    tables = {
        kind: _answers(root / f"predictions/{kind}{name}.csv", trained["classes"], temperature)
        for kind in ("validation/", "")
    }
    _, sure, right = tables["validation/"]
    unsure = unsure_below(sure, right, error)
    strategy = trained["params"]["strategy"]
    facts = Facts(
        format=FORMAT,
        dataset=data["dataset"],
        classes=tuple(trained["classes"]),
        strategy=name,
        title=trained["title"],
        seed=int(seed),
        key=trained["seeds"][seed]["key"],
        backbone=trained["backbone"],
        head_hidden=strategy.get("head_hidden"),
        head_dropout=strategy.get("head_dropout"),
        head_neighbours=strategy.get("neighbours"),
        pictures=_pictures(data, trained, max_megapixels),
        device=trained["device"],
        precision=cast(Literal["fp32", "bf16"], trained["precision"]),
        memory_format=cast(Literal["contiguous", "channels_last"], trained["memory_format"]),
        temperature=temperature,
        unsure=unsure,
        known=_known(trained["seeds"][seed], tables[""], int(seed), unsure),
        versions=trained["versions"],
        start_sha256=start["sha256"],
        tensors_sha256=models.tensors_sha256(tensors),
    )
    return Model(facts=facts, tensors=tensors)


def _temperature(path: Path, name: str) -> float:
    """Of a strategy that finished."""
    numbers = read_json(path, dict[str, Numbers])
    if name not in numbers:
        raise ValueError(
            f"{name}: expected a strategy that finished with every seed, found none in {path}. "
            "Run: dvc repro compare"
        )
    return numbers[name]["temperature"]


def _pictures(data: Classes, trained: trainings.Facts, max_megapixels: int) -> Pictures:
    """How the training images were seen; the whole range of grey where none had 16 bits."""
    grey = data.get("contrast")
    return Pictures(
        max_megapixels=max_megapixels,
        store_px=data["store_px"],
        contrast=(grey["black"], grey["white"]) if grey else WHOLE_RANGE,
        preprocessing=_preprocessing(trained["preprocessing"]),
    )


def write_folder(model: Model, folder: Path) -> None:
    """Write a model, the same by torchvision's names where it has them, and its facts."""
    facts = model.facts
    write(model, folder / MODEL)
    renamed = state_dict_of(facts.backbone, model.tensors, len(facts.classes))
    if renamed is not None:
        models.save(renamed, folder / PLAIN, header(facts))
    write_json(folder / FACTS, plain(facts))


def in_words(facts: Facts) -> str:
    """Which model it is and what is known of it, in a line."""
    known, threshold = facts.known, facts.unsure.threshold
    unsure = "every answer is unsure" if threshold is None else f"unsure below {threshold:.4g}"
    validated = "no validation images"
    if known.validation_accuracy is not None:
        share = f"{known.validation_accuracy:.1%}"
        validated = f"{share} of {known.validation_images} validation images"
    return (
        f"{facts.strategy}, seed {facts.seed}: {validated}, {known.test_right} of "
        f"{known.test_images} test images right; {unsure}"
    )


def _tensors(
    root: Path, trained: trainings.Facts, seed: str, start_sha256: str
) -> dict[str, Tensor]:
    """The whole network: what training changed, over the starting weights."""
    name, strategy = trained["strategy"], trained["params"]["strategy"]
    shape = {
        "hidden": strategy.get("head_hidden"),
        "dropout": strategy.get("head_dropout"),
        "neighbours": strategy.get("neighbours"),
    }
    with torch.device("meta"):  # only its names
        net = backbones.build(trained["backbone"], len(trained["classes"]))
        backbones.new_head(net, len(trained["classes"]), start="zero", seed=0, **shape)
    start = models.read(root / "data/weights/start.safetensors", start_sha256)
    path = root / f"models/{name}/seed-{seed}.safetensors"
    own = models.read(path, trained["seeds"][seed]["model_sha256"])
    tensors = {key: own[key] if key in own else start[key] for key in net.state_dict()}
    assert set(own) <= set(tensors)
    return tensors


def _answers(
    path: Path, classes: list[str], temperature: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seeds, calibrated probabilities of the predicted classes, and which of these are right: a
    table that `compare` has checked.
    """
    rows = read_csv(path, columns(classes))
    chances = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
    chances = chances.reshape(-1, len(classes))  # of no rows, too
    return (
        np.array([int(row["seed"]) for row in rows]),
        calibrated(chances, temperature).max(axis=1),
        np.array([row["label"] == row["predicted"] for row in rows], dtype=bool),
    )


def _preprocessing(plain: Mapping[str, Any]) -> Preprocessing:
    """JSON knows no tuples."""
    values: dict[str, Any] = {
        key: tuple(it) if isinstance(it, list) else it for key, it in plain.items()
    }
    return Preprocessing(**values)


def _known(
    fact: Mapping[str, Any],
    tested: tuple[np.ndarray, np.ndarray, np.ndarray],
    seed: int,
    unsure: Unsure,
) -> Known:
    sure, right = (values[tested[0] == seed] for values in tested[1:])
    answered = unsure.gives(sure)
    return Known(
        validation_images=fact["validation_images"],
        validation_accuracy=fact["validation_accuracy"],
        test_images=len(right),
        test_right=int(right.sum()),
        test_answered=int(answered.sum()),
        test_answered_right=int(right[answered].sum()),
    )
