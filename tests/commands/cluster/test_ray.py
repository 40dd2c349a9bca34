"""Two real nodes of Ray on this machine, one of them killed while it trains."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from checkout import ROOT
from filelock import FileLock
from small import SETTINGS, Deaf, prepare
from toy import wait_until

from transferlab.commands.cluster import jobs, sending
from transferlab.commands.cluster.train import collect
from transferlab.experiments import runs
from transferlab.experiments.cross_validation import cross_validate
from transferlab.params.learning.recipe import recipe_of
from transferlab.params.reading import parse
from transferlab.params.whole import Params
from transferlab.pipeline.files import file_hash
from transferlab.pipeline.places import cache_folder
from transferlab.pipeline.stage import code_digest
from transferlab.settings import compose

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]

WANTED = [
    *(item for item in SETTINGS if not item.startswith("strateg")),
    "strategy=[lp_ft,frozen,scratch]",
    "dataset.textures.classes=[stripes,dots]",
    "dataset.classes=[stripes,dots]",
    "dataset.textures.train_per_class=8",
    "seeds=[0,3]",
    "train.max_epochs=3",
    "strategies.scratch.lr=1e30",
    "cross_validation.strategies=[frozen]",
    "cross_validation.repeats=1",
    "cross_validation.folds=2",
]
STAGES = [("train", name) for name in ("lp_ft", "frozen", "scratch")]
STAGES += [("cross_validate", "frozen")]


@cache
def wanted() -> Params:
    return parse(yaml.safe_load(compose.compose(WANTED)))


class Counting(Deaf):
    """A listener that counts epochs."""

    epochs = 0

    def log(self, *_: Any) -> None:
        self.epochs += 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core each, on the loopback interface."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-") as place:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Without it Ray takes the machine's own address; read when ray is imported.
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("TMPDIR", place)
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
        made = Cluster(initialize_head=True, head_node_args=small)
        made.second = made.add_node(**small)
        made.home = Path(place, f"transferlab-{os.getuid()}")
        yield made
        made.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "params.yaml").write_text(compose.compose(WANTED))
    return prepare(tmp_path, wanted())


def made(root: Path) -> dict[str, str]:
    """What the stages wrote, but for what was measured."""
    paths = [*root.glob("models/*/*"), *root.glob("runs/*/*"), *root.glob("predictions/*/*")]
    return {
        str(path.relative_to(root)): file_hash(path) for path in paths if path.name != "costs.json"
    }


def run_stages(root: Path) -> int:
    """Gives the number of epochs that they trained."""
    params, heard = wanted(), Counting()
    for name in params.strategies:
        recipe, code = recipe_of(params, name), code_digest(root, "train")
        runs.run(root, recipe, params.tuning, code, heard)
    code = code_digest(root, "cross_validate")
    cross_validate(root, recipe_of(params, "frozen"), code, lambda row: heard.log())
    return heard.epochs


def left_of(root: Path) -> list[jobs.Job]:
    return [job for job in jobs.jobs_of(root, wanted(), STAGES) if not job.done]


def send(root: Path, left: list[jobs.Job], cluster: Any) -> None:
    """A node is killed meanwhile."""
    params, share = wanted(), sending.Share(cpus=1, gpus=0)
    with sending.connected(cluster.address):
        assert sending.expect_nodes_of_this_kind(params.engine, share) == 2
        files = sending.files_of(root, [job.stage for job in left])
        assert not [name for name in files["train"] if "test" in name]
        wait = files["train"]["params.yaml"].sha256
        with FileLock(cluster.home / f"files/{wait}.lock", thread_local=False) as lock:
            killing = Thread(target=kill, args=(cluster, lock))
            killing.start()
            try:
                collect(left, sending.results(left, files, share))
            finally:
                killing.join()


def kill(cluster: Any, lock: FileLock) -> None:
    """Once a job has begun on each node, one of them is gone."""
    wait_until(lambda: len(list(cluster.home.glob("job-*"))) == 2, 60)
    cluster.remove_node(cluster.second, allow_graceful=False)
    lock.release()


def test_what_two_nodes_trained_of_which_one_was_killed_is_what_the_stages_would_have_made(
    root: Path, cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = left_of(root)
    assert len(asked) == 3 * 2 + 2, "seeds and folds"
    other = replace(asked[0], key="0" * 64)
    with pytest.raises(ValueError, match=r"of 9 these failed .* train@lp_ft seed=0\."):
        send(root, [*asked, other], cluster)
    said = capsys.readouterr().out
    assert "train@lp_ft seed=0: failed: expected a node of the sender's kind" in said
    assert said.count(": finished, ") == 2 * 2 + 2
    assert said.count(": diverged, ") == 2
    assert len(list(cluster.home.glob("job-*"))) == 1, "the killed job left its folder behind"
    assert left_of(root) == []
    assert run_stages(root) == 0, "all were found done"
    sent = made(root)
    shutil.rmtree(cache_folder("resume"))
    for folder in ("models", "runs", "predictions"):
        shutil.rmtree(root / folder)
    assert run_stages(root) > 0
    assert made(root) == sent
