"""Results -> Markdown: an answer that says no more than the numbers."""

import copy
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished import STRATEGIES, compare, diverge, facts_of, parameters, write_all
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown_it import MarkdownIt

from transferlab.pipeline import files
from transferlab.report import text
from transferlab.report.command import changed_settings
from transferlab.report.figures import verdicts
from transferlab.report.opened import read_results
from transferlab.report.results import Alike, Results
from transferlab.report.text import CAPTIONS

FIGURES = [*CAPTIONS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    write_all(root, parameters())
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_all(tmp_path, parameters())
    return tmp_path


def read(root: Path, params: dict[str, Any] | None = None) -> Results:
    params = params or parameters()
    return read_results(root, params, params, "abc1234")


def text_of(root: Path, params: dict[str, Any] | None = None) -> str:
    return text.render(read(root, params), FIGURES)


@pytest.fixture(scope="module")
def opened(finished: Path) -> Results:
    return read(finished)


@pytest.fixture
def results(opened: Results) -> Any:
    """The results of the fixture with other values."""

    def changed(params: dict[str, Any] | None = None, **values: Any) -> Results:
        whole = {
            **vars(copy.deepcopy(opened)),
            "params": params or parameters(),
            "defaults": params or parameters(),
        }
        return Results(**{**whole, **values})

    return changed


def render(some: Results) -> str:
    return text.render(some, FIGURES)


def answer(some: Results) -> str:
    return render(some).split("\n\n")[1]


def test_answer_says_which_how_sure_at_what_cost_and_what_would_tell_more(root: Path) -> None:
    paragraphs = text_of(root).split("\n\n")
    assert paragraphs[0] == "# Which strategy for hymenoptera, resnet18?"
    assert paragraphs[1] == (
        "**Use `probe`**: 2 of 3 strategies may be the best, `frozen` and `probe` (95 % "
        "confidence), and it is the cheapest of them. It recognises 97.5 % of the 40 held-out "
        "test images (95 % interval 87.1 to 99.6 %). "
        "Training it takes 400 GFLOP, here 5.0 s (2 seeds together, CPU), and changes 1,026 "
        "parameters; `scratch`, the dearest, takes 8 TFLOP, 2 min 28 s. To tell `probe` from "
        "`frozen`, the two that recognise most, by the 5.0 points between them takes both more "
        "test images and more seeds."
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"images": 1874, "images_low": 614, "images_high": 11_520},
            "To tell `a` from `b`, the two that recognise most, by the 1.3 points between them "
            "takes about 1,900 test images (610 to 12,000), with a power of 80 %.",
        ),
        (
            {"images": 1874, "images_low": 61, "images_high": None},
            "(61 or more), with a power of 80 %.",
        ),
        (
            {"seeds": 40},
            "With 2 seeds no number of test images tells `a` from `b`, the two that recognise "
            "most, by the 1.3 points between them; about 40 seeds do, with a power of 80 %.",
        ),
        ({}, "between them takes both more test images and more seeds."),
        (
            {"difference": 0.0},
            "`a` and `b`, which recognise most, recognise equally many.",
        ),
    ],
)
def test_what_would_tell_the_leading_pair_apart_is_one_sentence(
    results: Any, changed: dict[str, Any], said: str
) -> None:
    needed = {"first": "a", "second": "b", "difference": 0.013, "power": 0.8}
    needed |= dict.fromkeys(("images", "images_low", "images_high", "seeds"))
    comparison = results().comparison
    text = answer(results(comparison=comparison | {"needed": needed | changed}))
    assert text.endswith(said)
    assert answer(results(comparison=comparison | {"needed": None})).endswith(
        "8 TFLOP, 2 min 28 s."
    )


def test_of_those_that_may_be_best_the_cheapest_is_used(root: Path) -> None:
    facts = facts_of("probe", parameters())
    for seed in facts["seeds"].values():
        seed["operations"] = 10**13
    files.write_json(root / "runs/probe/facts.json", facts)
    compare(root, parameters())
    assert answer(read(root)).startswith("**Use `frozen`**: 2 of 3 strategies may be the best,")


