"""Figures and reports/report.md, a pure function of files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import yaml

from transferlab import compose, report, stage
from transferlab.files import baseline
from transferlab.params import Params, plain


def work(root: Path, params: Params, _: str) -> None:
    """Write reports/."""
    report.write_report(root, plain(params), yaml.safe_load(compose.compose(root=root)), baseline())


if __name__ == "__main__":
    stage.main("report", work)
