"""`conf/` composes to a checked `params.yaml`, or to lines that name what is wrong."""

import hashlib
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import ROOT

from transferlab.params.learning.network import FAMILIES
from transferlab.settings import compose
from transferlab.settings.changes import differences

pytestmark = pytest.mark.slow


def composed(*overrides: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(compose.compose(overrides))
    return data


def refused(*overrides: str) -> list[str]:
    with pytest.raises(ValueError) as caught:
        compose.compose(overrides)
    return str(caught.value).splitlines()


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


def weights_file(folder: Path, name: str = "mine.pth", content: bytes = b"weights") -> str:
    """Write a file; gives its sha256."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def images(folder: Path) -> Path:
    for name in ("ants/a.jpg", "bees/b.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("TRANSFERLAB_MIRROR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFERLAB_MIRROR", raising=False)


def test_groups_have_exactly_the_files_that_are_promised() -> None:
    assert choices("dataset") == ["cifar10", "folder", "hymenoptera", "textures", "textures_plain"]
    assert choices("preset") == ["default", "demo", "quick"]
    assert choices("protocol") == ["cross_validation", "holdout"]
    assert choices("kind") == ["adam", "gradient", "published", "sgd_steps"]
    policies = ["none", "flip", "crops", "tutorial", "rotation", "colour"]
    assert choices("augment") == sorted([*policies, "randaugment", "trivialaugment"])
    assert choices("backbone") == sorted([*FAMILIES, "other", "tiny_source"])


@pytest.mark.parametrize("backbone", sorted(FAMILIES))
def test_every_backbone_composes(backbone: str) -> None:
    data = composed(
        f"backbone={backbone}", "backbone.weights=none", "dataset.store_px=384", "strategy=probe"
    )
    assert data["backbone"]["name"] == backbone
    assert data["backbone"]["weights_sha256"] is None
    assert data["checked"] is True


def test_cross_validation_is_of_all_strategies_and_absent_unless_asked_for() -> None:
    assert composed("strategy=[probe,frozen]")["cross_validation"]["strategies"] == []
    found = composed("strategy=[probe,frozen]", "protocol=cross_validation")["cross_validation"]
    each = {"probe": "probe", "frozen": "frozen"}
    assert found == {"strategies": ["probe", "frozen"], "each": each, "repeats": 5, "folds": 5}


@pytest.mark.parametrize("dataset", ["cifar10", "hymenoptera", "textures"])
def test_every_dataset_composes(dataset: str) -> None:
    data = composed(f"dataset={dataset}", "backbone=tiny", "strategy=probe")
    assert data["dataset"]["name"] == dataset


def test_source_task_that_starts_from_the_weights_it_is_to_make_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"backbone\.source\.strategy\.start: expected 'random', .* got 'weights'"
    ):
        compose.compose(["backbone=tiny_source", "backbone.source.strategy.start=weights"])


def test_the_default_is_every_strategy_in_order() -> None:
    names = list(composed()["strategies"])
    assert names == [
        "scratch",
        "frozen",
        "probe",
        "mlp_head",
        "partial",
        "finetune",
        "lp_ft",
        "wise_ft",
        "two_phase",
        "progressive",
    ]
    solved, more = ["nearest_mean", "nearest_neighbours"], ["norms", "surgical", "l2_sp", "brief"]
    assert choices("strategy") == sorted([*names, *solved, *more, "all"])


def test_a_list_of_strategies_keeps_its_order_and_takes_settings() -> None:
    data = composed("strategy=[finetune,frozen]", "strategies.frozen.epochs=3")
    assert list(data["strategies"]) == ["finetune", "frozen"]
    assert data["strategies"]["frozen"]["epochs"] == 3


# A strategy is its difference


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The keys, each with all that is below it, whose values differ."""
    return {key.split(".")[0] for key, _, _ in differences(one, other)}


def test_strategies_that_are_compared_differ_only_in_what_they_say() -> None:
    found = composed("strategy=[scratch,frozen,mlp_head,partial,finetune,lp_ft,wise_ft]")[
        "strategies"
    ]
    found |= composed("strategy=[progressive,norms,l2_sp,surgical,brief]")["strategies"]
    saying = {
        ("finetune", "lp_ft"): {"title", "head_start", "probe"},
        ("lp_ft", "wise_ft"): {"title", "interpolate"},
        ("finetune", "progressive"): {"title", "phases"},
        ("finetune", "partial"): {"title", "phases", "epochs", "views"},
        ("finetune", "norms"): {"title", "phases", "trains"},
        ("finetune", "l2_sp"): {"title", "weight_decay", "decay_to"},
        ("finetune", "surgical"): {"title", "phases"},
        ("finetune", "brief"): {"title", "epochs", "resolution"},
        ("frozen", "mlp_head"): {"title", "head_hidden", "head_dropout", "head_start", "epochs"}
        | {"nesterov", "schedule", "loss", "select_by"},
    }
    assert saying == {pair: differing(*(found[name] for name in pair)) for pair in saying}


def test_the_head_that_lp_ft_starts_from_is_found_as_the_probe_is() -> None:
    found = composed()["strategies"]
    assert {"title", "learner"} == differing(found["probe"], found["lp_ft"]["probe"])


def test_the_source_task_of_tiny_is_scratch_but_for_what_it_says() -> None:
    data = composed("preset=demo", "backbone=tiny_source")
    source, scratch = data["backbone"]["source"]["strategy"], data["strategies"]["scratch"]
    assert differing(scratch, source) == {"title", "lr", "resolution", "optimizer"}


@pytest.mark.slow
def test_a_strategy_is_the_same_alone_as_among_all() -> None:
    for name, strategy in composed()["strategies"].items():
        assert composed(f"strategy={name}")["strategies"] == {name: strategy}


def test_a_strategy_may_stand_before_the_one_that_it_inherits() -> None:
    everything = composed()["strategies"]
    found = composed("strategy=[wise_ft,lp_ft,finetune]")["strategies"]
    assert list(found) == ["wise_ft", "lp_ft", "finetune"]
    assert found == {name: everything[name] for name in found}


def test_a_setting_of_a_strategy_leaves_those_that_inherit_it_alone() -> None:
    old = composed()["strategies"]
    new = composed("strategies.finetune.lr=0.5")["strategies"]
    assert list(differences(old, new)) == [("finetune.lr", 0.01, 0.5)]


def test_every_strategy_has_a_title_of_its_own_rather_than_an_inherited_one() -> None:
    for name in set(choices("strategy")) - {"all"}:
        file = yaml.safe_load((ROOT / f"conf/strategy/{name}.yaml").read_text())
        assert "title" in file, f"conf/strategy/{name}.yaml: expected a title, found none"


# Presets


def test_the_quick_preset_caps_epochs_and_seeds_and_looks_once() -> None:
    data = composed("preset=quick")
    assert data["train"]["max_epochs"] == 2
    assert data["seeds"] == [0, 1]
    assert data["evaluate"]["tta_views"] == 0


def test_the_demo_needs_no_network() -> None:
    data = composed("preset=demo")
    assert data["dataset"]["textures"]["classes"] == ["stripes", "grid", "dots", "noise"]
    assert data["dataset"]["url"] is data["backbone"]["official_url"] is None
    assert data["backbone"]["weights"] == "official", "which come with the package"
    source = composed("preset=demo", "backbone=tiny_source")["backbone"]["source"]
    assert not set(data["dataset"]["classes"]) & set(source["dataset"]["classes"])
    assert list(data["strategies"]) == ["scratch", "probe", "frozen", "finetune"]


def test_a_number_in_any_spelling_is_a_number() -> None:
    spellings = dict(
        zip(
            ["frozen", "partial", "scratch", "finetune"],
            ["1e-3", "1E-3", ".001", "1e-7"],
            strict=True,
        )
    )
    data = composed(*(f"strategies.{name}.lr={text}" for name, text in spellings.items()))
    assert {name: data["strategies"][name]["lr"] for name in spellings} == {
        name: float(text) for name, text in spellings.items()
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "strategy=frozn",
            "Could not find 'strategy/frozn' Available options in 'strategy': all, brief, finetune",
        ),
        (
            "backbone=resnet19",
            "Could not find 'backbone/resnet19' Available options in 'backbone': convnext_tiny, ",
        ),
        (
            "dataset=birds",
            "Could not find 'dataset/birds' Available options in 'dataset': cifar10, folder, ",
        ),
        (
            "preset=fast",
            "Could not find 'preset/fast' Available options in 'preset': default, demo, quick",
        ),
    ],
)
def test_an_unknown_choice_lists_the_choices_in_one_line(override: str, message: str) -> None:
    (line,) = refused(override)
    assert line.startswith("conf: ")
    assert message in line
    assert "search path" not in line


