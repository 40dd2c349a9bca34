"""Other divisions of the images: nothing that is asked about was learnt from, by itself or by a
near-duplicate.
"""

import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import CPU, params_of, prepare

from transferlab.data.images import SPLITS, Images, load_images
from transferlab.data.splits import draw, near_duplicates
from transferlab.data.splits.folds import folds
from transferlab.experiments import cross_validation, learning_curve, trainer
from transferlab.experiments import trainings as trained
from transferlab.network import augment
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.whole import Params
from transferlab.pipeline.files import file_hash, read_csv, write_csv, write_json
from transferlab.pipeline.places import cache_folder
from transferlab.prediction.observer import Observer
from transferlab.prediction.reading import read_predictions
from transferlab.training import task
from transferlab.training.task import Log, Task

pytestmark = pytest.mark.slow

CLASSES = ["stripes", "dots"]
TRAIN, TEST = 16, 6  # images, half of them of each class
NEAR = [
    ("train/dots/000.png", "test/dots/000.png"),
    ("train/dots/000.png", "train/dots/003.png"),
    ("train/stripes/001.png", "test/dots/001.png"),
    ("train/stripes/005.png", "train/stripes/006.png"),
]
"""Declared to be near-duplicates: across splits, through a third, across classes."""


@cache
def small_params() -> Params:
    return params_of(
        *(
            "seeds=[3,0]",
            "train.max_epochs=1",
            "train.validation_fraction=0.25",
            "dataset.textures.train_per_class=8",
        ),
        *(
            "cross_validation.repeats=2",
            "cross_validation.folds=2",
            "learning_curve.fractions=[0.5,0.75]",
            "cross_validation.strategies=[probe,finetune]",
            "learning_curve.strategies=[probe,finetune]",
        ),
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepare(tmp_path_factory.mktemp("prepared"), small_params())
    lines = (
        dict.fromkeys(near_duplicates.COLUMNS, "") | {"id": first, "other": second}
        for first, second in NEAR
    )
    write_csv(root / "data/splits/near_duplicates.csv", near_duplicates.COLUMNS, lines)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared / "data", tmp_path / "data")
    return tmp_path


def joined(root: Path) -> trained.Joined:
    return trained.join(
        *(load_images(root / f"data/processed/{split}", CLASSES) for split in ("train", "test"))
    )


@dataclass(kw_only=True)
class Training:
    """What one training was given and what it answered."""

    seed: int
    fit: set[int]
    validation: set[int]
    start: dict[str, torch.Tensor]
    net: torch.nn.Sequential
    asked: list[int]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """All that run during the test, in order."""
    seen: list[Training] = []
    learn, predict = task.learn, Observer.predict

    def watched_learn(model: torch.nn.Sequential, task: Task, *rest: Any) -> Any:
        fit, validation = (set(rows.tolist()) for rows in task.rows)
        start = {key: value.clone() for key, value in model.state_dict().items()}
        seen.append(
            Training(
                seed=task.seed, fit=fit, validation=validation, start=start, net=model, asked=[]
            )
        )
        return learn(model, task, *rest)

    def watched_predict(
        observer: Observer, images: Images, rows: np.ndarray, views: int = 0
    ) -> np.ndarray:
        assert observer.net is seen[-1].net and not seen[-1].asked, (
            "each training is asked once, by its own network"
        )
        seen[-1].asked, seen[-1].net = rows.tolist(), deepcopy(observer.net)
        return predict(observer, images, rows, views)

    monkeypatch.setattr(trainer, "learn", watched_learn)
    monkeypatch.setattr(Observer, "predict", watched_predict)
    return seen


FUNCTIONS = {
    "cross_validation": cross_validation.cross_validate,
    "learning_curve": learning_curve.learning_curve,
}
"""Each by the folder that it writes to."""


def run(root: Path, kind: str, name: str, params: Params, log: Log) -> None:
    """Divide the images, with the near-duplicates as declared, and train."""
    splits, fraction = root / "data/splits", params.train.validation_fraction
    train, test = (load_images(root / f"data/processed/{part}", CLASSES) for part in SPLITS)
    alike = splits / "near_duplicates.csv"
    bonds = draw.read_bonds([train, test], alike, root / "data/processed/given.csv")
    draw.write_folds(splits / "folds.csv", [train, test], bonds, params.cross_validation, fraction)
    parts, seeds = params.learning_curve, params.seeds
    draw.write_parts(splits / "parts.csv", train, bonds, parts, seeds=seeds, fraction=fraction)
    FUNCTIONS[kind](root, recipe_of(params, name), "code", log)


