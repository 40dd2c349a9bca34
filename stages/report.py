"""Figures and reports/report.md, a pure function of files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from transferlab.pipeline import beginning

if __name__ == "__main__":
    beginning.begin()

from transferlab.params.record import plain
from transferlab.params.whole import Params
from transferlab.pipeline import stage
from transferlab.pipeline.places import baseline
from transferlab.report.opened import read_defaults
from transferlab.report.write import write_report


def work(root: Path, params: Params, _: str) -> None:
    """Write reports/."""
    write_report(root, plain(params), read_defaults(root / "conf/defaults.yaml"), baseline())


if __name__ == "__main__":
    stage.main("report", work)
