"""One strategy, all its seeds: exactly the promised files, facts, costs and tensors."""

import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small import evaluated, params_of, prepare, setup_of, train

from transferlab.data.chance import stratified_split
from transferlab.data.images import load_images
from transferlab.experiments import runs
from transferlab.experiments.work import of_parts, operations
from transferlab.network import auxiliary, backbones, models
from transferlab.network.setup import starting_weights, without_head
from transferlab.params.learning.network import PARTS
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.learning.strategies import GradientStrategy, LogisticStrategy
from transferlab.params.whole import Params
from transferlab.pipeline.awaited import saved_as
from transferlab.pipeline.files import file_hash, read_csv, read_json, write_json
from transferlab.pipeline.places import cache_folder
from transferlab.training.task import Task, starting_model

pytestmark = pytest.mark.slow


@cache
def small_params() -> Params:
    few = ["seeds=[0,3]", "train.max_epochs=3", "dataset.textures.train_per_class=8"]
    return params_of(*few, "strategies.frozen.views=2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with data/ as the stages before the training leave it."""
    return prepare(tmp_path_factory.mktemp("prepared"), small_params())


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared / "data", tmp_path / "data")
    return tmp_path


class Heard:
    """A listener that keeps what it hears, and kills where it is told to."""

    def __init__(self, kill: tuple[int, int] | None = None):
        self.told: list[tuple[Any, ...]] = []
        self.facts: Mapping[str, Any] = {}
        self.kill = kill

    def start(self, key: str, seed: int, facts: Mapping[str, Any]) -> None:
        self.told.append(("start", key, seed))
        self.facts = dict(facts)

    def log(self, key: str, seed: int, row: Mapping[str, Any]) -> None:
        self.told.append(("log", key, seed, row["epoch"]))
        if (seed, row["epoch"]) == self.kill:
            raise KeyboardInterrupt

    def end(self, key: str, seed: int, outcome: Mapping[str, Any]) -> None:
        self.told.append(("end", key, seed, outcome["status"]))


def run(
    root: Path,
    name: str,
    params: Params | None = None,
    code: str = "code",
    goes_on: bool = False,
) -> tuple[dict[str, Any], Heard]:
    """Train afresh, or from what earlier ones left in the cache."""
    if not goes_on:
        shutil.rmtree(cache_folder("resume"))
    heard = Heard()
    train(root, name, params or small_params(), code, heard)
    return read_json(root / f"runs/{name}/facts.json"), heard


def changed(name: str, **changes: Any) -> Params:
    params = small_params()
    return replace(
        params, strategies={**params.strategies, name: replace(params.strategies[name], **changes)}
    )


def with_rates(rates: dict[str, float | None], **changes: Any) -> Params:
    strategy = small_params().strategies["finetune"]
    assert isinstance(strategy, GradientStrategy)
    return changed(
        "finetune", phases={"only": replace(strategy.phases["all"], rates=rates)}, **changes
    )


