"""Jobs on their way to a Ray cluster, and their results on the way back."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...params.learning.engine import Engine
from ...pipeline.code import files_in
from ...pipeline.files import file_hash
from ...pipeline.stage import declaration
from . import node
from .jobs import Job
from .node import Done, Sent

PIECE = 64 * 2**20  # bytes of a file that travel as one object
RETRIES = 3  # of a job whose node or process was lost; one that fails is not tried again
PATIENCE = 300.0  # seconds for a node to say what it is


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one job takes of a node.

    Args:
        cpus: Cores.
        gpus: GPUs; a fraction lets several jobs share one.
    """

    cpus: float
    gpus: float


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to a Ray cluster, which receives this package's code, by content.

    Args:
        address: As `ray://HOST:10001`; None: the cluster that this machine is part of, else one
            on this machine alone for as long as the block runs.

    Raises:
        ValueError: Nobody answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    package = str(Path(__file__).parents[2])
    code = {"py_modules": [package], "excludes": ["__pycache__"]}
    try:
        ray.init(address, log_to_driver=False, logging_level="error", runtime_env=code)
    except (ConnectionError, TimeoutError) as error:
        raise ValueError(
            f"{address or 'ray'}: expected a Ray cluster, none answers. Start one: ray start "
            "--head (docs/how-to/cluster.md)"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def expect_nodes_of_this_kind(engine: Engine, share: Share) -> int:
    """Ask every node what it is; gives how many can take a job.

    Raises:
        ValueError: None can, or trainings on one of them would be others than here.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    able = [it for it in ray.nodes() if it["Alive"] and _has(it["Resources"], share)]
    if not able:
        raise ValueError(
            f"train: expected a node with {share.cpus:g} CPUs and {share.gpus:g} GPUs, the cluster "
            "has none. Lower --cpus or --gpus, or add nodes: ray start --address=HEAD:6379"
        )
    ask = ray.remote(node.machine)
    asked = [
        ask.options(
            num_cpus=0,
            num_gpus=share.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(it["NodeID"], soft=False),
        ).remote(engine)
        for it in able
    ]
    here = node.machine(engine)
    for it, there in zip(able, ray.get(asked, timeout=PATIENCE), strict=True):
        for what in (name for name in here if here[name] != there[name]):
            raise ValueError(
                f"train: expected nodes of this machine's kind, got {it['NodeManagerAddress']} "
                f"with {what} {there[what]} where this one has {here[what]}: dvc repro would not "
                "find its trainings. Run this command on a machine of the nodes' kind, or leave "
                "that node out."
            )
    return len(able)


def _has(resources: Mapping[str, float], share: Share) -> bool:
    return resources.get("CPU", 0) >= share.cpus and resources.get("GPU", 0) >= share.gpus


def files_of(root: Path, stages: Sequence[str]) -> dict[str, dict[str, Sent]]:
    """By stage: the files below data/ that `dvc.yaml` lists for it, and params.yaml; each is put
    into the cluster once.
    """
    put: dict[Path, Sent] = {}
    found: dict[str, dict[str, Sent]] = {}
    for stage in dict.fromkeys(stages):
        listed = [it for it in declaration(root, stage)["deps"] if it.startswith("data/")]
        paths = [file for it in ["params.yaml", *listed] for file in files_in(root / it)]
        for path in paths:
            put[path] = put.get(path) or _put(path)
        found[stage] = {str(path.relative_to(root)): put[path] for path in paths}
    return found


def _put(path: Path) -> Sent:
    import ray

    with path.open("rb") as file:
        pieces = [ray.put(piece) for piece in iter(lambda: file.read(PIECE), b"")]
    return Sent(sha256=file_hash(path), pieces=pieces)


def results(
    jobs: Sequence[Job], files: Mapping[str, Mapping[str, Sent]], share: Share
) -> Iterator[tuple[Job, Done | str]]:
    """Every job with its result, or with what it failed of; as they end.

    Args:
        jobs: In the order in which they are begun.
        files: Of each stage, see `files_of`.
        share: What each takes of a node.
    """
    import ray
    from ray.exceptions import RayError

    perform = ray.remote(node.perform).options(
        num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES
    )
    waiting: dict[Any, Job] = {perform.remote(job, files[job.stage]): job for job in jobs}
    while waiting:
        (ref,), _ = ray.wait(list(waiting))
        job = waiting.pop(ref)
        try:
            yield job, ray.get(ref)
        except RayError as error:
            yield job, str(getattr(error, "cause", None) or error)
