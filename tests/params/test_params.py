"""`params.yaml` is right as a whole or refused as a whole, every problem with its dotted key."""

import copy
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.evidence.headline import headline
from transferlab.params import reading
from transferlab.params.learning.strategies import GradientStrategy, LogisticStrategy, first_match
from transferlab.params.reading import load_params, parse
from transferlab.params.record import plain
from transferlab.params.whole import RESERVED
from transferlab.settings import compose

GOOD: dict[str, Any] = yaml.safe_load(compose.compose(["strategy=[frozen,probe,progressive]"]))
RATES = "strategies.frozen.phases.head.rates"


def edited(*edits: tuple[str, Any], base: dict[str, Any] = GOOD) -> dict[str, Any]:
    """A copy with other values at dotted keys."""
    data = copy.deepcopy(base)
    for key, value in edits:
        *above, last = key.split(".")
        section = data
        for name in above:
            section = section[name]
        section[last] = value
    return data


def without(key: str) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    *above, last = key.split(".")
    section = data
    for name in above:
        section = section[name]
    del section[last]
    return data


def problems(data: Any) -> list[str]:
    with pytest.raises(ValueError) as caught:
        parse(data)
    return str(caught.value).splitlines()


# One value for each kind of sentence and each branch: pydantic tests its own bounds.
WRONG = [
    ("train.batch_size", "abc", "expected integer, got 'abc'"),
    ("train.batch_size", "32", "expected integer, got '32'"),
    ("train.batch_size", True, "expected integer, got True"),
    ("train.max_epochs", -1, "expected greater than or equal to 1, got -1"),
    ("train.validation_fraction", 1, "expected less than 1, got 1"),
    ("train.select_by", "luck", "expected 'accuracy', 'loss' or 'last', got 'luck'"),
    ("train.augment.flip", 1.5, "expected less than or equal to 1, got 1.5"),
    (
        "train.augment.crop_scale",
        [0.5],
        "expected at least 2 items after validation, not 1, got [0.5]",
    ),
    ("train.augment.crop_scale", [0.9, 0.1], "expected [low, high], got [0.9, 0.1]"),
    ("engine.precision", "fp8", "expected 'fp32', 'bf16' or 'auto', got 'fp8'"),
    ("checked", False, "expected True, got False"),
    ("tuning.trials", 16, "expected at most 15, so many settings do lr and epochs"),
    ("seeds", [], "expected at least 1 item after validation, not 0, got []"),
    ("seeds", [0, 1, 0], "expected different numbers, got [0, 1, 0]"),
    ("seeds", 3, "expected array, got 3"),
    ("strategies", {}, "expected at least one, got none. Choose with -S strategy=frozen"),
    ("strategies.frozen.lr", "yes", "expected number, got 'yes'"),
    ("strategies.frozen.lr", "1e-3", "expected number, got '1e-3'"),
    ("strategies.frozen.lr", -1, "expected greater than 0, got -1"),
    ("strategies.frozen.lr", float("nan"), "expected a finite number, got nan"),
    ("strategies.frozen.lr", float("inf"), "expected a finite number, got inf"),
    ("strategies.progressive.epochs", 2, "expected at least one per phase (3), got 2"),
    ("strategies.frozen.nesterov", "yes", "expected boolean, got 'yes'"),
    (
        "strategies.frozen.step_epochs",
        5,
        "expected a number with schedule 'step' and null without, got 5",
    ),
    (
        "strategies.frozen.patience",
        5,
        "expected a number with schedule 'plateau' and null without, got 5",
    ),
    (
        "strategies.frozen.learner",
        "magic",
        "logistic_regression, nearest_mean, nearest_neighbours, got 'magic'",
    ),
    ("strategies.probe.log10_c", [5, -6], "expected [low, high], got [5.0, -6.0]"),
    (RATES, {"*": None}, "expected a part that trains, got {'*': None}"),
    (RATES, {"*": -1}, "expected greater than 0, got -1"),
    (RATES, {"head": 1}, "part 'stem' is not covered. Add it, or the pattern '*'"),
    (RATES, {"haed": 1, "*": None}, "'haed' matches no part that is left. Parts: stem, stage1, "),
    (RATES, {"*": 1, "head": None}, "'head' matches no part that is left"),
    ("backbone.name", "resnet19", "expected one of tiny, resnet18, "),
    ("backbone.weights", "", "expected at least 1 character, got ''"),
    (
        "backbone.weights",
        "source",
        "source: expected a source task because weights is 'source', got null",
    ),
    ("backbone.official_url", None, "got 'official': resnet18 has no official weights"),
    ("backbone.official_url", "ftp://host/a.pth", "expected text of the form ^https?"),
    ("backbone.preprocessing.resize_px", 200, "crop_px: expected at most resize_px (200), got 224"),
    ("dataset.name", "x;touch y", "expected text of the form ^[a-z0-9_]+$, got 'x;touch y'"),
    ("dataset.path", "birds", "url: expected exactly one of url, path and textures, got url, path"),
    ("dataset.url", None, "url: expected exactly one of url, path and textures, got none"),
    (
        "dataset.test_folder",
        None,
        "test_fraction: expected a fraction, because there may be no test folder, got null",
    ),
    ("dataset.train_folder", None, "expected a folder beside test_folder 'val', got null"),
    ("dataset.test_folder", "train", "expected different folders, got train, train"),
    ("dataset.classes", ["ants", "ants"], "expected different names, got ['ants', 'ants']"),
    (
        "dataset.store_px",
        128,
        "expected at least 256, the size that backbone resnet18 resizes to, got 128",
    ),
]