UNKNOWN = (
    "conf: train.epoch: unknown key. Did you mean 'max_epochs'? Choices: augment, batch_size, "
)


@pytest.mark.parametrize("override", ["train.epoch=5", "+train.epoch=5", "++train.epoch=5"])
def test_a_misspelt_key_is_refused_with_the_right_one_even_when_forced(override: str) -> None:
    (line,) = refused(override)
    assert line.startswith(UNKNOWN)


def test_two_misspelt_keys_are_told_together() -> None:
    lines = refused("train.epoch=5", "strategies.frozen.lrr=1")
    assert lines[0].startswith("conf: strategies.frozen.lrr: unknown key. Did you mean 'lr'?")
    assert lines[1].startswith(UNKNOWN)


def test_a_setting_of_a_misspelt_strategy_names_the_right_one() -> None:
    (line,) = refused("strategies.frozne.lr=1")
    assert line.startswith("conf: strategies.frozne.learner: ")
    assert line.endswith("Did you mean 'frozen'?")


@pytest.mark.parametrize(
    "override", ["nonsense", "strategy=[frozen", "~train.flip", "train.flip.x.y=1", "a b=1"]
)
def test_what_hydra_cannot_read_is_one_line(override: str) -> None:
    (line,) = refused(override)
    assert line.startswith("conf: ")


