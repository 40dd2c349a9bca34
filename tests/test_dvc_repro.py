"""`dvc repro` and `dvc exp run`, as people run them, on a few drawn textures."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
import yaml
from checkout import ROOT
from nbclient import NotebookClient
from opened import (
    CHECK,
    NAMES,
    PARAMETERS,
    UNREAD,
    audited,
    declared,
    lies_in,
    listed,
    says_nothing,
    touched,
)
from repository import SMALL, TWO, Repository, ran

from transferlab.commands.cluster import jobs
from transferlab.params.reading import load_params

pytestmark = pytest.mark.slow


WHOLE = (
    *TWO,
    "cross_validation.strategies=[frozen]",
    "cross_validation.repeats=1",
    "cross_validation.folds=6",
    "learning_curve.strategies=[frozen]",
    "learning_curve.fractions=[0.84]",
)
"""With these every stage works but two: that need own images, and a precision to choose."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, lists: Path) -> Repository:
    made = Repository(tmp_path_factory.mktemp("repository"))
    made.compose(*WHOLE)
    made.commit()
    made("dvc", "repro", TRANSFERLAB_TRACKING="on", **audited(lists))
    made.commit()
    return made


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory, repository: Repository, lists: Path
) -> dict[str, dict[str, set[str]]]:
    """What every stage, and every process that it starts, reads and writes below the checkout."""
    made = repository.copied(tmp_path_factory.mktemp("copy") / "repository")
    made.compose(*WHOLE, "engine.precision=auto")
    for stage in ("watch", "precision"):
        made(sys.executable, f"stages/{stage}.py", **audited(lists))
    return {name: listed(made.root, lists / name) for name in NAMES}


def test_a_bare_clone_ends_in_a_report_and_git_sees_only_results(repository: Repository) -> None:
    report = (repository.root / "reports/report.md").read_text()
    assert "frozen" in report
    assert "scratch" in report
    shown = set(re.findall(r"\((figures/\w+\.png)\)", report))
    assert {f"reports/{name}" for name in shown} == set(repository.digest("reports/figures/*.png"))
    assert len(repository.digest("reports/figures/*.svg")) == len(shown) - 1  # not the samples
    tracked = repository("git", "ls-files").split()
    assert not [
        path for path in tracked if path.startswith(("data/", "models/", "runs/", "predictions/"))
    ]
    assert {"metrics/summary.json", "reports/report.md", "dvc.lock"} <= set(tracked)


