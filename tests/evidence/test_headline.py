"""What `dvc exp show` prints of a comparison."""

from typing import Any

from transferlab.evidence.headline import headline


def line(accuracy: float | None, validation: float, seconds: float = 4.7123) -> Any:
    ends = {"accuracy_low": 0.917123, "accuracy_high": 0.982}
    return {
        "accuracy": accuracy,
        **(ends if accuracy is not None else dict.fromkeys(ends)),
        "validation_accuracy": validation,
        "train_seconds": seconds,
    }


def comparison(best: str | None, **differences: float) -> Any:
    """Of `best` and others."""
    pairs = [{"first": best, "second": name, "difference": d} for name, d in differences.items()]
    return {"recommended": best and {"strategy": best}, "pairs": pairs}


def test_the_recommended_strategy_stands_before_one_accuracy_of_each_in_percent() -> None:
    summary = {"probe": line(0.960784, 0.97), "frozen": line(0.9412, 0.96), "wild": line(None, 0)}
    assert headline(summary, comparison("probe", frozen=0.019608)) == {
        "use": {
            "strategy": "probe",
            "accuracy": 96.08,
            "low": 91.71,
            "high": 98.2,
            "lead": 1.96,
            "seconds": 4.7,
        },
        "probe": 96.08,
        "frozen": 94.12,
        "wild": None,
    }


def test_the_lead_is_over_the_other_one_that_validates_best_and_may_be_behind() -> None:
    summary = {"a": line(0.9, 0.9), "b": line(0.99, 0.91), "c": line(0.95, 0.92)}
    assert headline(summary, comparison("a", b=-0.09, c=-0.05))["use"]["lead"] == -5


def test_between_equals_the_lead_is_the_smaller_one() -> None:
    summary = {"a": line(0.9, 0.9), "b": line(0.8, 0.9), "c": line(0.85, 0.9)}
    assert headline(summary, comparison("a", b=0.1, c=0.05))["use"]["lead"] == 5


def test_a_strategy_alone_has_no_lead_and_of_none_there_is_nothing() -> None:
    assert headline({"a": line(0.9, 0.9)}, comparison("a"))["use"]["lead"] is None
    nothing = headline({"a": line(None, 0.9)}, comparison(None))
    assert set(nothing["use"].values()) == {None}
    assert nothing["a"] is None
