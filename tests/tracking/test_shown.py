"""What a page of runs shows: names, what was chosen, and a note."""

from typing import Any

from transferlab.tracking import shown

COMMON = {"dataset": "hymenoptera", "backbone": "mobilenet_v2"}
DEFAULTS: dict[str, Any] = {
    "checked": True,
    "seeds": [0, 1],
    "train": {"batch_size": 32, "max_epochs": None, "augment": {"flip": 0.5}},
    "strategies": {"probe": {"folds": 5, "cap": None}, "frozen": {"lr": 0.1, "cap": None}},
}


def test_a_comparison_is_named_by_what_it_is() -> None:
    name = "hymenoptera · mobilenet_v2"
    assert shown.comparison_name(COMMON) == name
    assert shown.comparison_name(COMMON, ["probe"], ("probe", 0.9607)) == f"{name} · probe 96.1 %"
    three = ["probe", "frozen", "wild"]
    assert shown.comparison_name(COMMON, three, None) == f"{name} · 3 strategies · none finished"


def test_of_a_comparison_what_is_not_the_default_is_shown() -> None:
    params = {**DEFAULTS, "seeds": [3], "checked": False, "train": dict(DEFAULTS["train"])}
    params["train"] |= {"batch_size": 8, "augment": {"flip": None}}
    params["strategies"] = {"probe": {"folds": 2, "cap": None}, "own": {"lr": 1, "cap": None}}
    assert shown.comparison_params(params, DEFAULTS) == {
        "strategies": "probe own",
        "seeds": "3",
        "train.batch_size": "8",
        "train.augment.flip": "null",  # somebody switched it off
        "strategies.probe.folds": "2",
    }


def test_of_a_training_its_strategy_is_shown_whole_but_for_null() -> None:
    strategy = {"title": "a title", "learner": "gradient", "lr": 0.1, "cap": None}
    strategy |= {"phases": {"all": {"share": 1, "rates": {"head": 1, "*": None}}}}
    used = {"strategy": strategy, "train": DEFAULTS["train"] | {"max_epochs": 3}, "seeds": [5]}
    assert shown.training_params(used, DEFAULTS) == {
        "lr": "0.1",
        "phases.all.share": "1",
        "phases.all.rates": '{"head": 1, "*": null}',
        "train.max_epochs": "3",
    }


def test_the_note_of_a_comparison_is_the_answer_of_its_report() -> None:
    note = shown.comparison_note("# Which?\n\n**Use `probe`**: why.\n\n## Numbers\n\nMany.\n", "x")
    assert note.startswith("# Which?\n\n**Use `probe`**: why.\n\nThe report is")
    assert "Many" not in note
    assert note.endswith("```console\nx\n```")
