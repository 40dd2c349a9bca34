"""What `transferlab train` refuses, and what it would send."""

from pathlib import Path

import pytest
from checkout import ROOT
from small import Deaf, params_of, prepare

from transferlab.commands.cluster import train as command
from transferlab.commands.cluster.jobs import jobs_of
from transferlab.experiments import runs
from transferlab.params.learning.recipe import recipe_of
from transferlab.pipeline.files import read_json
from transferlab.pipeline.stage import code_digest
from transferlab.settings import compose


def test_a_place_that_is_no_ray_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="--on: expected ray or ray://HOST:PORT, got slurm"):
        command.train(on="slurm", cpus=None, gpus=0)


def test_without_ray_one_line_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"found none\. Run: pip install ray$"):
        command.train(on="ray", cpus=None, gpus=0)


def test_all_cores_are_no_number_of_threads_for_many_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: True)
    monkeypatch.setattr(command, "checkout", lambda: tmp_path)
    (tmp_path / "params.yaml").write_text(compose.compose(["preset=demo", "engine.threads=0"]))
    with pytest.raises(ValueError, match=r"engine\.threads: expected a number, got 0, all cores"):
        command.train(on="ray", cpus=None, gpus=0)


@pytest.mark.slow
def test_jobs_are_the_trainings_of_the_stages_by_the_same_names(tmp_path: Path) -> None:
    params = params_of("seeds=[0,3]", "train.max_epochs=1", "tuning.trials=2")
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    root = prepare(tmp_path, params)
    jobs = jobs_of(root, params, [("train", "frozen"), ("train", "probe")])
    titles = [f"train@frozen seed={seed} trial={trial}" for seed in (0, 3) for trial in (0, 1)]
    assert [str(job) for job in jobs] == titles, "what is solved is not sent"
    assert not any(job.done for job in jobs)
    code = code_digest(root, "train")
    runs.run(root, recipe_of(params, "frozen"), params.tuning, code, Deaf())
    seeds = read_json(root / "runs/frozen/facts.json")["seeds"].values()
    assert [trial["key"] for seed in seeds for trial in seed["trials"]] == [job.key for job in jobs]
    assert all(job.done for job in jobs)
