"""Predictions tables to numbers."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax  # type: ignore[import-untyped]
from scipy.stats import binomtest, t  # type: ignore[import-untyped]
from sklearn import metrics as sklearn_metrics  # type: ignore[import-untyped]

from transferlab.evidence import intervals, measures, numbers
from transferlab.evidence.class_means import F1, RECALL, interval
from transferlab.evidence.numbers import (
    control_numbers,
    details,
    finished,
    status,
    summarise,
)
from transferlab.evidence.records import Measured, Measures
from transferlab.evidence.temperature import TEMPERATURES, fit_temperature, rescaled, temperature_of
from transferlab.prediction.reading import confusion_counts, read_predictions, seed_accuracies

CLASSES = ("ants", "bees")
ACCURACY = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_sd",
    "accuracy_seeds_low",
    "accuracy_seeds_high",
)
DESCRIPTION = ("seeds", "images", "operations", "train_seconds", "trainable_parameters", "status")
HEADER = "strategy,seed,id,label,predicted,p_ants,p_bees"


def rows(*right: str, strategy: str = "frozen") -> list[str]:
    """One seed per word; `1` is an image that was recognised, `0` one that was not."""
    cells = {"1": "ants,0.75,0.25", "0": "bees,0.25,0.75"}
    return [
        f"{strategy},{seed},test/{image}.jpg,ants,{cells[hit]}"
        for seed, word in enumerate(right)
        for image, hit in enumerate(word)
    ]


def table(
    tmp_path: Path, *lines: str, name: str = "frozen", classes: tuple[str, ...] = CLASSES
) -> pd.DataFrame:
    path = tmp_path / f"{name}.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return read_predictions(path, classes)


def facts(*diverged: int | None, lr: float = 0.01) -> dict[str, Any]:
    """One seed per argument: the epoch at which it diverged, or None."""
    seeds = {
        str(seed): {
            "status": "finished" if epoch is None else "diverged",
            "diverged_epoch": epoch,
            "validation_accuracy": 0.9 + 0.02 * seed,
            "validation_loss": 0.3,
            "operations": 10**9,
        }
        for seed, epoch in enumerate(diverged)
    }
    return {"seeds": seeds, "trainable_parameters": 1026, "params": {"strategy": {"lr": lr}}}


def summary(
    tables: dict[str, pd.DataFrame], of: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    of = of or {name: facts(*[None] * some["seed"].nunique()) for name, some in tables.items()}
    numbers = numbers_of(finished(tables, of))
    return summarise(tables, of, {name: {"train_seconds": 2.5} for name in tables}, numbers)


def numbers_of(tables: dict[str, pd.DataFrame], **others: Any) -> dict[str, dict[str, Any]]:
    arguments = {"confidence": 0.95, "resamples": 200, "bins": 10, **others}
    return details(
        tables, tables, {name: some.head(0) for name, some in tables.items()}, **arguments
    )


def test_a_good_table_is_read_with_numbers_as_numbers(tmp_path: Path) -> None:
    read = table(tmp_path, *rows("10", "11"))
    assert read["seed"].tolist() == [0, 0, 1, 1]
    assert read["p_ants"].tolist() == [0.75, 0.25, 0.75, 0.75]
    assert read["id"].tolist() == ["test/0.jpg", "test/1.jpg"] * 2


def test_a_class_called_na_stays_a_name(tmp_path: Path) -> None:
    path = tmp_path / "frozen.csv"
    path.write_text(
        'strategy,seed,id,label,predicted,p_NA,"p_a,b"\nfrozen,0,x,NA,"a,b",0.5,0.5\n',
        encoding="utf-8",
    )
    assert read_predictions(path, ("NA", "a,b"))["label"].tolist() == ["NA"]


def test_a_table_without_rows_is_allowed(tmp_path: Path) -> None:
    assert table(tmp_path).empty


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "probe,0,x,ants,ants,0.75,0.25",
            r"frozen.csv, line 4 \(seed 0, x\): expected strategy frozen, got 'probe'",
        ),
        ("frozen,one,x,ants,ants,0.75,0.25", "expected a whole number as seed, got 'one'"),
        ("frozen,0,x,wasps,ants,0.75,0.25", r"expected a label in \['ants', 'bees'\], got 'wasps'"),
        ("frozen,0,x,ants,,0.75,0.25", "expected a predicted in .*, got ''"),
        ("frozen,0,x,ants,ants,nan,0.25", "expected a probability in p_ants, got 'nan'"),
        ("frozen,0,x,ants,ants,1.25,-0.25", "expected a probability in p_ants, got '1.25'"),
        ("frozen,0,x,ants,ants,0.75,0.2", "expected probabilities that sum to 1, got 0.95"),
        (
            "frozen,0,x,ants,bees,0.75,0.25",
            "expected the most probable class as predicted, got 'bees'",
        ),
        (
            "frozen,0,test/0.jpg,ants,ants,0.75,0.25",
            "expected every id once per seed, got 'test/0.jpg'",
        ),
        (
            "frozen,1,x,ants,ants,0.75,0.25",
            "same order for every seed, got others for seed 1 than for seed 0",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_to_run(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message + r".*dvc repro -f -s evaluate@frozen"):
        table(tmp_path, *rows("10"), line)


def test_every_seed_may_have_its_own_validation_images(tmp_path: Path) -> None:
    lines = [
        *rows("10"),
        *(line.replace("frozen,0,test", "frozen,1,train") for line in rows("111")),
    ]
    path = tmp_path / "frozen.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    assert len(read_predictions(path, CLASSES, same_images=False)) == 5
    path.write_text("\n".join([HEADER, *lines, lines[-1]]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected every id once per seed"):
        read_predictions(path, CLASSES, same_images=False)


def test_columns_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"expected the columns .*p_ants, p_wasps, got .*p_ants, p_bees"
    ):
        table(tmp_path, *rows("1"), classes=("ants", "wasps"))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 7), (1, 7), (7, 7), (146, 153), (77, 153), (1, 1)]
)
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    expected = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert intervals.wilson(successes, n, confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_wilson_by_hand() -> None:
    # With z = 1.96 and no success of n, the upper end is z^2 / (n + z^2).
    low, high = intervals.wilson(0, 10, 0.95)
    assert low == 0
    assert high == pytest.approx(3.8416 / 13.8416, abs=1e-4)
    assert intervals.wilson(0.95 * 153, 153, 0.95) == pytest.approx((0.903, 0.975), abs=5e-4)


@pytest.mark.parametrize(
    ("successes", "n", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1)]
)
def test_wilson_refuses_what_is_no_share(successes: float, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        intervals.wilson(successes, n, confidence)


def test_accuracy_is_the_mean_over_seeds_and_its_intervals_count_images_and_seeds(
    tmp_path: Path,
) -> None:
    row = summary({"frozen": table(tmp_path, *rows("1110", "1100"))})["frozen"]
    low, high = intervals.wilson(2.5, 4, 0.95)
    assert list(row) == [*Measures.__annotations__, *DESCRIPTION]
    assert {
        key: row[key] for key in (*ACCURACY, *DESCRIPTION, "validation_accuracy", "tta_accuracy")
    } == {
        "accuracy": 0.625,
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_sd": pytest.approx(0.125 * 2**0.5),
        # Student's with one degree of freedom, 0.625 -+ 12.7 * 0.125, is cut
        "accuracy_seeds_low": 0,
        "accuracy_seeds_high": 1,
        "seeds": 2,
        "images": 4,
        "operations": 2 * 10**9,
        "train_seconds": 2.5,
        "trainable_parameters": 1026,
        "status": "finished",
        "validation_accuracy": pytest.approx(0.91),
        "tta_accuracy": None,
    }
    json.dumps(row, allow_nan=False)


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    row = summary({"frozen": table(tmp_path, *rows("10"))})["frozen"]
    assert [row[key] for key in ("accuracy_sd", "accuracy_seeds_low", "accuracy_seeds_high")] == [
        None
    ] * 3


def test_the_order_of_the_strategies_is_kept(tmp_path: Path) -> None:
    tables = {
        name: table(tmp_path, *rows("10", strategy=name), name=name)
        for name in ("probe", "frozen", "all")
    }
    assert list(summary(tables)) == ["probe", "frozen", "all"]


@pytest.mark.parametrize("predicted", [rows("10"), rows("10", "11"), []])
def test_a_diverged_strategy_has_a_status_and_no_numbers(
    tmp_path: Path, predicted: list[str]
) -> None:
    of = facts(None if predicted else 1, 2)
    row = summary({"frozen": table(tmp_path, *predicted)}, {"frozen": of})["frozen"]
    assert {row[key] for key in Measures.__annotations__} == {None}
    assert "epoch 2 (seed 1, lr 0.01)" in row["status"]


def test_every_diverged_seed_is_named() -> None:
    assert status(facts(2, None)) == "diverged at epoch 2 (seed 0, lr 0.01)"
    assert status(facts(2, 3)) == "diverged at epoch 2 (seed 0, lr 0.01), epoch 3 (seed 1, lr 0.01)"


@pytest.mark.parametrize("trained", [1, 3])
def test_seeds_that_were_not_trained_or_not_evaluated_are_refused(
    tmp_path: Path, trained: int
) -> None:
    with pytest.raises(
        ValueError, match=r"frozen.csv: expected the seeds that were trained, .*, got \[0, 1\]"
    ):
        summary(
            {"frozen": table(tmp_path, *rows("10", "11"))}, {"frozen": facts(*[None] * trained)}
        )


def test_tables_of_different_images_are_refused(tmp_path: Path) -> None:
    tables = {
        "frozen": table(tmp_path, *rows("10")),
        "b": table(tmp_path, *rows("101", strategy="b"), name="b"),
    }
    with pytest.raises(
        ValueError,
        match=r"of b: expected the images of frozen in their order, got 'test/2.jpg' in one of",
    ):
        summary(tables)


def test_tables_in_another_order_are_refused(tmp_path: Path) -> None:
    other = reversed(rows("10", strategy="b"))
    with pytest.raises(
        ValueError, match=r"of b: expected the images of frozen .*, got another order"
    ):
        summary({"frozen": table(tmp_path, *rows("10")), "b": table(tmp_path, *other, name="b")})


def test_confusion_counts_pairs_per_seed(tmp_path: Path) -> None:
    counts = confusion_counts(table(tmp_path, *rows("110", "111")))
    assert counts.to_dict("split")["data"] == [
        [0, "ants", "ants", 2],
        [0, "ants", "bees", 1],
        [1, "ants", "ants", 3],
    ]


def test_a_table_without_rows_has_no_confusion(tmp_path: Path) -> None:
    assert confusion_counts(table(tmp_path)).empty
    assert seed_accuracies(table(tmp_path)) == {}


# ---------------------------------------------------------------- measures


def given(labels: list[int], *probabilities: list[list[float]]) -> measures.Outcomes:
    """One seed per table of probabilities."""
    chances = np.array(probabilities)
    return measures.Outcomes(
        classes=tuple(f"class_{place}" for place in range(chances.shape[2])),
        seeds=tuple(range(len(chances))),
        labels=np.array(labels),
        predicted=chances.argmax(axis=2),
        probabilities=chances,
    )


def drawn(classes: int, *, seeds: int = 3, images: int = 60, digits: int = 15) -> measures.Outcomes:
    """Predictions that are right more often than not; few digits give many equal scores."""
    chance = np.random.default_rng(classes)
    labels = chance.integers(classes, size=images)
    logits = chance.normal(size=(seeds, images, classes)) + np.eye(classes)[labels]
    return given(labels.tolist(), *np.round(softmax(logits, axis=2), digits).tolist())


def as_table(some: measures.Outcomes, name: str = "frozen") -> pd.DataFrame:
    images = len(some.labels)
    return pd.concat(
        pd.DataFrame(
            {
                "strategy": name,
                "seed": seed,
                "id": [f"{image}.jpg" for image in range(images)],
                "label": np.array(some.classes)[some.labels],
                "predicted": np.array(some.classes)[some.predicted[row]],
                **{
                    f"p_{label}": some.probabilities[row, :, place]
                    for place, label in enumerate(some.classes)
                },
            }
        )
        for row, seed in enumerate(some.seeds)
    )


def ones(some: measures.Outcomes) -> np.ndarray:
    return np.ones((1, len(some.labels)))


def some_weights(images: int) -> np.ndarray:
    return next(intervals.resampled(images, 6))


BY_HAND = given([0, 1, 2, 2], [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.2, 0.6, 0.2], [0.0, 0.1, 0.9]])


def test_a_table_as_arrays_and_back() -> None:
    some = drawn(3)
    found = measures.outcomes(
        as_table(some).sample(frac=1, random_state=0).sort_values(["id"], kind="stable")
    )
    order = np.argsort([f"{image}.jpg" for image in range(60)])
    assert (found.classes, found.seeds) == (some.classes, some.seeds)
    np.testing.assert_array_equal(found.labels, some.labels[order])
    np.testing.assert_array_equal(found.probabilities, some.probabilities[:, order])
    np.testing.assert_array_equal(found.right, some.right[:, order])


def test_a_table_without_rows_is_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a table with rows, got none"):
        measures.outcomes(table(tmp_path))


def test_likelihood_brier_and_accuracy_by_hand() -> None:
    assert measures.accuracy(BY_HAND, ones(BY_HAND)) == pytest.approx(0.75)
    nll = -(math.log(0.7) + math.log(0.5) + math.log(0.2) + math.log(0.9)) / 4
    assert measures.negative_log_likelihood(BY_HAND, ones(BY_HAND)) == pytest.approx(nll)
    brier = (0.09 + 0.04 + 0.01 + 0.01 + 0.25 + 0.16 + 0.04 + 0.36 + 0.64 + 0 + 0.01 + 0.01) / 4
    assert measures.brier(BY_HAND, ones(BY_HAND)) == pytest.approx(brier)


def test_a_certain_mistake_costs_no_more_than_the_clip_allows() -> None:
    some = given([0], [[0.0, 1.0]])
    assert measures.negative_log_likelihood(some, ones(some)) == pytest.approx(12 * math.log(10))
    assert measures.brier(some, ones(some)) == pytest.approx(2)


def test_calibration_error_by_hand() -> None:
    # Two bins (0, 0.5] and (0.5, 1]: 0.5 is right; 0.7, 0.6 and 0.9 are right, wrong, right.
    expected = (abs(0.5 - 1) + abs((0.7 + 0.6 + 0.9) - 2)) / 4
    assert measures.calibration_error(BY_HAND, ones(BY_HAND), bins=2) == pytest.approx(expected)
    assert measures.reliability(BY_HAND, 2) == [
        {"low": 0, "high": 0.5, "images": 1, "confidence": 0.5, "accuracy": 1},
        {
            "low": 0.5,
            "high": 1,
            "images": 3,
            "confidence": pytest.approx(2.2 / 3),
            "accuracy": pytest.approx(2 / 3),
        },
    ]


def test_reliability_pools_seeds_counts_images_per_seed_and_leaves_empty_bins_open() -> None:
    some = drawn(4, seeds=2)
    bins = measures.reliability(some, 10)
    assert sum(row["images"] or 0 for row in bins) == 60
    assert bins[0] == {"low": 0, "high": 0.1, "images": 0, "confidence": None, "accuracy": None}


@pytest.mark.slow
@pytest.mark.parametrize("digits", [15, 1])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_likelihood_f1_and_area_agree_with_scikit_learn_for_any_weights(
    classes: int, digits: int
) -> None:
    some = drawn(classes, digits=digits)
    weights = some_weights(60)
    found = {
        measure: getattr(measures, measure)(some, weights)
        for measure in ("macro_f1", "auroc", "negative_log_likelihood")
    }
    for (sample, seed), f1 in np.ndenumerate(found["macro_f1"]):
        truth, chances, weight = some.labels, some.probabilities[seed], weights[sample]
        expected = sklearn_metrics.f1_score(
            truth, some.predicted[seed], average="macro", sample_weight=weight, zero_division=0
        )
        assert f1 == pytest.approx(expected)
        areas = [
            sklearn_metrics.roc_auc_score(truth == place, chances[:, place], sample_weight=weight)
            for place in (range(classes) if classes > 2 else [1])
        ]
        assert found["auroc"][sample, seed] == pytest.approx(np.mean(areas))
        if digits > 1:
            loss = sklearn_metrics.log_loss(truth, chances, sample_weight=weight)
            assert found["negative_log_likelihood"][sample, seed] == pytest.approx(loss)


def test_area_agrees_with_scikit_learns_one_against_the_rest() -> None:
    some = drawn(4, seeds=1)
    expected = sklearn_metrics.roc_auc_score(
        some.labels, some.probabilities[0], multi_class="ovr", average="macro"
    )
    assert measures.auroc(some, ones(some)) == pytest.approx(expected)


def test_scores_that_are_all_equal_have_half_the_area() -> None:
    some = given([0, 1, 0], [[0.5, 0.5]] * 3)
    assert measures.auroc(some, ones(some)) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_balanced_accuracy_is_scikit_learns_for_any_weights(seed: int) -> None:
    some, chance = drawn(3), np.random.default_rng(seed)
    weights = chance.integers(0, 4, size=(1, len(some.labels))).astype(float)
    found = measures.balanced_accuracy(some, weights)[0]
    for place, predicted in enumerate(some.predicted):
        expected = sklearn_metrics.balanced_accuracy_score(
            some.labels, predicted, sample_weight=weights[0]
        )
        assert found[place] == pytest.approx(expected)


def test_confusions_are_counted_per_seed_with_the_most_frequent_first() -> None:
    some = drawn(3)
    found = measures.confusions(some, 100)
    counts = np.zeros((3, 3))
    for predicted in some.predicted:
        np.add.at(counts, (some.labels, predicted), 1)
    np.fill_diagonal(counts, 0)
    assert sum(pair["images"] for pair in found) == counts.sum() / len(some.seeds)
    images = [pair["images"] for pair in found]
    assert images == sorted(images, reverse=True) and len(found) == (counts > 0).sum()
    first, names = found[0], list(some.classes)
    place = names.index(first["actual"]), names.index(first["predicted"])
    assert first["images"] * len(some.seeds) == counts[place] == counts.max()
    assert measures.confusions(some, 2) == found[:2]


def test_a_class_that_a_resample_loses_is_left_out_of_the_means() -> None:
    without_first = np.array([[0.0, 1, 1, 1]])
    rest = given([1, 2, 2], BY_HAND.probabilities[0, 1:].tolist())
    assert measures.macro_f1(BY_HAND, without_first) == pytest.approx(
        measures.macro_f1(rest, ones(rest))
    )
    assert measures.auroc(BY_HAND, without_first) == pytest.approx(measures.auroc(rest, ones(rest)))


def test_one_class_alone_has_no_area_and_no_nan_reaches_json() -> None:
    some = given([0, 0, 0], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    assert np.isnan(measures.auroc(some, ones(some))).all()
    record = numbers_of({"frozen": as_table(some)})["frozen"]
    json.dumps(record, allow_nan=False)
    assert set(record["measures"]["auroc"].values()) == {None}
    assert record["classes"]["class_1"] == {"precision": 0, "recall": None, "f1": 0, "support": 0}


def test_a_class_that_some_resamples_lose_still_gets_an_interval() -> None:
    some = given([0, 0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.5, 0.5]])
    area = numbers_of({"frozen": as_table(some)})["frozen"]["measures"]["auroc"]
    assert area["mean"] == pytest.approx(2 / 3)
    assert 0 <= area["images_low"] <= area["mean"] <= area["images_high"] <= 1


@pytest.mark.parametrize("classes", [2, 4])
def test_the_class_report_is_scikit_learns_averaged_over_seeds(classes: int) -> None:
    some = drawn(classes)
    expected = np.mean(
        [
            sklearn_metrics.precision_recall_fscore_support(
                some.labels, predicted, zero_division=np.nan
            )
            for predicted in some.predicted
        ],
        axis=0,
    )
    found = measures.class_report(some)
    assert list(found) == list(some.classes)
    for place, row in enumerate(found.values()):
        assert list(row) == ["precision", "recall", "f1", "support"]
        assert list(row.values()) == pytest.approx(expected[:, place].tolist())


# ---------------------------------------------------------------- temperature


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(classes: int, temperature: float) -> None:
    chance = np.random.default_rng(0)
    honest = softmax(2 * chance.normal(size=(20_000, classes)), axis=1)
    labels = (honest.cumsum(axis=1) < chance.random((20_000, 1))).sum(axis=1)
    told = rescaled(honest, 1 / temperature)
    assert fit_temperature(told, labels) == pytest.approx(temperature, rel=0.04)


def test_the_temperature_stays_within_its_bounds() -> None:
    faultless = np.array([[0.9, 0.1], [0.2, 0.8]])
    low, high = TEMPERATURES
    assert fit_temperature(faultless, np.array([0, 1])) == pytest.approx(low, rel=1e-3)
    assert fit_temperature(faultless, np.array([1, 0])) == pytest.approx(high, rel=1e-3)


def test_temperature_one_changes_no_probability_and_none_changes_the_class() -> None:
    some = drawn(4)
    np.testing.assert_allclose(rescaled(some.probabilities, 1), some.probabilities, atol=1e-10)
    for temperature in (0.05, 0.5, 3, 20):
        np.testing.assert_array_equal(
            rescaled(some.probabilities, temperature).argmax(axis=2),
            some.probabilities.argmax(axis=2),
        )


def test_scaling_is_dividing_the_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        rescaled(softmax(logits, axis=1), 2.5), softmax(logits / 2.5, axis=1), atol=1e-10
    )


def test_the_temperature_is_fitted_on_the_validation_images_of_all_seeds_together() -> None:
    some = drawn(3, seeds=2)
    own = drawn(3, seeds=3, images=40)
    chances, labels = own.probabilities[:2].reshape(80, 3), np.tile(own.labels, 2)
    found = temperature_of("frozen", as_table(own), some.seeds)
    assert found == pytest.approx(fit_temperature(chances, labels), rel=1e-6)
    with pytest.raises(
        ValueError, match=r"validation/frozen.csv: expected the seeds \[0, 1, 5\], got \[0, 1, 2\]"
    ):
        temperature_of("frozen", as_table(own), [0, 1, 5])


def test_faultless_validation_images_fit_no_temperature() -> None:
    faultless = given([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    assert temperature_of("frozen", as_table(faultless), [0]) == 1


def test_scaling_with_the_own_images_lowers_their_loss() -> None:
    sure = drawn(3, images=200)
    wild = given(sure.labels.tolist(), *rescaled(sure.probabilities, 0.3).tolist())
    measures = numbers_of({"frozen": as_table(wild)})["frozen"]["measures"]
    assert measures["nll_scaled"]["mean"] < measures["nll"]["mean"]
    assert measures["ece_scaled"]["mean"] < measures["ece"]["mean"]


# ---------------------------------------------------------------- intervals and records


def test_resamples_are_counts_that_sum_to_the_images_and_are_always_the_same() -> None:
    first, again = (np.concatenate(list(intervals.resampled(7, 500))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (500, 7)
    assert set(first.sum(axis=1)) == {7}
    assert first.var() == pytest.approx(6 / 7, rel=0.1)


def test_many_images_come_in_chunks_of_bounded_size() -> None:
    shapes = [chunk.shape for chunk in intervals.resampled(20_000, 250)]
    assert shapes == [(100, 20_000), (100, 20_000), (50, 20_000)]


def test_the_interval_over_images_is_a_bootstrap_of_the_mean_over_seeds() -> None:
    some = drawn(3)
    record = numbers_of({"frozen": as_table(some)}, resamples=1000)["frozen"]["measures"]["brier"]
    each = ((some.probabilities - np.eye(3)[some.labels]) ** 2).sum(axis=2).mean(axis=0)
    half = 1.96 * each.std() / 60**0.5
    assert record["mean"] == pytest.approx(each.mean())
    assert [record["images_low"], record["images_high"]] == pytest.approx(
        [each.mean() - half, each.mean() + half], abs=0.1 * half
    )


def test_means_over_classes_are_unsure_of_a_class_with_few_images_though_none_is_wrong() -> None:
    some = given([0] * 8 + [1] * 2, [[0.9, 0.1]] * 8 + [[0.2, 0.8]] * 2)
    record = numbers_of({"frozen": as_table(some)})["frozen"]["measures"]
    for name, images, score in (("balanced_accuracy", [8, 2], RECALL), ("macro_f1", [16, 4], F1)):
        found = record[name]["images_low"], record[name]["images_high"]
        assert found == interval(1, np.array(images, float), score, 0.95)
        assert found[0] < 0.7


def test_the_interval_over_seeds_is_students() -> None:
    some = drawn(3, seeds=5)
    record = numbers_of({"frozen": as_table(some)})["frozen"]["measures"]["macro_f1"]
    values = measures.macro_f1(some, ones(some))[0]
    low, high = t.interval(0.95, 4, loc=values.mean(), scale=values.std(ddof=1) / 5**0.5)
    assert record["sd"] == pytest.approx(values.std(ddof=1))
    assert [record["seeds_low"], record["seeds_high"]] == pytest.approx([low, high])


def test_the_interval_of_a_well_calibrated_strategy_reaches_almost_no_error() -> None:
    chance = np.random.default_rng(0)
    first = chance.random(150)
    labels = (chance.random(150) > first).astype(int)
    some = given(labels.tolist(), np.stack([first, 1 - first], axis=1).tolist())
    record = numbers_of({"frozen": as_table(some)})["frozen"]["measures"]["ece"]
    assert record["images_low"] < 0.03 < record["mean"] <= record["images_high"]


def test_details_hold_every_measure_with_its_six_numbers() -> None:
    some = drawn(3)
    record = numbers_of({"frozen": as_table(some)})["frozen"]
    assert list(record) == [
        "measures",
        "temperature",
        "classes",
        "confusions",
        "reliability",
        "reliability_scaled",
        "bins",
    ]
    assert list(record["measures"]) == [
        "accuracy",
        *("balanced_accuracy", "macro_f1", "auroc", "nll", "brier", "ece"),
        *("nll_scaled", "ece_scaled"),
        "tta_accuracy",
    ]
    assert {tuple(numbers) for numbers in record["measures"].values()} == {
        tuple(Measured.__annotations__)
    }
    assert 0.05 <= record["temperature"] <= 20
    assert len(record["reliability"]) == len(record["reliability_scaled"]) == record["bins"] == 10
    json.dumps(record, allow_nan=False)


def test_views_have_an_accuracy_where_they_are_on() -> None:
    some, views = as_table(drawn(3)), as_table(drawn(3, digits=1))
    found = details(
        {"a": some, "b": some},
        {"a": some, "b": some},
        {"a": views, "b": some.head(0)},
        confidence=0.95,
        resamples=100,
        bins=5,
    )
    views_right = measures.outcomes(views).right.mean()
    assert found["a"]["measures"]["tta_accuracy"]["mean"] == pytest.approx(views_right)
    assert set(found["b"]["measures"]["tta_accuracy"].values()) == {None}


def test_a_control_has_an_accuracy_with_its_interval_and_an_f1(tmp_path: Path) -> None:
    lines = [
        "majority,0,x,ants,ants,1,0",
        "majority,0,y,ants,ants,1,0",
        "majority,0,z,bees,ants,1,0",
    ]
    low, high = intervals.wilson(2, 3, 0.95)
    assert control_numbers({"majority": table(tmp_path, *lines, name="majority")}, 0.95) == {
        "majority": {
            "accuracy": pytest.approx(2 / 3),
            "accuracy_low": low,
            "accuracy_high": high,
            "balanced_accuracy": pytest.approx(0.5),
            "macro_f1": pytest.approx(0.4),
        }
    }


@pytest.mark.slow
def test_importing_the_numbers_loads_neither_torch_nor_the_slow_libraries() -> None:
    check = (
        "import sys, transferlab.evidence.numbers; assert not {'torch', 'sklearn', 'scipy'} "
        "& set(sys.modules)"
    )
    source = Path(numbers.__file__).parents[2]
    subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(source)}, check=True)