@pytest.mark.parametrize("name", NAMES)
def test_stage_reads_nothing_but_its_dependencies_and_its_own_results(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    allowed = declared(name, "deps", "outs", "metrics")
    read = {path for path in opened[name]["read"] - PARAMETERS if not says_nothing(path)}
    read = {path for path in read if not lies_in(path, CHECK)}
    assert f"stages/{name.partition('@')[0]}.py" in read
    assert {path for path in read if not lies_in(path, allowed)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_stage_reads_something_of_every_result_that_it_lists(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    """So that no change of what a stage does not read runs it."""
    results = [path for path in declared(name, "deps") if not path.startswith(("src/", "stages/"))]
    unread = [place for place in results if not touched(place, opened[name]["read"])]
    assert unread == UNREAD.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_stage_writes_exactly_its_outputs(
    name: str, opened: dict[str, dict[str, set[str]]]
) -> None:
    places, written = declared(name, "outs", "metrics"), opened[name]["written"]
    assert {path for path in written if not lies_in(path, places)} == set()
    assert [place for place in places if not any(lies_in(path, [place]) for path in written)] == []


def test_a_second_repro_runs_nothing(repository: Repository) -> None:
    assert ran(repository("dvc", "repro")) == []


@pytest.mark.drill
def test_what_would_be_sent_to_a_cluster_is_what_dvc_would_train_from_inputs_that_are_there(
    repository: Repository,
) -> None:
    def outdated(*settings: str) -> list[tuple[str, str]]:
        repository.compose(*WHOLE, *settings)
        return jobs.outdated(repository.root, load_params(repository.root / "params.yaml"))

    assert outdated() == []
    assert outdated("strategies.scratch.lr=0.02") == [("train", "scratch")]
    with pytest.raises(ValueError, match=r"split would run first\. Run: dvc repro split weights"):
        outdated("seeds=[0,1,2]")
    repository.compose(*WHOLE)


@pytest.mark.drill
def test_another_rate_of_one_strategy_reruns_that_strategy_and_what_reads_it(
    repository: Repository,
) -> None:
    repository.compose(*WHOLE, "strategies.scratch.lr=0.02")
    assert ran(repository("dvc", "repro")) == [
        "train@scratch",
        "evaluate@scratch",
        "compare",
        "champion",
        "report",
        "track",
    ]
    report = (repository.root / "reports/report.md").read_text()
    assert "strategies.scratch.lr=0.02" in report
    repository.compose(*WHOLE)
    repository("dvc", "repro")


@pytest.mark.drill
def test_with_keep_going_a_strategy_that_fails_stops_no_other_and_the_last_report_stands(
    repository: Repository,
) -> None:
    script = repository.root / "stages/evaluate.py"
    original, report = script.read_text(), repository.digest("reports/report.*")
    fails = "import sys\nif sys.argv[1] == 'frozen':\n    sys.exit('error: frozen fails')\n"
    script.write_text(original.replace("import sys\n", fails, 1))
    output = repository("dvc", "repro", "--keep-going", fails=True)
    assert ran(output) == ["evaluate@frozen", "evaluate@scratch"]
    assert "error: frozen fails" in output
    assert repository.digest("reports/report.*") == report
    assert (repository.root / "predictions/scratch.csv").is_file()
    script.write_text(original)
    assert ran(repository("dvc", "repro")) == []
    assert repository.digest("reports/report.*") == report


@pytest.mark.drill
def test_an_edit_of_the_report_that_changes_no_byte_of_it_reruns_only_the_report(
    repository: Repository,
) -> None:
    source = repository.root / "src/transferlab/report/text.py"
    original = source.read_text()
    source.write_text(original + "\n# edited\n")
    repository("dvc", "repro")  # the report names another commit than that of the fixture
    source.write_text(original)
    assert ran(repository("dvc", "repro")) == ["report"]


def test_metrics_and_plots_read_well(repository: Repository) -> None:
    shown = json.loads(repository("dvc", "metrics", "show", "--json"))
    (file,) = shown[""]["data"].values()
    assert list(file["data"]) == ["use", "frozen", "scratch"]
    assert list(file["data"]["use"]) == ["strategy", "accuracy", "low", "high", "lead", "seconds"]
    changes = repository("dvc", "metrics", "diff", "--all")
    assert re.findall(r"use\.\w+", changes) == sorted(f"use.{name}" for name in file["data"]["use"])
    repository("dvc", "plots", "show", "--out", "dvc_plots")
    page = (repository.root / "dvc_plots/index.html").read_text()
    assert re.findall(r"vegaEmbed\('#(\w+)'", page) == ["curves", "confusion"]
    shutil.rmtree(repository.root / "dvc_plots")


def test_the_notebook_runs_on_a_finished_run(repository: Repository) -> None:
    """As a student runs it, but that the demo has been run already."""
    notebook = nbformat.read(ROOT / "docs/tutorial.ipynb", as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
    (given,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    given.source += f"\ncheckout = Path({str(repository.root)!r})"
    (repository.root / ".demo").symlink_to(repository.root)
    NotebookClient(notebook, resources={"metadata": {"path": str(ROOT / "docs")}}).execute()
    (repository.root / ".demo").unlink()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = "\n".join(str(output) for output in outputs)
    assert (repository.root / "reports/report.md").read_text().split("\n\n")[1][:40] in shown
    assert re.search(r"\.png is \w+ with [\d.]+%", shown)


def test_hand_edited_params_stop_repro_before_any_stage_works(repository: Repository) -> None:
    repository.commit()
    path = repository.root / "params.yaml"
    original = path.read_text()
    path.write_text(original.replace("validation_fraction: 0.2", "validation_fraction: 2"))
    before = repository.digest("metrics/*.json")
    output = repository("dvc", "repro", fails=True)
    assert "train.validation_fraction: expected less than 1, got 2" in output
    assert "Traceback" not in output
    path.write_text(original)
    repository("dvc", "checkout", "--force")
    repository("git", "checkout", "--", ".")
    assert repository.digest("metrics/*.json") == before


@pytest.mark.drill
def test_parameters_edited_while_a_stage_runs_are_not_bound_to_its_result(
    repository: Repository,
) -> None:
    path = repository.root / "params.yaml"
    repository.compose(*WHOLE, "strategies.scratch.lr=0.04", "seeds=[0,1,2,3,4,5,6,7]")
    repository("dvc", "repro", "split")
    lock = (repository.root / "dvc.lock").read_text()
    with subprocess.Popen(
        ["dvc", "repro", "--single-item", "train@scratch"],
        cwd=repository.root,
        env=repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        # seven more are to come
        next(line for line in process.stdout if "scratch: seed 0 finished" in line)
        path.write_text(path.read_text().replace("lr: 0.04", "lr: 0.03"))
        rest = process.stdout.read()
    assert process.returncode != 0
    assert "strategies.scratch changed while it ran" in rest
    assert (repository.root / "dvc.lock").read_text() == lock
    repository.compose(*WHOLE)
    repository("dvc", "repro", "split")
    repository("dvc", "checkout", "--force")


@pytest.fixture
def official_url(tmp_path: Path) -> Iterator[str]:
    """Weights as torchvision's older files hold them, behind an address whose name begins their
    hash.
    """
    import torch
    import torchvision

    tensors = torchvision.models.resnet18(weights=None).state_dict()
    path = tmp_path / "resnet18.pth"
    old = {
        name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")
    }
    torch.save(old, path, _use_new_zipfile_serialization=False)
    name = f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(tmp_path / name)
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{name}"
        server.shutdown()
        thread.join()


@pytest.mark.drill
def test_official_weights_of_an_older_file_end_in_a_report(
    tmp_path_factory: pytest.TempPathFactory, official_url: str
) -> None:
    made = Repository(tmp_path_factory.mktemp("official"))
    few = [setting for setting in SMALL if not setting.startswith("backbone.")]
    small = [
        "backbone=resnet18",
        "backbone.preprocessing.resize_px=64",
        "backbone.preprocessing.crop_px=64",
    ]
    made.compose(*few, *small, f"backbone.official_url={official_url}", "strategy=probe")
    output = made("dvc", "repro", NO_PROXY="*")
    name, start = (
        official_url.rpartition("/")[2],
        json.loads((made.root / "data/weights/start.json").read_text()),
    )
    filled = "filled in 20 counters of BatchNorm (num_batches_tracked)"
    assert f"{name}: used 102 of 102 tensors; {filled}" in output
    assert start["source_file_sha256"].startswith(name[9:17])
    assert (
        f"102 of 102 tensors of {name}; filled in 20 counters"
        in (made.root / "reports/report.md").read_text()
    )
    assert list(json.loads((made.root / "metrics/summary.json").read_text())) == ["probe"]


STATE = ("params.yaml", "metrics/*", "dvc.lock", "reports/**/*")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategy=frozn", "Could not find 'strategy/frozn'"),
        ("dataset.name='x;touch PWNED'", "dataset.name: expected text of the form"),
    ],
    ids=["Hydra's refusal", "ours"],
)
def test_wrong_settings_are_named_before_anything_is_touched(
    repository: Repository, override: str, message: str
) -> None:
    """What else is refused stands in settings/test_compose.py."""
    repository.commit()
    before = [repository.digest(pattern) for pattern in STATE]
    assert all(before)
    output = repository.experiment(*TWO, override, fails=True)
    assert message in output
    assert ran(output) == []
    assert [repository.digest(pattern) for pattern in STATE] == before
    assert not list(repository.root.rglob("PWNED"))


def test_the_same_seed_gives_the_same_bytes_again_without_any_cache(repository: Repository) -> None:
    """Last here: what it leaves costs the others a comparison, since seconds are never the same."""
    patterns = (
        "predictions/*.csv",
        "models/**/*",
        "runs/*/history.csv",
        "runs/*/facts.json",
    )
    before = [repository.digest(pattern) for pattern in patterns]
    assert all(before)
    shutil.rmtree(repository.root / ".cache")
    repository("dvc", "repro", "--force", "--no-run-cache", "--single-item", "train", "evaluate")
    assert [repository.digest(pattern) for pattern in patterns] == before


@pytest.mark.drill
def test_a_narrowed_experiment_reports_only_its_strategy(repository: Repository) -> None:
    repository.commit()
    repository.experiment(*SMALL, "strategy=frozen")
    params = yaml.safe_load((repository.root / "params.yaml").read_text())
    assert list(params["strategies"]) == ["frozen"]
    report = (repository.root / "reports/report.md").read_text()
    named = [line for line in report.splitlines() if "scratch" in line]
    others = "[scratch,frozen,probe,mlp_head,partial,finetune,lp_ft,wise_ft,two_phase,progressive]"
    assert named == [f"    strategy: frozen  (default: {others})"]
    assert list(json.loads((repository.root / "metrics/summary.json").read_text())) == ["frozen"]
    assert "!" not in repository("dvc", "exp", "show", "--csv")
    repository.commit()
