"""The whole pipeline through DVC, as people run it, on a few drawn textures."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

pytestmark = pytest.mark.slow

PARTS = (".dvc/config", ".dvc/plots", ".dvc/.gitignore")
PARTS += (".dvcignore", ".gitignore", "conf", "dvc.yaml", "src", "stages")
SMALL = (
    "preset=demo",
    "backbone.weights=none",
    "dataset.textures.train_per_class=6",
    "dataset.textures.test_per_class=3",
    "seeds=[0,1]",
    "train.max_epochs=2",
    "engine.threads=1",
)
TWO = (*SMALL, "strategy=[frozen,scratch]")


class Repository:
    """A git repository with the project in it, and nothing else."""

    def __init__(self, root: Path):
        self.root = root
        for name in PARTS:
            source, target = ROOT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, target, ignore=ignore) if source.is_dir() else shutil.copyfile(
                source, target
            )
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        ours = ("DVC_", "TRANSFERLAB_", "PYTHONPATH", "MLFLOW")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment = {**kept, "PATH": path, "TRANSFERLAB_TRACKING": "off"}
        self("git", "init", "--quiet", "--initial-branch=main")
        self("git", "config", "user.name", "test")
        self("git", "config", "user.email", "test@localhost")
        self.compose(*TWO)
        self.commit()

    def __call__(self, *command: str, fails: bool = False, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def compose(self, *overrides: str) -> None:
        code = "import sys; from transferlab.commands.main import main; main()"
        self(sys.executable, "-c", code, "compose", *overrides, PYTHONPATH=str(self.root / "src"))

    def commit(self) -> None:
        self("git", "add", "--all")
        self("git", "commit", "--quiet", "--message", "state", "--allow-empty")

    def experiment(
        self, *overrides: str, fails: bool = False, flags: tuple[str, ...] = (), **environment: str
    ) -> str:
        sets = [word for override in overrides for word in ("-S", override)]
        return self("dvc", "exp", "run", *flags, *sets, fails=fails, **environment)

    def digest(self, pattern: str) -> dict[str, str]:
        found = {
            path: path.read_bytes() for path in sorted(self.root.glob(pattern)) if path.is_file()
        }
        return {
            str(path.relative_to(self.root)): hashlib.sha256(data).hexdigest()
            for path, data in found.items()
        }


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("repository"))
    made("dvc", "repro")
    made.commit()
    return made


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


def test_a_second_repro_runs_nothing(repository: Repository) -> None:
    assert ran(repository("dvc", "repro")) == []


def test_the_same_seed_gives_the_same_bytes_with_and_without_caches(repository: Repository) -> None:
    patterns = (
        "predictions/*.csv",
        "models/**/*",
        "runs/*/history.csv",
        "runs/*/facts.json",
    )
    before = [repository.digest(pattern) for pattern in patterns]
    assert all(before)
    shutil.rmtree(repository.root / ".cache")
    repository("dvc", "repro", "--force", "--no-run-cache")
    assert [repository.digest(pattern) for pattern in patterns] == before
    repository("dvc", "repro", "--force", "--no-run-cache", "train@frozen")
    assert [repository.digest(pattern) for pattern in patterns] == before


def test_another_rate_of_one_strategy_reruns_that_strategy_and_what_reads_it(
    repository: Repository,
) -> None:
    repository.compose(*TWO, "strategies.frozen.lr=0.02")
    assert ran(repository("dvc", "repro")) == [
        "train@frozen",
        "evaluate@frozen",
        "compare",
        "report",
        "track",
    ]
    report = (repository.root / "reports/report.md").read_text()
    assert "strategies.frozen.lr=0.02" in report
    repository.compose(*TWO)
    repository("dvc", "repro")


def test_an_edit_of_the_report_reruns_only_the_report(repository: Repository) -> None:
    source = repository.root / "src/transferlab/report/text.py"
    original = source.read_text()
    source.write_text(original + "\n# edited\n")
    assert set(ran(repository("dvc", "repro", "--dry"))) <= {"report", "track"}
    source.write_text(original)


def test_metrics_and_plots_read_well(repository: Repository) -> None:
    shown = json.loads(repository("dvc", "metrics", "show", "--json"))
    summary = shown[""]["data"]["metrics/summary.json"]["data"]
    assert list(summary) == ["frozen", "scratch"]
    wanted = {"accuracy", "accuracy_low", "accuracy_high", "train_seconds", "trainable_parameters"}
    assert all(wanted <= set(row) for row in summary.values())
    repository("dvc", "plots", "show", "--out", "dvc_plots")
    page = (repository.root / "dvc_plots/index.html").read_text()
    assert "reports/curves.csv" in page or "curves" in page
    shutil.rmtree(repository.root / "dvc_plots")


WRONG = [
    ("strategy=frozn", "frozen"),
    ("train.epoch=5", "epoch"),
    ("+train.epoch=5", "train.epoch: unknown key"),
    ("strategies.frozen.epochs=abc", "strategies.frozen.epochs: expected integer, got 'abc'"),
    ("strategies.frozen.lr=-1", "strategies.frozen.lr: expected greater than 0, got -1"),
    ("strategies.frozen.lr=nan", "strategies.frozen.lr: expected"),
    ("seeds=[1,1]", "seeds: expected different numbers"),
    ("backbone.weights=nowhere.pth", "no such file"),
    ("engine.device=cuda", "CUDA"),
    ("dataset.name='x;touch PWNED'", "dataset.name: expected text of the form"),
]


@pytest.mark.parametrize(("override", "message"), WRONG, ids=[override for override, _ in WRONG])
def test_wrong_settings_are_named_before_anything_is_touched(
    repository: Repository, override: str, message: str
) -> None:
    repository.commit()
    before = [
        repository.digest(pattern)
        for pattern in ("params.yaml", "metrics/*", "dvc.lock", "reports/**/*")
    ]
    output = repository.experiment(*TWO, override, fails=True)
    assert message in output
    assert ran(output) == []
    assert [
        repository.digest(p) for p in ("params.yaml", "metrics/*", "dvc.lock", "reports/**/*")
    ] == before
    assert not list(repository.root.rglob("PWNED"))


def test_hand_edited_params_stop_repro_before_any_stage_works(repository: Repository) -> None:
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


def test_parameters_edited_while_a_stage_runs_are_not_bound_to_its_result(
    repository: Repository,
) -> None:
    path = repository.root / "params.yaml"
    repository.compose(*TWO, "strategies.scratch.lr=0.04", "seeds=[0,1,2,3,4,5,6,7]")
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
        next(
            line for line in process.stdout if "scratch: seed 0 finished" in line
        )  # seven more are to come
        path.write_text(path.read_text().replace("lr: 0.04", "lr: 0.03"))
        rest = process.stdout.read()
    assert process.returncode != 0
    assert "strategies.scratch changed while it ran" in rest
    assert (repository.root / "dvc.lock").read_text() == lock
    repository.compose(*TWO)
    repository("dvc", "repro", "split")
    repository("dvc", "checkout", "--force")


def test_a_narrowed_experiment_reports_only_its_strategy(repository: Repository) -> None:
    repository.commit()
    repository.experiment(*SMALL, "strategy=frozen", "strategies.frozen.epochs=3")
    params = yaml.safe_load((repository.root / "params.yaml").read_text())
    assert list(params["strategies"]) == ["frozen"]
    assert params["strategies"]["frozen"]["epochs"] == 3
    report = (repository.root / "reports/report.md").read_text()
    named = [line for line in report.splitlines() if "scratch" in line]
    others = "[scratch,frozen,probe,mlp_head,partial,finetune,lp_ft,wise_ft,two_phase,progressive]"
    assert named == [f"    -S strategy=frozen  # default: {others}"]
    assert list(json.loads((repository.root / "metrics/summary.json").read_text())) == ["frozen"]
    assert "!" not in repository("dvc", "exp", "show", "--csv")
    repository.commit()


def test_queued_runs_execute_their_own_copy_of_the_code(repository: Repository) -> None:
    repository.commit()
    repository.experiment(*SMALL, "strategy=frozen,probe", "seeds=[5]", flags=("--queue",))
    broken = repository.root / "src/transferlab/evidence/numbers.py"
    original = broken.read_text()
    broken.write_text("raise RuntimeError('the code of the main checkout')\n")
    # As an editable install would put it there.
    repository("dvc", "queue", "start", PYTHONPATH=str(repository.root / "src"))
    status = ""
    for _ in range(120):
        status = repository("dvc", "queue", "status")
        if len(re.findall(r"\b(Success|Failed)\b", status)) >= 2:
            break
        time.sleep(2)
    broken.write_text(original)
    assert len(re.findall(r"\bSuccess\b", status)) == 2, status


def test_a_temporary_run_is_tracked_in_the_repository_itself(repository: Repository) -> None:
    repository.commit()
    repository.experiment(
        *SMALL, "strategy=probe", "seeds=[7]", flags=("--temp",), TRANSFERLAB_TRACKING="on"
    )
    code = """
import sys
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
print(*sorted((r.data.tags.get("strategy", "parent"), r.info.status) for r in runs))
print(all(sys.argv[1] in r.info.artifact_uri for r in runs))
"""
    found = repository(sys.executable, "-c", code, str(repository.root / "mlartifacts"))
    assert "('parent', 'FINISHED') ('probe', 'FINISHED')" in found
    assert "True" in found


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
