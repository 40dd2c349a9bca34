"""JSON and CSV in, Markdown and figures out."""

import copy
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown_it import MarkdownIt
from PIL import Image

from transferlab import files, metrics, plots, report

CLASSES = ["ants", "bees"]
TEST = 20  # images of each class
OUTPUTS = {
    "report.md",
    "curves.csv",
    "confusion.csv",
    *(f"figures/{name}.png" for name in ("accuracy", "confusion", "cost", "curves", "predictions", "samples")),
}

# Per strategy: test images that the two seeds get wrong, mean validation accuracy, learner.
STRATEGIES: dict[str, tuple[tuple[int, int], float, str]] = {
    "scratch": ((18, 20), 0.60, "gradient"),
    "frozen": ((2, 4), 0.95, "gradient"),
    "probe": ((1, 1), 0.90, "logistic_regression"),
}


def parameters(*names: str, **changed: Any) -> dict[str, Any]:
    strategies: dict[str, Any] = {
        name: {"title": f"title of {name}", "learner": STRATEGIES[name][2]} for name in names or STRATEGIES
    }
    for name, section in strategies.items():
        if section["learner"] == "gradient":
            section |= {"lr": 0.32, "start": "random" if name == "scratch" else "weights"}
    return {
        "checked": True,
        "dataset": {"name": "hymenoptera", "textures": None, "path_sha256": None},
        "backbone": {"name": "resnet18", "weights": "official", "weights_sha256": None, "source": None},
        "seeds": [0, 1],
        "train": {"validation_fraction": 0.2, "select_by": "accuracy", "max_epochs": None},
        "engine": {"device": "auto", "threads": 0},
        "strategies": strategies,
        "compare": {"confidence": 0.95},
        **changed,
    }


def facts_of(name: str, params: dict[str, Any], validation: float | None = None) -> dict[str, Any]:
    seed: dict[str, Any] = {
        "status": "finished",
        "diverged_epoch": None,
        "best_epoch": 2,
        "fit_images": 195,
        "validation_images": 49,
    }
    seed |= {"validation_accuracy": STRATEGIES[name][1] if validation is None else validation, "validation_loss": 0.2}
    used = {key: params[key] for key in ("backbone", "seeds", "train", "engine")}
    return {
        "strategy": name,
        "title": params["strategies"][name]["title"],
        "classes": CLASSES,
        "params": {**used, "strategy": params["strategies"][name]},
        "start_sha256": "b" * 64,
        "trainable_parameters": 1026,
        "device": "CPU",
        "threads": 2,
        "precision": "fp32",
        "memory_format": "channels_last",
        "versions": {"python": "3.11", "torch": "2.13"},
        "seeds": {"0": seed, "1": copy.deepcopy(seed)},
    }


def history_of(name: str) -> list[dict[str, Any]]:
    row = {"strategy": name, "phase": "all", "lr": None, "chosen": 1, "train_accuracy": 0.9}
    row |= {"train_loss": 0.25, "validation_loss": 0.5, "validation_accuracy": 0.75}
    epochs = (1, 2) if STRATEGIES[name][2] == "gradient" else (0,)
    return [{**row, "seed": seed, "epoch": epoch} for seed in (0, 1) for epoch in epochs]


def predictions_of(name: str, labels: list[str], ids: list[str], classes: list[str]) -> list[dict[str, Any]]:
    rows = []
    for seed, wrong in enumerate(STRATEGIES[name][0]):
        for i, label in enumerate(labels):
            predicted = label if i >= wrong else next(other for other in classes if other != label)
            chances = {f"p_{one}": 1.0 if one == predicted else 0.0 for one in classes}
            row: dict[str, Any] = {"strategy": name, "seed": seed, "id": ids[i], "label": label, "predicted": predicted}
            rows.append(row | chances)
    return rows