@pytest.mark.parametrize(
    ("key", "value", "message"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG]
)
def test_a_wrong_value_is_named_by_its_key_with_what_was_expected(
    key: str, value: Any, message: str
) -> None:
    found = problems(edited((key, value)))
    assert any(message in line for line in found), found
    section = key.split(".", maxsplit=1)[0]
    assert all(line.startswith(f"params.yaml: {section}") for line in found), found


@pytest.mark.parametrize("protocol", ["cross_validation", "learning_curve"])
def test_settings_are_not_tried_where_other_trainings_would_not_choose_them(protocol: str) -> None:
    (found,) = problems(edited(("tuning.trials", 2), (f"{protocol}.strategies", ["probe"])))
    assert found.startswith(f"params.yaml: tuning.trials: expected 1 with {protocol}.strategies")


def test_batch_of_one_image_is_refused_where_a_strategy_normalises_by_batch() -> None:
    one = ("strategies.progressive.batch_size", 1)
    parse(edited(one))
    found = problems(edited(one, ("strategies.progressive.norm_statistics", "batch")))
    expected = (
        "strategies.progressive.batch_size: expected 2 or more where norm layers see the batch, "
        "got 1."
    )
    assert found == [f"params.yaml: {expected}"]


NOTHING = ("train.validation_fraction", 0)
LAST = ("train.select_by", "last")


def test_without_validation_images_nothing_is_chosen_on_them_and_each_line_names_where() -> None:
    own = [("strategies.progressive.select_by", "loss")]
    own += [("strategies.progressive.interpolate", [0.5, 1])]
    found = problems(edited(NOTHING, *own))
    none = "with train.validation_fraction=0, since nothing is set aside"
    share = f"interpolate: expected null {none} to choose the share on, got "
    assert [line.removeprefix("params.yaml: ") for line in found] == [
        f"strategies.progressive.{share}[0.5, 1.0]. Leave this strategy out.",
        f"strategies.progressive.select_by: expected last {none}, got 'loss'.",
        f"train.select_by: expected last {none}, got 'accuracy'.",
    ]
    plateau = {"schedule": "plateau", "patience": 2, "warmup": 0}
    changes = [(f"strategies.frozen.{key}", value) for key, value in plateau.items()]
    (found_plateau,) = [it for it in problems(edited(NOTHING, LAST, *changes)) if ".frozen." in it]
    assert f"frozen.schedule: expected another one {none} to watch, got 'plateau'." in found_plateau


def test_what_all_strategies_share_is_refused_once_where_it_was_set() -> None:
    batch = [(f"strategies.{it}.norm_statistics", "batch") for it in ("frozen", "progressive")]
    found = problems(edited(("train.batch_size", 1), *batch))
    expected = "train.batch_size: expected 2 or more where norm layers see the batch, got 1."
    assert found == [f"params.yaml: {expected}"]