@pytest.mark.parametrize(
    ("able", "said"),
    [
        (["probe"], "of 3 strategies it alone may be the best (95 % confidence)."),
        (["scratch", "frozen", "probe"], "any of 3 strategies may be the best (95 % confidence),"),
    ],
)
def test_one_that_may_be_best_and_all_are_said_so(results: Any, able: list[str], said: str) -> None:
    comparison = results().comparison | {"may_be_best": able}
    assert f"**Use `probe`**: {said}" in answer(results(comparison=comparison))


def test_between_equally_cheap_ones_validation_is_said_to_decide(results: Any) -> None:
    summary = {name: {**row, "operations": 8} for name, row in results().summary.items()}
    text = render(results(summary=summary))
    assert "and of the cheapest, `frozen` and `probe`, it validates best. It recognises" in text
    assert "validation decides only between equally cheap ones here." in text
    assert "; of equally cheap ones the one that validates best is taken, and measured" in text
    assert "the dearest" not in text


@pytest.mark.parametrize(
    ("able", "place"),
    [(["probe"], "is shown not to be the best"), (["frozen", "probe"], "may be the best as well")],
)
def test_where_the_best_validated_stands_is_said(results: Any, able: list[str], place: str) -> None:
    text = render(results(comparison=results().comparison | {"may_be_best": able}))
    assert f"`frozen` validates best (95.0 %) and {place}; validation decides nothing" in text


def test_table_has_a_row_for_each_strategy_in_the_order_of_the_parameters(root: Path) -> None:
    text = text_of(root)
    table = text[text.index("## Results") : text.index("Test accuracy is")]
    assert re.findall(r"^\| \**`(\w+)`", table, re.MULTILINE) == ["scratch", "frozen", "probe"]
    dash = "\N{EN DASH}"
    assert (
        "| **`probe`** | 97.5 % | 87.1 to 99.6 % | 97.5 to 97.5 % | 97.5 % (87.1 to 99.6 %) | "
        "2 | 400 GFLOP | 5.0 s | 1,026 | 90.0 % | finished |"
    ) in table
    assert f"| {dash} |" not in table


def test_every_other_strategy_is_compared_with_the_recommended_one(root: Path) -> None:
    text = text_of(root)
    table = text[text.index("### Compared") : text.index("### More than accuracy")]
    rows = re.findall(
        r"^\| `(\w+)` \| (\S+) \|.*\| (\d+ : \d+) \| \**(\w[\w ()]+)\** \| (.*) \|$",
        table,
        re.MULTILINE,
    )
    assert rows == [
        ("scratch", "+45.0", "17 : 0", "better", "yes"),
        ("frozen", "+5.0", "1 : 0", "indistinguishable (too few of both)", "not shown"),
    ]
    assert "| all 3 pairs | p, all pairs |" in table
    assert "With 40 test images and 2 seeds about 11.9 to 22.9 points, by pair, apart" in table
    assert "Indistinguishable does not mean equal." in table


def test_of_a_single_pair_nothing_is_said_of_all(root: Path) -> None:
    compare(root, parameters("scratch", "probe"))
    text = text_of(root, parameters("scratch", "probe"))
    assert "all 1 pairs" not in text and "| this pair alone | p |" in text.replace(
        "95 % interval, ", ""
    )


def test_the_sign_of_a_difference_is_that_of_the_figure(results: Any) -> None:
    some = results()
    pair = {"difference": -0.0001, "low_all": -0.05, "high_all": 0.0}
    pair |= {"verdict": "indistinguishable"}
    comparison = {
        **some.comparison,
        "pairs": [old | pair for old in some.comparison["pairs"]],
    }
    figure = verdicts.draw(comparison)
    drawn = {text.get_text() for text in figure.axes[0].texts}
    assert drawn == {"\N{ALMOST EQUAL TO} 0.0", "\N{MINUS SIGN}5.0 to 0.0", "0.0 to +5.0"}
    rows = render(results(comparison=comparison)).split("### Compared")[1]
    assert re.findall(r"^\| `(\w+)` \| (\S+) \| .+? \| (.+?) \|", rows, re.MULTILINE)[:2] == [
        ("scratch", "0.0", "0.0 to +5.0"),
        ("frozen", "0.0", "0.0 to +5.0"),
    ]