def write_data(root: Path, classes: list[str]) -> tuple[list[str], list[str]]:
    """The files of the first stages; gives ids and labels of the test images."""
    processed = root / "data/processed"
    labels = [label for label in classes for _ in range(TEST)]
    ids = [f"test/{label}/{i}.png" for i, label in enumerate(labels)]
    manifest = [
        {"id": id, "split": "test", "label": label, "width": 9, "height": 8, "sha256": "0" * 64}
        | {"stored_width": 9, "stored_height": 8, "offset": i * 216}
        for i, (id, label) in enumerate(zip(ids, labels, strict=True))
    ]
    files.write_csv(processed / "test/manifest.csv", list(manifest[0]), manifest)
    (processed / "test/images.bin").write_bytes(bytes(i % 251 for i in range(216 * len(ids))))
    Image.new("RGB", (8, 8)).save(processed / "samples.png")
    files.write_json(processed / "classes.json", {"classes": classes, "store_px": 8})
    counts = [{"class": name, "train": 122, "test": TEST} for name in classes]
    files.write_csv(processed / "class_counts.csv", ["class", "train", "test"], counts)
    skipped = [{"id": "train/ants/imageNotFound.gif", "reason": "not a photograph"}]
    files.write_csv(processed / "skipped.csv", ["id", "reason"], skipped)
    archive = {"name": "archive.zip", "origin": "https://example.org/a.zip", "verified_by": "sha1"}
    files.write_json(root / "data/raw/archive.json", archive | {"sha256": "a" * 64, "contents_sha256": "c" * 64})
    start = {"backbone": "resnet18", "weights": "official", "origin": "https://example.org/w.pth"}
    files.write_json(root / "data/weights/start.json", start | {"sha256": "b" * 64, "source_file_sha256": "d" * 64})
    return ids, labels


def write_all(root: Path, params: dict[str, Any], classes: list[str] = CLASSES) -> None:
    """Every file that the report reads."""
    ids, labels = write_data(root, classes)
    for name in params["strategies"]:
        rows = predictions_of(name, labels, ids, classes)
        files.write_csv(root / f"predictions/{name}.csv", list(rows[0]), rows)
        files.write_json(root / f"runs/{name}/facts.json", facts_of(name, params) | {"classes": classes})
        history = history_of(name)
        files.write_csv(root / f"runs/{name}/history.csv", list(history[0]), history)
        files.write_json(root / f"runs/{name}/costs.json", {"train_seconds": 148.3})
    summarise(root, params, classes)


def summarise(root: Path, params: dict[str, Any], classes: list[str] = CLASSES) -> None:
    names = params["strategies"]
    tables = {name: metrics.read_predictions(root / f"predictions/{name}.csv", classes) for name in names}
    facts = {name: files.read_json(root / f"runs/{name}/facts.json") for name in names}
    costs = {name: files.read_json(root / f"runs/{name}/costs.json") for name in names}
    files.write_json(root / "metrics/summary.json", metrics.summarise(tables, facts, costs, 0.95))


def written(root: Path) -> dict[str, bytes]:
    reports = root / "reports"
    return {str(path.relative_to(reports)): path.read_bytes() for path in reports.rglob("*") if path.is_file()}