def test_all_problems_are_told_at_once_before_anything_is_written() -> None:
    lines = refused(
        "train.batch_size=yes", "seeds=[1,1]", "strategies.frozen.lr=nan", "+train.epoch=5"
    )
    keys = [line.split(": ")[1] for line in lines]
    assert keys == ["strategies.frozen.lr", "train.batch_size", "train.epoch"]
    assert refused("seeds=[1,1]") == ["conf: seeds: expected different numbers, got [1, 1]."]


def test_a_value_that_points_nowhere_is_refused() -> None:
    (line,) = refused("dataset.name=${nowhere}")
    assert "nowhere" in line


def test_cuda_without_a_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_cuda_driver", lambda: False)
    expected = (
        "conf: engine.device: expected a CUDA driver, found none. Use engine.device=auto or cpu."
    )
    assert refused("engine.device=cuda") == [expected]


def test_cuda_with_a_driver_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_cuda_driver", lambda: True)
    assert composed("engine.device=cuda")["engine"]["device"] == "cuda"


def test_a_driver_is_known_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compose._cuda_driver()


DVC = """
import sys
from pathlib import Path
from dvc.utils.hydra import compose_and_dump
conf, target, *overrides = sys.argv[1:]
compose_and_dump(Path(target), conf, None, "config", conf, overrides)
"""


