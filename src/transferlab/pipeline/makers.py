"""Which stage wrote a file, and so what to say of one that is damaged."""

import re
from pathlib import Path
from typing import Any

from .places import checkout


def unreadable(path: Path, expected: str, got: str) -> ValueError:
    """The error of a file that is not what its stage writes; its text names both.

    Only that stage runs again (`-s`): forced alone, DVC would run every stage before it as well.
    """
    place, stage = made_by(path)
    remedy = f"Run: dvc repro -f -s {stage}" if stage else "Make it anew, or delete it."
    return ValueError(f"{place}: expected {expected}, got {got}. {remedy}")


def made_by(path: Path) -> tuple[str, str]:
    """A file as `dvc.yaml` names it, and the stage that lists it as its output.

    The path as it is, and no stage, where none does.
    """
    for name, entry in _stages().items():
        declared = entry.get("do", entry)
        for out in [*declared.get("outs", []), *declared.get("metrics", [])]:
            place = out if isinstance(out, str) else next(iter(out))
            pattern = re.escape(place).replace(re.escape("${key}"), "(?P<key>[^/]+)")
            if found := re.search(rf"(?:^|/)({pattern}(?:/.*)?)$", path.as_posix()):
                return found[1], "@".join([name, *found.groupdict().values()])
    return str(path), ""


def _stages() -> dict[str, Any]:
    import yaml  # only an error needs it

    text = (checkout() / "dvc.yaml").read_text(encoding="utf-8")
    stages: dict[str, Any] = yaml.safe_load(text)["stages"]
    return stages
