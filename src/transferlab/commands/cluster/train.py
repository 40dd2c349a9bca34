"""The command that trains on many machines what `dvc repro` then finds done."""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ...params.reading import load_params
from ...pipeline import heartbeat
from ...pipeline.awaited import saved_as
from ...pipeline.files import atomic
from ...pipeline.places import checkout
from ...pipeline.terminal import printable

if TYPE_CHECKING:  # torch takes seconds, which no other command shall wait for
    from .jobs import Job
    from .node import Done


def train_arguments(parser: ArgumentParser) -> None:
    """What `transferlab train` takes."""
    parser.add_argument(
        "--on",
        required=True,
        metavar="ray[://HOST:PORT]",
        help="ray: the cluster that this machine is part of, else this machine alone; or the "
        "address of one",
    )
    parser.add_argument(
        "--cpus",
        type=float,
        metavar="N",
        help="cores of a node that a training takes; else engine.threads",
    )
    parser.add_argument(
        "--gpus", type=float, default=0.0, metavar="N", help="GPUs that it takes, such as 0.5; 0"
    )


def train(*, on: str, cpus: float | None, gpus: float) -> None:
    """Train on a Ray cluster what params.yaml asks for; dvc repro then finds it done.

    Args:
        on: `ray`, or the address of a cluster.
        cpus: Cores that a training takes; None: as many as threads.
        gpus: GPUs that it takes.

    Raises:
        ValueError: There is no Ray, no cluster, or nothing to start from; or a training failed.
    """
    if on != "ray" and not on.startswith("ray://"):
        raise ValueError(f"--on: expected ray or ray://HOST:PORT, got {printable(on)}.")
    if find_spec("ray") is None:
        raise ValueError("--on ray: expected the package ray, found none. Run: pip install ray")
    root = checkout()
    params = load_params(root / "params.yaml")
    if not params.engine.threads:
        raise ValueError(
            "engine.threads: expected a number, got 0, all cores: nodes have as many as they have, "
            "and other threads give other bytes. Add it to your settings: engine.threads=4"
        )
    from . import jobs, sending

    asked = jobs.jobs_of(root, params, jobs.outdated(root, params))
    left = [job for job in asked if not job.done]
    print(f"train: trainings: {len(asked)}, done: {len(asked) - len(left)}", flush=True)
    if not left:
        print("train: nothing to send. Now run: dvc repro")
        return
    share = sending.Share(cpus=cpus or params.engine.threads, gpus=gpus)
    with sending.connected(None if on == "ray" else on):
        count = sending.expect_nodes_of_this_kind(params.engine, share)
        print(f"train: to send: {len(left)}, nodes: {count}", flush=True)
        files = sending.files_of(root, [job.stage for job in left])
        collect(left, sending.results(left, files, share))


def collect(left: Sequence["Job"], results: Iterator[tuple["Job", "Done | str"]]) -> None:
    """Keep every training as it comes, with a line each.

    Raises:
        ValueError: Some failed; all others are kept.
    """
    begun, failed = time.monotonic(), []
    for count, (job, done) in enumerate(heartbeat.each(results, "trainings", len(left)), 1):
        if isinstance(done, str):
            failed.append(str(job))
            print(printable(f"{job}: failed: {done}"), flush=True)
            continue
        with atomic(saved_as(job.key), "wb") as file:
            file.write(done.saved)
        rate = 60 * count / (time.monotonic() - begun)
        print(
            f"{job}: {done.status}, {done.seconds:.0f} s on {printable(done.place)} "
            f"({count} of {len(left)}, {rate:.1f} a minute)",
            flush=True,
        )
    if failed:
        raise ValueError(
            f"train: of {len(left)} these failed (see above): "
            f"{', '.join(failed)}. The others are kept; mend the cause, and run the same again."
        )
    print("train: all done. Now run: dvc repro")