@pytest.mark.slow
def test_dvc_composes_the_same_bytes_with_the_same_check(tmp_path: Path) -> None:
    def dvc(*overrides: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            DVC,
            str(ROOT / "conf"),
            str(tmp_path / "params.yaml"),
            *overrides,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for overrides in (["strategy=[lp_ft,finetune]", "strategies.lp_ft.lr=0.5"], ["preset=demo"]):
        done = dvc(*overrides)
        assert done.returncode == 0, done.stderr
        written = (tmp_path / "params.yaml").read_text()
        assert written == compose.compose(overrides)
    refusal = dvc("+train.epoch=5")
    assert refusal.returncode != 0
    assert UNKNOWN in refusal.stderr
    assert (tmp_path / "params.yaml").read_text() == written


# Weights of one's own


def test_a_word_for_weights_has_no_hash() -> None:
    assert composed()["backbone"]["weights_sha256"] is None


def test_source_weights_need_a_source_task() -> None:
    (line,) = refused("backbone.weights=source")
    assert line.startswith(
        "conf: backbone.source: expected a source task because weights is 'source'"
    )


def test_the_tiny_backbone_has_no_weights_of_imagenet() -> None:
    (line,) = refused("preset=demo", "backbone.weights=imagenet_v1")
    assert line.startswith(
        "conf: backbone.weights: expected none, source or a file, got 'imagenet_v1': tiny has no"
    )


def test_a_relative_path_of_weights_counts_from_the_repository(own_home: Path) -> None:
    digest = weights_file(own_home)
    assert composed("backbone.weights=mine.pth")["backbone"]["weights_sha256"] == digest


def test_an_absolute_path_of_weights_is_hashed(tmp_path: Path) -> None:
    digest = weights_file(tmp_path / "elsewhere")
    found = composed(f"backbone.weights={tmp_path}/elsewhere/mine.pth")
    assert found["backbone"]["weights_sha256"] == digest


def test_a_name_of_weights_is_looked_up_in_the_mirror(mirror: Path) -> None:
    digest = weights_file(mirror)
    found = composed("backbone.weights=mine.pth")["backbone"]
    assert (found["weights"], found["weights_sha256"]) == ("mine.pth", digest)


def test_a_name_of_weights_is_looked_up_in_a_mirror_that_is_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = weights_file(tmp_path / "served")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing on the terminal of a test."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("TRANSFERLAB_MIRROR", f"http://127.0.0.1:{server.server_port}")
        found = composed("backbone.weights=mine.pth")["backbone"]["weights_sha256"]
        server.shutdown()
    assert found == digest


def test_the_hash_in_a_name_of_weights_is_held_against_the_file(mirror: Path) -> None:
    digest = weights_file(mirror)
    (mirror / "mine.pth").rename(mirror / f"mine-{digest[:8]}.pth")
    assert (
        composed(f"backbone.weights=mine-{digest[:8]}.pth")["backbone"]["weights_sha256"] == digest
    )
    weights_file(mirror, "mine-00000000.pth")
    (line,) = refused("backbone.weights=mine-00000000.pth")
    assert line.startswith(
        "backbone.weights: mine-00000000.pth: expected a sha256 that starts with 00000000"
    )


def test_other_bytes_of_weights_give_another_hash(own_home: Path) -> None:
    first = weights_file(own_home), compose.hash_of_weights("mine.pth")
    second = weights_file(own_home, content=b"other"), compose.hash_of_weights("mine.pth")
    assert first[0] == first[1] != second[0] == second[1]


def test_weights_that_are_nowhere_are_refused(
    mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = refused("backbone.weights=nothing.pth")
    assert line.startswith(
        "backbone.weights: expected official, none, source, or a file, got 'nothing.pth'"
    )
    assert str(mirror) in line
    monkeypatch.delenv("TRANSFERLAB_MIRROR")
    (line,) = refused("backbone.weights=nothing.pth")
    assert "TRANSFERLAB_MIRROR is not set" in line


# A folder of one's own


def test_a_folder_is_composed_with_its_digest(own_home: Path) -> None:
    folder = images(own_home / "birds")
    for path in ("birds", str(folder)):
        assert composed("dataset=folder", f"dataset.path={path}")["dataset"][
            "path_sha256"
        ] == compose.hash_of_path(path)


def test_a_changed_a_renamed_and_a_new_image_change_the_digest_of_a_folder(own_home: Path) -> None:
    folder = images(own_home / "birds")
    digests = [compose.hash_of_path("birds")]
    (folder / "ants/a.jpg").write_bytes(b"changed")
    digests.append(compose.hash_of_path("birds"))
    (folder / "ants/a.jpg").rename(folder / "ants/renamed.jpg")
    digests.append(compose.hash_of_path("birds"))
    (folder / "bees/c.jpg").write_bytes(b"new")
    digests.append(compose.hash_of_path("birds"))
    assert len(set(digests)) == 4
    (folder / ".DS_Store").write_bytes(b"a file manager was here")
    assert compose.hash_of_path("birds") == digests[-1]


def test_a_folder_with_parts_of_its_own_is_told_by_two_settings(own_home: Path) -> None:
    images(own_home / "birds")
    parts = ["dataset.train_folder=train", "dataset.test_folder=test"]
    assert composed("dataset=folder", "dataset.path=birds", *parts)["checked"] is True


def test_a_folder_without_a_path_asks_for_it() -> None:
    assert refused("dataset=folder") == [
        "conf: dataset.path: expected a value, found none. Add: -S dataset.path=..."
    ]


@pytest.mark.parametrize("path", ["", "no", "/no/where"])
def test_a_folder_that_is_not_there_is_refused(own_home: Path, path: str) -> None:
    (line,) = refused("dataset=folder", f"dataset.path={path}")
    assert line.startswith(
        f"dataset.path: expected a folder, an archive or a table, found nothing at '{path}'."
    )
    assert line.endswith(f"Relative paths count from {own_home}.")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose params.yaml records a folder and weights that are not on this machine."""
    (tmp_path / "checkout").mkdir()
    monkeypatch.setattr(compose, "checkout", lambda: tmp_path / "checkout")
    text = yaml.safe_dump(
        {
            "dataset": {"path": "birds", "path_sha256": "b" * 64},
            "backbone": {"weights": "mine.pth", "weights_sha256": "c" * 64},
        }
    )
    (tmp_path / "checkout/params.yaml").write_text(text)
    return tmp_path / "checkout/params.yaml"


def test_what_is_absent_but_recorded_composes_to_what_was_recorded(
    recorded: Path, own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert compose.hash_of_path("birds") == "b" * 64
    assert compose.hash_of_weights("mine.pth") == "c" * 64
    assert [record.getMessage() for record in caplog.records] == [
        f"dataset.path: {own_home}/birds is not here, so its recorded digest is kept.",
        "backbone.weights: no file mine.pth here: its digest is kept.",
    ]
    assert compose.hash_of_path(str(images(own_home / "birds"))) != "b" * 64
    assert compose.hash_of_path("birds") != "b" * 64  # present, its own bytes count


def test_what_is_absent_and_not_what_was_recorded_is_refused(recorded: Path) -> None:
    for content in (recorded.read_text(), "[", "dataset: 3", ""):
        recorded.write_text(content)
        with pytest.raises(ValueError, match=r"dataset\.path: expected .* nothing at 'brids'"):
            compose.hash_of_path("brids")
        with pytest.raises(ValueError, match=r"backbone\.weights: expected .* got 'mime\.pth'"):
            compose.hash_of_weights("mime.pth")


def test_weights_that_are_not_those_of_their_name_are_refused_though_recorded(
    recorded: Path, own_home: Path
) -> None:
    recorded.write_text(recorded.read_text().replace("mine.pth", "mine-01234567.pth"))
    (own_home / "mine-01234567.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match="starts with 01234567, as its name says"):
        compose.hash_of_weights("mine-01234567.pth")


def test_files_of_ones_own_are_watched_and_nothing_else_is(own_home: Path) -> None:
    images(own_home / "birds")
    (own_home / "mine.pth").write_bytes(b"mine")
    assert composed()["watched"] == composed("preset=demo")["watched"] == {}
    for own in (["dataset=folder", "dataset.path=birds"], ["backbone.weights=mine.pth"]):
        assert composed(*own)["watched"] == {"own": "own"}


def test_a_file_name_that_moves_the_cursor_is_shown_escaped(own_home: Path) -> None:
    (images(own_home / "birds") / "\x1b[31m").symlink_to("/nowhere")
    (line,) = refused("dataset=folder", "dataset.path=birds")
    assert "birds/\\x1b[31m: expected a file or folder, got a link that leads nowhere" in line


def test_a_backbone_that_needs_larger_images_names_the_setting() -> None:
    (line,) = refused("backbone=efficientnet_b4")
    assert line.startswith(
        "conf: dataset.store_px: expected at least 384, the size that backbone efficientnet_b4"
    )
    assert line.endswith("Add: -S dataset.store_px=384")


# A conf/ of its own


@pytest.fixture
def own_conf(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_another_checkout_composes_its_own_conf(own_conf: Path) -> None:
    path = own_conf / "conf/config.yaml"
    path.write_text(path.read_text().replace("batch_size: 32", "batch_size: 48"))
    assert yaml.safe_load(compose.compose(root=own_conf))["train"]["batch_size"] == 48


def test_the_strategies_that_contributing_shows_say_only_what_differs(own_conf: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    shown = dict(re.findall(r"^(# @package strategies\.\w+)\n(.+?)^```$", text, re.M | re.S))
    for header, rest in shown.items():
        name = header.rpartition(".")[2]
        (own_conf / f"conf/strategy/{name}.yaml").write_text(f"{header}\n{rest}")
    composition = yaml.safe_load(compose.compose(["strategy=[slow,top,finetune]"], own_conf))
    found = composition["strategies"]
    assert list(found) == ["slow", "top", "finetune"]
    assert differing(found["finetune"], found["slow"]) == {"title", "lr"}
    assert differing(found["finetune"], found["top"]) == {"title", "views", "phases"}
    assert list(found["top"]["phases"]) == ["top"]


def add_strategy(root: Path, *lines: str) -> None:
    text = "\n".join(["# @package strategies.mine", *lines])
    (root / "conf/strategy/mine.yaml").write_text(text)


GRADIENT = "defaults: [/kind/gradient@_here_, _self_]"
FINETUNE = "defaults: [finetune@_here_, _self_]"
TITLE = "title: mine"
PHASES = 'phases: {top: {share: 1, rates: {head: 1, "*": null}}}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([GRADIENT, PHASES], "strategies.mine.title: expected a value, found none. Add: -S "),
        ([GRADIENT, TITLE], "strategies.mine.phases: expected a value, found none. Add: -S "),
        (
            [GRADIENT, TITLE, PHASES, "lrr: 1"],
            "strategies.mine.lrr: unknown key. Did you mean 'lr'? Choices: augment, batch_size, ",
        ),
        (
            [FINETUNE, TITLE, "phases: {all: {rates: {stage*: null}}}"],
            "strategies.mine.phases.all.rates: 'stage*' matches no part that is left. Parts: ",
        ),
        (
            ["defaults: [finetun@_here_, _self_]", TITLE],
            "In 'strategy/mine': Could not load 'strategy/finetun'.",
        ),
    ],
    ids=["no title", "no phases", "unknown key", "rate after those inherited", "unknown parent"],
)
def test_a_strategy_with_a_fault_is_refused(own_conf: Path, lines: list[str], message: str) -> None:
    add_strategy(own_conf, *lines)
    with pytest.raises(ValueError) as caught:
        compose.compose(["strategy=mine"], own_conf)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"conf: {message}")


def test_a_backbone_without_an_address_does_not_get_that_of_another(own_conf: Path) -> None:
    path = own_conf / "conf/backbone/resnet50.yaml"
    path.write_text("defaults: [/kind/published@_here_, _self_]\nname: resnet50")
    with pytest.raises(ValueError, match=r"\Aconf: backbone.official_url: expected a value, found"):
        compose.compose(["backbone=resnet50"], own_conf)


def test_a_broken_file_of_conf_is_named(own_conf: Path) -> None:
    (own_conf / "conf/strategy/frozen.yaml").write_text("title: [")
    with pytest.raises(ValueError, match=r"\Aconf: [^\n]*frozen.yaml[^\n]*\Z"):
        compose.compose(root=own_conf)


def test_a_wrong_value_in_conf_is_named(own_conf: Path) -> None:
    path = own_conf / "conf/config.yaml"
    path.write_text(path.read_text().replace("batch_size: 32", "batch_size: 1e1"))
    with pytest.raises(ValueError, match=r"\Aconf: train.batch_size: expected integer, got 10.0"):
        compose.compose(root=own_conf)


# Differences


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, [("a.b.c", 1, 2)]),
        ({"a": 1}, {"b": 2}, [("a", 1, None), ("b", None, 2)]),
        ({"a": {"b": 1}}, {"a": None}, [("a", {"b": 1}, None)]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", [1, 2], [2, 1])]),
        ({}, {"a": {"b": 1}}, [("a", None, {"b": 1})]),
    ],
)
def test_differences_are_dotted_keys_with_both_values(
    old: Any, new: Any, expected: list[Any]
) -> None:
    assert list(differences(old, new)) == expected