def write(root: Path, kind: str, name: str, params: Params | None = None) -> list[dict[str, str]]:
    run(root, kind, name, params or small_params(), lambda row: None)
    return read_csv(root / f"predictions/{kind}/{name}.csv")


def cross_validate(root: Path, name: str, params: Params | None = None) -> list[dict[str, str]]:
    return write(root, "cross_validation", name, params)


def learning_curve(root: Path, name: str, params: Params | None = None) -> list[dict[str, str]]:
    return write(root, "learning_curve", name, params)


def probabilities(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row[f"p_{label}"]) for label in CLASSES] for row in rows])


@torch.no_grad()
def by_hand(net: torch.nn.Sequential, images: Images, rows: list[int]) -> np.ndarray:
    preprocessing = small_params().backbone.preprocessing
    pixels = augment.normalise(
        augment.scaled(augment.test_view(images, rows, preprocessing), CPU.device), preprocessing
    )
    return np.asarray(net.eval()(pixels).softmax(1).numpy())


def diverging() -> Params:
    params = small_params()
    strategy = replace(params.strategies["finetune"], lr=1e30)  # type: ignore[call-arg]
    return replace(params, strategies={**params.strategies, "finetune": strategy})


# ---------------------------------------------------------------- two splits as one


def test_joined_images_are_those_of_both_splits_in_order(root: Path) -> None:
    first, second = (
        load_images(root / f"data/processed/{split}", CLASSES) for split in ("train", "test")
    )
    both = trained.join(first, second)
    assert len(both) == TRAIN + TEST
    assert both.ids == first.ids + second.ids
    assert both.classes == first.classes
    assert both.labels.tolist() == first.labels.tolist() + second.labels.tolist()
    for index in (0, TRAIN - 1):
        np.testing.assert_array_equal(both[index], first[index])
    for index in (TRAIN, TRAIN + TEST - 1):
        np.testing.assert_array_equal(both[index], second[index - TRAIN])
    assert (both[TRAIN - 1] != both[TRAIN]).any()


def test_joined_images_have_a_digest_of_both_and_their_order(root: Path) -> None:
    first, second = (
        load_images(root / f"data/processed/{split}", CLASSES) for split in ("train", "test")
    )
    digests = {
        pair: trained.join(*pair).digest
        for pair in ((first, second), (second, first), (first, first))
    }
    assert len({*digests.values(), first.digest, second.digest}) == 5
    assert trained.join(first, second).digest == digests[first, second]


# ---------------------------------------------------------------- folds


