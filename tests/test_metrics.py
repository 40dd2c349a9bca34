"""Predictions tables to numbers."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]

from transferlab import metrics

CLASSES = ("ants", "bees")
HEADER = "strategy,seed,id,label,predicted,p_ants,p_bees"


def rows(*right: str, strategy: str = "frozen") -> list[str]:
    """One seed per word; `1` is an image that was recognised, `0` one that was not."""
    return [
        f"{strategy},{seed},test/{image}.jpg,ants,{'ants,0.75,0.25' if hit == '1' else 'bees,0.25,0.75'}"
        for seed, word in enumerate(right)
        for image, hit in enumerate(word)
    ]


def table(tmp_path: Path, *lines: str, name: str = "frozen", classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    path = tmp_path / f"{name}.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return metrics.read_predictions(path, classes)


def facts(*diverged: int | None, lr: float = 0.01) -> dict[str, Any]:
    """One seed per argument: the epoch at which it diverged, or None."""
    seeds = {
        str(seed): {"status": "finished" if epoch is None else "diverged", "diverged_epoch": epoch}
        for seed, epoch in enumerate(diverged)
    }
    return {"seeds": seeds, "trainable_parameters": 1026, "params": {"strategy": {"lr": lr}}}


def summary(tables: dict[str, pd.DataFrame], of: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    of = of or {name: facts(*[None] * some["seed"].nunique()) for name, some in tables.items()}
    return metrics.summarise(tables, of, {name: {"train_seconds": 2.5} for name in tables}, 0.95)


def test_a_good_table_is_read_with_numbers_as_numbers(tmp_path: Path) -> None:
    read = table(tmp_path, *rows("10", "11"))
    assert read["seed"].tolist() == [0, 0, 1, 1]
    assert read["p_ants"].tolist() == [0.75, 0.25, 0.75, 0.75]
    assert read["id"].tolist() == ["test/0.jpg", "test/1.jpg"] * 2


def test_a_class_called_na_stays_a_name(tmp_path: Path) -> None:
    path = tmp_path / "frozen.csv"
    path.write_text('strategy,seed,id,label,predicted,p_NA,"p_a,b"\nfrozen,0,x,NA,"a,b",0.5,0.5\n', encoding="utf-8")
    assert metrics.read_predictions(path, ("NA", "a,b"))["label"].tolist() == ["NA"]


def test_a_table_without_rows_is_allowed(tmp_path: Path) -> None:
    assert table(tmp_path).empty


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("probe,0,x,ants,ants,0.75,0.25", r"frozen.csv, line 4 \(seed 0, x\): expected strategy frozen, got 'probe'"),
        ("frozen,one,x,ants,ants,0.75,0.25", "expected a whole number as seed, got 'one'"),
        ("frozen,0,x,wasps,ants,0.75,0.25", r"expected a label in \['ants', 'bees'\], got 'wasps'"),
        ("frozen,0,x,ants,,0.75,0.25", "expected a predicted in .*, got ''"),
        ("frozen,0,x,ants,ants,nan,0.25", "expected a probability in p_ants, got 'nan'"),
        ("frozen,0,x,ants,ants,1.25,-0.25", "expected a probability in p_ants, got '1.25'"),
        ("frozen,0,x,ants,ants,0.75,0.2", "expected probabilities that sum to 1, got 0.95"),
        ("frozen,0,x,ants,bees,0.75,0.25", "expected the most probable class as predicted, got 'bees'"),
        ("frozen,0,test/0.jpg,ants,ants,0.75,0.25", "expected every id once per seed, got 'test/0.jpg'"),
        ("frozen,1,x,ants,ants,0.75,0.25", "same order for every seed, got others for seed 1 than for seed 0"),
    ],
)
def test_a_bad_line_is_named_with_what_to_run(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message + r".*dvc repro --force evaluate@frozen"):
        table(tmp_path, *rows("10"), line)


def test_columns_of_other_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the columns .*p_ants, p_wasps, got .*p_ants, p_bees"):
        table(tmp_path, *rows("1"), classes=("ants", "wasps"))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 7), (1, 7), (7, 7), (146, 153), (77, 153), (1, 1)])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    expected = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert metrics.wilson(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_by_hand() -> None:
    # With z = 1.96 and no success of n, the upper end is z^2 / (n + z^2).
    low, high = metrics.wilson(0, 10, 0.95)
    assert low == 0
    assert high == pytest.approx(3.8416 / 13.8416, abs=1e-4)
    assert metrics.wilson(0.95 * 153, 153, 0.95) == pytest.approx((0.903, 0.975), abs=5e-4)


@pytest.mark.parametrize(("successes", "n", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1)])
def test_wilson_refuses_what_is_no_share(successes: float, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        metrics.wilson(successes, n, confidence)


def test_accuracy_is_the_mean_over_seeds_and_its_interval_counts_the_images(tmp_path: Path) -> None:
    row = summary({"frozen": table(tmp_path, *rows("1110", "1100"))})["frozen"]
    low, high = metrics.wilson(2.5, 4, 0.95)
    assert row == {
        "accuracy": 0.625,
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_sd": pytest.approx(0.125 * 2**0.5),
        "seeds": 2,
        "images": 4,
        "train_seconds": 2.5,
        "trainable_parameters": 1026,
        "status": "finished",
    }
    json.dumps(row, allow_nan=False)


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    assert summary({"frozen": table(tmp_path, *rows("10"))})["frozen"]["accuracy_sd"] is None


def test_the_order_of_the_strategies_is_kept(tmp_path: Path) -> None:
    tables = {name: table(tmp_path, *rows("10", strategy=name), name=name) for name in ("probe", "frozen", "all")}
    assert list(summary(tables)) == ["probe", "frozen", "all"]


@pytest.mark.parametrize("predicted", [rows("10"), rows("10", "11"), []])
def test_a_diverged_strategy_has_a_status_and_no_numbers(tmp_path: Path, predicted: list[str]) -> None:
    of = facts(None if predicted else 1, 2)
    row = summary({"frozen": table(tmp_path, *predicted)}, {"frozen": of})["frozen"]
    assert {row[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "accuracy_sd")} == {None}
    assert "epoch 2 (seed 1, lr 0.01)" in row["status"]


def test_every_diverged_seed_is_named() -> None:
    assert metrics.status(facts(2, None)) == "diverged at epoch 2 (seed 0, lr 0.01)"
    assert metrics.status(facts(2, 3)) == "diverged at epoch 2 (seed 0, lr 0.01), epoch 3 (seed 1, lr 0.01)"


@pytest.mark.parametrize("trained", [1, 3])
def test_seeds_that_were_not_trained_or_not_evaluated_are_refused(tmp_path: Path, trained: int) -> None:
    with pytest.raises(ValueError, match=r"frozen.csv: expected the seeds that were trained, .*, got \[0, 1\]"):
        summary({"frozen": table(tmp_path, *rows("10", "11"))}, {"frozen": facts(*[None] * trained)})


def test_tables_of_different_images_are_refused(tmp_path: Path) -> None:
    tables = {"frozen": table(tmp_path, *rows("10")), "b": table(tmp_path, *rows("101", strategy="b"), name="b")}
    with pytest.raises(ValueError, match=r"the two tables have different ids: frozen and b do not share 'test/2.jpg'"):
        summary(tables)


def test_tables_in_another_order_are_refused(tmp_path: Path) -> None:
    other = reversed(rows("10", strategy="b"))
    with pytest.raises(ValueError, match=r"different ids: frozen and b hold them in another order"):
        summary({"frozen": table(tmp_path, *rows("10")), "b": table(tmp_path, *other, name="b")})


def test_confusion_counts_pairs_per_seed(tmp_path: Path) -> None:
    counts = metrics.confusion_counts(table(tmp_path, *rows("110", "111")))
    assert counts.to_dict("split")["data"] == [[0, "ants", "ants", 2], [0, "ants", "bees", 1], [1, "ants", "ants", 3]]


def test_a_table_without_rows_has_no_confusion(tmp_path: Path) -> None:
    assert metrics.confusion_counts(table(tmp_path)).empty
    assert metrics.seed_accuracies(table(tmp_path)) == {}