def test_few_images_of_a_class_are_no_part_of_other_divisions() -> None:
    named = {"strategies": ["probe"], "each": {"probe": "probe"}, "fractions": [0.5]}
    found = problems(edited(("images_per_class", 5), ("learning_curve", named)))
    (line,) = found
    assert line.startswith("params.yaml: learning_curve.strategies: expected none with images_per")


PROBE = {"log10_c": [-6, 5], "c_values": 3, "folds": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"head_start": "probe"},
            "probe: expected a section with head_start 'probe' and null without, got None.",
        ),
        (
            {"probe": PROBE},
            "probe: expected a section with head_start 'probe' and null without, got Regression",
        ),
        (
            {"head_start": "probe", "probe": PROBE, "head_hidden": 8},
            (
                "head_start: expected zero or random, since a probe needs weights and a linear "
                "head, "
                "got 'probe'."
            ),
        ),
        (
            {"head_start": "probe", "probe": PROBE, "start": "random"},
            "a probe needs weights and a linear head",
        ),
        (
            {"head_start": "probe", "probe": {**PROBE, "log10_c": [5, -6]}},
            "log10_c: expected [low, high], got [5.0, -6.0].",
        ),
        (
            {"loss": "nll", "label_smoothing": 0.1},
            "expected 0 with loss 'nll', which knows none, got 0.1.",
        ),
        (
            {"interpolate": [0, 1], "norm_statistics": "batch"},
            "since statistics do not interpolate.",
        ),
    ],
)
def test_settings_of_a_strategy_that_do_not_go_together_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    (found,) = problems(
        edited(*((f"strategies.frozen.{key}", value) for key, value in changes.items()))
    )
    assert found.startswith("params.yaml: strategies.frozen.") and message in found


def test_protocols_name_strategies_that_there_are() -> None:
    found = problems(
        edited(
            ("cross_validation.strategies", ["frozen", "luck"]),
            ("learning_curve.strategies", ["x"]),
        )
    )
    assert found == [
        (
            "params.yaml: cross_validation.strategies: expected some of frozen, probe, "
            "progressive, "
            "got 'luck'."
        ),
        (
            "params.yaml: learning_curve.strategies: expected some of frozen, probe, progressive, "
            "got "
            "'x'."
        ),
    ]


def test_classes_of_imagenet_are_given_for_every_class_or_none() -> None:
    found = problems(edited(("dataset.imagenet", {"ants": [310]})))
    assert found == [
        (
            "params.yaml: dataset.imagenet: expected the names of classes, ['ants', 'bees'], got "
            "['ants']."
        )
    ]


def test_all_problems_of_the_file_are_told_at_once() -> None:
    found = problems(
        edited(
            ("backbone.name", "resnet19"),
            ("dataset.url", None),
            ("seeds", [0, "1"]),
            ("strategies.frozen.lr", float("nan")),
            ("strategies.progressive.phases.top.rates", {"stage5": 1, "*": None}),
            ("strategies.probe.folds", 1),
            ("train.augment.crop_scale", [1, 0.5]),
            ("train.epoch", 5),
        )
    )
    keys = [line.split(": ")[1] for line in found]
    assert keys == [
        "backbone.name",
        "dataset.url",
        "seeds.1",
        "strategies.frozen.lr",
        "strategies.probe.folds",
        "strategies.progressive.phases.top.rates",
        "train.augment.crop_scale",
        "train.epoch",
    ]


UNKNOWN = [
    (
        "sedes",
        (
            "sedes: unknown key. Did you mean 'seeds'? Choices: backbone, champion, checked, "
            "compare, cross_validation, "
        ),
    ),
    (
        "train.batchsize",
        "train.batchsize: unknown key. Did you mean 'batch_size'? Choices: augment, batch_size, ",
    ),
    ("train.augment.flipp", "train.augment.flipp: unknown key. Did you mean 'flip'?"),
    ("strategies.frozen.epoch", "strategies.frozen.epoch: unknown key. Did you mean 'epochs'?"),
    ("strategies.probe.fold", "strategies.probe.fold: unknown key. Did you mean 'folds'?"),
    (
        "strategies.probe.momentum",
        "strategies.probe.momentum: unknown key. Choices: c_values, folds, learner, ",
    ),
    (
        "strategies.frozen.phases.head.shear",
        "strategies.frozen.phases.head.shear: unknown key. Did you mean 'share'?",
    ),
    ("dataset.qqq", "dataset.qqq: unknown key. Choices: classes, columns, contents_sha256, "),
    (
        "backbone.preprocessing.crop",
        "backbone.preprocessing.crop: unknown key. Did you mean 'crop_px'?",
    ),
]


