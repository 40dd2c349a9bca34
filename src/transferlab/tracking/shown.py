"""What the pages show of a run beside its numbers: its name, what was chosen, and a note."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..settings.changes import differences

DEFAULTS = "conf/defaults.yaml"
WRITTEN = re.compile(
    r"checked|seeds|watched.*|.*\.each\b.*|.*_sha256|backbone\.official_url|(backbone|dataset)\.name"
)
"""Keys that composition writes, or that every run shows anyway."""

VIEW = "transferlab"
"""Name of the view of an experiment's runs that people are shown."""

_ABOUT = ("Source", "Version", "Models", "Dataset")  # the version is the git commit
_METRICS = ("test_accuracy", "test_accuracy_low", "test_accuracy_high", "train_seconds")
VIEW_TAGS = {
    f"mlflow.sharedViewState.{VIEW}": json.dumps(
        {
            "selectedColumns": [
                *(f"attributes.`{name}`" for name in _ABOUT),
                *(f"metrics.`{name}`" for name in _METRICS),
            ]
        }
    )
}
"""The experiment's tag that holds it: MLflow 3.17 shows no metric in a table by itself."""


def training_name(tags: Mapping[str, str]) -> str:
    """Such as `probe · seed 3`."""
    return f"{tags['strategy']} · seed {tags['seed']}"


def comparison_name(
    common: Mapping[str, str],
    strategies: Collection[str] = (),
    best: tuple[str, float] | None = None,
) -> str:
    """Such as `hymenoptera · mobilenet_v2 · 10 strategies · probe 96.1 %`.

    Args:
        common: Holds data set and backbone.
        strategies: Those that were compared, once that is known.
        best: The recommended one and its accuracy; None where none finished.
    """
    parts = [common["dataset"], common["backbone"]]
    if len(strategies) > 1:
        parts.append(f"{len(strategies)} strategies")
    if strategies:
        parts.append(f"{best[0]} {100 * best[1]:.1f} %" if best else "none finished")
    return " · ".join(parts)


def defaults_of(root: Path) -> dict[str, Any]:
    """What conf/ composes to; empty where nobody recorded it."""
    path = root / DEFAULTS
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: value for name, value in found.items() if name != "options"}


def training_params(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """What makes a training what it is: all that its strategy says, and of the rest what is not the
    default.

    Args:
        params: Of a strategy's `facts.json`.
        defaults: Of `defaults_of`.
    """
    rest = {name: value for name, value in params.items() if name != "strategy"}
    strategy = dict(params.get("strategy", {}))
    for name in ("title", "learner"):
        strategy.pop(name, None)
    return flat(strategy) | changed(rest, defaults)


def comparison_params(params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """The strategies, the seeds, and what else is not the default.

    Args:
        params: `params.yaml`.
        defaults: Of `defaults_of`.
    """
    usual = defaults.get("strategies", {})
    both = {name: it for name, it in params["strategies"].items() if name in usual}
    before = {**defaults, "strategies": {name: usual[name] for name in both}}
    return {
        "strategies": " ".join(params["strategies"]),
        "seeds": " ".join(map(str, params["seeds"])),
        **changed({**params, "strategies": both}, before),
    }


def changed(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
    """What is another value than before, as dotted names; `now` has all that counts."""
    known = {name: before.get(name) for name in now}
    return {
        key: text(value) for key, _, value in differences(known, now) if not WRITTEN.fullmatch(key)
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names with text, without null; a table with free keys, such as
    patterns, stays one value.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if (
            isinstance(value, Mapping)
            and value
            and all(re.fullmatch("[A-Za-z0-9_]+", name) for name in value)
        ):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[prefix + key] = text(value)
    return found


def text(value: Any) -> str:
    """A value as a param has it."""
    return value if isinstance(value, str) else json.dumps(value)


def comparison_note(report: str, again: str) -> str:
    """The answer of the report, where the rest is, and how to make it again.

    Args:
        report: The Markdown of the report, whose first section is the answer.
        again: Commands.
    """
    answer = report.split("\n## ", maxsplit=1)[0].strip()
    return (
        f"{answer}\n\nThe report is `report/report.html` among the artifacts of this run, with "
        f"figures and tables; every training stands below it.\n\n{commands(again)}"
    )


def commands(again: str) -> str:
    """How to make a run again, as Markdown."""
    return f"To make it again:\n\n```console\n{again}\n```"