def grouped() -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of 90 images of three classes of different sizes, in groups of one to four
    of one class.
    """
    chance = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [50, 25, 15])
    groups = np.concatenate(
        [label * 100 + chance.integers(0, n // 2, n) for label, n in enumerate((50, 25, 15))]
    )
    order = chance.permutation(90)
    return labels[order], np.unique(groups, return_inverse=True)[1][order]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folds_part_the_images_and_divide_no_group(seed: int) -> None:
    labels, groups = grouped()
    fold_of = folds(labels, groups, 4, seed)
    assert fold_of.shape == (90,) and set(fold_of.tolist()) == {0, 1, 2, 3}
    assert max(np.bincount(groups)) > 2
    assert all(len(set(fold_of[groups == group].tolist())) == 1 for group in np.unique(groups))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_is_spread_as_evenly_as_its_groups_allow(seed: int) -> None:
    labels, groups = grouped()
    fold_of = folds(labels, groups, 4, seed)
    for label in range(3):
        counts = np.bincount(fold_of[labels == label], minlength=4)
        assert np.ptp(counts) <= np.bincount(groups[labels == label]).max()
    alone = folds(labels, np.arange(90), 4, seed)
    for label in range(3):
        assert np.ptp(np.bincount(alone[labels == label], minlength=4)) <= 1


def test_folds_depend_on_the_seed_alone() -> None:
    labels, groups = grouped()
    first, same, other = (folds(labels, groups, 4, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_more_folds_than_a_class_has_images_that_differ_are_refused() -> None:
    labels, groups = np.array([0] * 5 + [1] * 4), np.array([0, 1, 2, 3, 4, 5, 5, 6, 7])
    assert set(folds(labels, groups, 3, 0)[labels == 1].tolist()) == {0, 1, 2}
    message = (
        r"cross_validation\.folds: expected at most 3, what the smallest class has .*, got "
        r"4\. Use fewer folds"
    )
    with pytest.raises(ValueError, match=message):
        folds(labels, groups, 4, 0)


# ---------------------------------------------------------------- cross-validation


@pytest.mark.parametrize("name", ["probe", "finetune"])
def test_every_image_is_predicted_once_per_repeat_by_a_network_that_never_saw_it(
    name: str, root: Path, trainings: list[Training]
) -> None:
    rows, images = cross_validate(root, name), joined(root)
    assert [training.seed for training in trainings] == [0, 0, 1, 1]
    for repeat in (0, 1):
        halves = [training for training in trainings if training.seed == repeat]
        assert sorted(halves[0].asked + halves[1].asked) == list(range(TRAIN + TEST))
        table = rows[repeat * len(images) : (repeat + 1) * len(images)]
        assert [(row["seed"], row["id"]) for row in table] == [
            (str(repeat), id) for id in images.ids
        ]
        for half in halves:
            parts = [half.fit, half.validation, set(half.asked)]
            assert set.union(*parts) == set(range(TRAIN + TEST))
            assert sum(map(len, parts)) == TRAIN + TEST, "none is in two of them"
            assert all({images.labels[row] for row in part} == {0, 1} for part in parts)
            found = probabilities(table)[half.asked]
            np.testing.assert_allclose(
                found, by_hand(half.net, images, half.asked), rtol=1e-4, atol=1e-6
            )
    assert sorted(trainings[0].asked) not in (
        sorted(trainings[2].asked),
        sorted(trainings[3].asked),
    )


def test_near_duplicates_stay_on_one_side_of_every_division(
    root: Path, trainings: list[Training]
) -> None:
    params = small_params()
    params = replace(params, cross_validation=replace(params.cross_validation, repeats=6))
    cross_validate(root, "probe", params)
    place = {id: row for row, id in enumerate(joined(root).ids)}
    assert len(trainings) == 12
    for training in trainings:
        sides = [training.fit, training.validation, set(training.asked)]
        for first, second in NEAR:
            assert [place[first] in side for side in sides] == [
                place[second] in side for side in sides
            ]


@pytest.mark.parametrize("kind, trained", [("cross_validation", 4), ("learning_curve", 4)])
def test_every_training_starts_from_the_same_weights(
    kind: str, trained: int, root: Path, trainings: list[Training]
) -> None:
    write(root, kind, "finetune")
    assert len(trainings) == trained
    for key, value in trainings[0].start.items():
        assert all(torch.equal(training.start[key], value) for training in trainings)
    ends = {
        training.net.get_parameter("head.0.weight").detach().numpy().tobytes()
        for training in trainings
    }
    assert len(ends) == trained, "and each learns something else"


# ---------------------------------------------------------------- parts of the training images


@pytest.mark.parametrize("name", ["probe", "finetune"])
def test_parts_of_the_training_images_predict_the_test_images(
    name: str, root: Path, trainings: list[Training]
) -> None:
    rows, images = learning_curve(root, name), joined(root)
    expected = [
        (fraction, count, seed)
        for fraction, count in (("0.5", "8"), ("0.75", "12"))
        for seed in "30"
    ]
    assert [(row["fraction"], row["images"], row["seed"], row["id"]) for row in rows] == [
        (*run, id) for run in expected for id in images.ids[TRAIN:]
    ]
    assert len(trainings) == 4
    for place, training in enumerate(trainings):
        assert training.seed == int(expected[place][2])
        part = training.fit | training.validation
        assert len(part) == len(training.fit) + len(training.validation) == int(expected[place][1])
        assert np.bincount(images.labels[sorted(part)]).tolist() == [len(part) / 2] * 2, (
            "half of each class"
        )
        assert {images.labels[row] for row in training.validation} == {0, 1}
        assert max(part) < TRAIN
        assert training.asked == list(range(TRAIN, TRAIN + TEST))
        found = probabilities(rows[place * TEST : (place + 1) * TEST])
        np.testing.assert_allclose(
            found, by_hand(training.net, images, training.asked), rtol=1e-4, atol=1e-6
        )


def test_larger_parts_hold_the_smaller_ones_of_their_seed(
    root: Path, trainings: list[Training]
) -> None:
    params = small_params()
    fractions = replace(params.learning_curve, fractions=(0.75, 0.375, 0.5))
    learning_curve(root, "finetune", replace(params, learning_curve=fractions))
    parts = {
        seed: sorted((t.fit | t.validation for t in trainings if t.seed == seed), key=len)
        for seed in (0, 3)
    }
    for small, middle, large in parts.values():
        assert small < middle < large
        for part, count in ((small, 6), (middle, 8), (large, 12)):
            assert count <= len(part) <= count + 2, "a whole group may come with the last image"
    assert parts[0][1] != parts[3][1]


# ---------------------------------------------------------------- the files


PREDICTIONS = ["strategy", "seed", "id", "label", "predicted", "p_stripes", "p_dots"]


@pytest.mark.parametrize(
    "kind, before", [("cross_validation", []), ("learning_curve", ["fraction", "images"])]
)
def test_tables_have_the_columns_of_predictions(kind: str, before: list[str], root: Path) -> None:
    rows = write(root, kind, "probe")
    assert list(rows[0]) == [*before, *PREDICTIONS]
    assert {row["strategy"] for row in rows} == {"probe"}
    labels = dict(zip(joined(root).ids, joined(root).labels, strict=True))
    assert all(row["label"] == CLASSES[labels[row["id"]]] for row in rows)
    assert [row["predicted"] for row in rows] == [CLASSES[i] for i in probabilities(rows).argmax(1)]


def test_cross_validated_predictions_are_read_as_any_others(root: Path) -> None:
    cross_validate(root, "probe")
    table = read_predictions(root / "predictions/cross_validation/probe.csv", CLASSES)
    assert len(table) == 2 * (TRAIN + TEST)


@pytest.mark.parametrize("name", ["probe", "finetune"])
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_writing_twice_gives_the_same_bytes(kind: str, name: str, root: Path) -> None:
    write(root, kind, name)
    path = root / f"predictions/{kind}/{name}.csv"
    before = path.read_bytes()
    shutil.rmtree(cache_folder("features"))
    shutil.rmtree(cache_folder("resume"))
    write(root, kind, name)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_killed_run_goes_on_and_a_finished_one_is_not_repeated(kind: str, root: Path) -> None:
    heard: list[Mapping[str, Any]] = []

    def killed(row: Mapping[str, Any]) -> None:
        heard.append(row)
        if len(heard) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(root, kind, "finetune", small_params(), killed)
    assert not (root / "predictions").exists(), "nothing half-written"
    rows = write(root, kind, "finetune")
    again: list[Mapping[str, Any]] = []
    run(root, kind, "finetune", small_params(), again.append)
    assert not again
    result = root / f"predictions/{kind}/finetune.csv"
    assert read_csv(result) == rows
    waiting = list(cache_folder("resume").glob("*.result"))
    assert len(waiting) == len(list(cache_folder("resume").glob("*[0-9a-f].pt")))
    assert {path.read_text() for path in waiting} == {file_hash(result, "md5")}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_diverged_training_stops_and_an_earlier_table_stays(kind: str, root: Path) -> None:
    message = r"finetune: expected losses that are numbers, got one in epoch 1 that is none"
    with pytest.raises(ValueError, match=message):
        write(root, kind, "finetune", diverging())
    assert not (root / "predictions").exists()
    write(root, kind, "finetune")
    before = (root / f"predictions/{kind}/finetune.csv").read_bytes()
    with pytest.raises(ValueError, match=message):
        write(root, kind, "finetune", diverging())
    assert (root / f"predictions/{kind}/finetune.csv").read_bytes() == before


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_damaged_starting_weights_are_refused(kind: str, root: Path) -> None:
    write_json(root / "data/weights/start.json", {"sha256": "0" * 64})
    with pytest.raises(ValueError, match=r"start\.safetensors: expected sha256 .*damaged"):
        write(root, kind, "probe")
    assert not (root / "predictions").exists()