@pytest.mark.parametrize(("key", "message"), UNKNOWN, ids=[key for key, _ in UNKNOWN])
def test_an_unknown_key_is_refused_with_the_nearest_and_all_choices(key: str, message: str) -> None:
    (found,) = problems(edited((key, 5)))
    assert found.startswith(f"params.yaml: {message}")


def test_settings_of_a_misspelt_strategy_suggest_the_right_one() -> None:
    (found,) = problems(edited(("strategies.frozne", {"lr": 1})))
    assert found.startswith(
        "params.yaml: strategies.frozne.learner: expected one of gradient, logistic_regression"
    )
    assert "Did you mean 'frozen'?" in found


@pytest.mark.parametrize("name", ["Frozen", "fro zen", "a;b", "$(x)", "a/b", "", "a" * 61])
def test_a_name_of_a_strategy_that_a_shell_could_misread_is_refused(name: str) -> None:
    (found,) = problems(edited((f"strategies.{name}", GOOD["strategies"]["probe"])))
    assert found.startswith(f"params.yaml: strategies.{name}: expected ")


def taken() -> set[str]:
    """What stands in dvc.yaml where names of strategies do: beside their files, and in metrics/
    and its headline; and the names of controls, a column of the same tables.
    """
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    entries = [stage.get("do", stage) for stage in stages]
    outs = [out for entry in entries for out in (*entry.get("outs", []), *entry.get("metrics", []))]
    paths = [PurePosixPath(next(iter(out)) if isinstance(out, dict) else out) for out in outs]
    ways = {way for path in paths for way in (path, *path.parents)}
    beside = {way.parent for way in ways if way.stem == "${key}"} | {PurePosixPath("metrics")}
    names = {way.stem for way in ways if way.parent in beside} - {"${key}"}
    controls = (ROOT / "stages/controls.py").read_text()
    names |= headline({}, {"recommended": None}).keys()  # type: ignore[typeddict-item]
    return names | set(re.findall(r'{"(\w+)": ', controls))


def test_exactly_the_names_that_the_pipeline_takes_are_refused_for_a_strategy() -> None:
    assert set(RESERVED) == taken()
    for name in RESERVED:
        assert problems(edited((f"strategies.{name}", GOOD["strategies"]["probe"]))) == [
            f"params.yaml: strategies.{name}: expected another name, since {name!r} is taken. "
            "Rename it."
        ]


@pytest.mark.parametrize(
    "key", ["seeds", "train.batch_size", "strategies.frozen.lr", "strategies.probe.folds"]
)
def test_a_missing_value_is_named(key: str) -> None:
    (found,) = problems(without(key))
    assert found == (
        f"params.yaml: {key}: expected a value, found none. Compose params.yaml anew: "
        "transferlab compose."
    )


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_mapping_is_refused(data: Any) -> None:
    assert problems(data) == [f"params.yaml: the whole file: expected an object, got {data!r}."]


@pytest.mark.parametrize("value", [None, [], "text"])
def test_a_strategy_that_is_no_mapping_is_refused(value: Any) -> None:
    (found,) = problems(edited(("strategies.frozen", value)))
    assert found.startswith("params.yaml: strategies.frozen: expected ")


def test_a_date_that_yaml_made_of_text_is_refused_as_text() -> None:
    (found,) = problems(edited(("train.batch_size", yaml.safe_load("2024-01-01"))))
    assert found == "params.yaml: train.batch_size: expected integer, got '2024-01-01'."


