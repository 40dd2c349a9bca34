"""A run made again in a copy of the repository, and whether it came out as recorded."""

import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import yaml

from ..pipeline.files import read_json
from ..pipeline.places import mirror
from ..report.command import again
from ..report.opened import read_defaults

MEASURED = ("data/raw/archive.json", "data/precision_times.json", "costs.json")
"""Ends of outputs that hold seconds, or the address of a file: they may differ in any two runs."""

GIVEN = ("download", "weights")
"""Stages whose outputs are taken from the cache by their hash, where it has them."""


class Known(TypedDict):
    """Of a strategy in `metrics/summary.json`, what every version of it holds."""

    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run came to.

    Args:
        accuracies: Of the test by strategy; None where a seed diverged.
        outputs: By stage the md5 of each output before the comparison; None where no `dvc.lock`
            tells it.
    """

    accuracies: Mapping[str, float | None]
    outputs: Mapping[str, Mapping[str, str]] | None


def read_record(folder: Path) -> Record:
    """What the files of a checkout, or of an example, record.

    Args:
        folder: Holds metrics/, and dvc.lock where outputs are to be compared.

    Raises:
        ValueError: The metrics are not there, or damaged.
    """
    summary = read_json(folder / "metrics/summary.json", dict[str, Known])
    return Record(
        accuracies={name: line["accuracy"] for name, line in summary.items()},
        outputs=read_outputs(folder),
    )


def only(record: Record, names: Collection[str], where: object) -> Record:
    """A record of some strategies alone.

    Args:
        record: Of all.
        names: Of those that are meant.
        where: It was read, for the message.

    Raises:
        ValueError: It lacks one.
    """
    known = record.accuracies
    if lacking := [name for name in names if name not in known]:
        raise ValueError(f"{where}: expected strategies of {', '.join(known)}, got {lacking[0]}.")
    return replace(record, accuracies={name: known[name] for name in known if name in names})


def read_outputs(folder: Path) -> dict[str, dict[str, str]] | None:
    """`outputs_of` a folder's dvc.lock, None: it has none."""
    lock = folder / "dvc.lock"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of the time
    return outputs_of(yaml.load(lock.read_bytes(), loader)) if lock.is_file() else None


def outputs_of(lock: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The md5 of every output that has one and holds no measured time, by stage."""
    return {
        stage: {
            out["path"]: out["md5"]
            for out in entry.get("outs", ())
            if "md5" in out and not out["path"].endswith(MEASURED)
        }
        for stage, entry in lock["stages"].items()
    }


def clone(root: Path, folder: Path) -> Path:
    """The last commit of a checkout in a folder of its own, which has an empty cache.

    Raises:
        ValueError: git cannot clone it.
    """
    done = subprocess.run(
        ["git", "clone", "--quiet", str(root), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise ValueError(f"verify: expected git to clone {root}, got: {said}")
    return folder


def take_given(root: Path, copy: Path) -> None:
    """Take what was downloaded from the checkout's cache, by the hashes of dvc.lock."""
    _dvc(copy, "remote", "add", "--local", "own", str(root / ".dvc/cache"), heard=False)
    for stage in GIVEN:  # what is not there is made
        _dvc(copy, "pull", "--remote", "own", stage, heard=False)


def compose(copy: Path, params: Path) -> None:
    """Compose the settings of an example in a copy, whose code may know more keys than it did.

    The copy's own results, which are of other settings, are forgotten.

    Raises:
        ValueError: They cannot be composed with this code.
    """
    (copy / "dvc.lock").unlink(missing_ok=True)
    words = settings_of(params, copy / "conf/defaults.yaml")
    command = [sys.executable, "-m", "transferlab", "compose", *words]
    done = subprocess.run(
        command, cwd=copy, env=_environment(copy), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(f"{params}: {done.stderr.strip().removeprefix('error: ')}")


def settings_of(params: Path, defaults: Path) -> list[str]:
    """The overrides that compose the parameters of a file again.

    Raises:
        ValueError: Some cannot be said as overrides.
    """
    values = yaml.safe_load(params.read_text(encoding="utf-8"))
    words, lost = again(values, read_defaults(defaults))
    if lost:
        raise ValueError(f"{params}: expected keys that an override can name, got {lost[0]}.")
    return words


def rerun(copy: Path, stages: Iterable[str] = ()) -> None:
    """Run stages of a copy and what they rest on; the whole pipeline where none is named.

    Raises:
        ValueError: A stage failed.
    """
    if _dvc(copy, "repro", *stages):
        raise ValueError("verify: expected every stage to end well; one failed, see above.")


def _environment(copy: Path) -> dict[str, str]:
    others = ("DVC_", "MLFLOW_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    environment |= {"PYTHONPATH": str(copy / "src"), "TRANSFERLAB_TRACKING": "off"}
    if place := mirror():  # a relative one is meant from the checkout
        environment["TRANSFERLAB_MIRROR"] = place
    folder = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([folder, environment.get("PATH", "")])
    return environment


def _dvc(copy: Path, *words: str, heard: bool = True) -> int:
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(
        command, cwd=copy, env=_environment(copy), check=False, capture_output=not heard
    ).returncode


def problems(before: Record, after: Record, tolerance: float) -> Iterator[str]:
    """What did not come out as recorded, beyond the tolerance.

    Args:
        before: As recorded.
        after: As made again.
        tolerance: Of accuracies, as a share.
    """
    if list(before.accuracies) != list(after.accuracies):
        yield (
            f"expected the strategies {', '.join(before.accuracies)}, got "
            f"{', '.join(after.accuracies)}"
        )
        return
    for name, old in before.accuracies.items():
        new = after.accuracies[name]
        if (old is None) != (new is None) or abs((old or 0) - (new or 0)) > tolerance + 1e-9:
            said = f"within {100 * tolerance:g} points of {_percent(old)}"
            yield f"{name}: expected an accuracy {said}, got {_percent(new)}"


def largest(before: Record, after: Record) -> float:
    """The largest difference of two accuracies, as a share."""
    pairs = ((old, after.accuracies.get(name)) for name, old in before.accuracies.items())
    return max((abs((old or 0) - (new or 0)) for old, new in pairs), default=0.0)


def first_difference(before: Record, after: Record, stages: list[str]) -> str | None:
    """The first stage with an output of other bytes than recorded, None: there is none.

    Args:
        before: As recorded, with outputs.
        after: As made again, with outputs.
        stages: Names of `dvc.yaml` in its order; those from the comparison on hold seconds.
    """
    assert before.outputs is not None and after.outputs is not None
    for name in stages[: stages.index("compare")]:
        for stage, made in after.outputs.items():
            known = before.outputs.get(stage)
            if stage.partition("@")[0] == name and made != known:
                return stage
    return None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"