def text_of(root: Path, params: dict[str, Any] | None = None) -> str:
    """The Markdown, read from files as they are, without drawing a figure."""
    params = params or parameters()
    return report.render(report.read_results(root, params, params, "abc1234"), [])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_all(tmp_path, parameters())
    return tmp_path


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with its reports; tests only read it."""
    root = tmp_path_factory.mktemp("reported")
    write_all(root, parameters())
    report.write_report(root, parameters(), parameters(), "abc1234")
    return root


def results(params: dict[str, Any] | None = None, **changed: Any) -> report.Results:
    """Results without files, for the Markdown alone."""
    params = params or parameters()
    row: dict[str, Any] = {
        "accuracy": 0.9,
        "accuracy_low": 0.85,
        "accuracy_high": 0.95,
        "accuracy_sd": 0.01,
        "seeds": 2,
        "images": 40,
    }
    row |= {"train_seconds": 148.3, "trainable_parameters": 1026, "status": "finished"}
    values: dict[str, Any] = {
        "params": params,
        "defaults": params,
        "baseline": "abc1234",
        "summary": {name: dict(row) for name in params["strategies"]},
        "facts": {name: facts_of(name, params) for name in params["strategies"]},
        "counts": [{"class": "ants", "train": "122", "test": "20"}],
        "skipped": [],
        "archive": {"name": "a.zip", "origin": "x", "sha256": "a", "contents_sha256": "c", "verified_by": "sha1"},
        "start": {"backbone": "b", "weights": "official", "origin": "x", "sha256": "b", "source_file_sha256": None},
    }
    return report.Results(**{**values, **changed})


def answer(some: report.Results) -> str:
    return report.render(some, []).split("\n\n")[1]


def test_all_outputs_are_written_and_twice_the_same_bytes(reported: Path) -> None:
    once = written(reported)
    assert set(once) == OUTPUTS
    assert once["figures/samples.png"] == (reported / "data/processed/samples.png").read_bytes()
    report.write_report(reported, parameters(), parameters(), "abc1234")
    assert written(reported) == once


def test_no_date_and_no_time_of_day_is_written(reported: Path) -> None:
    assert not re.search(rb"\d{4}-\d\d-\d\d|\d\d:\d\d", (reported / "reports/report.md").read_bytes())


def test_every_figure_that_is_shown_was_written(root: Path) -> None:
    shown = set(re.findall(r"!\[.*\]\((.*)\)", text_of(root)))
    assert shown == {name for name in OUTPUTS if name.startswith("figures/")}


def test_the_answer_is_chosen_by_validation_and_measured_on_the_test_images(root: Path) -> None:
    paragraphs = text_of(root).split("\n\n")
    assert paragraphs[0] == "# Which strategy for hymenoptera, resnet18?"
    # The probe is better on the test images; choosing it for that would make its accuracy a lie.
    assert paragraphs[1] == (
        "**Use `frozen`**: of 3 strategies it has the highest validation accuracy, 95.0 % as a mean over 2 seeds; the "
        "test images had no say in that. It recognises 92.5 % of the 40 held-out test images (95 % interval 80.1 to "
        "97.4 %, 17.3 points wide). By these intervals alone it cannot be told apart from `probe`; the interval of "
        "`scratch` lies below its own."
    )


def test_the_table_has_a_row_for_each_strategy_in_the_order_of_the_parameters(root: Path) -> None:
    text = text_of(root)
    assert re.findall(r"^\| \**`(\w+)`", text, re.MULTILINE) == ["scratch", "frozen", "probe"]
    row = "| **`frozen`** | 92.5 % | 80.1 to 97.4 % | 3.5 points | 2 | 2 min 28 s | 1,026 | 95.0 % | finished |"
    assert row in text


def test_one_strategy_is_reported_without_a_comparison(root: Path) -> None:
    summarise(root, parameters("frozen"))
    text = text_of(root, parameters("frozen"))
    assert text.startswith("# `frozen` on hymenoptera, resnet18\n\n**`frozen` recognises 92.5 % of the 40 held-out")
    assert "It is the only strategy of this run, so nothing is compared." in text
    assert not re.search("recommend|Use `|probe|scratch", text)


def test_files_of_other_strategies_that_lie_around_do_not_show(root: Path) -> None:
    narrow = parameters("probe")
    summarise(root, narrow)
    report.write_report(root, narrow, parameters(), None)
    tables = b"".join(content for name, content in written(root).items() if name.endswith(".csv"))
    text = (root / "reports/report.md").read_text(encoding="utf-8")
    assert b"frozen" not in tables
    assert [line for line in text.splitlines() if "frozen" in line] == [
        "    -S strategy=probe  # default: [scratch,frozen,probe]"
    ]


def test_equal_validation_accuracy_is_decided_by_the_loss_and_said() -> None:
    some = results(facts={name: facts_of(name, parameters(), 0.9) for name in STRATEGIES})
    for seed in some.facts["probe"]["seeds"].values():
        seed["validation_loss"] = 0.1
    assert report.recommended(some) == "probe"
    assert "(as high as that of `scratch` and `frozen`, with the lower validation loss)" in answer(some)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "By these intervals alone it cannot be told apart from `scratch` and `probe`."),
        (
            {"scratch": (0.7, 0.8), "probe": (0.7, 0.8)},
            "The intervals of `scratch` and `probe` lie below its own.",
        ),
        (
            {"scratch": (0.96, 0.98)},
            "it cannot be told apart from `probe`; the interval of `scratch` lies above its own.",
        ),
        (
            {"probe": None},
            "By these intervals alone it cannot be told apart from `scratch`; `probe` diverged and is not ranked.",
        ),
    ],
)
def test_the_others_are_told_apart_only_where_intervals_do_not_overlap(changed: dict[str, Any], said: str) -> None:
    some = results()
    for name, ends in changed.items():
        low, high = ends or (None, None)
        row: Any = some.summary[name]
        row |= {"accuracy_low": low, "accuracy_high": high, "accuracy": ends and low}
    assert answer(some).endswith(said)


def diverge(root: Path, params: dict[str, Any], *names: str) -> None:
    for name in names:
        facts = facts_of(name, params)
        seed = {"status": "diverged", "diverged_epoch": 2, "validation_accuracy": None, "validation_loss": None}
        facts["seeds"]["1"] |= seed
        files.write_json(root / f"runs/{name}/facts.json", facts)
    summarise(root, params)


def test_a_diverged_strategy_is_a_row_with_its_status_and_never_ranked(root: Path) -> None:
    diverge(root, parameters(), "frozen")
    text = text_of(root)
    assert "**Use `probe`**: of 2 strategies that finished" in text
    dash = "\N{EN DASH}"
    status = "diverged at epoch 2 (seed 1, lr 0.32)"
    assert f"| `frozen` | {dash} | {dash} | {dash} | 2 | 2 min 28 s | 1,026 | {dash} | {status} |" in text


def test_where_all_diverged_there_is_no_answer(root: Path) -> None:
    params = parameters("frozen", "scratch")
    diverge(root, params, "frozen", "scratch")
    report.write_report(root, params, params, None)
    text = (root / "reports/report.md").read_text(encoding="utf-8")
    assert text.split("\n\n")[1] == "No strategy finished: `frozen` and `scratch` diverged. There is no answer."


@pytest.mark.parametrize(
    ("name", "weights", "shown"),
    [
        ("hymenoptera", "official", True),
        ("hymenoptera", "mine.pth", True),
        ("hymenoptera", "none", False),
        ("birds", "official", False),
    ],
)
def test_only_hymenoptera_with_foreign_weights_may_have_been_seen_before(name: str, weights: str, shown: bool) -> None:
    params = parameters()
    params["dataset"]["name"], params["backbone"]["weights"] = name, weights
    text = report.render(results(params), [])
    assert ("(classes 310, ant, and 309, bee)" in text) is shown
    assert ("`scratch` starts from random weights and cannot." in text) is shown


def test_the_source_task_of_the_weights_is_named() -> None:
    params = parameters()
    params["dataset"]["textures"] = {"classes": ["stripes", "dots"]}
    params["backbone"] |= {"weights": "source"}
    drawn = {"classes": ["rings", "dots"], "train_per_class": 150}
    params["backbone"]["source"] = {"dataset": {"name": "source_textures", "textures": drawn}}
    text = report.render(results(params), [])
    assert "2 drawn classes (rings and dots; dots of them also classes here), 150 training images of each" in text
    assert "say nothing about photographs" in text


@pytest.mark.parametrize(
    ("section", "key", "value", "caveat"),
    [
        ("train", "max_epochs", 4, "capped at 4 epochs"),
        ("backbone", "weights", "none", "nothing was transferred"),
        (None, "seeds", [0], "With one seed nothing is known"),
    ],
)
def test_what_weakens_the_result_is_a_caveat(section: str | None, key: str, value: Any, caveat: str) -> None:
    params = parameters()
    assert caveat not in report.render(results(params), [])
    (params[section] if section else params)[key] = value
    assert caveat in report.render(results(params), [])


def test_models_of_different_machines_are_told_apart() -> None:
    some = results()
    some.facts["probe"]["device"] = "GPU"  # type: ignore[index]
    assert "| device | CPU (scratch, frozen); GPU (probe) |" in report.render(some, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("strategies", "frozen", "lr", 0.42),
            r"^Model 'frozen' was trained with strategy.lr=0.32 but params.yaml says 0.42. "
            r"Run: dvc repro --force train@frozen$",
        ),
        (
            ("train", "max_epochs", 3),
            r"Model 'scratch' was trained with train.max_epochs=null but params.yaml says 3\.",
        ),
        (("engine", "device", "cpu"), r"engine.device=auto but params.yaml says cpu"),
        (("backbone", "source", {"lr": 0.1}), r"backbone.source=null but params.yaml says \{lr:0.1\}"),
    ],
)
def test_a_model_of_other_parameters_is_refused_and_the_old_report_stays(
    root: Path, change: tuple[Any, ...], message: str
) -> None:
    files.write_text(root / "reports/report.md", "the old one")
    params = parameters()
    *path, key, value = change
    section: Any = params
    for step in path:
        section = section[step]
    section[key] = value
    with pytest.raises(ValueError, match=message):
        report.write_report(root, params, params, None)
    assert written(root) == {"report.md": b"the old one"}


@pytest.mark.parametrize(
    ("path", "key", "value", "message"),
    [
        ("data/processed/classes.json", "classes", ["ants", "wasps"], r"classes=\[ants,bees\] but .*\[ants,wasps\]"),
        ("data/weights/start.json", "sha256", "e" * 64, "start_sha256=b+ but data/ has e+"),
        ("metrics/summary.json", "extra", {}, r"metrics/summary.json: expected .*Run: dvc repro compare"),
    ],
)
def test_files_of_another_run_are_refused(root: Path, path: str, key: str, value: Any, message: str) -> None:
    files.write_json(root / path, files.read_json(root / path) | {key: value})
    with pytest.raises(ValueError, match=message):
        text_of(root)


def test_predictions_of_images_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write_all(tmp_path, parameters("probe"))
    table = tmp_path / "predictions/probe.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("test/ants/0.png", "other.png"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"predictions: expected ids of test images, got 'other.png'"):
        report.write_report(tmp_path, parameters("probe"), parameters("probe"), None)


FOREIGN = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a|b",
    "`code`",
    "*a* _b_ **c** ~~d~~",
    "[link](javascript:alert(1))",
    "![x](http://x)",
    "&lt;b&gt;",
    "# title",
    "back\\slash",
    "line\nbreak",
    "犬 \N{DOG FACE}",
    "snake_case_name.jpg",
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_names_stay_text_in_markdown(foreign: str) -> None:
    params = parameters()
    params["dataset"]["name"] = foreign
    some = results(
        params,
        counts=[{"class": foreign, "train": "1", "test": "1"}],
        skipped=[{"id": foreign, "reason": foreign}],
        facts={name: facts_of(name, params) | {"title": foreign} for name in STRATEGIES},
    )
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [child for token in parser.parse(report.render(some, [])) for child in [token, *(token.children or [])]]
    assert not [
        token for token in tokens if token.type in ("html_block", "html_inline", "link_open", "em_open", "s_open")
    ]
    assert {token.attrGet("src") for token in tokens if token.type == "image"} <= OUTPUTS
    cells = [token.content for token in tokens if token.type == "inline"]
    shown = ["".join(child.content for child in parser.parseInline(cell)[0].children or []) for cell in cells]
    line = " ".join(foreign.split())
    assert shown.count(line) == 3  # the class, the file and its reason
    assert [cell for cell in shown if cell.endswith(f": {line}")] == [f"{name}: {line}" for name in STRATEGIES]


def test_long_lists_of_skipped_files_are_cut() -> None:
    skipped = [{"id": f"f{i}.jpg", "reason": "bad"} for i in range(25)]
    text = report.render(results(skipped=skipped), [])
    assert "25 files of the archive are not among them" in text
    assert "f19.jpg" in text and "f20.jpg" not in text and "and 5 more" in text


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\tx"])
def test_class_names_do_not_become_formulas(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"seed": [0, 0], "label": [name, "ants"], "predicted": ["ants", name]})
    report.write_confusion(tmp_path / "confusion.csv", {"probe": table})
    rows = files.read_csv(tmp_path / "confusion.csv")
    assert {row["actual"] for row in rows} == {row["predicted"] for row in rows} == {f"'{name}", "ants"}


def test_the_tables_for_dvc_plots_are_long(reported: Path) -> None:
    confusion = files.read_csv(reported / "reports/confusion.csv")
    assert confusion[0] == {"strategy": "scratch", "seed": "0", "actual": "ants", "predicted": "ants", "images": "2"}
    assert sum(int(row["images"]) for row in confusion) == 3 * 2 * 2 * TEST
    curves = files.read_csv(reported / "reports/curves.csv")
    first = {"strategy": "scratch", "seed": "0", "epoch": "1", "measure": "validation_accuracy", "value": "0.75"}
    assert curves[0] == first
    assert {row["measure"] for row in curves} == {"validation_accuracy", "validation_loss", "train_loss"}
    assert len(curves) == 3 * 2 * (2 + 2 + 1)


@pytest.mark.parametrize("template", ["strategy_curves", "strategy_confusion"])
def test_a_plot_template_takes_dvcs_data_and_names_columns_that_are_written(template: str) -> None:
    content = (files.checkout() / f".dvc/plots/{template}.json").read_text(encoding="utf-8")
    assert json.loads(content)["data"] == {"values": "<DVC_METRIC_DATA>"}
    columns = {"strategy", "seed", "epoch", "measure", "value", "actual", "predicted", "images", "rev"}
    made = set(re.findall(r'"as": "(\w+)"', content))
    named = set(re.findall(r'"field": "(\w+)"', content)) | set(re.findall(r"datum\.(\w+)", content))
    assert named <= columns | made


def test_settings_that_differ_are_shown_as_overrides_that_hydra_reads() -> None:
    params = parameters("frozen", "probe")
    params["seeds"] = [0, 1, 2]
    params["dataset"] |= {"name": "it's", "classes": ["a b", "null", "=x"], "path_sha256": "f" * 64}
    params["strategies"]["frozen"]["lr"] = 0.00001
    found = report.differences(params, parameters())
    assert found == [
        ("strategy", ["scratch", "frozen", "probe"], ["frozen", "probe"]),
        ("dataset.name", "hymenoptera", "it's"),
        ("dataset.classes", None, ["a b", "null", "=x"]),
        ("seeds", [0, 1], [0, 1, 2]),
        ("strategies.frozen.lr", 0.32, 0.00001),
    ]
    text = report.render(results(params, defaults=parameters()), [])
    lines = [line for line in text.splitlines() if line.startswith("    -S ")]
    assert lines[-1] == "    -S strategies.frozen.lr=1e-05  # default: 0.32"
    overrides = [shlex.split(line, comments=True)[1] for line in lines]
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert [(item.key_or_group, item.value()) for item in parsed] == [(key, value) for key, _, value in found]


def test_without_differences_the_settings_are_the_defaults() -> None:
    assert "All as `conf/` gives them." in report.render(results(), [])


def test_provenance_names_commit_data_and_weights(root: Path) -> None:
    text = text_of(root)
    for value in (
        "abc1234",
        "a" * 64,
        "b" * 64,
        "c" * 64,
        "d" * 64,
        "https://example.org/w.pth",
        "python 3.11, torch 2.13",
    ):
        assert value in text


def test_the_grid_caption_counts_both_kinds() -> None:
    verdict = plots.Verdict(right=1, seeds=2, mistaken_for="bees")
    wrong = plots.Example(id="x", label="ants", verdicts={"frozen": verdict})
    right = plots.Example(id="y", label="ants", verdicts={"frozen": plots.Verdict(right=2, seeds=2, mistaken_for=None)})
    text = report.render(results(), [wrong, right, right])
    assert "The 1 test images that were mistaken most often, then 2 that everything had right" in text
