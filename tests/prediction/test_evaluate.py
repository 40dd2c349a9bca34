"""Models and test images become one table of probabilities; nothing foreign or damaged is
evaluated.
"""

import copy
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CPU, evaluated, params_of, prepare, setup_of, train

from transferlab.data.chance import stratified_split
from transferlab.data.images import load_images
from transferlab.experiments import trainer
from transferlab.network import augment, backbones, models
from transferlab.network.activations import Activations
from transferlab.network.views import Views
from transferlab.params.learning.network import HEAD
from transferlab.params.learning.strategies import GradientStrategy, head_shape
from transferlab.params.whole import Params
from transferlab.pipeline.files import file_hash, read_csv, read_json, write_json
from transferlab.pipeline.places import cache_folder
from transferlab.prediction import sample
from transferlab.prediction.observer import TTA_SEED, Observer
from transferlab.prediction.reading import read_predictions
from transferlab.training import task
from transferlab.training.task import Task

pytestmark = pytest.mark.slow

CLASSES = ["stripes", "dots", "noise"]


@cache
def small_params() -> Params:
    few = ["seeds=[3,0]", "train.max_epochs=2", "dataset.textures.train_per_class=5"]
    return params_of(
        *few,
        "strategies.frozen.views=1",
        "strategies.frozen.lr=0.1",
        classes="[stripes,dots,noise]",
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as the training of every strategy leaves it."""
    params = small_params()
    root = prepare(tmp_path_factory.mktemp("trained"), params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        for name in params.strategies:
            train(root, name, params)
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    for folder in ("data", "models", "runs"):
        shutil.copytree(trained / folder, tmp_path / folder)
    return tmp_path


def probabilities(root: Path, name: str) -> np.ndarray:
    """[seeds, images, classes] as the table says."""
    rows = read_csv(root / f"predictions/{name}.csv")
    values = [[float(row[f"p_{label}"]) for label in CLASSES] for row in rows]
    return np.array(values).reshape(2, -1, len(CLASSES))


def whole_model(root: Path, name: str, seed: int) -> torch.nn.Sequential:
    """The model of a seed, put together by hand."""
    model = backbones.build("tiny", len(CLASSES))
    shape = head_shape(small_params().strategies[name])
    backbones.new_head(model, len(CLASSES), start="zero", seed=0, **shape)
    start = read_json(root / "data/weights/start.json")["sha256"]
    tensors = models.read(root / "data/weights/start.safetensors", start)
    models.overlay(
        model, {key: value for key, value in tensors.items() if not key.startswith("head.")}
    )
    fact = read_json(root / f"runs/{name}/facts.json")["seeds"][str(seed)]
    models.overlay(
        model, models.read(root / f"models/{name}/seed-{seed}.safetensors", fact["model_sha256"])
    )
    return model.eval()


def by_hand(root: Path, model: torch.nn.Sequential) -> np.ndarray:
    images = load_images(root / "data/processed/test", CLASSES)
    preprocessing = small_params().backbone.preprocessing
    with torch.no_grad():
        views = augment.test_view(images, range(len(images)), preprocessing)
        pixels = augment.normalise(augment.scaled(views, CPU.device), preprocessing)
        return np.asarray(model(pixels).softmax(1).numpy())


@pytest.mark.parametrize(
    "name", ["scratch", "frozen", "probe", "mlp_head", "partial", "wise_ft", "progressive"]
)
def test_table_has_a_row_for_every_seed_and_test_image(name: str, root: Path) -> None:
    evaluated(root, name, small_params())
    manifest = read_csv(root / "data/processed/test/manifest.csv")
    rows = read_csv(root / f"predictions/{name}.csv")
    assert list(rows[0]) == [
        "strategy",
        "seed",
        "id",
        "label",
        "predicted",
        "p_stripes",
        "p_dots",
        "p_noise",
    ]
    assert [(row["seed"], row["id"], row["label"]) for row in rows] == [
        (seed, item["id"], item["label"]) for seed in "03" for item in manifest
    ]
    assert {row["strategy"] for row in rows} == {name}
    table = probabilities(root, name)
    np.testing.assert_allclose(table.sum(-1), 1, atol=1e-6)
    assert [row["predicted"] for row in rows] == [
        CLASSES[i] for i in table.reshape(-1, 3).argmax(1)
    ]
    read_predictions(root / f"predictions/{name}.csv", CLASSES)  # and so it passes every check


@pytest.mark.parametrize(
    "name", ["scratch", "frozen", "probe", "mlp_head", "partial", "wise_ft", "progressive"]
)
def test_probabilities_are_those_of_the_whole_model(name: str, root: Path) -> None:
    evaluated(root, name, small_params())
    found = probabilities(root, name)
    for place, seed in enumerate((0, 3)):
        np.testing.assert_allclose(
            found[place], by_hand(root, whole_model(root, name, seed)), rtol=1e-4, atol=1e-6
        )


def observer(root: Path, name: str, cut: int, **engine: Any) -> Observer:
    params = small_params()
    params = replace(params, engine=replace(params.engine, **engine))
    return Observer(net=whole_model(root, name, 0).train(), cut=cut, setup=setup_of(params))


@pytest.mark.parametrize("memory_mb", [1, 100])
def test_evaluation_from_kept_features_equals_that_of_the_whole_model(
    memory_mb: int, root: Path
) -> None:
    images, model = (
        load_images(root / "data/processed/test", CLASSES),
        whole_model(root, "frozen", 0),
    )
    everything = np.arange(len(images))
    from_features = observer(root, "frozen", HEAD, memory_mb=memory_mb).predict(images, everything)
    from_pixels = observer(root, "frozen", 0).predict(images, everything)
    np.testing.assert_allclose(from_features, from_pixels, rtol=1e-5)
    np.testing.assert_allclose(from_pixels, by_hand(root, model.eval()), rtol=1e-5)


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_validation_table_holds_what_each_seed_set_aside(name: str, root: Path) -> None:
    evaluated(root, name, small_params())
    train = load_images(root / "data/processed/train", CLASSES)
    expected = [
        (str(seed), train.ids[row])
        for seed in (0, 3)
        for row in stratified_split(train.labels, 0.2, seed, "validation")[1]
    ]
    rows = read_csv(root / f"predictions/validation/{name}.csv")
    assert [(row["seed"], row["id"]) for row in rows] == expected
    facts = read_json(root / f"runs/{name}/facts.json")["seeds"]
    for seed in ("0", "3"):
        hits = [row["label"] == row["predicted"] for row in rows if row["seed"] == seed]
        assert np.mean(hits) == pytest.approx(facts[seed]["validation_accuracy"])
    read_predictions(root / f"predictions/validation/{name}.csv", CLASSES, same_images=False)


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_augmented_predictions_are_means_over_random_views_that_all_models_share(
    name: str, root: Path
) -> None:
    evaluated(root, name, small_params())
    images, params = load_images(root / "data/processed/test", CLASSES), small_params()
    everything, side = list(range(len(images))), params.backbone.preprocessing.crop_px
    seen = Views(
        images=images,
        preprocessing=params.backbone.preprocessing,
        ranges=params.train.augment,
        seed=TTA_SEED,
        side=side,
    )
    model = whole_model(root, name, 0)
    with torch.no_grad():
        views = [
            seen.finish(seen.crops(everything, view), everything, view, CPU.device)
            for view in range(5)
        ]
        expected = torch.stack([model(pixels).softmax(1) for pixels in views]).mean(0)
    np.testing.assert_allclose(
        probabilities(root, f"tta/{name}")[0], expected.numpy(), rtol=1e-4, atol=1e-6
    )


def test_without_augmented_views_their_table_has_no_rows(root: Path) -> None:
    params = small_params()
    evaluated(root, "probe", replace(params, evaluate=replace(params.evaluate, tta_views=0)))
    assert read_csv(root / "predictions/tta/probe.csv") == []
    assert read_predictions(root / "predictions/tta/probe.csv", CLASSES).empty


def test_pictures_hold_features_maps_and_views_of_the_first_seed(root: Path) -> None:
    for name in ("probe", "scratch"):
        evaluated(root, name, small_params())
    probe, tuned = (
        np.load(root / f"predictions/pictures/{name}.npz") for name in ("probe", "scratch")
    )
    assert {key: probe[key].shape for key in probe} == {
        "before": (9, 128),
        "after": (9, 128),
        "maps": (9, 2, 2),
        "views": (3, 1, 112, 112, 3),
    }
    assert tuned["views"].shape == (3, 8, 112, 112, 3)
    assert np.array_equal(probe["before"], probe["after"]) and np.array_equal(
        probe["before"], tuned["before"]
    )
    assert not np.array_equal(tuned["before"], tuned["after"])
    images = load_images(root / "data/processed/test", CLASSES)
    views = augment.test_view(images, range(9), small_params().backbone.preprocessing)
    pixels = augment.normalise(
        augment.scaled(views, CPU.device), small_params().backbone.preprocessing
    )
    with torch.no_grad():
        after = whole_model(root, "scratch", 0)[:HEAD](pixels)
    np.testing.assert_allclose(tuned["after"], after.numpy(), rtol=2e-3, atol=1e-3)


def test_of_many_test_images_some_are_looked_at_more_closely_and_all_are_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "predictions/pictures/scratch.npz"
    evaluated(root, "scratch", small_params())
    everything, lines = np.load(path), read_csv(root / "predictions/scratch.csv")
    monkeypatch.setattr(sample, "FIGURES", 3)
    monkeypatch.setattr(sample, "AUGMENTED", 5)
    evaluated(root, "scratch", small_params())
    some = np.load(path)
    for kept in ("before", "after", "maps"):
        np.testing.assert_allclose(some[kept], everything[kept][[0, 4, 8]], rtol=2e-3, atol=1e-3)
    ids = [line["id"] for line in lines[:9]]
    augmented = [line["id"] for line in read_csv(root / "predictions/tta/scratch.csv")]
    assert augmented == [ids[row] for row in (0, 2, 4, 6, 8)] * len(small_params().seeds)
    assert read_csv(root / "predictions/scratch.csv") == lines


@pytest.mark.parametrize("name", ["frozen", "finetune"])
def test_evaluating_twice_gives_the_same_bytes(name: str, root: Path) -> None:
    kinds = (".csv", "validation.csv", "tta.csv", "pictures.npz")
    tables = [f"predictions/{kind.replace('.', f'/{name}.')}".replace("//", "/") for kind in kinds]
    files = [root / table for table in tables]
    evaluated(root, name, small_params())
    before = [path.read_bytes() for path in files]
    shutil.rmtree(cache_folder("features"))
    evaluated(root, name, small_params())
    assert [path.read_bytes() for path in files] == before
    evaluated(root, name, small_params())
    assert [path.read_bytes() for path in files] == before


def test_features_of_the_test_images_are_computed_once_for_all_that_share_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(root, "probe", small_params())
    # test views of both splits, random ones of the test images
    tables = 2 + small_params().evaluate.tta_views
    assert len(list(cache_folder("features").iterdir())) == tables
    monkeypatch.setattr(Activations, "_all", lambda self, view: pytest.fail("computed again"))
    evaluated(root, "frozen", small_params())
    assert len(list(cache_folder("features").iterdir())) == tables


@pytest.mark.parametrize(
    "rates, start",
    [
        ({"head": 1.0, "stem": 1.0, "*": None}, "weights"),
        ({"head": None, "stage4": 1.0, "*": None}, "weights"),
        ({"head": 1.0, "*": None}, "random"),
    ],
    ids=["frozen between", "a frozen head", "random and frozen"],
)
def test_model_that_is_evaluated_is_the_one_that_was_trained(
    rates: dict[str, float | None], start: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = small_params()
    strategy = params.strategies["finetune"]
    assert isinstance(strategy, GradientStrategy)
    phases = {"only": replace(strategy.phases["all"], rates=rates)}
    changed = replace(strategy, phases=phases, start=start, head_start="random")  # type: ignore[arg-type]
    params = replace(params, strategies={"finetune": changed})
    ends: dict[int, torch.nn.Sequential] = {}
    learn = task.learn

    def watched(model: torch.nn.Sequential, task: Task, *rest: Any) -> Any:
        found = learn(model, task, *rest)
        ends[task.seed] = copy.deepcopy(model)  # the next seed writes over it
        return found

    monkeypatch.setattr(trainer, "learn", watched)
    train(root, "finetune", params)
    evaluated(root, "finetune", params)
    for found, seed in zip(probabilities(root, "finetune"), (0, 3), strict=True):
        np.testing.assert_allclose(found, by_hand(root, ends[seed].eval()), rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("section", ["strategy", "train", "seeds", "backbone", "engine"])
def test_model_that_was_trained_with_other_parameters_is_refused(section: str, root: Path) -> None:
    params = small_params()
    strategy = params.strategies["frozen"]
    assert isinstance(strategy, GradientStrategy)
    others = {
        "strategy": replace(
            params, strategies={**params.strategies, "frozen": replace(strategy, lr=0.42)}
        ),
        "train": replace(params, train=replace(params.train, batch_size=9)),
        "seeds": replace(params, seeds=(3, 0, 1)),
        "backbone": replace(params, backbone=replace(params.backbone, weights="official")),
        "engine": replace(params, engine=replace(params.engine, threads=2)),
    }
    with pytest.raises(
        ValueError,
        match=rf"runs/frozen/facts\.json: expected the {section} of params\.yaml.*train@frozen",
    ):
        evaluated(root, "frozen", others[section])
    assert not (root / "predictions").exists()


def test_facts_with_forged_parameters_are_refused(root: Path) -> None:
    facts = read_json(root / "runs/frozen/facts.json")
    facts["params"]["strategy"]["lr"] = 0.32
    write_json(root / "runs/frozen/facts.json", facts)
    with pytest.raises(ValueError, match="expected the strategy of params"):
        evaluated(root, "frozen", small_params())


def test_damaged_model_is_refused_and_an_earlier_table_stays(root: Path) -> None:
    evaluated(root, "frozen", small_params())
    before = file_hash(root / "predictions/frozen.csv")
    path = root / "models/frozen/seed-0.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(
        ValueError, match=r"seed-0\.safetensors: expected sha256 .*damaged or from another run"
    ):
        evaluated(root, "frozen", small_params())
    assert file_hash(root / "predictions/frozen.csv") == before


def test_models_of_other_classes_or_other_weights_are_refused(root: Path) -> None:
    classes = read_json(root / "data/processed/classes.json")
    write_json(
        root / "data/processed/classes.json", {**classes, "classes": ["noise", "dots", "stripes"]}
    )
    with pytest.raises(
        ValueError, match=r"runs/frozen: expected the classes and weights of data/.*dvc repro"
    ):
        evaluated(root, "frozen", small_params())
    write_json(root / "data/processed/classes.json", classes)
    start = read_json(root / "data/weights/start.json")
    write_json(root / "data/weights/start.json", {**start, "sha256": "0" * 64})
    with pytest.raises(ValueError, match="expected the classes and weights of data/"):
        evaluated(root, "frozen", small_params())


def test_model_of_another_network_is_refused(root: Path) -> None:
    path = root / "models/frozen/seed-0.safetensors"
    sha256 = models.save(
        {"head.0.weight": torch.zeros(2, 128), "head.0.bias": torch.zeros(2)}, path
    )
    facts = read_json(root / "runs/frozen/facts.json")
    facts["seeds"]["0"]["model_sha256"] = sha256
    write_json(root / "runs/frozen/facts.json", facts)
    with pytest.raises(
        ValueError, match=r"expected tensors of this backbone and these classes, got 'head\.0\."
    ):
        evaluated(root, "frozen", small_params())