def written(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {
        str(path.relative_to(root))
        for base in ("data", "home")
        for path in (root / base).rglob("*")
    }


def names_in(path: Path) -> set[str]:
    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def test_files_are_exactly_the_promised_ones(root: Path) -> None:
    run(root, "frozen")
    assert written(root) == {
        "models/frozen/seed-0.safetensors",
        "models/frozen/seed-3.safetensors",
        "runs/frozen/facts.json",
        "runs/frozen/history.csv",
        "runs/frozen/costs.json",
    }


@pytest.mark.parametrize("name", ["frozen", "probe"])
def test_facts_have_exactly_the_promised_keys(name: str, root: Path) -> None:
    facts, _ = run(root, name)
    params = small_params()
    assert facts.keys() == {
        *(
            "dataset",
            "strategy",
            "title",
            "learner",
            "backbone",
            "classes",
            "preprocessing",
            "params",
        ),
        *(
            "start_sha256",
            "trainable_parameters",
            "device",
            "threads",
            "precision",
            "memory_format",
            "versions",
            "seeds",
        ),
    }
    assert facts["strategy"] == name
    assert facts["title"] == params.strategies[name].title
    assert facts["learner"] == params.strategies[name].learner
    assert (facts["dataset"], facts["backbone"], facts["classes"]) == (
        "textures",
        "tiny",
        ["stripes", "dots"],
    )
    assert facts["preprocessing"]["crop_px"] == 32
    assert facts["params"] == recipe_of(params, name).plain()
    assert facts["start_sha256"] == file_hash(root / "data/weights/start.safetensors")
    assert facts["trainable_parameters"] == 2 * 128 + 2
    assert facts["threads"] == 1
    assert {"python", "torch", "torchvision"} <= facts["versions"].keys()
    assert list(facts["seeds"]) == ["0", "3"]
    for seed, fact in facts["seeds"].items():
        assert fact.keys() == {
            *(
                "key",
                "status",
                "diverged_epoch",
                "best_epoch",
                "validation_accuracy",
                "validation_loss",
            ),
            *("model_sha256", "fit_images", "validation_images", "operations"),
        }
        assert re.fullmatch("[0-9a-f]{64}", fact["key"])
        assert (fact["status"], fact["diverged_epoch"]) == ("finished", None)
        assert (fact["fit_images"], fact["validation_images"]) == (12, 4)
        net = backbones.build("tiny", 2)
        recipe = recipe_of(params, name)
        assert fact["operations"] == operations(recipe, partial(of_parts, net), 12, 4) > 0
        assert fact["model_sha256"] == file_hash(root / f"models/{name}/seed-{seed}.safetensors")


def test_facts_and_history_hold_nothing_of_the_time(root: Path) -> None:
    run(root, "progressive")
    files = ["facts.json", "history.csv"]
    before = [file_hash(root / f"runs/progressive/{name}") for name in files]
    run(root, "progressive")
    assert [file_hash(root / f"runs/progressive/{name}") for name in files] == before


def test_history_has_a_row_per_epoch_and_marks_the_kept_one(root: Path) -> None:
    facts, _ = run(root, "progressive")
    rows = read_csv(root / "runs/progressive/history.csv")
    assert list(rows[0]) == [
        *("strategy", "seed", "phase", "epoch", "lr", "train_loss", "train_accuracy"),
        *("gradient_norm", "validation_loss", "validation_accuracy", "chosen"),
    ]
    assert [(row["seed"], row["phase"], row["epoch"]) for row in rows] == [
        (seed, phase, str(epoch))
        for seed in "03"
        for epoch, phase in enumerate(("head", "top", "all"), 1)
    ]
    for seed, fact in facts["seeds"].items():
        (kept,) = [row for row in rows if row["seed"] == seed and row["chosen"] == "1"]
        assert int(kept["epoch"]) == fact["best_epoch"]
        assert float(kept["validation_accuracy"]) == fact["validation_accuracy"]
        assert float(kept["validation_loss"]) == fact["validation_loss"]


def test_probe_has_one_row_of_epoch_0_and_a_head_that_fits_the_features(root: Path) -> None:
    facts, _ = run(root, "probe")
    rows = read_csv(root / "runs/probe/history.csv")
    assert [(row["seed"], row["epoch"], row["lr"], row["chosen"]) for row in rows] == [
        ("0", "0", "", "1"),
        ("3", "0", "", "1"),
    ]
    chance = {"train_loss": math.log(2), "train_accuracy": 0.5}
    for row in rows:
        assert float(row["train_accuracy"]) > chance["train_accuracy"], row
        assert float(row["train_loss"]) < chance["train_loss"], row
    assert facts["seeds"]["0"]["best_epoch"] == 0
    assert names_in(root / "models/probe/seed-0.safetensors") == {"head.0.weight", "head.0.bias"}


ALL = set(backbones.build("tiny", 2).state_dict())


@pytest.mark.parametrize(
    "name, parts",
    [
        ("frozen", {"head"}),
        ("partial", {"head", "stage4"}),
        ("finetune", set(PARTS)),
        ("scratch", set(PARTS)),
    ],
)
def test_models_hold_only_tensors_that_may_have_changed(
    name: str, parts: set[str], root: Path
) -> None:
    run(root, name)
    for seed in (0, 3):
        found = names_in(root / f"models/{name}/seed-{seed}.safetensors")
        assert found == {key for key in ALL if key.split(".")[0] in parts}


def test_auxiliary_classifier_starts_from_the_file_of_weights_and_is_in_no_model(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auxiliary, "NETWORK", "tiny")
    monkeypatch.setattr(auxiliary, "CHANNELS", 96)
    params, path = changed("finetune", epochs=1), root / "data/weights/start.safetensors"
    given = {
        f"{auxiliary.PREFIX}{name}": torch.ones(shape)
        for name, shape in auxiliary.convolutions().items()
    }
    sha256 = models.save({**load_file(path), **given}, path)
    write_json(root / "data/weights/start.json", {"sha256": sha256})
    begun: list[Mapping[str, torch.Tensor]] = []
    attached = auxiliary.attached

    def watched(model: Any, outputs: int, weights: Any, **how: Any) -> Any:
        begun.append(weights)
        return attached(model, outputs, weights, **how)

    monkeypatch.setattr(auxiliary, "attached", watched)
    run(root, "finetune", params)
    assert [weights.keys() for weights in begun] == [auxiliary.convolutions().keys()] * 2
    assert names_in(root / "models/finetune/seed-0.safetensors") == ALL
    evaluated(root, "finetune", params)


@pytest.mark.parametrize(
    "rates, start, parts",
    [
        ({"head": 1.0, "stem": 1.0, "*": None}, "weights", {"head", "stem"}),
        ({"head": None, "*": 1.0}, "weights", set(PARTS)),
        ({"head": None, "stage4": 1.0, "*": None}, "weights", {"head", "stage4"}),
        ({"head": 1.0, "*": None}, "random", set(PARTS)),
    ],
    ids=["frozen between", "all below a frozen head", "a frozen head", "random and frozen"],
)
def test_models_hold_what_the_starting_weights_do_not(
    rates: dict[str, float | None], start: str, parts: set[str], root: Path
) -> None:
    run(root, "finetune", with_rates(rates, start=start, head_start="random"))
    found = names_in(root / "models/finetune/seed-0.safetensors")
    assert {name.split(".")[0] for name in found} == parts


def test_start_is_the_file_of_weights_with_a_new_head_of_its_own(root: Path) -> None:
    params = small_params()
    images = load_images(root / "data/processed/train", ["stripes", "dots"])
    rows = stratified_split(images.labels, 0.2, 0, "validation")
    stored = starting_weights(root)

    def tensors(name: str, seed: int) -> dict[str, torch.Tensor]:
        recipe = recipe_of(params, name)
        task = Task(recipe=recipe, setup=setup_of(params), images=images, rows=rows, seed=seed)
        weights = {} if name == "scratch" else without_head(stored)
        return dict(starting_model(weights, task).state_dict())

    frozen = tensors("frozen", 0)
    assert all(
        torch.equal(value, stored[key])
        for key, value in frozen.items()
        if not key.startswith("head.")
    )
    assert not frozen["head.0.weight"].any()
    scratch = tensors("scratch", 0)
    assert not torch.equal(scratch["stem.0.weight"], stored["stem.0.weight"])
    assert scratch["head.0.weight"].any()
    assert not torch.equal(scratch["stem.0.weight"], tensors("scratch", 3)["stem.0.weight"])
    assert torch.equal(scratch["stem.0.weight"], tensors("scratch", 0)["stem.0.weight"])


def test_random_heads_are_drawn_for_each_strategy(root: Path) -> None:
    images = load_images(root / "data/processed/train", ["stripes", "dots"])
    rows = stratified_split(images.labels, 0.2, 0, "validation")
    heads = []
    for name in ("partial", "finetune"):
        params = changed(name, head_start="random")
        recipe = recipe_of(params, name)
        task = Task(recipe=recipe, setup=setup_of(params), images=images, rows=rows, seed=0)
        model = starting_model(without_head(starting_weights(root)), task)
        heads.append(model.get_parameter("head.0.weight"))
    assert not torch.equal(*heads)


@pytest.mark.parametrize(
    "name, values",
    [
        ("mlp_head", {"head_start": "random"}),
        ("probe", {}),
        ("lp_ft", {}),
        ("wise_ft", {}),
        ("progressive", {}),
        ("finetune", {"norm_statistics": "batch"}),
        ("finetune", {"lr": 1e30}),
    ],
    ids=[
        "hidden head",
        "probe",
        "lp_ft",
        "wise_ft",
        "progressive",
        "statistics of batches",
        "diverged",
    ],
)
def test_seeds_trained_in_the_same_network_are_those_trained_alone(
    name: str, values: dict[str, Any], root: Path
) -> None:
    params = changed(name, **values)
    run(root, name, params)
    both = [path.read_bytes() for path in sorted((root / f"models/{name}").iterdir())]
    assert len(both) == 2
    for seed, expected in zip((0, 3), both, strict=True):
        run(root, name, replace(params, seeds=(seed,)))
        assert (root / f"models/{name}/seed-{seed}.safetensors").read_bytes() == expected


def test_head_starts_as_the_probe_of_the_same_seed(root: Path) -> None:
    run(root, "probe", changed("probe", c_values=5))
    probes = load_file(root / "models/probe/seed-0.safetensors")
    section = changed("probe", c_values=5).strategies["probe"]
    still = {"lr": 1e-30, "weight_decay": 0.0, "epochs": 1}
    run(root, "lp_ft", changed("lp_ft", probe=section, **still))
    tuned = load_file(root / "models/lp_ft/seed-0.safetensors")
    assert all(torch.equal(tuned[key], value) for key, value in probes.items())


def test_average_is_what_is_stored_and_its_row_stands_in_the_history(root: Path) -> None:
    run(root, "wise_ft", changed("wise_ft", interpolate=(0.0,)))
    assert {row["phase"] for row in read_csv(root / "runs/wise_ft/history.csv")} == {
        "all",
        "share = 0",
    }
    stored = load_file(root / "models/wise_ft/seed-0.safetensors")
    start = load_file(root / "data/weights/start.safetensors")
    assert all(
        torch.equal(value, start[key])
        for key, value in stored.items()
        if not key.startswith("head.")
    )
    assert read_json(root / "runs/wise_ft/facts.json")["seeds"]["0"]["best_epoch"] == 4


def test_costs_have_the_promised_keys_and_add_up(root: Path) -> None:
    run(root, "frozen")
    costs = read_json(root / "runs/frozen/costs.json")
    assert costs.keys() == {
        "train_seconds",
        "seconds_per_seed",
        "shared_seconds",
        "peak_memory_mb",
        "device",
    }
    assert costs["seconds_per_seed"].keys() == {"0", "3"}
    assert all(seconds > 0 for seconds in costs["seconds_per_seed"].values())
    assert costs["train_seconds"] == pytest.approx(
        sum(costs["seconds_per_seed"].values()) + costs["shared_seconds"]
    )


def seconds_on_disk() -> list[float]:
    found = []
    for path in cache_folder("features").iterdir():
        with safe_open(path, framework="pt") as file:
            found.append(float(file.metadata()["seconds"]))
    return found


def test_shared_tables_are_charged_once_to_every_strategy_that_uses_them(root: Path) -> None:
    run(root, "probe")
    (test_view,) = seconds_on_disk()
    assert read_json(root / "runs/probe/costs.json")["shared_seconds"] == pytest.approx(test_view)
    run(root, "frozen")
    tables = seconds_on_disk()
    assert len(tables) == 1 + 2 * 3, (
        "the probe's test view of all images; of each seed one and two random views"
    )
    expected = pytest.approx(sum(tables) - test_view)
    for _ in range(2):  # the second time from the disk
        run(root, "frozen")
        assert read_json(root / "runs/frozen/costs.json")["shared_seconds"] == expected


def test_listener_hears_every_seed_and_epoch_in_order(root: Path) -> None:
    facts, heard = run(root, "finetune")
    keys = {seed: facts["seeds"][str(seed)]["key"] for seed in (0, 3)}
    assert heard.told == [
        told
        for seed in (0, 3)
        for told in (
            ("start", keys[seed], seed),
            *(("log", keys[seed], seed, epoch) for epoch in (1, 2, 3)),
            ("end", keys[seed], seed, "finished"),
        )
    ]
    assert heard.facts["params"] == facts["params"]


def test_key_names_a_training_by_all_it_depends_on(root: Path) -> None:
    def key(params: Params, code: str = "code") -> str:
        return str(run(root, "probe", params, code)[0]["seeds"]["0"]["key"])

    params = replace(small_params(), seeds=(0,))
    first = key(params)
    assert key(replace(params, seeds=(0, 5))) == first, "other seeds do not touch it"
    batch = replace(params, train=replace(params.train, batch_size=4))
    strategy = params.strategies["probe"]
    assert isinstance(strategy, LogisticStrategy)
    probe = replace(params, strategies={"probe": replace(strategy, folds=3)})
    assert len({first, key(params, "other code"), key(batch), key(probe)}) == 4


def test_finished_training_is_not_repeated_until_something_that_counts_changes(root: Path) -> None:
    first, _ = run(root, "frozen")
    models_before = [path.read_bytes() for path in sorted((root / "models/frozen").iterdir())]
    shutil.rmtree(root / "models")
    shutil.rmtree(root / "runs")  # as DVC does before a stage
    params = changed("frozen", title="another title")
    engine = replace(params.engine, checkpoint_seconds=7.0)
    again, heard = run(root, "frozen", replace(params, engine=engine), goes_on=True)
    assert [told[0] for told in heard.told] == ["start", "end"] * 2
    assert (again["title"], again["seeds"]) == ("another title", first["seeds"])
    models_now = [path.read_bytes() for path in sorted((root / "models/frozen").iterdir())]
    assert models_now == models_before
    md5 = file_hash(root / "runs/frozen/facts.json", "md5")
    waiting = [saved_as(seed["key"]).with_suffix(".result") for seed in again["seeds"].values()]
    assert [path.read_text() for path in waiting] == [md5, md5]
    _, heard = run(root, "frozen", changed("frozen", lr=0.011), goes_on=True)
    assert [told[0] for told in heard.told].count("log") == 6


def test_damaged_pixels_leave_no_features_that_outlive_their_repair(root: Path) -> None:
    stored = root / "data/processed/train/images.bin"
    whole = stored.read_bytes()
    stored.write_bytes(bytes(255 - byte for byte in whole[:3072]) + whole[3072:])
    with pytest.raises(
        ValueError,
        match=r"^train/.+: expected the pixels that preprocess stored.*images\.bin is dam",
    ):
        run(root, "probe")
    assert not list(cache_folder("features").iterdir())
    assert not (root / "models").exists()
    stored.write_bytes(whole)
    run(root, "probe")
    after = (root / "models/probe/seed-0.safetensors").read_bytes()
    shutil.rmtree(cache_folder("features"))
    run(root, "probe")
    assert (root / "models/probe/seed-0.safetensors").read_bytes() == after


@pytest.mark.parametrize("kill", [(0, 2), (3, 1), (3, 3)])
def test_killed_run_goes_on_to_the_undisturbed_result(kill: tuple[int, int], root: Path) -> None:
    run(root, "frozen")
    expected = {name: (root / name).read_bytes() for name in written(root) if "costs" not in name}
    shutil.rmtree(root / "runs")
    shutil.rmtree(root / "models")
    shutil.rmtree(cache_folder("resume"))
    with pytest.raises(KeyboardInterrupt):
        train(root, "frozen", small_params(), heard=Heard(kill))
    assert not (root / "runs").exists(), "nothing half-written"
    _, heard = run(root, "frozen", goes_on=True)
    assert {name: (root / name).read_bytes() for name in expected} == expected
    logged = [(told[2], told[3]) for told in heard.told if told[0] == "log"]
    assert logged == [
        (seed, epoch) for seed in (0, 3) for epoch in (1, 2, 3) if (seed, epoch) >= kill
    ]
    costs = read_json(root / "runs/frozen/costs.json")
    assert costs["shared_seconds"] == pytest.approx(sum(seconds_on_disk())), (
        "work done before the kill is charged too"
    )


def test_diverged_seed_is_a_result_with_its_epoch(root: Path) -> None:
    facts, heard = run(root, "finetune", changed("finetune", lr=1e9))
    for fact in facts["seeds"].values():
        assert (fact["status"], fact["diverged_epoch"], fact["best_epoch"]) == ("diverged", 1, None)
        assert fact["validation_accuracy"] is None
    assert [told[3] for told in heard.told if told[0] == "end"] == ["diverged", "diverged"]
    assert read_csv(root / "runs/finetune/history.csv") == []
    tensors = models.read(
        root / "models/finetune/seed-0.safetensors", facts["seeds"]["0"]["model_sha256"]
    )
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_strategies_do_not_shift_each_other_s_results(root: Path) -> None:
    alone = replace(small_params(), strategies={"frozen": small_params().strategies["frozen"]})
    first, _ = run(root, "frozen", alone)
    run(root, "scratch")
    second, _ = run(root, "frozen")
    assert first["seeds"] == second["seeds"]


def test_training_needs_no_test_image_on_the_disk(root: Path) -> None:
    expected, _ = run(root, "finetune")
    shutil.rmtree(root / "data/processed/test")
    shutil.rmtree(cache_folder("features"))
    runs.run(root, recipe_of(small_params(), "finetune"), small_params().tuning, "code", Heard())
    assert read_json(root / "runs/finetune/facts.json") == expected


def test_rows_that_a_seed_sets_aside_are_those_of_the_table_of_splits(root: Path) -> None:
    """Whoever edits the table trains on what it says, under another key."""
    first, _ = run(root, "probe")
    table = root / "data/splits/validation.csv"
    lines = table.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.endswith("fit,fit"))
    lines[row] = lines[row].removesuffix("fit,fit") + "validation,fit"
    table.write_text("\n".join(lines) + "\n")
    runs.run(root, recipe_of(small_params(), "probe"), small_params().tuning, "code", Heard())
    second = read_json(root / "runs/probe/facts.json")["seeds"]
    assert second["0"]["fit_images"] == first["seeds"]["0"]["fit_images"] - 1
    assert second["0"]["key"] != first["seeds"]["0"]["key"]
    assert second["3"] == first["seeds"]["3"]


def test_damaged_starting_weights_are_refused(root: Path) -> None:
    path = root / "data/weights/start.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(ValueError, match=r"start\.safetensors: expected sha256 .*damaged"):
        run(root, "frozen")
    assert not (root / "runs").exists()