def test_the_size_of_stored_images_is_asked_for_by_the_setting_that_mends_it() -> None:
    base = yaml.safe_load(
        compose.compose(["backbone=efficientnet_b4", "dataset.store_px=384", "strategy=probe"])
    )
    (found,) = problems(edited(("dataset.store_px", 256), base=base))
    assert found.endswith("Add: -S dataset.store_px=384")
    assert (
        "dataset.store_px: expected at least 384, the size that backbone efficientnet_b4 resizes to"
        in found
    )


def test_the_source_task_is_held_to_the_same_rules() -> None:
    base = yaml.safe_load(compose.compose(["preset=demo", "backbone=tiny_source"]))
    found = problems(
        edited(
            ("backbone.source.strategy.phases.all.rates", {"head": 1}),
            ("backbone.source.dataset.classes", ["rings", "rings"]),
            ("backbone.source.strategy.lrr", 1),
            base=base,
        )
    )
    assert (
        "params.yaml: backbone.source.dataset.classes: expected different names, got ['rings', "
        "'rings']."
    ) in found
    assert any(
        line.startswith("params.yaml: backbone.source.strategy.lrr: unknown key. Did you mean")
        for line in found
    )
    assert sum(".phases.all.rates: part " in line for line in found) == 5


def test_a_path_of_ones_own_needs_the_digest_that_composition_writes() -> None:
    (found,) = problems(edited(("dataset.url", None), ("dataset.path", "birds")))
    assert found.startswith(
        "params.yaml: dataset.path_sha256: expected the digest of what is at path, got null."
    )


@pytest.mark.parametrize("overrides", [[], ["preset=demo"], ["strategy=probe", "seeds=[7]"]])
def test_plain_inverts_parse(overrides: list[str]) -> None:
    data = yaml.safe_load(compose.compose(overrides))
    parsed = parse(data)
    assert plain(parsed) == data
    assert parse(plain(parsed)) == parsed


def test_records_are_frozen_and_know_which_learner_they_are() -> None:
    parsed = parse(GOOD)
    assert isinstance(parsed.strategies["frozen"], GradientStrategy)
    assert isinstance(parsed.strategies["probe"], LogisticStrategy)
    with pytest.raises(AttributeError):
        parsed.seeds = (1,)  # type: ignore[misc]


def test_strategies_and_rates_keep_the_order_of_the_file() -> None:
    turned = dict(reversed(GOOD["strategies"].items()))
    parsed = parse(edited(("strategies", turned)))
    assert list(parsed.strategies) == ["progressive", "probe", "frozen"]
    frozen = parsed.strategies["frozen"]
    assert isinstance(frozen, GradientStrategy)
    assert list(frozen.phases["head"].rates) == ["head", "*"]


@pytest.mark.parametrize(
    ("part", "pattern"),
    [("head", "head"), ("stage1", "stage1"), ("stage3", "stage[34]"), ("stem", "*")],
)
def test_the_first_pattern_that_matches_wins(part: str, pattern: str) -> None:
    assert first_match({"head": 1, "stage1": 1, "stage[34]": 1, "*": 1}, part) == pattern


def test_a_part_that_nothing_matches_has_no_pattern() -> None:
    assert first_match({"head": 1, "stage*": 1}, "stem") is None


def test_load_names_the_file_of_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(edited(("seeds", 3), ("compare.confidence", 0))))
    with pytest.raises(
        ValueError, match=r"\Aother.yaml: compare.confidence: .*\nother.yaml: seeds: "
    ):
        load_params(path)


def test_load_gives_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(GOOD, sort_keys=False))
    assert load_params(path) == parse(GOOD)


@pytest.mark.parametrize("content", [b"seeds: [", b"\xff\xfe\x00", b"a: b: c", b"\t- x"])
def test_what_is_no_yaml_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"\Aparams.yaml: expected YAML, got: [^\n]+ Compose it anew: transferlab compose.\Z",
    ):
        load_params(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"params.yaml: expected a file, found none. .* transferlab compose"
    ):
        load_params(tmp_path / "params.yaml")


def test_reading_parameters_needs_no_torch() -> None:
    code = (
        "import sys; from transferlab.params import reading; print(sorted({'torch', 'hydra', "
        "'numpy'} & set(sys.modules)))"
    )
    source = Path(reading.__file__).parents[2]
    environment = {"PYTHONPATH": str(source), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
