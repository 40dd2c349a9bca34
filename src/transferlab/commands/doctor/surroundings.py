"""What lies around a checkout: environment, settings, disk, mirror, and half-written files."""

import json
import shlex
import shutil
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...params.reading import load_params
from ...pipeline.places import mirror
from ...settings import compose
from .finding import Finding

FREE = 2_000_000_000  # bytes: ten strategies with five seeds of resnet18 take more
REBUILD = "rm -rf .venv && make setup"
OUTPUTS = ("data", "models", "runs", "predictions", "metrics", "reports", ".cache/transferlab")


def environment_of_another_folder(root: Path) -> list[Finding]:
    """A `.venv` that was moved or copied: its programs name the folder that it was made for."""
    program = root / ".venv/bin/dvc"
    if not program.is_file():
        return []
    head = program.read_bytes()[:4096].decode(errors="replace").splitlines()[:3]
    if any(f"{root}/.venv/bin/python" in line for line in head):
        return []
    return [Finding(f"{root}/.venv was made for another folder.", REBUILD)]


def installed_elsewhere(root: Path) -> list[Finding]:
    """An editable install of another checkout: `transferlab` would work on that one."""
    try:
        told = metadata.distribution("transferlab").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return []
    place = Path(unquote(urlsplit(json.loads(told or "{}").get("url", "")).path))
    if told is None or place.resolve() == root:
        return []
    what = f"This environment's transferlab is that of {place}, not of {root}."
    python = ".venv/bin/python" if (root / ".venv/bin/python").exists() else "python"
    command = f"{python} -m pip install --no-deps --no-build-isolation --editable ."
    return [Finding(what, command)]


def wrong_settings(root: Path) -> list[Finding]:
    """`params.yaml` that is wrong, or a `conf/` that does not compose.

    That the two differ is no fault: so they do after every `dvc exp run -S`.
    """
    path = root / "params.yaml"
    try:
        load_params(path)
    except ValueError as error:
        return [Finding(str(error), "transferlab compose")]
    try:
        compose.compose(root=root)
    except ValueError as error:
        return [Finding(f"conf/ does not compose: {error}", "transferlab preview")]
    return []


def no_mirror() -> list[Finding]:
    """A mirror that is a folder, and is not there."""
    place = mirror()
    if place is None or place.startswith(("http://", "https://")) or Path(place).is_dir():
        return []
    what = f"TRANSFERLAB_MIRROR names {place}, where there is no folder."
    return [Finding(what, "unset TRANSFERLAB_MIRROR")]


def full_disk(root: Path) -> list[Finding]:
    """Hardly any room for models and features."""
    free = shutil.disk_usage(root).free
    if free >= FREE:
        return []
    what = f"{root}: {free / 1e9:.1f} GB are free. Results of other experiments can go:"
    return [Finding(what, "dvc gc --workspace --force && make clean")]


def half_written(root: Path, somebody_is_at_work: bool) -> list[Finding]:
    """Files that killed processes were writing, and copies that DVC's cache did not take in."""
    if somebody_is_at_work:
        return []
    found = [path for name in OUTPUTS for path in (root / name).rglob(".*.part*")]
    found += list(root.glob("mlflow.db.init-*"))
    found += [path for path in (root / ".dvc/cache").rglob("*.tmp") if path.is_file()]
    inner = {path for path in found if set(path.parents) & set(found)}
    left = sorted(path.relative_to(root) for path in set(found) - inner)
    if not left:
        return []
    what = f"Half-written files or folders that killed processes left: {len(left)}."
    return [Finding(what, "rm -rf " + " ".join(shlex.quote(str(path)) for path in left))]