def test_controls_are_shown_beside_the_strategies(root: Path) -> None:
    row = "| `majority` | always the class with most training images | 50.0 % | 35.2 to 64.8 % |"
    assert row in text_of(root)


def test_other_measures_have_their_intervals_and_the_bins_are_stated(root: Path) -> None:
    text = text_of(root)
    table = text[text.index("### More than accuracy") :]
    (row,) = re.findall(
        r"^\| `probe` \| (.*) \|$", table[: table.index("Means over")], re.MULTILINE
    )
    cells = row.split(" | ")
    assert len(cells) == 8 and all(
        re.fullmatch(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", cell) for cell in cells[:-1]
    )
    assert cells[-1] == "97.5 % (87.1 to 99.6 %)"
    assert "with 10 bins of equal width" in text
    assert re.search(
        r"^\| ants \| \d\.\d{3} \| \d\.\d{3} \| \d\.\d{3} \| 20 \|$", text, re.MULTILINE
    )


def test_without_augmented_views_there_is_no_column_for_them(results: Any) -> None:
    assert "accuracy over 5 views" in render(results())
    assert "views |" not in render(results(parameters(evaluate={"tta_views": 0})))


def test_one_strategy_is_reported_without_a_comparison(root: Path) -> None:
    compare(root, parameters("frozen"))
    text = text_of(root, parameters("frozen"))
    assert text.startswith(
        "# `frozen` on hymenoptera, resnet18\n\n**`frozen` recognises 92.5 % of the 40 held-out"
    )
    assert "It is the only strategy of this run, so nothing is compared." in text
    assert not re.search("recommend|Use `|probe|scratch|### Compared", text.split("## Figures")[0])


def test_a_diverged_strategy_is_a_row_with_its_status_and_never_ranked(root: Path) -> None:
    diverge(root, parameters(), "frozen")
    text = text_of(root)
    assert "**Use `probe`**: of 2 strategies that finished it alone may be the best" in text
    assert "; `frozen` diverged and is not ranked." in text
    dash = "\N{EN DASH}"
    row = (
        f"| `frozen` | {dash} | {dash} | {dash} | {dash} | 2 | 2 TFLOP | 20.0 s | 1,026 | {dash} | "
        "diverged at epoch 2 (seed 1, lr 0.32) |"
    )
    assert row in text


def test_settings_that_were_tried_are_said_with_what_they_flattered(root: Path) -> None:
    assert "**Tuning.** Every strategy had the same budget: one run of each seed" in text_of(root)
    path = root / "runs/frozen/facts.json"
    facts = files.read_json(path)
    for seed, kept in (("0", "a"), ("1", "f")):
        tried = [("f", 0.32, 20, 0.93), (kept, 0.08, 10, 0.95)][: 1 if kept == "f" else 2]
        facts["seeds"][seed]["key"] = kept * 64
        facts["seeds"][seed]["trials"] = [
            {"key": key * 64, "lr": lr, "epochs": epochs, "validation_loss": 0.2}
            | {"validation_accuracy": accuracy}
            for key, lr, epochs, accuracy in tried
        ]
    files.write_json(path, facts)
    text = text_of(root)
    assert "**Tuning.** Each seed of a strategy that descends a gradient tried 1 to 2 set" in text
    row = "| `frozen` | **0.25, 10**; 1, 20 | 93.0 % | 94.0 % | 92.5 % | +1.5 |"
    assert row in text.split("### Settings that were tried")[1]


def test_cross_validation_is_a_section_of_its_own(root: Path, results: Any) -> None:
    params = parameters(
        cross_validation={"strategies": ["scratch", "probe"], "repeats": 2, "folds": 5}
    )
    for name in ("scratch", "probe"):
        table = (root / f"predictions/{name}.csv").read_text(encoding="utf-8")
        files.write_text(root / f"predictions/cross_validation/{name}.csv", table)
    compare(root, params)
    text = text_of(root, params)
    section = text[text.index("### Cross-validation") : text.index("### More than")]
    assert "| `probe` | 97.5 % | 87.1 to 99.6 % |" in section
    assert "Training and test images together, 40, in 5 folds, repeated 2 times" in section
    assert "`scratch` is worse than `probe` (\N{MINUS SIGN}45.0 points" in section
    assert "### Cross-validation" not in render(results())


@pytest.mark.parametrize("across", [True, False])
def test_images_that_look_the_same_are_reported(results: Any, across: bool) -> None:
    row = {"id": "a.jpg", "other": "b.jpg", "distance": "3"}
    alike = Alike(
        images=1, across=int(across), contrary=0, resembling=0, shown=[row] if across else []
    )
    text = render(results(alike=alike))
    assert (
        "1 image looks like another one (perceptual hashes; the first of each group is not "
        f"counted), {int(across)} of them like one on the other side of training and test"
    ) in text
    assert ("easier than it should be" in text) is across
    assert ("| a.jpg | b.jpg | 3 |" in text) is across
    assert "No two images look the same" in render(results())


def test_what_became_black_and_white_of_sixteen_bits_is_said(results: Any) -> None:
    grey = {"bits": 12, "black": 517, "white": 3602}
    said = (
        "Of grey images of 16 bits, 517 is black and 3,602 white: the range of the training images"
    )
    assert said in render(results(contrast=grey))
    assert "16 bits" not in render(results())


@pytest.mark.parametrize(
    ("imagenet", "weights", "said"),
    [
        ({"ants": [310], "bees": [309]}, "official", "(ants: 310; bees: 309)"),
        ({"a|b": [1, 2, 3]}, "mine.pth", "(a&#124;b: 1, 2 and 3)"),
        ({"ants": [310], "bees": [309]}, "none", None),
        (None, "official", None),
    ],
)
def test_images_of_imagenets_classes_may_have_been_seen_by_foreign_weights(
    imagenet: Any, weights: str, said: str | None, results: Any
) -> None:
    params = parameters()
    params["dataset"]["imagenet"], params["backbone"]["weights"] = imagenet, weights
    text = render(results(params))
    warned = f"ImageNet-1k has the classes that are asked about here {said}: a backbone"
    assert ("may have seen these very images" in text) is (warned in text) is (said is not None)
    assert ("`scratch` starts from random weights and cannot." in text) is (said is not None)


@pytest.mark.parametrize(
    ("dataset", "title"),
    [
        ({"name": "textures"}, "textures"),
        ({"name": "folder", "path": "/data/birds/"}, "birds"),
        ({"name": "folder", "path": "../birds.v2"}, "birds.v2"),
        ({"name": "folder", "path": "birds.zip"}, "birds"),
        ({"name": "folder", "path": None}, "folder"),  # from an address
        ({"name": "garden", "path": "birds"}, "garden"),
    ],
)
def test_title_names_the_data(dataset: dict[str, str | None], title: str, results: Any) -> None:
    params = parameters()
    params["dataset"] |= dataset
    assert render(results(params)).startswith(f"# Which strategy for {title}, resnet18?\n")


def test_the_source_task_of_the_weights_is_named(results: Any) -> None:
    params = parameters()
    params["dataset"]["textures"] = {"classes": ["stripes", "dots"]}
    params["backbone"] |= {"weights": "source"}
    drawn = {"classes": ["rings", "dots"], "train_per_class": 150}
    params["backbone"]["source"] = {"dataset": {"name": "source_textures", "textures": drawn}}
    text = render(results(params))
    assert (
        "2 drawn classes (rings and dots; dots of them also a class here), 150 training images of "
        "each"
    ) in text
    assert "say nothing about photographs" in text


def test_what_weights_of_this_package_learned_is_named(results: Any) -> None:
    params = parameters()
    params["dataset"]["textures"] = {"classes": ["stripes"]}
    params["backbone"] |= {"weights": "official"}
    drawn = {"classes": ["rings", "dots"], "train_per_class": 300}
    file = {"name": "tiny.safetensors", "tensors_used": 1, "tensors_held": 1, "undone": []}
    learned = {"name": "source_textures", "textures": drawn}
    text = render(replace(results(params), weights_file=file | {"source_dataset": learned}))
    assert (
        "a source task: 2 drawn classes (rings and dots; none of them a class here), 300 training "
        "images of each"
    ) in text


@pytest.mark.parametrize(
    ("section", "key", "value", "caveat"),
    [
        ("train", "max_epochs", 4, "capped at 4 epochs"),
        ("train", "validation_fraction", 0, "Nothing was set aside to validate on: the last"),
        ("backbone", "weights", "none", "nothing was transferred"),
        (None, "seeds", [0], "With one seed nothing is known"),
    ],
)
def test_what_weakens_the_result_is_a_caveat(
    section: str | None, key: str, value: Any, caveat: str, results: Any
) -> None:
    params = parameters()
    assert caveat not in render(results(params))
    (params[section] if section else params)[key] = value
    assert caveat in render(results(params))


@pytest.mark.parametrize(
    ("few", "share", "said"),
    [
        (
            None,
            0.2,
            "sets 20 % of each class's training images aside: 195 images to fit, 49 images",
        ),
        (5, 0.2, "draws 5 images of each class's training images and sets 20 % of them aside: 195"),
        (None, 0, "fits all training images, 195 images, and sets none aside to validate on"),
        (
            5,
            0,
            "draws 5 images of each class's training images and fits them, 195 images, and sets",
        ),
    ],
)
def test_what_each_seed_fits_and_sets_aside_is_said(
    few: int | None, share: float, said: str, results: Any
) -> None:
    params = parameters(images_per_class=few)
    params["train"]["validation_fraction"] = share
    text = render(results(params))
    assert f"**Splits.** Every seed (0 and 1) {said}" in text
    chosen = "**Selection.** By validation alone: the epoch that is kept has the best validation"
    nothing = "**Selection.** Nothing was set aside to validate on: the epoch that"
    assert (chosen if share else nothing) in text


def paired(results: Any, **values: Any) -> Results:
    """The results with other values in every pair."""
    found = results().comparison
    pairs = [{**pair, "verdict": "indistinguishable", **values} for pair in found["pairs"]]
    some: Results = results(comparison={**found, "pairs": pairs})
    return some


@pytest.mark.parametrize(
    ("lacking", "caveat"),
    [
        ("seeds", "**Too few seeds** to tell"),
        ("images", "**Too few test images** to tell"),
        ("both", "**Too few seeds and too few test images** to tell"),
    ],
)
def test_what_is_short_is_said_in_the_table_and_a_caveat(
    lacking: str, caveat: str, results: Any
) -> None:
    text = render(paired(results, short=lacking, seeds_half=0.4, images_half=0.125))
    assert f"- {caveat} `scratch` and `frozen` from `probe`: " in text
    assert ("2 seeds alone leave 40.0 points to either side" in text) == (lacking != "images")
    assert "images alone leave 12.5 points to either side" in text or lacking != "images"
    words = {"seeds": "too few seeds", "images": "too few images", "both": "too few of both"}
    assert text.count(f"| indistinguishable ({words[lacking]}) |") == 2
    first = "2 seeds are too few to rule out `scratch` (see Caveats)." in text
    assert first == (lacking != "images")
    assert "Too few" not in render(paired(results, short=None))


def test_strategies_of_different_kinds_of_device_are_a_caveat(results: Any) -> None:
    assert "different kinds of device" not in render(results())
    facts = dict(results().facts)
    facts["frozen"] = {**facts["frozen"], "device": "GPU X"}
    text = render(results(facts=facts))
    assert "of device: CPU (scratch, probe); GPU X (frozen). Rounding differs there" in text


def test_a_majority_that_is_nearly_as_good_is_a_caveat_that_says_what_to_look_at(
    results: Any,
) -> None:
    some = results()
    assert "Always answering" not in render(some)
    control = {**some.comparison["controls"]["majority"], "accuracy": 0.95}
    counts = [
        {"class": "ants", "train": "190", "test": "38"},
        {"class": "bees", "train": "10", "test": "2"},
    ]
    comparison = {**some.comparison, "controls": {"majority": control}}
    text = render(results(comparison=comparison, counts=counts))
    (line,) = [line for line in text.splitlines() if line.startswith("- Always answering")]
    assert "ants, the class of 95.0 % of the test images, is right in 95.0 %" in line
    assert "`probe` with 97.5 % (interval 87.1 to 99.6 %) is not shown to do better" in line
    row = some.summary["probe"]
    low, high = row["balanced_accuracy_low"], row["balanced_accuracy_high"]
    assert f"balanced accuracy, 97.5 % ({100 * low:.1f} to {100 * high:.1f} %)" in line
    assert "of ants, 20 test images, it recognises 95.0 % (interval 76.4 to 99.1 %). With " in line
    assert "With `train.class_weights=balanced` training counts each class the same." in line


def test_weighted_classes_are_part_of_the_method_and_no_advice_any_more(results: Any) -> None:
    params = parameters()
    assert "Class weights" not in render(results(params))
    params["train"]["class_weights"] = "balanced"
    some = results(params)
    control = {**some.comparison["controls"]["majority"], "accuracy": 0.95}
    text = render(
        results(params, comparison={**some.comparison, "controls": {"majority": control}})
    )
    assert "- **Class weights.** In training each class counts the same, however" in text
    assert "- Always answering" in text and "class_weights=balanced" not in text


def test_of_many_classes_the_report_shows_the_extremes_and_says_where_the_rest_is(
    results: Any,
) -> None:
    names = [f"class {i}" for i in range(1000)]
    counts = [{"class": name, "train": str(1000 - i), "test": "4"} for i, name in enumerate(names)]
    row = {"precision": 0.5, "f1": 0.5, "support": 4}
    classes = {name: {**row, "recall": 0.5 + i / 2000} for i, name in enumerate(names)}
    confusions = [
        {"actual": "class 3", "predicted": f"class {i}", "images": 2.5} for i in range(4, 24)
    ]
    numbers = {
        name: {**found, "classes": classes, "confusions": confusions}
        for name, found in results().numbers.items()
    }
    text = render(results(counts=counts, numbers=numbers))
    assert "These 10 of 1,000 classes have the lowest recall; the others have 0.505" in text
    assert "| class 9 | 0.500 | 0.504 | 0.500 | 4 |" in text and "| class 10 | 0.5" not in text
    assert (
        "The 5 largest and the 5 smallest of 1,000 classes; the others have 6 to 995 training "
        in text
    )
    assert "| class 4 | 996 | 4 |" in text and "| class 5 | 995 | 4 |" not in text
    assert "| class 3 | class 4 | 2.5 of 4 |" in text and text.count("| class 3 | class ") == 10
    assert len(text) < 30_000


def test_models_of_different_machines_are_told_apart(results: Any) -> None:
    some = results()
    some.facts["probe"]["device"] = "GPU"
    assert "| device | CPU (scratch, frozen); GPU (probe) |" in render(some)


def test_views_that_followed_the_images_are_said(results: Any) -> None:
    some = results()
    assert "**Views.**" not in render(some)
    some.facts["frozen"]["views"] = 3
    assert "`views: auto` came to 3 in `frozen`, in cross-validation" in render(some)


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
def test_foreign_names_stay_text_in_markdown(foreign: str, results: Any) -> None:
    params = parameters()
    params["dataset"]["name"] = foreign
    some = results(
        params,
        counts=[{"class": foreign, "train": "1", "test": "1"}],
        skipped=[{"id": foreign, "reason": foreign}],
        facts={name: facts_of(name, params) | {"title": foreign} for name in STRATEGIES},
    )
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [
        child for token in parser.parse(render(some)) for child in [token, *(token.children or [])]
    ]
    assert not [
        token
        for token in tokens
        if token.type in ("html_block", "html_inline", "link_open", "em_open", "s_open")
    ]
    assert {token.attrGet("src") for token in tokens if token.type == "image"} <= {
        f"figures/{name}.png" for name in (*FIGURES, "samples")
    }
    cells = [token.content for token in tokens if token.type == "inline"]
    shown = [
        "".join(child.content for child in parser.parseInline(cell)[0].children or [])
        for cell in cells
    ]
    line = " ".join(foreign.split())
    assert shown.count(line) == 3  # the class, the file and its reason
    assert [cell for cell in shown if cell.endswith(f": {line}")] == [
        f"{name}: {line}" for name in STRATEGIES
    ]


def test_where_all_are_solved_no_caveat_speaks_of_their_epochs(results: Any) -> None:
    params = parameters("probe")
    params["train"]["max_epochs"] = 4
    text = render(results(params))
    assert "No strategy has epochs of which validation images would choose one." in text
    assert "best epoch, hence optimistic" not in text and "capped at" not in text


def test_long_lists_of_skipped_files_are_cut(results: Any) -> None:
    skipped = [{"id": f"f{i}.jpg", "reason": "bad"} for i in range(25)]
    text = render(results(skipped=skipped))
    assert "25 files of the archive are not among them" in text
    assert "f19.jpg" in text and "f20.jpg" not in text and "and 5 more" in text


def test_settings_that_differ_are_shown_as_overrides_that_hydra_reads(results: Any) -> None:
    params = parameters("frozen", "probe")
    params["seeds"] = [0, 1, 2]
    params["dataset"] |= {"classes": ["a b", "null", "=x"], "path_sha256": "f" * 64}
    params["strategies"]["frozen"]["lr"] = 0.00001
    found = changed_settings(params, parameters())
    assert found == [
        ("strategy", ["scratch", "frozen", "probe"], ["frozen", "probe"]),
        ("dataset.classes", None, ["a b", "null", "=x"]),
        ("seeds", [0, 1], [0, 1, 2]),
        ("strategies.frozen.lr", 0.32, 0.00001),
    ]
    text = render(results(params, defaults=parameters()))
    assert "    strategies.frozen.lr: 1e-05  (default: 0.32)" in text.splitlines()
    block = text[text.index("    dvc exp run") : text.index("## Provenance")]
    words = shlex.split(block.replace("\\\n", ""))
    assert words[:3] == ["dvc", "exp", "run"] and set(words[3::2]) == {"-S"}
    parsed = OverridesParser.create().parse_overrides(words[4::2])
    said = {item.key_or_group: item.value() for item in parsed}
    assert {key: said[key] for key, _, _ in found} == {key: value for key, _, value in found}


def test_names_that_no_override_can_hold_are_said_to_belong_into_a_file(results: Any) -> None:
    params = parameters()
    params["dataset"]["imagenet"] = {"it's": [1]}
    text = render(results(params, defaults=parameters()))
    assert "(but for `dataset.imagenet`, whose names no command line takes" in text
    assert "-S dataset.imagenet" not in text


def test_without_differences_the_settings_are_the_defaults(results: Any) -> None:
    assert "All as in `conf/defaults.yaml`." in render(results())


def test_without_defaults_the_settings_say_where_they_stand(results: Any) -> None:
    assert "All stand in `params.yaml`." in render(results(defaults={}))


def test_provenance_names_commit_data_and_weights(root: Path) -> None:
    text = text_of(root)
    for value in (
        "abc1234",
        "a" * 64,
        "b" * 64,
        "c" * 64,
        "d" * 64,
        "https://example.org/w.pth",
        "| weights, from the file | 102 of 103 tensors of w.pth; opened &#39;state_dict&#39; |",
        "python 3.11, torch 2.13",
        "| in MLflow, the tag | `transferlab.params_sha256` = "
        f"`{files.file_hash(root / 'params.yaml')}` |",
    ):
        assert value in text
